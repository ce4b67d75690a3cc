//! A tree of entries, and BuildKit's content hash over it.

use std::collections::BTreeMap;

use super::entry::{Entry, EntryKind, Selector};
use super::pattern::{self, PathFilter};
use crate::ground::digest::{Digest, Digester};

/// How the root directory of a tree enters its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootHeader {
    /// Local contexts: a constant, the mode of the root does not count.
    Constant,
    /// Mounted snapshots: the header of the directory.
    Real,
}

/// Entries sorted by path components, so that everything below a directory follows it at once.
#[derive(Debug, Clone)]
pub struct Tree {
    entries: Vec<Entry>,
    root: RootHeader,
}

/// Hidden byte that sorts below every byte of a name; `/` becomes it, so that children follow their directory.
fn key(path: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(path.len() + 1);
    if !path.is_empty() {
        key.push(0);
        key.extend(path.bytes().map(|b| if b == b'/' { 0 } else { b }));
    }
    key
}

/// The order of [`key`], without making any.
fn order(a: &str, b: &str) -> std::cmp::Ordering {
    let low = |b: u8| if b == b'/' { 0 } else { b };
    a.is_empty().cmp(&b.is_empty()).reverse().then_with(|| a.bytes().map(low).cmp(b.bytes().map(low)))
}

fn joined(base: &str, name: &str) -> String {
    if base.is_empty() { name.to_owned() } else { format!("{base}/{name}") }
}

impl Tree {
    /// Sorts the entries.
    pub fn new(mut entries: Vec<Entry>, root: RootHeader) -> Self {
        entries.sort_by_cached_key(|entry| key(&entry.path));
        entries.dedup_by(|a, b| a.path == b.path);
        Self { entries, root }
    }

    /// Adds an entry, or puts it in the place of the one at the same path, which is returned.
    pub fn put(&mut self, entry: Entry) -> Option<Entry> {
        match self.entries.binary_search_by(|known| order(&known.path, &entry.path)) {
            Ok(at) => Some(std::mem::replace(&mut self.entries[at], entry)),
            Err(at) => {
                self.entries.insert(at, entry);
                None
            }
        }
    }

    /// Takes the entry at exactly this path away.
    pub fn remove(&mut self, path: &str) -> Option<Entry> {
        let at = self.entries.binary_search_by(|known| order(&known.path, path)).ok()?;
        Some(self.entries.remove(at))
    }

    /// All entries in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The same, given away.
    pub fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    /// Puts a path and everything below it anew: `fresh` holds what is there now, and the directories above. What is above and
    /// not here yet is added.
    pub fn replace(&mut self, path: &str, fresh: Vec<Entry>) {
        let wanted = key(path);
        let start = self.entries.partition_point(|entry| key(&entry.path) < wanted);
        let len = self.subtree(path).len();
        let is_inside = |entry: &Entry| path.is_empty() || entry.path == path || relative(&entry.path, path).is_some();
        let (mut inside, above): (Vec<Entry>, Vec<Entry>) = fresh.into_iter().partition(is_inside);
        inside.sort_by_cached_key(|entry| key(&entry.path));
        self.entries.splice(start..start + len, inside);
        for entry in above {
            let wanted = key(&entry.path);
            match self.entries.binary_search_by(|known| key(&known.path).cmp(&wanted)) {
                Ok(at) => self.entries[at] = entry,
                Err(at) => self.entries.insert(at, entry),
            }
        }
    }

