//! What may go: pure, over an inventory. Docker's names and meanings for filters, and docker's order: what was used longest ago
//! goes first, and a step only after all steps that stand on it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::inventory::{Inventory, Item, ItemKind, ResultRow};
use crate::engine::store::ledger::Doomed;

/// How many builds of each project keep their logs: what `why` and `history` stand on.
const LOGS_KEPT: usize = 20;

/// `--filter`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// `until=24h`, `unused-for=24h`: not used for so long.
    UnusedFor(Duration),
    /// `type=step`.
    Kind(ItemKind),
    /// `id=…`: the beginning of a name.
    Id(String),
}

/// A filter that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no filter: {why}", .text.escape_debug())]
pub struct FilterError {
    text: String,
    why: String,
}

impl Filter {
    /// Whether a thing fits. `now` in microseconds since 1970.
    pub fn fits(&self, item: &Item, now: u64) -> bool {
        match self {
            Self::UnusedFor(time) => u128::from(now.saturating_sub(item.used)) >= time.as_micros(),
            Self::Kind(kind) => item.kind == *kind,
            Self::Id(id) => item.id.starts_with(id.as_str()),
        }
    }

    /// Reads `NAME=VALUE`. The types that `docker buildx prune` knows are taken for ours.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let wrong = |why: String| FilterError { text: text.chars().take(120).collect(), why };
        let (name, value) = text.split_once('=').ok_or_else(|| wrong("it is not NAME=VALUE".into()))?;
        match name.trim() {
            "until" | "unused-for" => humantime::parse_duration(value)
                .map(Self::UnusedFor)
                .map_err(|_| wrong("give a time such as 24h or 7d".into())),
            "id" => Ok(Self::Id(value.to_owned())),
            "type" => {
                let word = match value {
                    "regular" => "step",
                    "source.local" => "context",
                    "exec.cachemount" => "cache-mount",
                    other => other,
                };
                let known = ItemKind::ALL.into_iter().find(|kind| kind.word() == word);
                let words = || ItemKind::ALL.map(ItemKind::word).join(", ");
                known.map(Self::Kind).ok_or_else(|| wrong(format!("there is {}", words())))
            }
            _ => Err(wrong("there is until, unused-for, type and id".into())),
        }
    }
}

/// How far to go.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Also blobs that save the next export its work, unpacked layers of images whose blobs stay, and all logs.
    pub all: bool,
    /// All must fit.
    pub filters: Vec<Filter>,
    /// Stop as soon as no more bytes than this are left.
    pub keep: Option<u64>,
}

/// What goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Results whose records go.
    pub results: Vec<Doomed>,
    /// Things that go, records first.
    pub items: Vec<Item>,
}

impl Selection {
    /// How much it frees.
    pub fn bytes(&self) -> u64 {
        self.items.iter().map(|item| item.bytes).sum()
    }
}

/// Chooses. `now` in microseconds since 1970.
pub fn select(inventory: &Inventory, limits: &Limits, now: u64) -> Selection {
    let mut choice = Choice { inventory, limits, now, left: inventory.bytes(), selection: Selection::default() };
    choice.logs();
    choice.of_kind(ItemKind::Leftover);
    choice.steps();
    choice.unnamed_layers();
    choice.of_kind(ItemKind::CacheMount);
    choice.blobs();
    choice.of_kind(ItemKind::StatIndex);
    choice.selection
}

struct Choice<'a> {
    inventory: &'a Inventory,
    limits: &'a Limits,
    now: u64,
    left: u64,
    selection: Selection,
}

