//! Source patterns of COPY and ADD: Go's `filepath.Match`, component by component.

use super::entry::Selector;
use crate::language::dockerfile::glob::go_match;
use crate::language::dockerfile::ignore::IgnoreRules;

/// Whether a source has a character that makes it a pattern.
pub fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// The part before the first component that is a pattern, and the rest.
pub fn split(path: &str) -> (&str, &str) {
    let mut at = 0;
    for component in path.split('/') {
        if is_pattern(component) {
            let prefix = path[..at].trim_end_matches('/');
            return (prefix, &path[at..]);
        }
        at += component.len() + 1;
    }
    (path, "")
}

/// Whether a pattern of several components matches a path of as many.
pub fn matches(pattern: &str, path: &str) -> bool {
    let mut names = path.split('/');
    for part in pattern.split('/') {
        match names.next() {
            Some(name) if go_match(part, name).unwrap_or(false) => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

/// What of the paths below a source `--parents` and `--exclude` leave.
///
/// Source of the rules: BuildKit `shouldIncludePath` (`cache/contenthash/checksum.go`) and fsutil `copy/copy.go`: both ask
/// `moby/patternmatcher` with the path relative to the source, and take the directories above what is left along. The source
/// itself is never left out.
#[derive(Debug, Default)]
pub struct PathFilter {
    include: Option<IgnoreRules>,
    exclude: Option<IgnoreRules>,
}

impl PathFilter {
    /// Of a selector. Patterns are checked when the Dockerfile is lowered; a malformed one matches nothing.
    pub fn new(selector: &Selector) -> Self {
        Self::of_patterns(&selector.include, &selector.exclude)
    }

    /// Of lists of patterns; an empty list says nothing.
    pub fn of_patterns(include: &[String], exclude: &[String]) -> Self {
        let rules = |patterns: &[String]| {
            (!patterns.is_empty())
                .then(|| IgnoreRules::from_patterns(patterns.iter().map(String::as_str)).unwrap_or_default())
        };
        Self { include: rules(include), exclude: rules(exclude) }
    }

    /// Whether a path relative to the source is left by itself; the source has an empty one.
    pub fn admits(&self, below: &str) -> bool {
        let listed = |rules: &IgnoreRules| rules.is_ignored(below);
        self.include.as_ref().is_none_or(listed) && !self.exclude.as_ref().is_some_and(listed)
    }

    /// The items that are left with the directories above them. `below` gives the path relative to the source.
    pub fn keep<T>(&self, items: Vec<T>, below: impl Fn(&T) -> String) -> Vec<T> {
        if self.include.is_none() && self.exclude.is_none() {
            return items;
        }
        let mut kept = std::collections::BTreeSet::new();
        for path in items.iter().map(&below).filter(|path| self.admits(path)) {
            kept.extend(path.match_indices('/').map(|(at, _)| path[..at].to_owned()));
            kept.insert(String::new());
            kept.insert(path);
        }
        items.into_iter().filter(|item| kept.contains(&below(item))).collect()
    }
}
