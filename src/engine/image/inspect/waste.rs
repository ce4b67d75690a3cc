//! Bytes that an image carries and nobody can see: files that a later layer replaces or takes away.

use std::collections::BTreeMap;

use super::path::TreePath;
use super::stack::{How, Mark, Stack};

/// Bytes of one file that nobody can see any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waste {
    /// Where it was.
    pub path: TreePath,
    /// Bytes.
    pub bytes: u64,
    /// The layer that brought it, from 0.
    pub layer: u32,
    /// The layer that hid it.
    pub by: u32,
    /// How.
    pub how: How,
}

/// Wasted bytes with one cause: what one removal of a directory took, or one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WasteGroup {
    /// The path that was replaced or taken away.
    pub path: TreePath,
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
    /// The layer that brought them, from 0.
    pub layer: u32,
    /// The layer that hid them.
    pub by: u32,
    /// Taken away; else replaced by another version.
    pub is_deleted: bool,
}

/// How much of what an image carries is needed.
///
/// Source: dive's `dive/filetree/efficiency.go`: over all paths, the smallest size that a path has in any layer (0 where a layer
/// takes it away), by the sum of its sizes in all layers. One deviation: where a directory is taken away, that counts for each file
/// in it; dive counts the directory's name instead, which had no size before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Efficiency {
    /// Sum of the smallest sizes.
    pub smallest: u64,
    /// Sum of all sizes.
    pub total: u64,
}

impl Efficiency {
    /// From 0 to 1; 1 for an image without files.
    pub fn score(self) -> f64 {
        if self.total == 0 { 1.0 } else { self.smallest as f64 / self.total as f64 }
    }
}

/// Wasted bytes by cause, the most first.
pub fn wasted(stack: &Stack) -> Vec<WasteGroup> {
    let mut groups: BTreeMap<(TreePath, u32, u32, bool), (u64, u64)> = BTreeMap::new();
    for waste in stack.dead().filter(|waste| waste.bytes > 0) {
        // What a mark takes away is gone, unless the layer brings it again.
        let (root, is_deleted) = match waste.how {
            How::Whiteout(root) | How::Opaque(root) if !rewritten(stack, &waste.path, waste.by) => (root, true),
            How::Replaced(root) => (root, false),
            _ => (waste.path, false),
        };
        let sum = groups.entry((root, waste.layer, waste.by, is_deleted)).or_default();
        *sum = (sum.0 + 1, sum.1.saturating_add(waste.bytes));
    }
    let mut out: Vec<WasteGroup> = groups
        .into_iter()
        .map(|((path, layer, by, is_deleted), (files, bytes))| WasteGroup { path, files, bytes, layer, by, is_deleted })
        .collect();
    out.sort_by_key(|group| std::cmp::Reverse(group.bytes));
    out
}

/// Whether a layer that took a path away has it again.
fn rewritten(stack: &Stack, path: &TreePath, layer: u32) -> bool {
    let changes = stack.changes(layer as usize);
    let at = changes.binary_search_by(|change| change.path.cmp(path));
    at.is_ok_and(|at| changes[at].mark != Mark::Removed)
}

/// Wasted bytes of each layer: of what it brought.
pub fn wasted_by_layer(stack: &Stack) -> Vec<u64> {
    let mut out = vec![0u64; stack.listings().len()];
    for waste in stack.dead() {
        if let Some(sum) = out.get_mut(waste.layer as usize) {
            *sum = sum.saturating_add(waste.bytes);
        }
    }
    out
}

/// The efficiency of an image.
pub fn efficiency(stack: &Stack) -> Efficiency {
    let mut sizes: BTreeMap<&TreePath, (u64, u64)> = BTreeMap::new();
    for change in (0..stack.listings().len()).flat_map(|layer| stack.changes(layer)) {
        let size = match (change.now, change.before) {
            (Some(now), _) if !stack.is_directory(now) => stack.entry(now).map_or(0, |entry| entry.size),
            (None, Some(before)) if !stack.is_directory(before) => 0,
            _ => continue,
        };
        let sum = sizes.entry(&change.path).or_insert((u64::MAX, 0));
        *sum = (sum.0.min(size), sum.1.saturating_add(size));
    }
    let add = |all: Efficiency, (smallest, total): &(u64, u64)| Efficiency {
        smallest: all.smallest.saturating_add(*smallest),
        total: all.total.saturating_add(*total),
    };
    sizes.values().fold(Efficiency::default(), add)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tape;
    use super::*;

    fn stack() -> Stack {
        Stack::of(vec![
            Tape::default()
                .file("a", "1234567890")
                .file("lists/x", "12345")
                .file("lists/y", "1")
                .file("keep", "123")
                .listing(),
            Tape::default().file("a", "123456").gone("lists").listing(),
            Tape::default().file("a", "12345678").listing(),
        ])
    }

    /// By hand: a 10 + 6 + 8, lists 5 + 1 and taken away, keep 3.
    #[test]
    fn the_efficiency_is_the_smallest_sizes_by_all_sizes() {
        let found = efficiency(&stack());
        assert_eq!(found, Efficiency { smallest: 6 + 3, total: 10 + 6 + 8 + 5 + 1 + 3 });
        assert!((found.score() - 9.0 / 33.0).abs() < 1e-9);
        assert!((efficiency(&Stack::default()).score() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_replaced_or_deleted_is_wasted_with_who_brought_and_who_hid_it() {
        let found = wasted(&stack());
        let row = |path: &str, files, bytes, layer, by, is_deleted| WasteGroup {
            path: TreePath::new(path.as_bytes()),
            files,
            bytes,
            layer,
            by,
            is_deleted,
        };
        assert_eq!(found, [row("a", 1, 10, 0, 1, false), row("a", 1, 6, 1, 2, false), row("lists", 2, 6, 0, 1, true)]);
        assert_eq!(wasted_by_layer(&stack()), [16, 6, 0]);
    }

    #[test]
    fn bytes_with_another_name_are_not_wasted() {
        let below = || Tape::default().file("a", "12345").link("b", "a").listing();
        let one_name_left = Stack::of(vec![below(), Tape::default().gone("a").listing()]);
        assert_eq!(wasted(&one_name_left), []);
        let no_name_left =
            Stack::of(vec![below(), Tape::default().gone("a").listing(), Tape::default().gone("b").listing()]);
        let found = wasted(&no_name_left);
        assert_eq!((found.len(), found[0].bytes, found[0].by), (1, 5, 2));
    }

    #[test]
    fn what_an_opaque_layer_brings_again_is_replaced_not_deleted() {
        let below = Tape::default().file("d/a", "12").file("d/b", "345").listing();
        let found = wasted(&Stack::of(vec![below, Tape::default().opaque("d").file("d/a", "67").listing()]));
        let facts: Vec<(&[u8], u64, bool)> = found.iter().map(|g| (g.path.bytes(), g.bytes, g.is_deleted)).collect();
        assert_eq!(facts, [(&b"d"[..], 3, true), (b"d/a", 2, false)]);
    }
}
