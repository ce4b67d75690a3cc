//! Paths of files in layers: bytes, never empty parts, in the order of a tree.

use std::cmp::Ordering;

/// A path below the root, without `/` at its ends; the root is empty. Ordered as a tree is walked: a directory, what lies in it,
/// then what stands beside it (`a`, `a/b`, `a-b`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct TreePath(Vec<u8>);

impl TreePath {
    /// From a name as it stands in a tar or as a user types it: `.` and empty parts are dropped, `..` takes the part before
    /// away and never leads out of the root.
    pub fn new(name: &[u8]) -> Self {
        let mut out = Vec::with_capacity(name.len());
        for part in name.split(|b| *b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => out.truncate(out.iter().rposition(|b| *b == b'/').unwrap_or(0)),
                part => {
                    if !out.is_empty() {
                        out.push(b'/');
                    }
                    out.extend_from_slice(part);
                }
            }
        }
        Self(out)
    }

    /// The bytes, without a leading `/`.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The directory that it lies in; none for the root.
    pub fn parent(&self) -> Option<Self> {
        (!self.is_root()).then(|| Self(self.0[..self.0.iter().rposition(|b| *b == b'/').unwrap_or(0)].to_vec()))
    }

    /// The last part.
    pub fn name(&self) -> &[u8] {
        &self.0[self.0.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1)..]
    }

    /// What has this name in this directory.
    pub fn join(&self, name: &[u8]) -> Self {
        if self.is_root() { Self(name.to_vec()) } else { Self([&self.0, &b"/"[..], name].concat()) }
    }

    /// Directories above it: none for what lies in the root.
    pub fn depth(&self) -> usize {
        self.0.iter().filter(|b| **b == b'/').count()
    }

    /// Whether it lies somewhere below `other`; a path is not below itself.
    pub fn is_below(&self, other: &Self) -> bool {
        if other.is_root() {
            return !self.is_root();
        }
        self.0.strip_prefix(&other.0[..]).is_some_and(|rest| rest.first() == Some(&b'/'))
    }
}

/// Bytes that both begin with. Paths of one tree mostly share a long beginning, so it is compared in pieces.
fn common(a: &[u8], b: &[u8]) -> usize {
    const PIECE: usize = 8;
    let pieces = a.chunks_exact(PIECE).zip(b.chunks_exact(PIECE)).take_while(|(a, b)| a == b).count();
    let at = pieces * PIECE;
    at + a[at..].iter().zip(&b[at..]).take_while(|(a, b)| a == b).count()
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> Ordering {
        // No name holds a NUL, so `/` as the smallest byte is the order of the parts.
        let key = |path: &Self, at: usize| path.0.get(at).map(|b| if *b == b'/' { 0 } else { *b });
        let common = common(&self.0, &other.0);
        key(self, common).cmp(&key(other, common))
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_paths_below_the_root() {
        let path = |name: &str| String::from_utf8(TreePath::new(name.as_bytes()).0).unwrap();
        assert_eq!(path("./a//b/."), "a/b");
        assert_eq!(path("/../../etc/passwd"), "etc/passwd");
        assert_eq!(path("a/b/../../.."), "");
        assert_eq!(path("a/..b/c..d"), "a/..b/c..d");
    }

    #[test]
    fn the_order_is_that_of_a_walk() {
        let mut paths: Vec<TreePath> = ["a-b", "a/b", "a", "", "a/b/c", "a/b.c"].map(|p| TreePath::new(p.as_bytes())).into();
        paths.sort();
        let shown: Vec<&[u8]> = paths.iter().map(TreePath::bytes).collect();
        assert_eq!(shown, [&b""[..], b"a", b"a/b", b"a/b/c", b"a/b.c", b"a-b"]);
    }

    #[test]
    fn below_is_not_a_matter_of_letters() {
        let path = |name: &str| TreePath::new(name.as_bytes());
        assert!(path("a/b").is_below(&path("a")) && path("a").is_below(&path("")));
        assert!(!path("ab").is_below(&path("a")) && !path("a").is_below(&path("a")) && !path("").is_below(&path("")));
        assert_eq!((path("a/b").parent(), path("a").parent(), path("").parent()), (Some(path("a")), Some(path("")), None));
    }
}
