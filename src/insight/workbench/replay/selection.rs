//! What an edge selects of the context, as a name that follows the context's changes without looking at all of it again.

use crate::engine::context::pattern;
use crate::engine::context::{Entry, EntryKind, Selector, Tree, content_key};
use crate::engine::forecast::Reach;
use crate::engine::graph::Edge;
use crate::ground::digest::Digest;

use super::checkout::Moved;

/// The selection of one edge.
pub enum Selection {
    /// Sums over what each selector reads: they move with every entry that moves.
    Sums(Vec<Sum>),
    /// Where a path may lead through a link, only the whole tree tells. None: it has to be looked at again.
    Looked(Option<Option<Digest>>),
}

/// What one selector reads: the same entries, in whatever order they came, give the same sum.
pub struct Sum {
    selector: Selector,
    reach: Reach,
    /// So many leading components are not part of the names.
    strip: usize,
    total: [u64; 4],
    count: u64,
}

impl Selection {
    /// Of an edge. `links`: the history has links somewhere, so that a path may lead through one.
    pub fn new(edge: &Edge, tree: &Tree, links: bool) -> Self {
        // Nothing is followed below the root.
        let is_root = |selector: &Selector| selector.path.is_empty() && !selector.wildcard;
        if links && !edge.selectors.iter().all(is_root) {
            return Self::Looked(None);
        }
        let mut selectors = edge.selectors.clone();
        selectors.sort();
        selectors.dedup();
        let mut sums: Vec<Sum> = selectors.into_iter().map(Sum::new).collect();
        for sum in &mut sums {
            for entry in tree.entries().iter().filter(|entry| !entry.path.is_empty()) {
                sum.change(&entry.path, None, Some(entry.digest));
            }
        }
        Self::Sums(sums)
    }

    /// The context moved on.
    pub fn change(&mut self, reach: &Reach, edge: &Edge, tree: &Tree, moved: &[Moved]) {
        match self {
            Self::Sums(sums) => {
                for sum in sums {
                    moved.iter().for_each(|moved| sum.change(&moved.path, moved.before, moved.now));
                }
            }
            Self::Looked(known) => {
                let through_links = edge.selectors.iter().any(|selector| leads_through_links(selector, tree));
                if through_links || moved.iter().any(|moved| reach.may_read(&moved.path)) {
                    *known = None;
                }
            }
        }
    }

    /// The name of what is selected; none when a path is missing.
    pub fn name(&mut self, edge: &Edge, tree: &Tree) -> Option<Digest> {
        match self {
            Self::Sums(sums) => {
                let parts: Option<Vec<String>> = sums.iter().map(|sum| sum.name(tree)).collect();
                parts.map(|parts| Digest::of(parts.join("\n")))
            }
            Self::Looked(known) => *known.get_or_insert_with(|| content_key(tree, &edge.selectors).ok()),
        }
    }
}

fn leads_through_links(selector: &Selector, tree: &Tree) -> bool {
    if selector.wildcard {
        return true;
    }
    let is_link = |entry: &Entry| entry.kind == EntryKind::Symlink;
    let ends = selector.path.match_indices('/').map(|(at, _)| at).chain([selector.path.len()]);
    ends.filter_map(|end| tree.get(&selector.path[..end])).any(is_link)
}

impl Sum {
    fn new(selector: Selector) -> Self {
        let fixed = if selector.wildcard { pattern::split(&selector.path).0 } else { selector.path.as_str() };
        let strip = fixed.split('/').filter(|part| !part.is_empty()).count();
        Self { reach: Reach::of_selector(&selector), strip, selector, total: [0; 4], count: 0 }
    }

    fn change(&mut self, path: &str, before: Option<Digest>, now: Option<Digest>) {
        if !self.reach.reads(path) {
            return;
        }
        let name = path.splitn(self.strip + 1, '/').nth(self.strip).unwrap_or("");
        for (digest, sign) in [(before, u64::MAX), (now, 1)] {
            let Some(digest) = digest else { continue };
            let record = Digest::of(format!("{name}\n{digest}"));
            for (sum, part) in self.total.iter_mut().zip(record.as_bytes().chunks_exact(8)) {
                let part = u64::from_le_bytes(part.try_into().unwrap_or_default());
                *sum = sum.wrapping_add(part.wrapping_mul(sign));
            }
            self.count = self.count.wrapping_add(sign);
        }
    }

    /// None when a plain path, or one that has to be there, is missing.
    fn name(&self, tree: &Tree) -> Option<String> {
        let Selector { path, wildcard, required, .. } = &self.selector;
        let plain = (!wildcard && !path.is_empty()).then_some(path);
        if plain.into_iter().chain(required).any(|path| tree.get(path).is_none()) {
            return None;
        }
        Some(format!("{:x?} {}", self.total, self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::context::RootHeader;
    use crate::engine::context::entry::fixtures::{dir, file};
    use crate::engine::graph::{Counts, SourceRef};

    fn edge(path: &str) -> Edge {
        let (source, selectors) = (SourceRef::Context(String::new()), vec![Selector::new(path)]);
        Edge { source, counts: Counts::Content, selectors }
    }

    /// Every order of changes that leads to a tree gives the name that the tree has by itself.
    #[test]
    fn a_name_follows_the_changes() {
        let before = vec![dir(""), dir("a"), file("a/x", "1"), file("a/y", "2"), file("b", "3")];
        let after = vec![dir(""), dir("a"), file("a/x", "new"), file("b", "3"), file("c", "4")];
        let (then, now) = (Tree::new(before, RootHeader::Constant), Tree::new(after, RootHeader::Constant));
        let digest = |tree: &Tree, path: &str| tree.get(path).map(|entry| entry.digest);
        let moved: Vec<Moved> = ["c", "a/y", "a/x"]
            .map(|path| Moved { path: path.into(), before: digest(&then, path), now: digest(&now, path) })
            .into();
        for path in ["", "a", "b", "*", "a/*", "?"] {
            let edge = edge(path);
            let reach = Reach::of(&edge).unwrap();
            let mut selection = Selection::new(&edge, &then, false);
            let first = selection.name(&edge, &then);
            selection.change(&reach, &edge, &now, &moved);
            let fresh = Selection::new(&edge, &now, false).name(&edge, &now);
            assert_eq!(selection.name(&edge, &now), fresh, "{path}");
            assert_eq!(first == fresh, path == "b", "{path}");
            let mut looked = Selection::new(&edge, &then, true);
            let first = looked.name(&edge, &then);
            looked.change(&reach, &edge, &now, &moved);
            assert_eq!(first == looked.name(&edge, &now), path == "b", "{path}");
        }
        let missing = edge("nothing");
        assert_eq!(Selection::new(&missing, &now, false).name(&missing, &now), None);
        let renamed = Tree::new(vec![dir(""), dir("z"), file("z/x", "1"), file("z/y", "2")], RootHeader::Constant);
        let name = |path: &str, tree: &Tree| Selection::new(&edge(path), tree, false).name(&edge(path), tree);
        assert_eq!(name("a", &then), name("z", &renamed), "the folder's own path does not count");
    }
}
