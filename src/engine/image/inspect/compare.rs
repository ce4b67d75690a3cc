//! How two images differ: what they show, not how it is laid in layers.

use std::cmp::Ordering;

use super::entry::{Content, Kind};
use super::path::TreePath;
use super::stack::{Mark, Node, Stack};

/// One path that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub path: TreePath,
    /// In the second image.
    pub mark: Mark,
    /// `kind`, `content`, `size`, `mode`, `owner`, `target`, `attributes`; empty where only one image has the path.
    pub what: Vec<&'static str>,
    /// Bytes in the first image.
    pub before: Option<u64>,
    /// Bytes in the second.
    pub after: Option<u64>,
    /// It is a directory, in the second image or in the only one that has it.
    pub is_directory: bool,
}

/// The result of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    /// Paths that differ, in the order of the tree.
    pub differences: Vec<Difference>,
    /// Paths that are the same in both; times are not compared.
    pub same: u64,
}

/// Compares what two images show. Contents count where both listings have their digests, else sizes.
pub fn compare(first: &Stack, second: &Stack) -> Comparison {
    let mut out = Comparison::default();
    let (mut left, mut right) = (first.merged().peekable(), second.merged().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return out,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((a, _)), Some((b, _))) => a.cmp(b),
        };
        let old = if order.is_le() { left.next() } else { None };
        let new = if order.is_ge() { right.next() } else { None };
        let what = match (old, new) {
            (Some((_, old)), Some((_, new))) => facts((first, old), (second, new)),
            _ => Vec::new(),
        };
        if old.is_some() && new.is_some() && what.is_empty() {
            out.same += 1;
            continue;
        }
        let Some((path, _)) = new.or(old) else { return out };
        let mark = match (old, new) {
            (None, _) => Mark::Added,
            (_, None) => Mark::Removed,
            _ => Mark::Changed,
        };
        let (before, after) = (old.map(|(_, node)| first.size(node)), new.map(|(_, node)| second.size(node)));
        let is_directory = match (new, old) {
            (Some((_, node)), _) => second.is_directory(node.place),
            (None, Some((_, node))) => first.is_directory(node.place),
            (None, None) => false,
        };
        out.differences.push(Difference { path: path.clone(), mark, what, before, after, is_directory });
    }
}

/// What an entry is to a comparison; a hard link is the file that it names.
#[derive(PartialEq, Eq)]
enum Shape<'a> {
    File,
    Directory,
    Symlink,
    Other(&'a Kind),
}

struct Facts<'a> {
    shape: Shape<'a>,
    target: Option<&'a [u8]>,
    mode: u32,
    owner: (u32, u32),
    xattrs: Vec<&'a str>,
    size: u64,
    content: Content,
}

fn of<'a>((stack, node): (&'a Stack, &Node)) -> Facts<'a> {
    let body = stack.body(node).and_then(|place| stack.entry(place));
    // A hard link has the attributes of its first name: they are one file.
    let Some(entry) = body.or_else(|| stack.entry(node.place)) else {
        let (content, xattrs) = (Content::Skipped, Vec::new());
        return Facts { shape: Shape::Directory, target: None, mode: 0o755, owner: (0, 0), xattrs, size: 0, content };
    };
    let (shape, target) = match &entry.kind {
        Kind::File => (Shape::File, None),
        Kind::Directory => (Shape::Directory, None),
        Kind::Symlink(target) => (Shape::Symlink, Some(&target[..])),
        other => (Shape::Other(other), None),
    };
    let mut xattrs: Vec<&str> = entry.xattrs.iter().map(String::as_str).collect();
    xattrs.sort_unstable();
    let (mode, owner) = (entry.mode, (entry.uid, entry.gid));
    Facts { shape, target, mode, owner, xattrs, size: entry.size, content: entry.content }
}

fn facts(old: (&Stack, &Node), new: (&Stack, &Node)) -> Vec<&'static str> {
    let (old, new) = (of(old), of(new));
    if old.shape != new.shape {
        return vec!["kind"];
    }
    let content = match (old.content, new.content) {
        (Content::Hashed(old), Content::Hashed(new)) => old != new,
        _ => false,
    };
    // The mode of a link means nothing.
    let mode = old.mode != new.mode && old.shape != Shape::Symlink;
    let found = [
        ("content", content),
        ("size", old.size != new.size),
        ("mode", mode),
        ("owner", old.owner != new.owner),
        ("target", old.target != new.target),
        ("attributes", old.xattrs != new.xattrs),
    ];
    found.into_iter().filter(|(_, differs)| *differs).map(|(word, _)| word).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tape;
    use super::*;

    #[test]
    fn images_are_compared_by_what_they_show() {
        let one = Stack::of(vec![
            Tape::default().file("same", "x").file("text", "abc").file("gone", "12").symlink("l", "same").dir("d").listing(),
        ]);
        let two = Stack::of(vec![
            Tape::default().file("same", "old").file("gone", "12").dir("d").listing(),
            Tape::default()
                .file("same", "x")
                .file("text", "abd")
                .gone("gone")
                .symlink("l", "text")
                .file("d/new", "1")
                .listing(),
        ]);
        let found = compare(&one, &two);
        let facts: Vec<(&[u8], Mark, &[&str])> =
            found.differences.iter().map(|d| (d.path.bytes(), d.mark, &d.what[..])).collect();
        assert_eq!(
            facts,
            [
                (&b"d/new"[..], Mark::Added, &[][..]),
                (b"gone", Mark::Removed, &[]),
                (b"l", Mark::Changed, &["target"]),
                (b"text", Mark::Changed, &["content"]),
            ]
        );
        assert_eq!(found.same, 2);
        assert_eq!(compare(&one, &one).differences, []);
    }

    #[test]
    fn a_hard_link_is_the_file_it_names() {
        let linked = Stack::of(vec![Tape::default().file("a", "x").link("b", "a").listing()]);
        let copied = Stack::of(vec![Tape::default().file("a", "x").file("b", "x").listing()]);
        assert_eq!(compare(&linked, &copied).differences, []);
    }
}
