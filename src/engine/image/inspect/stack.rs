//! Lays layers over each other as a runtime does (the rules are those of `snapshot::unpack`, thus containerd's), and keeps what
//! each of them did: added, changed, removed; and which bytes nobody can see any more.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::entry::{Entry, Kind, Listing};
use super::path::TreePath;
use super::waste::Waste;

/// What a layer did to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It was not there.
    Added,
    /// It was there, and is another now.
    Changed,
    /// It is there no more.
    Removed,
    /// A directory that the layer only names: as it was.
    Named,
}

/// By what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// An entry of its own.
    Written,
    /// A directory that the layer has things in without naming it.
    Implied,
    /// The removal of this path, which is its own or one above.
    Whiteout(TreePath),
    /// An opaque mark of this directory.
    Opaque(TreePath),
    /// This path became something that is no directory, or a directory where none was.
    Replaced(TreePath),
}

/// An entry of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// From 0, the lowest first.
    pub layer: u32,
    /// Its number in the listing; none for a directory that nobody names.
    pub entry: Option<u32>,
}

/// What a layer did to one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The path.
    pub path: TreePath,
    /// What.
    pub mark: Mark,
    /// By what.
    pub how: How,
    /// What is there now; none for what is removed.
    pub now: Option<Place>,
    /// What was there before this layer.
    pub before: Option<Place>,
}

/// What stands at a path of the merged tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Who provides it.
    pub place: Place,
    /// The file whose bytes it shows.
    body: Option<u32>,
}

/// Bytes of a file, which several names may share.
#[derive(Debug, Clone)]
struct Body {
    path: TreePath,
    place: Place,
    size: u64,
    names: u32,
    /// Its last name went in this layer.
    end: Option<(u32, How)>,
}

/// One of the layers for a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version<'a> {
    /// From 0.
    pub layer: u32,
    /// What it did.
    pub change: &'a Change,
}

/// Layers over each other.
#[derive(Debug, Clone, Default)]
pub struct Stack {
    listings: Vec<Listing>,
    changes: Vec<Vec<Change>>,
    merged: BTreeMap<TreePath, Node>,
    bodies: Vec<Body>,
    /// Entries that have no place: behind links in a circle, or hard links to nothing.
    pub unplaced: u64,
}

/// Links that are followed for one path, as Linux does.
const LINKS: u32 = 40;

impl Stack {
    /// Lays all layers over each other, the lowest first.
    pub fn of(listings: Vec<Listing>) -> Self {
        let mut stack = Self::default();
        for listing in listings {
            stack.add(listing);
        }
        stack
    }

    /// Lays one more layer over the others.
    pub fn add(&mut self, listing: Listing) {
        let layer = u32::try_from(self.listings.len()).unwrap_or(u32::MAX);
        let mut step = Step {
            stack: self,
            layer,
            own: &listing.entries,
            changes: BTreeMap::new(),
            parent: None,
            cleared: BTreeSet::new(),
        };
        for (at, entry) in listing.entries.iter().enumerate() {
            step.entry(u32::try_from(at).unwrap_or(u32::MAX), entry);
        }
        let changes = step.changes.into_values().collect();
        self.changes.push(changes);
        self.listings.push(listing);
    }

    /// The layers, the lowest first.
    pub fn listings(&self) -> &[Listing] {
        &self.listings
    }

    /// What a layer did, in the order of the tree.
    pub fn changes(&self, layer: usize) -> &[Change] {
        self.changes.get(layer).map_or(&[], Vec::as_slice)
    }

    /// What all layers show together.
    pub fn merged(&self) -> impl Iterator<Item = (&TreePath, &Node)> {
        self.merged.iter()
    }

    /// What stands at a path of the merged tree.
    pub fn at(&self, path: &TreePath) -> Option<&Node> {
        self.merged.get(path)
    }

    /// The entry of a place; none for a directory that nobody names.
    pub fn entry(&self, place: Place) -> Option<&Entry> {
        self.listings.get(place.layer as usize)?.entries.get(place.entry? as usize)
    }

    /// Whether a place is a directory.
    pub fn is_directory(&self, place: Place) -> bool {
        self.entry(place).is_none_or(|entry| entry.kind == Kind::Directory)
    }

    /// Bytes of the file that a node shows; of a hard link those that it shares.
    pub fn size(&self, node: &Node) -> u64 {
        node.body.and_then(|body| self.bodies.get(body as usize)).map_or(0, |body| body.size)
    }

    /// The entry that has the bytes of a node: for a hard link that of its first name.
    pub fn body(&self, node: &Node) -> Option<Place> {
        node.body.and_then(|body| self.bodies.get(body as usize)).map(|body| body.place)
    }

    /// Bytes of files that a layer brings.
    pub fn bytes(&self, layer: usize) -> u64 {
        self.listings.get(layer).map_or(0, |l| l.entries.iter().fold(0, |sum: u64, e| sum.saturating_add(e.size)))
    }

