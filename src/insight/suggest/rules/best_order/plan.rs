//! From an order to a Dockerfile, and to what it really costs.

use std::collections::{BTreeMap, BTreeSet};

use super::super::copy_what_is_read::cover::Cover;
use super::super::place;
use super::steps::{Bill, Kind, Table};
use crate::language::dockerfile::{Edit, apply, parse};

/// What an order comes to.
pub(super) struct Plan {
    /// The file that it leads to.
    pub(super) after: String,
    /// The steps of that file, from the top.
    pub(super) steps: Vec<Bill>,
    /// The RUNs of the stage in their order.
    pub(super) runs: Vec<usize>,
    /// What of a COPY comes first.
    pub(super) portions: Vec<Portion>,
    /// What RUNs would no longer have above them.
    pub(super) lacks: Vec<Lack>,
    /// RUNs with whole COPYs that stood on their other side.
    pub(super) passed: Vec<(usize, usize)>,
}

/// A RUN that stood below a COPY, and would stand above the rest of it.
pub(super) struct Lack {
    pub(super) run: usize,
    pub(super) copy: usize,
    /// The files of the COPY that are there by then.
    pub(super) covered: BTreeSet<String>,
}

/// Files of a COPY that stand above a step, and the rest of it below.
pub(super) struct Portion {
    /// The COPY, and the instruction that they are copied above.
    pub(super) copy: usize,
    pub(super) before: usize,
}

/// A line of the new order.
enum Item {
    Old(usize),
    New(String),
}

impl Item {
    fn place(&self) -> Option<usize> {
        if let Self::Old(at) = self { Some(*at) } else { None }
    }

    fn text(self) -> Option<String> {
        if let Self::New(text) = self { Some(text) } else { None }
    }
}

/// What each commit costs: the first step that it changes, and all below it.
pub(super) fn bill(steps: &[Bill], below_all: &BTreeSet<usize>, commits: usize) -> Vec<u64> {
    let of = |commit: usize| {
        let runs = |step: &&Bill| !below_all.contains(&commit) && !step.changed_by.contains(&commit);
        let first = steps.iter().take_while(runs).count();
        steps[first..].iter().map(|step| step.micros).fold(0, u64::saturating_add)
    };
    (0..commits).map(of).collect()
}

impl Plan {
    /// Of an order of the table's units. Errors: it cannot be written, or would not be understood.
    pub(super) fn of(table: &Table<'_>, order: &[usize]) -> Result<Self, String> {
        let mut writer = Writer::new(table);
        for unit in order.iter().filter_map(|at| table.units.get(*at)) {
            match &unit.kind {
                Kind::Part { files, .. } => writer.pending.entry(unit.at).or_default().extend(files.iter().cloned()),
                Kind::Copy if table.cases.contains_key(&unit.at) => writer.rest(unit.at, unit.at),
                Kind::Copy => {
                    writer.flush(unit.at);
                    writer.old(unit.at, unit.bill.clone());
                }
                Kind::Run | Kind::Fixed => {
                    writer.flush(unit.at);
                    writer.old(unit.at, unit.bill.clone());
                    writer.here = unit.at + 1;
                    if unit.kind == Kind::Run {
                        writer.run(unit.at);
                    }
                }
            }
        }
        writer.finish()
    }
}

/// Writes the lines of an order.
struct Writer<'t, 'c> {
    table: &'t Table<'c>,
    items: Vec<Item>,
    steps: Vec<Bill>,
    portions: Vec<Portion>,
    lacks: Vec<Lack>,
    passed: Vec<(usize, usize)>,
    runs: Vec<usize>,
    /// Destinations that are written in full.
    edits: Vec<Edit>,
    /// By COPY: files that come next, and those that are there.
    pending: BTreeMap<usize, BTreeSet<String>>,
    covered: BTreeMap<usize, BTreeSet<String>>,
    done: BTreeSet<usize>,
    /// Why a line cannot be written.
    unwritten: Option<String>,
    /// Behind the last instruction that can be a WORKDIR: a line here works in that folder.
    here: usize,
}

impl<'t, 'c> Writer<'t, 'c> {
    fn new(table: &'t Table<'c>) -> Self {
        Self {
            table,
            items: Vec::new(),
            steps: Vec::new(),
            portions: Vec::new(),
            lacks: Vec::new(),
            passed: Vec::new(),
            runs: Vec::new(),
            edits: Vec::new(),
            pending: BTreeMap::new(),
            covered: BTreeMap::new(),
            done: BTreeSet::new(),
            unwritten: None,
            here: 0,
        }
    }

    fn old(&mut self, at: usize, bill: Bill) {
        self.items.push(Item::Old(at));
        self.steps.push(bill);
    }

    fn run(&mut self, run: usize) {
        self.runs.push(run);
        for copy in self.table.cases.keys().copied().filter(|copy| *copy < run && !self.done.contains(copy)) {
            let covered = self.covered.get(&copy).cloned().unwrap_or_default();
            self.lacks.push(Lack { run, copy, covered });
        }
        let here =
            |copy: usize| self.items.iter().any(|item| item.place() == Some(copy)) || self.covered.contains_key(&copy);
        // What a step lacks of a COPY that is split is said above.
        let told = |copy: usize| copy < run && self.table.cases.contains_key(&copy);
        let copies = self.table.whole().filter(|unit| unit.kind == Kind::Copy && !told(unit.at));
        let passed = copies.filter(|unit| here(unit.at) != (unit.at < run)).map(|unit| (run, unit.at));
        self.passed.extend(passed.collect::<Vec<_>>());
    }

