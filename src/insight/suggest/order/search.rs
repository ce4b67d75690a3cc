//! The search: exact over all sets of steps that can stand at the top while they are few, else along the most promising ones,
//! with a bound on what was left out. Of every group of steps alone the best order is known; all groups together cost no less
//! than the sum of these, whatever stands between.

use std::collections::{BTreeMap, BTreeSet};

use super::bits::Bits;

/// A step of the order.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// What it takes when it runs.
    pub micros: u64,
    /// Steps that have to stand above it, by their places in the author's order.
    pub needs: BTreeSet<usize>,
    /// Commits that change what it takes in by itself.
    pub changed_by: BTreeSet<usize>,
}

/// Steps in the author's order, which has to keep what they need, and what their history is.
#[derive(Debug, Clone, Default)]
pub struct Task {
    /// The steps. What one needs stands before it.
    pub steps: Vec<Step>,
    /// Commits that change what all of them stand on.
    pub below_all: BTreeSet<usize>,
    /// By two places: how much it is disliked that the first stands above the second. Decides among orders of equal cost.
    pub dislikes: BTreeMap<(usize, usize), u64>,
}

/// How far is looked.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// So many sets of steps are looked at, all of them; when there are more, only the most promising ones are.
    pub sets: usize,
    /// So many of each size, then.
    pub width: usize,
    /// Steps of a group of which the best order is looked for alone, for the bound.
    pub group: usize,
}

/// Comparisons of two steps that a search may take, about.
const EFFORT: usize = 50_000_000;

impl Limits {
    /// Limits for so many steps, with which a search takes a second or two where all of them are free to move.
    pub fn of(steps: usize) -> Self {
        let steps = steps.max(1);
        let width = EFFORT / 5 / steps.saturating_pow(3);
        let sets = EFFORT / steps.saturating_pow(2);
        Self { sets: sets.clamp(1_000, 100_000), width: width.clamp(1, 500), group: 10 }
    }
}

/// How good an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quality {
    /// None is cheaper. With the number of orders that were compared, where all of them were.
    Optimal {
        /// As far as it can be counted.
        orders: Option<u64>,
    },
    /// One may be cheaper, by no more than this over all commits.
    Within {
        /// Microseconds.
        micros: u64,
    },
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Places in the author's order, from the top.
    pub order: Vec<usize>,
    /// What all commits together cost with it.
    pub micros: u64,
    /// Whether that is the least.
    pub quality: Quality,
}

/// The cheapest order of a task; of several the least disliked one. The author's own order is never made worse.
pub fn search(task: &Task, limits: Limits) -> Found {
    let ground = Ground::new(task);
    if let Some(found) = ground.exact(limits.sets) {
        return found;
    }
    ground.beam(limits.width, limits.group)
}

impl Task {
    /// What all commits together cost with an order.
    pub fn cost(&self, order: &[usize]) -> u64 {
        let ground = Ground::new(self);
        ground.price(order).0
    }
}

/// A task made ready: commits that change the same steps are one, with a weight.
struct Ground {
    micros: Vec<u64>,
    weights: Vec<u64>,
    below_all: Bits,
    /// By step: kinds of commits that change it.
    changed: Vec<Bits>,
    /// By step: what has to stand above it, directly or not.
    needs: Vec<Bits>,
    /// By step: kinds of commits that change it or anything that it needs.
    least: Vec<Bits>,
    /// By two steps, one row after the other: how much the first is disliked above the second.
    dislikes: Vec<u64>,
}

/// Microseconds, then dislike.
type Price = (u64, u64);

/// A set of steps that stand at the top, in the best order among themselves.
#[derive(Clone)]
struct Top {
    price: Price,
    changed: Bits,
    /// The lowest of them.
    last: usize,
    /// Orders of this set.
    orders: u64,
}