    /// Where a path leads in the merged tree: links on the way to it are followed, the last part only with `last`. None: they
    /// lead in a circle.
    pub fn resolve(&self, path: &TreePath, last: bool) -> Option<TreePath> {
        let entry = |next: &TreePath| self.merged.get(next).and_then(|node| self.entry(node.place));
        match path.parent() {
            Some(parent) if !last => Some(follow(&parent, entry)?.join(path.name())),
            _ => follow(path, entry),
        }
    }

    /// What each layer did to a path, the lowest first; layers that did nothing are left out.
    pub fn versions(&self, path: &TreePath) -> Vec<Version<'_>> {
        let found = self.changes.iter().enumerate().filter_map(|(layer, changes)| {
            let at = changes.binary_search_by(|change| change.path.cmp(path)).ok()?;
            Some(Version { layer: u32::try_from(layer).unwrap_or(u32::MAX), change: &changes[at] })
        });
        found.collect()
    }

    /// Bytes that nobody can see any more.
    pub(super) fn dead(&self) -> impl Iterator<Item = Waste> {
        self.bodies.iter().filter_map(|body| {
            let (by, how) = body.end.clone()?;
            Some(Waste { path: body.path.clone(), bytes: body.size, layer: body.place.layer, by, how })
        })
    }
}

/// Follows links in a path; what is not there is taken as it is written.
fn follow<'e>(path: &TreePath, entry: impl Fn(&TreePath) -> Option<&'e Entry>) -> Option<TreePath> {
    let parts = |bytes: &[u8]| bytes.split(|b| *b == b'/').rev().map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (mut todo, mut real, mut links) = (parts(path.bytes()), TreePath::default(), 0);
    while let Some(part) = todo.pop() {
        match &part[..] {
            b"" | b"." => continue,
            b".." => {
                real = real.parent().unwrap_or_default();
                continue;
            }
            _ => {}
        }
        let next = real.join(&part);
        let Some(Kind::Symlink(target)) = entry(&next).map(|entry| &entry.kind) else {
            real = next;
            continue;
        };
        links += 1;
        if links > LINKS {
            return None;
        }
        if target.first() == Some(&b'/') {
            real = TreePath::default();
        }
        todo.extend(parts(target));
    }
    Some(real)
}

/// A layer being laid over the others.
struct Step<'s> {
    stack: &'s mut Stack,
    layer: u32,
    own: &'s [Entry],
    changes: BTreeMap<TreePath, Change>,
    /// The directory of the last entry: as written, and in truth.
    parent: Option<(TreePath, TreePath)>,
    /// What this layer has already taken away: of lower layers nothing can come back there.
    cleared: BTreeSet<TreePath>,
}

