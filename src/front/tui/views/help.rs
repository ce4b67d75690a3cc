//! The help: made from the key map, searched by typing.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph, Widget};

use crate::front::text;
use crate::front::tui::ViewName;
use crate::front::tui::app::App;
use crate::front::tui::keymap::{BINDINGS, Scope};
use crate::front::tui::widgets::pane;
use crate::insight::model::Mark;

/// More lines than the help ever has: a bound for scrolling, which drawing makes exact.
pub const LINES: usize = 64;

const SIGNS: [(Mark, &str); 10] = [
    (Mark::Cached, "the result of an earlier build was used"),
    (Mark::Changed, "it ran: something of its own changed"),
    (Mark::Reran, "it ran: only because a step before it ran"),
    (Mark::New, "it ran for the first time"),
    (Mark::Running, "it runs now"),
    (Mark::Waiting, "its turn has not come"),
    (Mark::Failed, "it ran and failed"),
    (Mark::Skipped, "not tried, because the build ended before"),
    (Mark::Cancelled, "the build was cancelled"),
    (Mark::Config, "nothing to run: it configures the image"),
];

/// Draws the help over the screen.
pub fn render(app: &App, query: &str, top: usize, screen: Rect, buf: &mut Buffer) {
    let width = screen.width.saturating_sub(8).min(84);
    let height = screen.height.saturating_sub(4).min(38);
    let area = Rect { x: screen.x + (screen.width - width) / 2, y: screen.y + (screen.height - height) / 2, width, height };
    Clear.render(area, buf);
    let inner = pane::render(app.theme, "Help", "type to search, esc close", area, buf);
    if inner.height == 0 {
        return;
    }
    let search = Line::from(vec![Span::styled("› ", app.theme.accent()), Span::raw(text::line(query)), Span::raw("▌")]);
    Paragraph::new(search).render(Rect { height: 1, ..inner }, buf);
    let body = Rect { y: inner.y + 1, height: inner.height - 1, ..inner };
    let lines = lines(app, query);
    let top = top.min(lines.len().saturating_sub(body.height.into()));
    Paragraph::new(lines.into_iter().skip(top).collect::<Vec<_>>()).render(body, buf);
}

fn lines(app: &App, query: &str) -> Vec<Line<'static>> {
    let theme = app.theme;
    let query = query.to_lowercase();
    let here = match app.view {
        ViewName::Fix => Scope::Fix,
        ViewName::Build | ViewName::Explain => Scope::Steps,
    };
    let mut lines = Vec::new();
    for (scope, head) in [(here, "This view"), (Scope::Everywhere, "Everywhere")] {
        let mut rows = BINDINGS
            .iter()
            .filter(|b| b.scope == scope)
            .map(|b| (b.labels(), b.sentence))
            .filter(|(keys, words)| keys.to_lowercase().contains(&query) || words.contains(&query))
            .peekable();
        if rows.peek().is_some() {
            lines.push(Line::default());
            lines.push(Line::styled(head, theme.strong()));
        }
        lines.extend(rows.map(|(keys, words)| {
            Line::from(vec![Span::styled(format!("  {} ", text::pad(&keys, 15)), theme.accent()), Span::raw(words)])
        }));
    }
    let signs: Vec<_> = SIGNS.iter().filter(|(m, words)| m.word().contains(&query) || words.contains(&query)).collect();
    if !signs.is_empty() {
        lines.push(Line::default());
        lines.push(Line::styled("Signs", theme.strong()));
    }
    lines.extend(signs.into_iter().map(|(mark, words)| {
        let sign = format!("  {} {} ", text::pad(theme.glyph(*mark), 2), text::pad(mark.word(), 12));
        Line::from(vec![Span::styled(sign, theme.mark(*mark)), Span::raw(*words)])
    }));
    if "(33s) time the cache saved".contains(&query) {
        lines.push(Line::raw(format!("  {} time that the cache saved", text::pad("(33.0s)", 15))));
    }
    if lines.is_empty() {
        lines.push(Line::styled("Nothing found.", theme.dim()));
    }
    lines
}