impl Ground {
    fn new(task: &Task) -> Self {
        let count = task.steps.len();
        let mut by_commit: BTreeMap<usize, Bits> = BTreeMap::new();
        // What stands below all of them is one more column.
        let columns = task.steps.iter().map(|step| &step.changed_by).chain([&task.below_all]);
        for (at, commits) in columns.enumerate() {
            for commit in commits {
                by_commit.entry(*commit).or_insert_with(|| Bits::new(count + 1)).insert(at);
            }
        }
        let mut kinds: BTreeMap<Bits, u64> = BTreeMap::new();
        by_commit.into_values().for_each(|columns| *kinds.entry(columns).or_default() += 1);
        let changed_by = |column: usize| {
            let mut out = Bits::new(kinds.len());
            kinds.keys().enumerate().filter(|(_, columns)| columns.has(column)).for_each(|(kind, _)| out.insert(kind));
            out
        };
        let changed: Vec<Bits> = (0..count).map(changed_by).collect();
        let mut needs: Vec<Bits> = Vec::with_capacity(count);
        let mut least: Vec<Bits> = Vec::with_capacity(count);
        for (at, step) in task.steps.iter().enumerate() {
            let (mut all, mut commits) = (Bits::new(count), changed[at].clone());
            for need in step.needs.iter().filter(|need| **need < at) {
                all.insert(*need);
                all.extend(&needs[*need]);
                commits.extend(&least[*need]);
            }
            needs.push(all);
            least.push(commits);
        }
        let mut dislikes = vec![0; count * count];
        for ((above, below), dislike) in task.dislikes.iter().filter(|((above, below), _)| *above.max(below) < count) {
            dislikes[above * count + below] = *dislike;
        }
        let micros = task.steps.iter().map(|step| step.micros).collect();
        Self {
            below_all: changed_by(count),
            weights: kinds.into_values().collect(),
            micros,
            changed,
            needs,
            least,
            dislikes,
        }
    }

    fn count(&self) -> usize {
        self.micros.len()
    }

    fn weight(&self, commits: &Bits) -> u64 {
        commits.iter().filter_map(|kind| self.weights.get(kind)).sum()
    }

    fn empty(&self) -> (Bits, Top) {
        (Bits::new(self.count()), Top { price: (0, 0), changed: self.below_all.clone(), last: 0, orders: 1 })
    }

    /// One more step below those at the top.
    fn below(&self, set: &Bits, top: &Top, step: usize) -> Top {
        let changed = top.changed.union(&self.changed[step]);
        let micros = self.micros[step].saturating_mul(self.weight(&changed));
        let disliked = |other: &usize| *other != step && !set.has(*other);
        let dislike = |other: usize| self.dislikes[step * self.count() + other];
        let dislikes: u64 = (0..self.count()).filter(disliked).map(dislike).sum();
        let price = (top.price.0.saturating_add(micros), top.price.1.saturating_add(dislikes));
        Top { price, changed, last: step, orders: top.orders }
    }

    fn can_follow(&self, set: &Bits, step: usize) -> bool {
        !set.has(step) && set.has_all(&self.needs[step])
    }

    /// The price of a whole order.
    fn price(&self, order: &[usize]) -> Price {
        let (mut set, mut top) = self.empty();
        for step in order {
            top = self.below(&set, &top, *step);
            set.insert(*step);
        }
        top.price
    }

    /// All sets with one step more than those of `layer`, each in its best order. None: there are more than `most`.
    fn next(&self, layer: &BTreeMap<Bits, Top>, most: usize) -> Option<BTreeMap<Bits, Top>> {
        let mut out: BTreeMap<Bits, Top> = BTreeMap::new();
        for (set, top) in layer {
            for step in (0..self.count()).filter(|step| self.can_follow(set, *step)) {
                let found = self.below(set, top, step);
                let more = set.with(step);
                match out.get_mut(&more) {
                    None => drop(out.insert(more, found)),
                    Some(known) => {
                        let orders = known.orders.saturating_add(found.orders);
                        if found.price < known.price {
                            *known = found;
                        }
                        known.orders = orders;
                    }
                }
            }
            if out.len() > most {
                return None;
            }
        }
        Some(out)
    }