impl Step<'_> {
    fn entry(&mut self, at: u32, entry: &Entry) {
        match entry.kind {
            Kind::Opaque => {
                if let Some(real) = self.real(&entry.path) {
                    self.clear(&real, false, &How::Opaque(real.clone()));
                }
            }
            Kind::Whiteout => {
                let Some(parent) = entry.path.parent().and_then(|parent| self.real(&parent)) else { return };
                let path = parent.join(entry.path.name());
                self.clear(&path, true, &How::Whiteout(path.clone()));
            }
            // The root is there in every layer, and no row of a tree.
            _ if entry.path.is_root() => {}
            _ => self.write(Place { layer: self.layer, entry: Some(at) }, entry),
        }
    }

    fn write(&mut self, place: Place, entry: &Entry) {
        let parent = entry.path.parent().and_then(|parent| self.directory(&parent));
        let Some(path) = parent.map(|parent| parent.join(entry.path.name())) else {
            self.stack.unplaced += 1;
            return;
        };
        let body = match &entry.kind {
            Kind::File => Some(self.body(&path, place, entry.size)),
            Kind::HardLink(target) => match self.share(&TreePath::new(target)) {
                Some(body) => body,
                None => {
                    self.stack.unplaced += 1;
                    return;
                }
            },
            _ => None,
        };
        self.put(path, Node { place, body });
    }

    fn body(&mut self, path: &TreePath, place: Place, size: u64) -> u32 {
        self.stack.bodies.push(Body { path: path.clone(), place, size, names: 1, end: None });
        u32::try_from(self.stack.bodies.len() - 1).unwrap_or(u32::MAX)
    }

    /// One more name for what stands at `target`; none when nothing does.
    fn share(&mut self, target: &TreePath) -> Option<Option<u32>> {
        let real = self.real(&target.parent()?)?.join(target.name());
        let body = self.stack.merged.get(&real)?.body;
        if let Some(body) = body.and_then(|body| self.stack.bodies.get_mut(body as usize)) {
            body.names += 1;
        }
        Some(body)
    }

    fn of(&self, place: Place) -> Option<&Entry> {
        if place.layer == self.layer { self.own.get(place.entry? as usize) } else { self.stack.entry(place) }
    }

    fn is_directory(&self, place: Place) -> bool {
        self.of(place).is_none_or(|entry| entry.kind == Kind::Directory)
    }

    /// Where a directory is in truth: links of lower layers and of this one are followed. None: they lead in a circle.
    fn real(&self, path: &TreePath) -> Option<TreePath> {
        if let Some((_, real)) = self.parent.as_ref().filter(|(written, _)| written == path) {
            return Some(real.clone());
        }
        follow(path, |next| self.stack.merged.get(next).and_then(|node| self.of(node.place)))
    }

    /// The same, made where it is missing; what is in the way goes.
    fn directory(&mut self, path: &TreePath) -> Option<TreePath> {
        let real = self.real(path)?;
        let is_there = |step: &Self, path: &TreePath| {
            path.is_root() || step.stack.merged.get(path).is_some_and(|node| step.is_directory(node.place))
        };
        if !is_there(self, &real) {
            let ends = real.bytes().iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
            for end in ends.chain([real.bytes().len()]).collect::<Vec<_>>() {
                let above = TreePath::new(&real.bytes()[..end]);
                if !is_there(self, &above) {
                    self.put(above, Node { place: Place { layer: self.layer, entry: None }, body: None });
                }
            }
        }
        self.parent = Some((path.clone(), real.clone()));
        Some(real)
    }

    /// Sets what stands at a path; a directory over a directory keeps what is in it.
    fn put(&mut self, path: TreePath, node: Node) {
        let before = self.stack.merged.get(&path).copied();
        let keeps = before.is_some_and(|old| self.is_directory(old.place)) && self.is_directory(node.place);
        if let Some(old) = before.filter(|_| !keeps) {
            self.parent = None;
            let how = How::Replaced(path.clone());
            if self.is_directory(old.place) {
                self.take(&path, false, &how, false);
            }
            self.release(old, &how);
        }
        let known = self.changes.get(&path).map(|change| (change.mark, change.before));
        let before = known.map_or(before.map(|old| old.place), |(_, before)| before);
        let mark = match (known, before) {
            (Some((Mark::Added, _)), _) | (None, None) => Mark::Added,
            (None | Some((Mark::Named, _)), Some(old)) if keeps && self.alike(old, node.place) => Mark::Named,
            _ => Mark::Changed,
        };
        let how = if node.place.entry.is_some() { How::Written } else { How::Implied };
        self.changes.insert(path.clone(), Change { path: path.clone(), mark, how, now: Some(node.place), before });
        self.stack.merged.insert(path, node);
    }

    /// Two directories with the same attributes, times aside.
    fn alike(&self, old: Place, new: Place) -> bool {
        let of = |place| self.of(place).map_or((0o755, 0, 0, &[][..]), |e| (e.mode, e.uid, e.gid, &e.xattrs[..]));
        of(old) == of(new)
    }

    /// Takes away what lower layers have below a path, and with `itself` at it.
    fn clear(&mut self, path: &TreePath, itself: bool, how: &How) {
        if self.cleared.contains(path) && !itself {
            return;
        }
        self.take(path, itself, how, true);
        self.cleared.insert(path.clone());
    }

    /// With `spare`, what this layer wrote stays, and the directories above it.
    fn take(&mut self, path: &TreePath, itself: bool, how: &How, spare: bool) {
        let from = if itself { Bound::Included(path) } else { Bound::Excluded(path) };
        let range = self.stack.merged.range((from, Bound::Unbounded));
        let below = range.take_while(|(key, _)| *key == path || key.is_below(path));
        let found: Vec<(TreePath, Node)> = below.map(|(key, node)| (key.clone(), *node)).collect();
        let mut kept: Option<TreePath> = None;
        for (key, node) in found.into_iter().rev() {
            let holds = kept.as_ref().is_some_and(|kept| kept.is_below(&key));
            if spare && (holds || node.place.layer == self.layer) {
                kept = Some(key);
                continue;
            }
            self.parent = None;
            self.stack.merged.remove(&key);
            self.release(node, how);
            let known = self.changes.remove(&key);
            let before = known.map_or(Some(node.place), |change| change.before);
            if before.is_some() {
                let change = Change { path: key.clone(), mark: Mark::Removed, how: how.clone(), now: None, before };
                self.changes.insert(key, change);
            }
        }
    }

    /// A name of a file is gone; with the last one its bytes are wasted.
    fn release(&mut self, node: Node, how: &How) {
        let Some(body) = node.body.and_then(|body| self.stack.bodies.get_mut(body as usize)) else { return };
        body.names = body.names.saturating_sub(1);
        if body.names == 0 {
            body.end = Some((self.layer, how.clone()));
        }
    }
}

#[cfg(test)]
#[path = "stack_tests.rs"]
mod tests;