    /// The entry at exactly this path.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.binary_search_by(|entry| order(&entry.path, path)).ok().map(|at| &self.entries[at])
    }

    /// The entry and everything below it.
    pub fn subtree(&self, path: &str) -> &[Entry] {
        if path.is_empty() {
            return &self.entries;
        }
        let start = self.entries.partition_point(|entry| order(&entry.path, path).is_lt());
        let inside = |entry: &Entry| {
            entry.path.len() >= path.len()
                && entry.path.starts_with(path)
                && matches!(entry.path.as_bytes().get(path.len()), None | Some(b'/'))
        };
        let len = self.entries[start..].iter().take_while(|entry| inside(entry)).count();
        &self.entries[start..start + len]
    }

    /// Follows links (in the tree's own root) in `path`, the last component only if `follow_last`; none when something is
    /// missing or loops.
    pub fn resolve(&self, path: &str, follow_last: bool) -> Option<String> {
        self.resolve_through(path, follow_last, |_| {})
    }

    /// The same; `link_on_the_way` is given every link that is followed.
    pub fn resolve_through<'a>(
        &'a self,
        path: &str,
        follow_last: bool,
        mut link_on_the_way: impl FnMut(&'a Entry),
    ) -> Option<String> {
        let mut todo: Vec<String> = path.split('/').rev().filter(|c| !c.is_empty()).map(str::to_owned).collect();
        let mut at = String::new();
        let mut hops = 0;
        while let Some(component) = todo.pop() {
            match component.as_str() {
                "." => continue,
                ".." => {
                    at.truncate(at.rfind('/').unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let next = joined(&at, &component);
            let entry = self.get(&next)?;
            let link = entry.link.as_ref().filter(|_| entry.kind == EntryKind::Symlink && (follow_last || !todo.is_empty()));
            let Some(target) = link else {
                at = next;
                continue;
            };
            link_on_the_way(entry);
            hops += 1;
            if hops > 255 {
                return None;
            }
            if target.starts_with('/') {
                at.clear();
            }
            todo.extend(target.split('/').rev().filter(|c| !c.is_empty()).map(str::to_owned));
        }
        Some(at)
    }

    /// The paths that a selector stands for, links followed as it says; empty when nothing matches.
    pub fn matches(&self, selector: &Selector) -> Vec<String> {
        if !selector.wildcard {
            return self.resolve(&selector.path, selector.follow_links).into_iter().collect();
        }
        let (prefix, pattern) = pattern::split(&selector.path);
        let Some(base) = self.resolve(prefix, true) else { return Vec::new() };
        let depth = pattern.split('/').count();
        let mut out = Vec::new();
        for entry in self.subtree(&base) {
            let Some(rest) = relative(&entry.path, &base) else { continue };
            if rest.split('/').count() == depth && pattern::matches(pattern, rest) {
                out.push(entry.path.clone());
            }
        }
        out
    }

    /// BuildKit's digest of what a selector reads. None when a plain path does not exist.
    ///
    /// Source: BuildKit `cache/contenthash/checksum.go` (`reference/cache-semantics.md`, section 2).
    pub fn checksum(&self, selector: &Selector) -> Option<Digest> {
        if let Some(required) = &selector.required {
            self.resolve(required, true)?;
        }
        if selector.wildcard {
            return Some(self.flat_checksum(selector));
        }
        if selector.is_filtered() {
            self.resolve(&selector.path, selector.follow_links)?;
            return Some(self.flat_checksum(selector));
        }
        let path = self.resolve(&selector.path, selector.follow_links)?;
        if path.is_empty() || self.get(&path).is_some() { Some(self.recursive(&path)) } else { None }
    }

    fn header(&self, path: &str) -> Digest {
        self.get(path).map_or_else(|| Digest::of(b""), |entry| self.header_of(entry))
    }

    fn header_of(&self, entry: &Entry) -> Digest {
        match (entry.path.is_empty(), self.root) {
            (true, RootHeader::Constant) => Digest::of(b""),
            _ => entry.digest,
        }
    }

    /// Digest of a path with everything below it.
    fn recursive(&self, path: &str) -> Digest {
        let is_directory = path.is_empty() || self.get(path).is_some_and(|entry| entry.kind == EntryKind::Directory);
        if !is_directory {
            return self.header(path);
        }
        let mut stack = vec![Open::new(path, self.header(path))];
        for entry in self.subtree(path) {
            if entry.path == path {
                continue;
            }
            while stack.len() > 1 && relative(&entry.path, &stack[stack.len() - 1].path).is_none() {
                close(&mut stack);
            }
            match entry.kind {
                EntryKind::Directory => stack.push(Open::new(&entry.path, entry.digest)),
                _ => {
                    let top = stack.len() - 1;
                    stack[top].child(&entry.path, entry.digest);
                }
            }
        }
        while stack.len() > 1 {
            close(&mut stack);
        }
        stack.pop().map_or_else(|| Digest::of(b""), |open| open.digester.finish())
    }

    /// What a selector selects: each path that it stands for (as `matches` gives it), and the entries there and below that its
    /// patterns leave, with the directories above them.
    pub fn selected(&self, selector: &Selector) -> Vec<(String, Vec<&Entry>)> {
        let filter = PathFilter::new(selector);
        let select = |matched: String| {
            let target = if selector.follow_links { self.resolve(&matched, true) } else { Some(matched.clone()) }?;
            let entries = self.subtree(&target).iter().collect();
            let below = |entry: &&Entry| relative(&entry.path, &target).unwrap_or("").to_owned();
            let kept = filter.keep(entries, below);
            Some((matched, kept))
        };
        self.matches(selector).into_iter().filter_map(select).collect()
    }

    /// The digest of a flat list of records.
    fn flat_checksum(&self, selector: &Selector) -> Digest {
        let (prefix, pattern) = if selector.wildcard { pattern::split(&selector.path) } else { (&*selector.path, "") };
        let base = self.resolve(prefix, true).unwrap_or_default();
        // key relative to the prefix -> digest
        let mut records: BTreeMap<Vec<u8>, Digest> = BTreeMap::new();
        let mut names = Vec::new();
        for (matched, entries) in self.selected(selector) {
            let shown = relative(&matched, &base).unwrap_or(if selector.wildcard { &matched } else { "" }).to_owned();
            let target = if selector.follow_links { self.resolve(&matched, true) } else { Some(matched) };
            let target = target.unwrap_or_default();
            for entry in entries {
                let below = relative(&entry.path, &target).unwrap_or("");
                let shown = if below.is_empty() { shown.clone() } else { joined(&shown, below) };
                records.insert(key(&shown), self.header_of(entry));
            }
            names.push(shown);
        }
        if let ([name], 1) = (names.as_slice(), records.len())
            && name.rsplit('/').next() == pattern.rsplit('/').next()
            && let Some(digest) = records.values().next()
        {
            return *digest;
        }
        let mut digester = Digester::default();
        for (key, digest) in &records {
            digester.update(if key.is_empty() { b"\0".as_slice() } else { key });
            digester.update(digest.to_string());
        }
        digester.finish()
    }
}

/// A directory whose children are being added.
struct Open {
    path: String,
    digester: Digester,
}

impl Open {
    fn new(path: &str, header: Digest) -> Self {
        let mut digester = Digester::default();
        digester.update(b"\0");
        digester.update(header.to_string());
        Self { path: path.to_owned(), digester }
    }

    fn child(&mut self, path: &str, digest: Digest) {
        self.digester.update(b"\0");
        self.digester.update(path.rsplit('/').next().unwrap_or(path));
        self.digester.update(digest.to_string());
    }
}

fn close(stack: &mut Vec<Open>) {
    if let Some(done) = stack.pop() {
        let digest = done.digester.finish();
        if let Some(parent) = stack.last_mut() {
            parent.child(&done.path, digest);
        }
    }
}

/// `path` relative to `base`, when it lies below it.
fn relative<'a>(path: &'a str, base: &str) -> Option<&'a str> {
    if base.is_empty() {
        return Some(path).filter(|p| !p.is_empty());
    }
    path.strip_prefix(base)?.strip_prefix('/')
}