    /// None: there are too many sets.
    fn exact(&self, most: usize) -> Option<Found> {
        let mut layers = vec![BTreeMap::from([self.empty()])];
        let mut sets = 1;
        while layers.len() <= self.count() {
            let layer = self.next(layers.last()?, most.saturating_sub(sets))?;
            sets += layer.len();
            layers.push(layer);
        }
        let (order, top) = self.walk_back(&layers)?;
        let orders = Some(top.orders).filter(|orders| *orders < u64::MAX);
        Some(Found { order, micros: top.price.0, quality: Quality::Optimal { orders } })
    }

    /// The order that leads to the only set of the last layer.
    fn walk_back(&self, layers: &[BTreeMap<Bits, Top>]) -> Option<(Vec<usize>, Top)> {
        let (mut set, top) = layers.last()?.iter().next().map(|(set, top)| (set.clone(), top.clone()))?;
        let mut order = Vec::new();
        for layer in layers.iter().skip(1).rev() {
            let last = layer.get(&set)?.last;
            order.push(last);
            set = set.without(last);
        }
        order.reverse();
        Some((order, top))
    }

    /// What the rest costs at least, below those at the top: each of them has these and what it needs above it.
    fn rest(&self, set: &Bits, top: &Top) -> u64 {
        let of = |step: usize| {
            let commits: u64 = top.changed.iter_with(&self.least[step]).filter_map(|kind| self.weights.get(kind)).sum();
            self.micros[step].saturating_mul(commits)
        };
        (0..self.count()).filter(|step| !set.has(*step)).map(of).fold(0, u64::saturating_add)
    }

    /// Looks at the most promising sets of each size only.
    fn beam(&self, width: usize, group: usize) -> Found {
        let author: Vec<usize> = (0..self.count()).collect();
        let own = self.price(&author);
        let mut layers = vec![BTreeMap::from([self.empty()])];
        // The least that any order costs whose beginning was left out.
        let mut left_out = u64::MAX;
        while layers.len() <= self.count() {
            let Some(next) = layers.last().and_then(|last| self.next(last, usize::MAX)) else { break };
            let with_bound = |(set, top): (Bits, Top)| (top.price.0.saturating_add(self.rest(&set, &top)), set, top);
            let mut layer: Vec<(u64, Bits, Top)> = next.into_iter().map(with_bound).collect();
            layer.sort_by(|(bound, set, top), (other_bound, other_set, other)| {
                (bound, top.price.1, set).cmp(&(other_bound, other.price.1, other_set))
            });
            if let Some((bound, ..)) = layer.get(width.max(1)) {
                left_out = left_out.min(*bound);
            }
            layer.truncate(width.max(1));
            layers.push(layer.into_iter().map(|(_, set, top)| (set, top)).collect());
        }
        let found = self.walk_back(&layers).map(|(order, top)| (order, top.price));
        let (order, price) = found.filter(|(_, price)| *price < own).unwrap_or((author, own));
        let missed = price.0.saturating_sub(left_out.max(self.bound(group)));
        let quality = match missed {
            0 => Quality::Optimal { orders: None },
            micros => Quality::Within { micros },
        };
        Found { order, micros: price.0, quality }
    }

    /// What any order costs at least: groups of steps in their best orders, each step with what it needs.
    fn bound(&self, group: usize) -> u64 {
        let steps: Vec<usize> = (0..self.count()).collect();
        let of = |group: &[usize]| {
            let found = self.only(group).exact(1 << group.len().min(20));
            found.map_or(0, |found| found.micros)
        };
        steps.chunks(group.max(1)).map(of).fold(0, u64::saturating_add)
    }

    /// Some steps alone. What they need is above them in any case.
    fn only(&self, steps: &[usize]) -> Self {
        let within = |step: &usize| {
            let mut needs = Bits::new(steps.len());
            steps.iter().enumerate().filter(|(_, need)| self.needs[*step].has(**need)).for_each(|(at, _)| needs.insert(at));
            needs
        };
        let least: Vec<Bits> = steps.iter().map(|step| self.least[*step].clone()).collect();
        Self {
            micros: steps.iter().map(|step| self.micros[*step]).collect(),
            weights: self.weights.clone(),
            below_all: self.below_all.clone(),
            changed: least.clone(),
            needs: steps.iter().map(within).collect(),
            least,
            dislikes: vec![0; steps.len() * steps.len()],
        }
    }
}
