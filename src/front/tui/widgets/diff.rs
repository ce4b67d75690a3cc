//! A change of the Dockerfile as lines with signs.

use ratatui::text::{Line, Span};
use similar::{ChangeTag, TextDiff};

use super::shell;
use crate::front::text;
use crate::front::tui::theme::Theme;

/// Lines of context around a change.
const CONTEXT: usize = 2;

/// The changed lines with their neighbours and line numbers; `⋯` stands for what is left out.
pub fn lines(theme: Theme, before: &str, after: &str, width: usize) -> Vec<Line<'static>> {
    let diff = TextDiff::from_lines(before, after);
    let mut lines = Vec::new();
    for (at, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if at > 0 {
            lines.push(Line::styled("     …", theme.dim()));
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let number = change.new_index().or(change.old_index()).map_or(0, |index| index + 1);
            let words = text::fit(text::block(change.value()).trim_end_matches('\n'), width.saturating_sub(7));
            lines.push(line(theme, change.tag(), number, words));
        }
    }
    lines
}

fn line(theme: Theme, tag: ChangeTag, number: usize, words: String) -> Line<'static> {
    let (sign, style) = match tag {
        ChangeTag::Equal => (' ', theme.dim()),
        ChangeTag::Insert => ('+', theme.good()),
        ChangeTag::Delete => ('-', theme.removed()),
    };
    let mut spans = vec![Span::styled(format!("{number:>4} "), theme.dim()), Span::styled(format!("{sign} "), style)];
    match (tag, words.split_once(' ')) {
        (ChangeTag::Equal, Some((keyword, rest))) if keyword.eq_ignore_ascii_case("run") => {
            spans.push(Span::styled(format!("{keyword} "), theme.strong()));
            spans.extend(shell::colour(theme, rest));
        }
        (ChangeTag::Equal, _) => spans.push(Span::raw(words)),
        _ => spans.push(Span::styled(words, style)),
    }
    Line::from(spans)
}
