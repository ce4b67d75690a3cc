//! The first row, which answers first: project, time, counts, what could be saved; and the names of the views.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget};

use crate::front::text;
use crate::front::tui::ViewName;
use crate::front::tui::app::App;
use crate::front::tui::keymap::{self, Action};
use crate::insight::model::Counts;
use crate::insight::model::summary::SHOWN;

/// Draws the answers; words first, then only glyphs, then fewer of them, as the width allows.
pub fn header(app: &App, area: Rect, buf: &mut Buffer) {
    let width = usize::from(area.width);
    let mut chosen = Vec::new();
    for detail in [Detail::Words, Detail::Signs, Detail::Tight] {
        chosen = segments(app, detail, width);
        if chosen.iter().map(|(words, _)| text::width(words)).sum::<usize>() <= width {
            break;
        }
    }
    let line = Line::from_iter(chosen.into_iter().map(|(words, style)| Span::styled(words, style)));
    Paragraph::new(line).render(area, buf);
}

/// How much the header says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    /// Signs with their words.
    Words,
    /// Signs and numbers.
    Signs,
    /// The same in fewer cells.
    Tight,
}

fn segments(app: &App, detail: Detail, width: usize) -> Vec<(String, Style)> {
    let (theme, state) = (app.theme, &app.model.state);
    let target = state.target.as_ref().map_or_else(String::new, |t| format!(" › {}", text::line(t)));
    let name = text::fit(&format!("{}{target}", text::line(&app.model.name)), (width / 4).max(12));
    let (wordy, gap) = (detail == Detail::Words, if detail == Detail::Tight { "  " } else { "   " });
    let program = if detail == Detail::Tight { " " } else { " rbuild  " };
    let mut parts = vec![(program.to_owned(), theme.accent()), (name, theme.strong())];
    let time = match &state.finish {
        _ if app.is_live() => format!("{gap}{}", text::seconds(app.model.clock)),
        Some(finish) if wordy => format!("{gap}last build {}", text::seconds(finish.micros)),
        Some(finish) => format!("{gap}{}", text::seconds(finish.micros)),
        None if app.model.is_outline() => format!("{gap}not built yet: press {}", keymap::label(Action::Build)),
        None => format!("{gap}unfinished"),
    };
    parts.push((time, theme.strong()));
    let counts = Counts::of(state);
    for mark in SHOWN.into_iter().filter(|mark| counts.get(*mark) > 0) {
        if app.model.is_outline() {
            continue;
        }
        let words = if wordy { format!(" {}", mark.word()) } else { String::new() };
        parts.push((format!("{gap}{} {}{words}", theme.glyph(mark), counts.get(mark)), theme.mark(mark)));
    }
    let key = keymap::label(Action::Fixes);
    let advice = app.model.avoidable().map(|micros| match (micros, detail) {
        (0, _) => format!("{gap}▲ a fix: press {key}"),
        (micros, Detail::Tight) => format!("{gap}▲ {}: press {key}", text::seconds(micros)),
        (micros, _) => format!("{gap}▲ {} avoidable: press {key}", text::seconds(micros)),
    });
    parts.extend(advice.map(|words| (words, theme.advice())));
    parts
}

/// Draws the names of the views with their keys.
pub fn tabs(app: &App, area: Rect, buf: &mut Buffer) {
    let fixes = match app.model.report().map_or(0, |report| report.offered.len()) {
        0 => "6 Fixes".to_owned(),
        count => format!("6 Fixes ({count})"),
    };
    let names = [
        (ViewName::Build, "1 Build".to_owned()),
        (ViewName::Explain, "2 Explain".to_owned()),
        (ViewName::Cascade, "3 Cascade".to_owned()),
        (ViewName::Timeline, "4 Timeline".to_owned()),
        (ViewName::Layers, "5 Layers".to_owned()),
        (ViewName::Fix, fixes),
    ];
    let mut spans = Vec::new();
    for (view, name) in names {
        spans.push(match view == app.view {
            true => Span::styled(format!("[{name}]"), app.theme.accent()),
            false => Span::styled(format!(" {name} "), app.theme.dim()),
        });
        spans.push(Span::raw(" "));
    }
    Paragraph::new(Line::from(spans)).render(area, buf);
}
