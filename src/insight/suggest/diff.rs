//! What a rewrite changes, line by line, for the Fix view and its plain twin.

use serde::Serialize;
use similar::{ChangeTag, TextDiff};

/// Unchanged lines shown around a change.
const CONTEXT: usize = 3;

/// One line of a diff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiffLine {
    /// `' '` unchanged, `'+'` new, `'-'` gone.
    pub sign: char,
    /// Line in the old text, from 1.
    pub old_line: Option<u32>,
    /// Line in the new text, from 1.
    pub new_line: Option<u32>,
    /// Without its line break.
    pub text: String,
}

/// The changed lines with three unchanged ones around each group; empty when the texts are equal. Between two groups the line
/// numbers jump.
pub fn diff(before: &str, after: &str) -> Vec<DiffLine> {
    let compared = TextDiff::from_lines(before, after);
    let number = |index: Option<usize>| index.and_then(|index| u32::try_from(index + 1).ok());
    let mut lines = Vec::new();
    for operation in compared.grouped_ops(CONTEXT).iter().flatten() {
        for change in compared.iter_changes(operation) {
            lines.push(DiffLine {
                sign: match change.tag() {
                    ChangeTag::Equal => ' ',
                    ChangeTag::Insert => '+',
                    ChangeTag::Delete => '-',
                },
                old_line: number(change.old_index()),
                new_line: number(change.new_index()),
                text: change.value().trim_end_matches(['\n', '\r']).to_owned(),
            });
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::diff;

    #[test]
    fn shows_the_change_with_its_surroundings() {
        let lines = diff("a\nb\nc\nd\ne\n", "a\nb\nc\nx\nd\n");
        let signs: String = lines.iter().map(|line| line.sign).collect();
        assert_eq!(signs, "   + -");
        assert_eq!((lines[3].old_line, lines[3].new_line, lines[3].text.as_str()), (None, Some(4), "x"));
        assert!(diff("a\n", "a\n").is_empty());
    }
}
