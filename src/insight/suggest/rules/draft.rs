//! From edits to a suggestion.

use super::super::{Page, Proof, Refusal, Rewritten, Suggestion, Trigger};
use crate::language::dockerfile::{Dockerfile, Edit, apply, parse};

/// A suggestion without evidence yet. None when the rewritten file would not parse to as many instructions as are meant.
pub(super) fn rewrite(dockerfile: &Dockerfile, page: &Page, line: u32, edits: &[Edit], more: isize) -> Option<Suggestion> {
    let after = apply(dockerfile, edits);
    let again = parse(&after);
    let wanted = isize::try_from(dockerfile.instructions.len()).ok()? + more;
    if again.has_errors() || isize::try_from(again.instructions.len()).ok()? != wanted || after == *dockerfile.source {
        return None;
    }
    Some(Suggestion { after, ..advice(dockerfile, page, line) })
}

/// A suggestion that rewrites nothing.
pub(super) fn advice(dockerfile: &Dockerfile, page: &Page, line: u32) -> Suggestion {
    Suggestion {
        rule: page.name.to_owned(),
        title: String::new(),
        line,
        evidence: Vec::new(),
        risks: Vec::new(),
        proof: Proof::NotProven,
        trigger: Trigger::None,
        gain: None,
        verified: None,
        saving: None,
        replayed: None,
        joined: Vec::new(),
        expected: None,
        file: Rewritten::Dockerfile,
        before: dockerfile.source.to_string(),
        after: dockerfile.source.to_string(),
    }
}

/// A refusal.
pub(super) fn refusal(page: &Page, line: u32, reason: impl Into<String>) -> Refusal {
    Refusal { rule: page.name.to_owned(), line, reason: reason.into() }
}

/// `4`, `4 and 6`, `4, 5 and 6`.
pub(super) fn numbers(lines: &[u32]) -> String {
    let words: Vec<String> = lines.iter().map(u32::to_string).collect();
    match words.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}