impl Choice<'_> {
    /// No filter speaks against it, and there is still too much.
    fn fits(&self, item: &Item) -> bool {
        let filters = self.limits.filters.iter().all(|filter| filter.fits(item, self.now));
        filters && item.reclaimable() && self.limits.keep.is_none_or(|keep| self.left > keep)
    }

    fn take(&mut self, item: &Item) {
        self.left = self.left.saturating_sub(item.bytes);
        self.selection.items.push(item.clone());
    }

    fn items(&self, kind: ItemKind) -> Vec<Item> {
        let mut items: Vec<Item> = self.inventory.items.iter().filter(|item| item.kind == kind).cloned().collect();
        items.sort_by(|a, b| a.used.cmp(&b.used).then_with(|| a.id.cmp(&b.id)));
        items
    }

    fn of_kind(&mut self, kind: ItemKind) {
        for item in self.items(kind) {
            if self.fits(&item) {
                self.take(&item);
            }
        }
    }

    fn logs(&mut self) {
        let kept: BTreeSet<&String> = match self.limits.all {
            // The last build of a project is what the next one is compared with.
            true => self.inventory.builds.values().flat_map(|ids| ids.iter().take(1)).collect(),
            false => self.inventory.builds.values().flat_map(|ids| ids.iter().take(LOGS_KEPT)).collect(),
        };
        for item in self.items(ItemKind::Log) {
            if !kept.contains(&item.id) && self.fits(&item) {
                self.take(&item);
            }
        }
    }

    /// Results leaf by leaf, the one that was used longest ago first; a layer goes with the last result that has it.
    fn steps(&mut self) {
        let items: BTreeMap<String, Item> =
            self.items(ItemKind::Step).into_iter().map(|item| (item.id.clone(), item)).collect();
        let mut left: Vec<&ResultRow> = self.inventory.results.iter().collect();
        let age = |row: &ResultRow| row.used.as_ref().map_or(row.created, |last| last.used);
        left.sort_by_key(|row| age(row));
        loop {
            let below = super::inventory::stood_on(left.iter().copied());
            let tops = left.iter().fold(BTreeMap::<&str, usize>::new(), |mut tops, row| {
                *tops.entry(row.layers.last().map_or("", |top| top.as_str())).or_default() += 1;
                tops
            });
            let mut gone = BTreeSet::new();
            for row in &left {
                let Some(item) = row.layers.last().and_then(|top| items.get(top.as_str())) else { continue };
                if below.contains_key(item.id.as_str()) || !self.fits(item) {
                    continue;
                }
                // Two results may have one layer: it goes when both are gone.
                if tops.get(item.id.as_str()).copied().unwrap_or(0) == 1 {
                    self.take(item);
                }
                self.selection.results.push(Doomed { result: row.id.clone(), bytes: row.bytes });
                gone.insert(row.id.clone());
            }
            if gone.is_empty() {
                return;
            }
            left.retain(|row| !gone.contains(&row.id));
        }
    }

    /// Layers that no result names: of killed builders, of contexts, of images that are gone.
    fn unnamed_layers(&mut self) {
        let doomed: BTreeSet<&str> = self.selection.results.iter().map(|doomed| doomed.result.as_str()).collect();
        let step_left = |row: &&ResultRow| {
            let is_base = row.layers.last().is_some_and(|top| top.as_str().starts_with("base-"));
            !doomed.contains(row.id.as_str()) && !is_base
        };
        let named: BTreeSet<String> = self
            .inventory
            .results
            .iter()
            .filter(step_left)
            .flat_map(|row| row.layers.iter().map(ToString::to_string))
            .chain(self.selection.items.iter().map(|item| item.id.clone()))
            .collect();
        for kind in [ItemKind::Failed, ItemKind::Step, ItemKind::Context, ItemKind::Base] {
            for mut item in self.items(kind) {
                if kind == ItemKind::Base && self.limits.all && self.can_be_unpacked_again(&item) {
                    item.images.clear();
                }
                if !named.contains(&item.id) && self.fits(&item) {
                    self.take(&item);
                    self.forget_bases(&item, kind);
                }
            }
        }
    }

    /// A base whose image is gone too is on record for nothing.
    fn forget_bases(&mut self, item: &Item, kind: ItemKind) {
        if kind != ItemKind::Base || self.inventory.held.contains_key(&item.id) {
            return;
        }
        let stands = |row: &&ResultRow| row.layers.iter().any(|layer| layer.as_str() == item.id);
        for row in self.inventory.results.iter().filter(stands) {
            let doomed = Doomed { result: row.id.clone(), bytes: row.bytes };
            if !self.selection.results.contains(&doomed) {
                self.selection.results.push(doomed);
            }
        }
    }

    /// The blob of a base layer that images name lies in the store as long as the images do.
    fn can_be_unpacked_again(&self, item: &Item) -> bool {
        !item.images.is_empty()
    }

    /// Blobs that no image needs: those that exports made are kept with their layers, unless all is to go.
    fn blobs(&mut self) {
        let gone: BTreeSet<String> = self.selection.items.iter().map(|item| item.id.clone()).collect();
        for item in self.items(ItemKind::Blob) {
            let saves_work = self.inventory.made.get(&item.id).is_some_and(|layer| !gone.contains(layer));
            if (self.limits.all || !saves_work) && self.fits(&item) {
                self.take(&item);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::store::uses::Use;

    fn item(kind: ItemKind, id: &str, bytes: u64, used: u64) -> Item {
        Item { used, bytes, ..Item::new(kind, id.into(), bytes, used) }
    }

    fn row(id: &str, layers: &[&str], used: u64) -> ResultRow {
        let last = Use { used, count: 1, place: Default::default() };
        let layers = layers.iter().map(|layer| layer.parse().unwrap()).collect();
        ResultRow { id: id.into(), layers, created: 1, bytes: 10, used: Some(last) }
    }

    /// base <- a <- b, and base <- c; c is the oldest.
    fn inventory() -> Inventory {
        let step = |id: &str, used| item(ItemKind::Step, id, 10, used);
        Inventory {
            items: vec![
                step("aaaaaaaa", 30),
                step("bbbbbbbb", 20),
                step("cccccccc", 10),
                step("orphaned", 5),
                item(ItemKind::Base, "base-one", 100, 1),
                item(ItemKind::CacheMount, "ff", 7, 15),
            ],
            results: vec![
                row("r0", &["base-one"], 30),
                row("ra", &["base-one", "aaaaaaaa"], 30),
                row("rb", &["base-one", "aaaaaaaa", "bbbbbbbb"], 20),
                row("rc", &["base-one", "cccccccc"], 10),
            ],
            ..Inventory::default()
        }
    }

    fn ids(selection: &Selection) -> Vec<&str> {
        selection.items.iter().map(|item| item.id.as_str()).collect()
    }

    #[test]
    fn a_step_goes_after_those_that_stand_on_it_and_the_oldest_first() {
        let mut inventory = inventory();
        inventory.held.insert("base-one".into(), vec!["node".into()]);
        inventory.items[4].images = vec!["node".into()];
        let all = select(&inventory, &Limits::default(), 100);
        assert_eq!(ids(&all), ["cccccccc", "bbbbbbbb", "aaaaaaaa", "orphaned", "ff"]);
        let results: Vec<&str> = all.results.iter().map(|doomed| doomed.result.as_str()).collect();
        assert_eq!(results, ["rc", "rb", "ra"]);
        // 147 bytes: two steps are enough for 130.
        let some = select(&inventory, &Limits { keep: Some(130), ..Limits::default() }, 100);
        assert_eq!(ids(&some), ["cccccccc", "bbbbbbbb"]);
    }

    #[test]
    fn what_an_image_or_a_build_needs_stays_and_so_does_what_it_stands_on() {
        let mut inventory = inventory();
        inventory.items[1].images = vec!["app".into()];
        inventory.items[2].leased = true;
        let selection = select(&inventory, &Limits::default(), 100);
        assert_eq!(ids(&selection), ["orphaned", "ff"], "a is below b");
    }

    #[test]
    fn filters() {
        let inventory = inventory();
        let with = |filter: &str| {
            let limits = Limits { filters: vec![Filter::parse(filter).unwrap()], ..Limits::default() };
            select(&inventory, &limits, 20_000_000)
        };
        assert_eq!(ids(&with("type=exec.cachemount")), ["ff"]);
        assert_eq!(ids(&with("id=ccc")), ["cccccccc"]);
        assert!(ids(&with("until=20s")).is_empty());
        assert_eq!(ids(&with("unused-for=19s")).len(), 6);
        for (text, why) in [("x", "NAME=VALUE"), ("until=soon", "24h"), ("type=x", "step, base"), ("y=z", "unused-for")] {
            assert!(Filter::parse(text).unwrap_err().to_string().contains(why), "{text}");
        }
    }

    #[test]
    fn the_last_builds_of_a_project_keep_their_logs() {
        let mut inventory = Inventory::default();
        let ids: Vec<String> = (0..25).map(|n| format!("b{n:02}")).collect();
        inventory.items = ids.iter().map(|id| item(ItemKind::Log, id, 1, 1)).collect();
        inventory.builds.insert("p".into(), ids);
        assert_eq!(select(&inventory, &Limits::default(), 100).items.len(), 5);
        assert_eq!(select(&inventory, &Limits { all: true, ..Limits::default() }, 100).items.len(), 24);
    }
}
