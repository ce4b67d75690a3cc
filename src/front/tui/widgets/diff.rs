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

/// Two safe texts below each other, with the words that differ marked; each is cut at `width`.
pub fn words(theme: Theme, before: &str, after: &str, width: usize) -> [Line<'static>; 2] {
    let diff = TextDiff::from_words(before, after);
    let side = |sign: &str, own: ChangeTag, style: ratatui::style::Style| {
        let mut spans = vec![Span::styled(format!("  {sign} "), style)];
        let mut room = width.saturating_sub(4);
        for change in diff.iter_all_changes().filter(|c| c.tag() == own || c.tag() == ChangeTag::Equal) {
            let words = text::fit(change.value(), room);
            room -= text::width(&words);
            let style = if change.tag() == own { style.patch(theme.strong()).underlined() } else { theme.dim() };
            spans.push(Span::styled(words, style));
        }
        Line::from(spans)
    };
    [side("-", ChangeTag::Delete, theme.removed()), side("+", ChangeTag::Insert, theme.good())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_differ_are_underlined() {
        let [old, new] = words(Theme::default(), "npm install --force", "npm ci --force", 80);
        assert_eq!(old.to_string(), "  - npm install --force");
        assert_eq!(new.to_string(), "  + npm ci --force");
        let marked = |line: &Line| {
            let underlined = |s: &&Span| s.style.add_modifier.contains(ratatui::style::Modifier::UNDERLINED);
            line.spans.iter().filter(underlined).map(|s| s.content.to_string()).collect::<String>()
        };
        assert_eq!((marked(&old).as_str(), marked(&new).as_str()), ("install", "ci"));
        assert_eq!(text::width(&words(Theme::default(), "a b c d e f", "漢字 漢字", 9)[0].to_string()), 9);
    }
}
