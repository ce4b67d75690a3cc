//! Which paths of a context an edge reads.

use crate::engine::context::Selector;
use crate::engine::context::pattern::{self, PathFilter};
use crate::engine::graph::{Edge, SourceRef};

/// What an edge of the main context reads, ready to be asked about many paths.
pub struct Reach {
    selectors: Vec<(Vec<String>, bool, PathFilter)>,
}

impl Reach {
    /// Of an edge; none when it reads something else than the main context.
    pub fn of(edge: &Edge) -> Option<Self> {
        let main = matches!(&edge.source, SourceRef::Context(name) if name.is_empty());
        main.then(|| Self { selectors: edge.selectors.iter().map(parts).collect() })
    }

    /// Of one selector.
    pub fn of_selector(selector: &Selector) -> Self {
        Self { selectors: vec![parts(selector)] }
    }

    /// Whether it reads a path: a selector names it, a folder above it, or a pattern that matches either, and `--parents` and
    /// `--exclude` leave it.
    pub fn reads(&self, path: &str) -> bool {
        let names: Vec<&str> = path.split('/').collect();
        self.selectors.iter().any(|(parts, wildcard, filter)| {
            parts.len() <= names.len() && leads(parts, *wildcard, &names) && filter.admits(&names[parts.len()..].join("/"))
        })
    }

    /// Whether a change at this path can concern what is read: the path itself, something below it that goes with it, or a
    /// folder that comes or goes because of it.
    pub fn may_read(&self, path: &str) -> bool {
        let names: Vec<&str> = path.split('/').collect();
        self.selectors.iter().any(|(parts, wildcard, _)| leads(parts, *wildcard, &names))
    }

    /// Whether it reads the whole context.
    pub fn is_everything(&self) -> bool {
        self.selectors.iter().any(|(parts, ..)| parts.is_empty())
    }
}

/// As far as both go, the one leads along the other.
fn leads(parts: &[String], wildcard: bool, names: &[&str]) -> bool {
    parts.iter().zip(names).all(|(part, name)| part == name || (wildcard && pattern::matches(part, name)))
}

fn parts(selector: &Selector) -> (Vec<String>, bool, PathFilter) {
    let parts = selector.path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    (parts, selector.wildcard, PathFilter::new(selector))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::graph::Counts;

    fn reach(selector: Selector) -> Reach {
        let source = SourceRef::Context(String::new());
        Reach::of(&Edge { source, counts: Counts::Content, selectors: vec![selector] }).unwrap()
    }

    #[test]
    fn a_path_is_read_by_name_by_folder_by_pattern_and_not_when_it_is_left_out() {
        assert!(reach(Selector::new("src")).reads("src/a/b.c"));
        assert!(!reach(Selector::new("src")).reads("srcs/a"));
        assert!(reach(Selector::new("package*.json")).reads("package-lock.json"));
        assert!(!reach(Selector::new("package*.json")).reads("a/package.json"));
        assert!(reach(Selector::new("")).reads("anything/at/all"));
        let filtered = Selector { exclude: vec!["**/*.md".into()], ..Selector::new("docs") };
        assert!(!reach(filtered.clone()).reads("docs/x/a.md"));
        assert!(reach(filtered).reads("docs/x/a.txt"));
        let parents = Selector { include: vec!["*/package.json".into()], ..Selector::new("") };
        assert!(reach(parents.clone()).reads("a/package.json"));
        assert!(!reach(parents).reads("a/b.js"));
    }
}
