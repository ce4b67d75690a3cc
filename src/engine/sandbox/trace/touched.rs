//! What was seen of a step while it ran, before it is compared with what it stands on.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};

use crate::engine::protocol::TraceBudget;
use crate::engine::reads::Incomplete;

/// A path of the step's root whose links have been followed: `/`-separated, no leading slash.
pub type Real = Vec<u8>;

/// How a path was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Looked at.
    Look,
    /// Its content counts.
    Read,
    /// Its names were listed.
    List,
    /// It was executed.
    Execute,
    /// A directory was moved: whatever is in it is there under another name afterwards.
    Move,
}

/// All the ways in which a path was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Uses(u8);

impl Uses {
    /// Notes one; whether it is new.
    pub fn add(&mut self, how: Use) -> bool {
        let new = !self.has(how);
        self.0 |= 1 << how as u8;
        new
    }

    /// Whether it was used so.
    pub fn has(self, how: Use) -> bool {
        self.0 & 1 << how as u8 != 0
    }

    /// Each of them.
    pub fn each(self) -> impl Iterator<Item = Use> {
        [Use::Look, Use::Read, Use::List, Use::Execute, Use::Move].into_iter().filter(move |how| self.has(*how))
    }
}

/// Everything that was seen. Bounded: a step may name any number of paths of any length.
#[derive(Debug, Default)]
pub struct Touched {
    /// Paths that were there, with how they were used.
    pub there: HashMap<Real, Uses>,
    /// Paths that were not.
    pub missing: HashSet<Real>,
    /// Links that were followed, and where they lead.
    pub links: HashMap<Real, Vec<u8>>,
    /// A connection to another machine was asked for.
    pub connected: bool,
    /// Why this may not be all.
    pub incomplete: BTreeSet<Incomplete>,
    /// Calls that were looked at.
    pub events: u64,
    /// Time spent on them, in nanoseconds.
    pub nanos: u64,
    /// Paths as programs wrote them: what was looked at once need not be looked at again, as long as nobody makes links or
    /// moves things.
    seen: HashMap<Vec<u8>, Seen>,
    /// Threads that were about to make a link or to move something: until they call again, nobody knows whether they have.
    about_to: HashSet<u32>,
    bytes: u64,
}

/// What was seen of a path as it was written.
#[derive(Debug, Default)]
struct Seen {
    /// With a link at its end followed.
    followed: Uses,
    /// Without.
    as_is: Uses,
    /// It is a regular file without a link on the way.
    plain_file: bool,
}

/// What is known of a path as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    Nothing,
    /// It names a regular file without a link on the way.
    PlainFile,
    /// This very look-up was seen already.
    Whole,
}

impl Seen {
    fn uses(&self, follow: bool) -> Uses {
        if follow { self.followed } else { self.as_is }
    }
}

impl Touched {
    /// What is known before a look-up.
    pub fn known(&self, how: Use, follow: bool, path: &[u8]) -> Known {
        match self.seen.get(path) {
            Some(seen) if seen.uses(follow).has(how) => Known::Whole,
            Some(seen) if seen.plain_file => Known::PlainFile,
            _ => Known::Nothing,
        }
    }

    /// Notes a look-up; not while paths may lead elsewhere at any moment.
    pub fn saw(&mut self, how: Use, follow: bool, path: &[u8]) {
        if !self.about_to.is_empty() {
            return;
        }
        let seen = match self.seen.entry(path.to_vec()) {
            Entry::Occupied(seen) => seen.into_mut(),
            Entry::Vacant(new) => {
                self.bytes = self.bytes.saturating_add(path.len() as u64);
                new.insert(Seen::default())
            }
        };
        let uses = if follow { &mut seen.followed } else { &mut seen.as_is };
        uses.add(how);
    }

    /// Notes that a path as it was written, whose look-up was noted, names a regular file, with no link on the way.
    pub fn names_a_plain_file(&mut self, path: &[u8]) {
        if let Some(seen) = self.seen.get_mut(path) {
            seen.plain_file = true;
        }
    }

    /// The same name may lead elsewhere the next time: what it means is the affair of whoever says it.
    pub fn forget(&mut self, path: &[u8]) {
        self.seen.remove(path);
    }

    /// It may be gone from now on.
    pub fn forget_file(&mut self, path: &[u8]) {
        if let Some(seen) = self.seen.get_mut(path) {
            seen.plain_file = false;
        }
    }

    /// Paths may lead elsewhere once this thread's call is done.
    pub fn forget_seen(&mut self, thread: u32) {
        self.seen.clear();
        self.about_to.insert(thread);
    }

    /// A thread calls, so its call before is done; as are those of threads that have ended.
    pub fn calls(&mut self, thread: u32, has_ended: impl Fn(u32) -> bool) {
        if !self.about_to.is_empty() {
            self.about_to.retain(|other| *other != thread && !has_ended(*other));
        }
    }

    /// Notes a path that is there.
    pub fn found(&mut self, path: Real, how: Use) {
        let length = path.len() as u64;
        let uses = self.there.entry(path).or_default();
        if uses.add(how) {
            self.bytes = self.bytes.saturating_add(length);
        }
    }

    /// Notes a path that is not there.
    pub fn lacked(&mut self, path: Real) {
        let length = path.len() as u64;
        if self.missing.insert(path) {
            self.bytes = self.bytes.saturating_add(length);
        }
    }

    /// Notes a link.
    pub fn followed(&mut self, link: Real, target: Vec<u8>) {
        if let Entry::Vacant(new) = self.links.entry(link) {
            self.bytes = self.bytes.saturating_add((new.key().len() + target.len()) as u64);
            new.insert(target);
        }
    }

    /// Whether there is room for more; from the first time that there is none, nothing is looked at any more.
    pub fn has_room(&mut self, budget: &TraceBudget) -> bool {
        let room = self.events < budget.events && self.bytes < budget.bytes;
        if !room {
            self.incomplete.insert(Incomplete::Budget);
            self.seen = HashMap::new();
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_known_for_what_was_seen_of_it() {
        let mut touched = Touched::default();
        assert_eq!(touched.known(Use::Look, true, b"/a"), Known::Nothing);
        touched.saw(Use::Look, true, b"/a");
        assert_eq!(touched.known(Use::Look, true, b"/a"), Known::Whole);
        assert_eq!(touched.known(Use::Look, false, b"/a"), Known::Nothing);
        assert_eq!(touched.known(Use::Read, true, b"/a"), Known::Nothing);
        touched.names_a_plain_file(b"/a");
        assert_eq!(touched.known(Use::Read, true, b"/a"), Known::PlainFile);
        touched.forget_file(b"/a");
        assert_eq!(touched.known(Use::Read, true, b"/a"), Known::Nothing);
        touched.saw(Use::Read, true, b"/a");
        touched.forget_seen(1);
        assert_eq!(touched.known(Use::Read, true, b"/a"), Known::Nothing);
        // Another thread looks while nobody knows whether the first one's call is done.
        touched.calls(2, |_| false);
        touched.saw(Use::Read, true, b"/a");
        assert_eq!(touched.known(Use::Read, true, b"/a"), Known::Nothing);
        touched.calls(2, |ended| ended == 1);
        touched.saw(Use::Read, true, b"/a");
        assert_eq!(touched.known(Use::Read, true, b"/a"), Known::Whole);
    }
}