/// The key of an input that an operation reads through selectors: the digests of the selected paths, joined. A plain path
/// inside another selected path is dropped first. Paths that do not exist are returned as the error.
///
/// Source: BuildKit `solver/llbsolver/ops/opsutils/contenthash.go:31` and `ops/file.go` (dedupePaths).
pub fn content_key(tree: &Tree, selectors: &[Selector]) -> Result<Digest, Vec<String>> {
    let mut kept: Vec<&Selector> = selectors.iter().collect();
    kept.sort();
    kept.dedup();
    let covers = |outer: &Selector, inner: &Selector| {
        let plain = |selector: &Selector| !selector.wildcard && !selector.is_filtered();
        plain(outer) && plain(inner) && outer.path != inner.path && relative(&inner.path, &outer.path).is_some()
    };
    let all = kept.clone();
    kept.retain(|selector| !all.iter().any(|other| covers(other, selector)));
    let mut missing = Vec::new();
    let mut parts = Vec::new();
    for selector in kept {
        match tree.checksum(selector) {
            Some(digest) => parts.push(digest.to_string()),
            None => missing.push(selector.required.as_ref().unwrap_or(&selector.path).clone()),
        }
    }
    if missing.is_empty() { Ok(Digest::of(parts.join("\0"))) } else { Err(missing) }
}

#[cfg(test)]
mod tests {
    use super::super::entry::fixtures::*;
    use super::*;

    fn plain(path: &str) -> Selector {
        Selector { path: path.into(), follow_links: true, ..Selector::default() }
    }

    fn wild(path: &str) -> Selector {
        Selector { path: path.into(), wildcard: true, follow_links: true, ..Selector::default() }
    }

    fn hex(tree: &Tree, selector: Selector) -> String {
        tree.checksum(&selector).expect("it exists").hex()
    }

    fn directory(prefix: &str) -> Vec<Entry> {
        let at = |name: &str| joined(prefix, name);
        vec![dir(prefix), file(&at("abc"), "data0"), link(&at("def"), "abc"), link(&at("ghi"), "nosuchfile")]
    }

