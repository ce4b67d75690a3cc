//! Trees as flat lists of rows, in the order of a walk: what a screen scrolls through and a report prints.

use super::path::TreePath;
use super::stack::{Change, Mark, Place, Stack};

/// One row of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Where.
    pub path: TreePath,
    /// Of a layer's tree: what the layer did; none for a directory above of what it touched.
    pub mark: Option<Mark>,
    /// What stands there; for what is removed what stood there. None for a directory that nobody names.
    pub place: Option<Place>,
    /// It is, or was, a directory.
    pub is_directory: bool,
    /// Bytes; of a directory those of all files below. What is removed counts with the bytes it had.
    pub bytes: u64,
    /// Files below, for a directory.
    pub files: u64,
    /// Number of the first row that is not below this one.
    pub end: usize,
}

/// What a layer did, as a tree.
pub fn changed_rows(stack: &Stack, layer: usize) -> Vec<Row> {
    let mut tree = Builder::default();
    for change in stack.changes(layer) {
        let place = change.now.or(change.before);
        let is_directory = place.is_some_and(|place| stack.is_directory(place));
        tree.add(&change.path, Some(change.mark), place, is_directory, changed_bytes(stack, change));
    }
    tree.finish()
}

/// Bytes that a change brought, or took away.
pub fn changed_bytes(stack: &Stack, change: &Change) -> u64 {
    let place = change.now.or(change.before);
    place.and_then(|place| stack.entry(place)).map_or(0, |entry| entry.size)
}

/// What all layers show together, as a tree.
pub fn merged_rows(stack: &Stack) -> Vec<Row> {
    let mut tree = Builder::default();
    let mut seen = std::collections::HashSet::new();
    for (path, node) in stack.merged() {
        let place = node.place;
        // Bytes with several names count once.
        let bytes =
            if stack.body(node).is_none_or(|body| seen.insert((body.layer, body.entry))) { stack.size(node) } else { 0 };
        tree.add(path, None, Some(place), stack.is_directory(place), bytes);
    }
    tree.finish()
}

/// Rows under way: directories whose end is not reached yet.
#[derive(Default)]
struct Builder {
    rows: Vec<Row>,
    open: Vec<usize>,
}

impl Builder {
    fn add(&mut self, path: &TreePath, mark: Option<Mark>, place: Option<Place>, is_directory: bool, bytes: u64) {
        while self.open.last().is_some_and(|at| !path.is_below(&self.rows[*at].path)) {
            self.close();
        }
        // Directories above that nobody lists.
        let known = self.open.last().map_or(TreePath::default(), |at| self.rows[*at].path.clone());
        let mut above = Vec::new();
        let mut next = path.parent();
        while let Some(parent) = next.filter(|parent| parent.is_below(&known)) {
            next = parent.parent();
            above.push(parent);
        }
        for parent in above.into_iter().rev() {
            self.push(&parent, None, None, true, 0);
        }
        self.push(path, mark, place, is_directory, bytes);
        if !is_directory {
            let above = self.open.len().saturating_sub(1);
            for at in &self.open[..above] {
                let row = &mut self.rows[*at];
                if row.is_directory {
                    row.bytes = row.bytes.saturating_add(bytes);
                    row.files += 1;
                }
            }
        }
    }

    fn push(&mut self, path: &TreePath, mark: Option<Mark>, place: Option<Place>, is_directory: bool, bytes: u64) {
        let end = self.rows.len() + 1;
        self.rows.push(Row { path: path.clone(), mark, place, is_directory, bytes, files: 0, end });
        // What is a file now may have been a directory, of which things were removed.
        self.open.push(end - 1);
    }

    fn close(&mut self) {
        if let Some(at) = self.open.pop() {
            self.rows[at].end = self.rows.len();
        }
    }

    fn finish(mut self) -> Vec<Row> {
        while !self.open.is_empty() {
            self.close();
        }
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tape;
    use super::*;

    fn shown(rows: &[Row]) -> Vec<String> {
        let mark = |row: &Row| row.mark.map_or('.', |m| format!("{m:?}").chars().next().unwrap_or('?'));
        let name = |row: &Row| String::from_utf8_lossy(row.path.bytes()).into_owned();
        rows.iter().map(|row| format!("{} {} {} {} {}", mark(row), name(row), row.bytes, row.files, row.end)).collect()
    }

    #[test]
    fn a_layer_is_a_tree_with_marks_and_sums() {
        let below = Tape::default().file("a/x", "12").file("a/y/z", "345").file("b", "1").listing();
        let above = Tape::default().file("a/x", "1234").gone("a/y").file("c/d", "5").listing();
        let stack = Stack::of(vec![below, above]);
        let rows = changed_rows(&stack, 1);
        assert_eq!(shown(&rows), [". a 7 2 4", "C a/x 4 0 2", "R a/y 3 1 4", "R a/y/z 3 0 4", "A c 1 1 6", "A c/d 1 0 6"]);
        assert_eq!(shown(&merged_rows(&stack)), [". a 4 1 2", ". a/x 4 0 2", ". b 1 0 3", ". c 1 1 5", ". c/d 1 0 5"]);
    }

    #[test]
    fn bytes_with_two_names_count_once() {
        let stack = Stack::of(vec![Tape::default().file("d/a", "12345").link("d/b", "d/a").listing()]);
        assert_eq!(shown(&merged_rows(&stack)), [". d 5 2 3", ". d/a 5 0 2", ". d/b 0 0 3"]);
    }

    #[test]
    fn a_file_over_a_directory_keeps_what_was_below_it_in_sight() {
        let stack = Stack::of(vec![Tape::default().file("d/a", "12").listing(), Tape::default().file("d", "345").listing()]);
        let rows = changed_rows(&stack, 1);
        assert_eq!(shown(&rows), ["C d 3 0 2", "R d/a 2 0 2"]);
    }
}
