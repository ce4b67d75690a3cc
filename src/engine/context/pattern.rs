//! Source patterns of COPY and ADD: Go's `filepath.Match`, component by component.

use crate::language::dockerfile::glob::go_match;

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
