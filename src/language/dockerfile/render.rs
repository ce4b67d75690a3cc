//! A diagnostic as text: place and message, the source line, a caret line under the exact span, and the next step.

use unicode_width::UnicodeWidthChar;

use super::ast::Dockerfile;
use super::diagnostic::{Diagnostic, Severity};

/// Cells of a source line that are shown; a longer one is cut around the span.
const WIDTH: usize = 160;
/// Characters of a message or help that are shown.
const MESSAGE_LIMIT: usize = 400;

/// Renders a diagnostic over several lines, without a final line break:
///
/// ```text
/// Dockerfile:3:5: unknown instruction `RUNN`
///   3 | RUNN make
///     | ^^^^
/// help: did you mean `RUN`?
/// ```
///
/// Nothing out of the file reaches the text unescaped: control characters and characters that turn the direction of writing
/// are shown as `\u{..}`, tabs as blanks.
pub fn render(diagnostic: &Diagnostic, dockerfile: &Dockerfile, file_name: &str) -> String {
    let source = &*dockerfile.source;
    let position = dockerfile.lines.position(source, diagnostic.span.start);
    let line = dockerfile.lines.text(source, position.line);
    let from = (position.column as usize).saturating_sub(1);
    let spanned = diagnostic.span.text(source).split(['\n', '\r']).next().unwrap_or("").chars().count();
    let (shown, before, width) = window(line, from, spanned);
    let number = position.line.to_string();
    let margin = " ".repeat(number.len());
    let severity = if diagnostic.severity == Severity::Warning { "warning: " } else { "" };
    let message = escaped(&diagnostic.message, MESSAGE_LIMIT);
    let name = escaped(file_name, MESSAGE_LIMIT);
    let mut out = format!("{name}:{}:{}: {severity}{message}\n", position.line, position.column);
    out.push_str(&format!("  {number} | {shown}\n  {margin} | {}{}", " ".repeat(before), "^".repeat(width.max(1))));
    if let Some(help) = &diagnostic.help {
        out.push_str(&format!("\nhelp: {}", escaped(help, MESSAGE_LIMIT)));
    }
    out
}

/// The part of a line to show, the cells before the span in it, and the cells of the span.
fn window(line: &str, from: usize, length: usize) -> (String, usize, usize) {
    let cells: Vec<(String, usize)> = line.chars().map(cell).collect();
    let from = from.min(cells.len());
    let mut start = 0;
    let mut before: usize = cells[..from].iter().map(|(_, width)| width).sum();
    // A third of the width before the span is enough to see where one is.
    while before > WIDTH / 3 && cells[start..].iter().map(|(_, width)| width).sum::<usize>() > WIDTH && start < from {
        // Cut in large steps: a line may have a million characters.
        let step = ((before - WIDTH / 3) / 2).max(1).min(from - start);
        before -= cells[start..start + step].iter().map(|(_, width)| width).sum::<usize>();
        start += step;
    }
    let mut shown = if start > 0 { "...".to_owned() } else { String::new() };
    let offset = if start > 0 { 3 } else { 0 };
    let (mut used, mut marked) = (0, 0);
    for (at, (text, width)) in cells.iter().enumerate().skip(start) {
        if used + width > WIDTH {
            shown.push_str("...");
            break;
        }
        shown.push_str(text);
        used += width;
        if (from..from + length).contains(&at) {
            marked += width;
        }
    }
    (shown, before + offset, marked)
}

/// How a character is shown, and how many cells that takes.
fn cell(character: char) -> (String, usize) {
    if character == '\t' {
        return ("    ".to_owned(), 4);
    }
    if is_unsafe(character) {
        let text = character.escape_unicode().to_string();
        let width = text.len();
        return (text, width);
    }
    (character.to_string(), character.width().unwrap_or(0))
}

/// Control characters, and those that reorder or hide text.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{61c}')
}

/// Text out of a file made safe for a terminal, cut at `limit` characters.
fn escaped(text: &str, limit: usize) -> String {
    let mut out = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == limit {
            out.push_str("...");
            break;
        }
        if is_unsafe(character) { out.extend(character.escape_unicode()) } else { out.push(character) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::render;

    fn first(source: &str) -> String {
        let file = parse(source);
        file.diagnostics.first().map(|diagnostic| render(diagnostic, &file, "Dockerfile")).unwrap_or_default()
    }

    #[test]
    fn caret_stands_under_the_span() {
        let text = first("FROM a\n\tRUNN x\n");
        assert_eq!(
            text,
            "Dockerfile:2:2: unknown instruction `RUNN`\n  2 |     RUNN x\n    |     ^^^^\nhelp: did you mean `RUN`?"
        );
    }

    #[test]
    fn wide_and_control_characters() {
        let text = first("FROM a\nCOPY --frm=\u{1b}[31m한 \u{202e}b c\n");
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
        let text = first("FROM a\nENV 한=b 국\n");
        assert!(
            text.ends_with("| ENV 한=b 국\n    |          ^^\nhelp: write `name=value`, with quotes around blanks"),
            "{text}"
        );
    }

    #[test]
    fn long_lines_are_cut_around_the_span() {
        let text = first(&format!("FROM a\nENV a=b {} bad\n", "c=d ".repeat(10_000)));
        assert!(text.lines().all(|line| line.len() < 400) && text.contains("^^^"), "{text}");
    }
}