    #[test]
    fn golden_directories() {
        let mut entries = vec![dir(""), file("foo", "data0"), file("bar", "data1")];
        entries.extend(directory("d0"));
        let mut without = vec![dir(""), dir("d0")];
        without.extend([file("d0/abc", "data0"), link("d0/def", "abc")]);
        let real = Tree::new(entries.clone(), RootHeader::Real);
        assert_eq!(hex(&real, plain("d0")), "d47454417d2c554067fbefe5f5719edc49f3cfe969c36b62e34a187a4da0cc9a");
        let without = Tree::new(without, RootHeader::Real);
        assert_eq!(hex(&without, plain("d0")), "555ffa3028630d97ba37832b749eda85ab676fd64ffb629fbf0f4ec8c1e3bff1");
        assert_eq!(hex(&real, plain("")), "427c9cf9ae98c0f81fb57a3076b965c7c149b6b0a85625ad4e884236649a42c6");
        let local = Tree::new(entries, RootHeader::Constant);
        assert_eq!(hex(&local, plain("")), "382a3f694370db09b40194a2a800431cc4ecbbde815c944c15292db67f38ca2a");
    }

    #[test]
    fn golden_wildcards() {
        let mut entries = vec![dir(""), file("foo", "data0"), file("fox", "data2"), dir("x")];
        entries.extend(directory("x/d0"));
        entries.extend([link("y1", "foo"), link("y2", "fox")]);
        let tree = Tree::new(entries, RootHeader::Real);
        assert_eq!(hex(&tree, wild("f*")), "0b6731924f0a32a812bf8a729202e55e54ded331f9e4ff2397f681e43694e086");
        let one = Digest::of(format!("\0foo{}", file("foo", "data0").digest));
        assert_eq!(tree.checksum(&wild("f*o")), Some(one));
        assert_eq!(tree.checksum(&wild("x/d?/def")), Some(file("x", "data0").digest));
        assert_eq!(hex(&tree, wild("y*")), "982153600b9653a1decb0f961e09e2bc1be335cfcaac9b39dbd1120b65fdf92c");
        assert_eq!(hex(&tree, wild("x/d?")), "6b612ad5c13159112ae26357ef7bd34df29916941ba40ec2ce38dfb70c6c60c3");
        assert_eq!(tree.checksum(&wild("none*")), Some(Digest::of(b"")));
    }

    #[test]
    fn golden_include_patterns() {
        let mut entries = vec![dir("")];
        for top in ["prefix", "prefix/a", "prefix/a/b", "prefix/a/b/c", "prefix/a/b/c/foo", "prefix/a/b/c/other"] {
            entries.push(dir(top));
        }
        entries.extend([file("prefix/a/b/c/foo/bar", "abc"), file("prefix/a/x", "1")]);
        let tree = Tree::new(entries, RootHeader::Real);
        let only = |pattern: &str| Selector { include: vec![pattern.into()], ..plain("prefix/a") };
        assert_eq!(hex(&tree, only("**/foo/**")), "aa7448215bbf5b837b35ce64467857d8b9747965573d14d4b31b370586370971");
        let without = Selector { exclude: vec!["x".into(), "b/c/other".into()], ..plain("prefix/a") };
        assert_eq!(hex(&tree, without), "aa7448215bbf5b837b35ce64467857d8b9747965573d14d4b31b370586370971");
        let one = Selector { exclude: vec!["*.txt".into()], ..plain("prefix/a/x") };
        assert_eq!(tree.checksum(&one), Some(file("x", "1").digest));
        let required = Selector { required: Some("prefix/gone".into()), ..only("gone") };
        assert_eq!(content_key(&tree, &[required]), Err(vec!["prefix/gone".to_owned()]));
    }

    #[test]
    fn patterns_read_no_more_than_they_must() {
        let reach = |path: &str, include: &str| Selector { include: vec![include.into()], ..Selector::new(path) }.reach();
        assert_eq!(reach("", "a/*/c").path, "a/*/c");
        assert!(reach("", "a/*/c").wildcard);
        assert_eq!((reach("x", "a/**/c").path.as_str(), reach("", "**/c").path.as_str()), ("x/a", ""));
        assert_eq!(plain("a").reach(), plain("a"));
    }

    #[test]
    fn a_path_inside_another_selected_path_does_not_count_twice() {
        let tree = Tree::new(vec![dir(""), dir("a"), file("a/b", "1"), file("a.b", "2")], RootHeader::Constant);
        assert_eq!(content_key(&tree, &[plain("a")]), content_key(&tree, &[plain("a/b"), plain("a")]));
        assert_eq!(content_key(&tree, &[plain("zz"), plain("a")]), Err(vec!["zz".to_owned()]));
    }
}
