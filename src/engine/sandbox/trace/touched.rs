//! What was seen of a step while it ran, before it is compared with what it stands on.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::engine::protocol::TraceBudget;
use crate::engine::reads::Incomplete;

/// A path of the step's root whose links have been followed: `/`-separated, no leading slash.
pub type Real = Vec<u8>;

/// How a path was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Use {
    /// Looked at.
    Look,
    /// Its content counts.
    Read,
    /// Its names were listed.
    List,
    /// It was executed.
    Execute,
}

/// Everything that was seen. Bounded: a step may name any number of paths of any length.
#[derive(Debug, Default)]
pub struct Touched {
    /// Paths that were there, with how they were used.
    pub there: BTreeSet<(Real, Use)>,
    /// Paths that were not.
    pub missing: BTreeSet<Real>,
    /// Links that were followed, and where they lead.
    pub links: BTreeMap<Real, Vec<u8>>,
    /// A connection to another machine was asked for.
    pub connected: bool,
    /// Why this may not be all.
    pub incomplete: BTreeSet<Incomplete>,
    /// Calls that were looked at.
    pub events: u64,
    /// Time spent on them, in nanoseconds.
    pub nanos: u64,
    /// Paths as programs wrote them, with how they were used: what was looked at once need not be looked at again, as long as
    /// nobody makes links or moves things.
    seen: HashSet<(Use, bool, Vec<u8>)>,
    bytes: u64,
}

impl Touched {
    /// Whether this very look-up is new.
    pub fn is_new(&mut self, how: Use, follow: bool, path: &[u8]) -> bool {
        let key = (how, follow, path.to_vec());
        if self.seen.contains(&key) {
            return false;
        }
        self.bytes = self.bytes.saturating_add(path.len() as u64);
        self.seen.insert(key)
    }

    /// Paths may lead elsewhere from now on.
    pub fn forget_seen(&mut self) {
        self.seen.clear();
    }

    /// Notes a path that is there.
    pub fn found(&mut self, path: Real, how: Use) {
        self.bytes = self.bytes.saturating_add(path.len() as u64);
        self.there.insert((path, how));
    }

    /// Notes a path that is not there.
    pub fn lacked(&mut self, path: Real) {
        self.bytes = self.bytes.saturating_add(path.len() as u64);
        self.missing.insert(path);
    }

    /// Notes a link.
    pub fn followed(&mut self, link: Real, target: Vec<u8>) {
        self.bytes = self.bytes.saturating_add((link.len() + target.len()) as u64);
        self.links.entry(link).or_insert(target);
    }

    /// Whether there is room for more; from the first time that there is none, nothing is looked at any more.
    pub fn has_room(&mut self, budget: &TraceBudget) -> bool {
        let room = self.events < budget.events && self.bytes < budget.bytes;
        if !room {
            self.incomplete.insert(Incomplete::Budget);
            self.seen = HashSet::new();
        }
        room
    }
}
