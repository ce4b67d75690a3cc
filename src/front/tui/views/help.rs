//! The help: made from the key map, searched by typing.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph, Widget};

use crate::front::text;
use crate::front::tui::ViewName;
use crate::front::tui::app::App;
use crate::front::tui::keymap::{BINDINGS, Scope};
use crate::front::tui::widgets::{footer, pane};
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
    let note = format!("type to search   {}", footer::words(Scope::Help));
    let inner = pane::render(app.theme, "Help", &note, area, buf);
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
    let query = query.to_lowercase();
    let here = match app.view {
        ViewName::Fix => Scope::Fix,
        ViewName::Layers => Scope::Layers,
        ViewName::Build | ViewName::Explain | ViewName::Cascade | ViewName::Timeline => Scope::Steps,
    };
    let mut lines = keys(app, &query, here, "This view");
    lines.extend(signs(app, &query));
    lines.extend(keys(app, &query, Scope::Everywhere, "Everywhere"));
    if lines.is_empty() {
        lines.push(Line::styled("Nothing found.", app.theme.dim()));
    }
    lines
}

fn keys(app: &App, query: &str, scope: Scope, head: &'static str) -> Vec<Line<'static>> {
    let row = |(keys, words): (String, &'static str)| {
        Line::from(vec![Span::styled(format!("  {} ", text::pad(&keys, 15)), app.theme.accent()), Span::raw(words)])
    };
    let rows: Vec<Line> = BINDINGS
        .iter()
        .filter(|b| b.scope == scope)
        .filter(|b| [&b.labels().to_lowercase(), b.sentence, b.name].iter().any(|words| words.contains(query)))
        .map(|b| (b.labels(), b.sentence))
        .map(row)
        .collect();
    headed(app, head, rows)
}

fn signs(app: &App, query: &str) -> Vec<Line<'static>> {
    let theme = app.theme;
    let mut rows: Vec<Line> = SIGNS
        .iter()
        .filter(|(mark, words)| mark.word().contains(query) || words.contains(query))
        .map(|(mark, words)| {
            let sign = format!("  {} {} ", text::pad(theme.glyph(*mark), 2), text::pad(mark.word(), 12));
            Line::from(vec![Span::styled(sign, theme.mark(*mark)), Span::raw(*words)])
        })
        .collect();
    if "(12.0s) time that the cache saved".contains(query) {
        rows.push(Line::raw(format!("  {} time that the cache saved", text::pad("(12.0s)", 15))));
    }
    headed(app, "Signs", rows)
}

fn headed(app: &App, head: &'static str, rows: Vec<Line<'static>>) -> Vec<Line<'static>> {
    if rows.is_empty() {
        return rows;
    }
    let mut lines = vec![Line::default(), Line::styled(head, app.theme.strong())];
    lines.extend(rows);
    lines
}