    /// What is left of a COPY: its own line, which brings everything that is pending as well.
    fn rest(&mut self, copy: usize, before: usize) {
        self.pending.remove(&copy);
        self.flush(before);
        if !self.done.insert(copy) {
            return;
        }
        let Some(unit) = self.table.whole().find(|unit| unit.at == copy) else { return };
        if let (Some(case), Some(last)) = (self.table.cases.get(&copy), self.here.checked_sub(1)) {
            self.edits.extend(case.destination_edit(last));
        }
        self.old(copy, unit.bill.clone());
    }

    /// Copies what is pending above an instruction.
    fn flush(&mut self, before: usize) {
        let table = self.table;
        for (copy, files) in std::mem::take(&mut self.pending) {
            let (Some(case), false) = (table.cases.get(&copy), self.done.contains(&copy)) else { continue };
            let covered = self.covered.entry(copy).or_default();
            let fresh: BTreeSet<String> = files.difference(covered).cloned().collect();
            if fresh.is_empty() {
                continue;
            }
            let mut cover = Cover::of(&fresh, &case.files, &case.source.folder);
            // A folder that is taken whole brings files that may have to stay below what comes next.
            let more: BTreeSet<String> = cover.files.difference(&fresh).cloned().collect();
            let placed = |at: usize| self.items.iter().any(|item| item.place() == Some(at));
            if !more.is_empty() && table.has_to_wait(copy, more, &placed) {
                cover = Cover::only(&fresh);
            }
            covered.extend(cover.files.iter().cloned());
            if covered.len() == case.files.len() {
                self.rest(copy, before);
                continue;
            }
            match case.lines(&cover.folders, &cover.single, self.here) {
                Ok(lines) => self.items.push(Item::New(lines.join("\n"))),
                Err(reason) => {
                    self.unwritten = Some(reason);
                    return;
                }
            }
            // Line by line, as they are written.
            let single = cover.single.values().map(|files| (files.iter().cloned().collect(), BTreeSet::new()));
            let whole = cover.folders.iter().map(|folder| {
                let inside = case.files.iter().filter(|file| place::below(folder, file).is_some());
                (inside.cloned().collect(), BTreeSet::from([folder.clone()]))
            });
            for (files, folders) in single.chain(whole) {
                let changed_by = table.commits_of(copy, &files, &folders);
                self.steps.push(Bill { micros: table.share(copy, files.len()), changed_by });
            }
            self.portions.push(Portion { copy, before });
        }
    }

    fn finish(mut self) -> Result<Plan, String> {
        if let Some(reason) = self.unwritten.take() {
            return Err(reason);
        }
        let (table, kept) = (self.table, self.kept());
        let index = |at: usize| table.stage.first + 1 + at;
        let mut anchor = table.stage.first;
        let mut gap: Vec<Item> = Vec::new();
        let mut added = 0;
        for item in std::mem::take(&mut self.items) {
            let at = match &item {
                Item::Old(at) if kept.contains(at) => *at,
                Item::Old(_) => {
                    gap.push(item);
                    continue;
                }
                Item::New(text) => {
                    added += text.lines().count();
                    gap.push(item);
                    continue;
                }
            };
            // New lines directly above an instruction stand above its comments.
            let moved = gap.iter().rposition(|item| matches!(item, Item::Old(_))).map_or(0, |last| last + 1);
            let above = gap.split_off(moved);
            self.edits.extend(gap.drain(..).map(|item| below(item, anchor, &index)));
            let texts: Vec<String> = above.into_iter().filter_map(Item::text).collect();
            if !texts.is_empty() {
                self.edits.push(Edit::InsertBefore { instruction: index(at), text: texts.join("\n") });
            }
            anchor = index(at);
        }
        self.edits.extend(gap.into_iter().map(|item| below(item, anchor, &index)));
        let after = apply(table.dockerfile, &self.edits);
        let again = parse(&after);
        if again.has_errors() || again.instructions.len() != table.dockerfile.instructions.len() + added {
            return Err("the rewritten file would not be understood".to_owned());
        }
        let Self { steps, runs, portions, lacks, passed, .. } = self;
        Ok(Plan { after, steps, runs, portions, lacks, passed })
    }

    /// The instructions that stay where they are: the heaviest that keep their order, so that COPYs move rather than RUNs, and
    /// RUNs rather than what is fixed among them.
    fn kept(&self) -> BTreeSet<usize> {
        let old: Vec<usize> = self.items.iter().filter_map(Item::place).collect();
        let weight = |at: usize| match self.table.whole().find(|unit| unit.at == at) {
            Some(unit) if unit.kind == Kind::Fixed => 100_000,
            Some(unit) if unit.kind == Kind::Run => 100,
            _ => 1,
        };
        let mut best: Vec<(u64, Option<usize>)> = Vec::new();
        for (place, at) in old.iter().enumerate() {
            let above = (0..place).filter(|above| old[*above] < *at).max_by_key(|above| (best[*above].0, *above));
            best.push((weight(*at) + above.map_or(0, |above| best[above].0), above));
        }
        let mut next = (0..best.len()).max_by_key(|place| best[*place].0);
        let mut kept = BTreeSet::new();
        while let Some(place) = next {
            kept.insert(old[place]);
            next = best[place].1;
        }
        kept
    }
}

fn below(item: Item, anchor: usize, index: &dyn Fn(usize) -> usize) -> Edit {
    match item {
        Item::Old(at) => Edit::MoveAfter { instruction: index(at), after: anchor },
        Item::New(text) => Edit::InsertAfter { instruction: anchor, text },
    }
}
