//! The first row, which answers first: project, time, counts, what could be saved; and the names of the views.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget};

use crate::front::text;
use crate::front::tui::ViewName;
use crate::front::tui::app::App;
use crate::insight::model::summary::SHOWN;
use crate::insight::model::{Counts, Mark};

/// Draws the answers; words first, then only glyphs, then fewer of them, as the width allows.
pub fn header(app: &App, area: Rect, buf: &mut Buffer) {
    let width = usize::from(area.width);
    let mut chosen = Vec::new();
    for wordy in [true, false] {
        chosen = segments(app, wordy, width);
        if chosen.iter().map(|(words, _)| text::width(words)).sum::<usize>() <= width {
            break;
        }
    }
    let line = Line::from_iter(chosen.into_iter().map(|(words, style)| Span::styled(words, style)));
    Paragraph::new(line).render(area, buf);
}

fn segments(app: &App, wordy: bool, width: usize) -> Vec<(String, Style)> {
    let (theme, state) = (app.theme, &app.model.state);
    let target = state.target.as_ref().map_or_else(String::new, |t| format!(" › {}", text::line(t)));
    let name = text::fit(&format!("{}{target}", text::line(&app.model.name)), (width / 4).max(12));
    let mut parts = vec![(" rbuild  ".to_owned(), theme.accent()), (name, theme.strong())];
    let time = match &state.finish {
        _ if app.is_live() => format!("   {}", text::seconds(app.model.clock)),
        Some(finish) => format!("   {}", text::seconds(finish.micros)),
        None if app.model.is_outline() => "   not built yet: press b".to_owned(),
        None => "   unfinished".to_owned(),
    };
    parts.push((time, theme.strong()));
    let counts = Counts::of(state);
    for mark in SHOWN.into_iter().filter(|mark| counts.get(*mark) > 0) {
        if app.model.is_outline() || (!wordy && !app.is_live() && mark == Mark::Waiting) {
            continue;
        }
        let words = if wordy { format!(" {}", mark.word()) } else { String::new() };
        parts.push((format!("   {} {}{words}", theme.glyph(mark), counts.get(mark)), theme.mark(mark)));
    }
    match app.model.avoidable() {
        Some(0) => parts.push(("   ▲ a fix: press s".to_owned(), theme.advice())),
        Some(micros) => parts.push((format!("   ▲ {} avoidable: press s", text::seconds(micros)), theme.advice())),
        None => {}
    }
    parts
}

/// Draws the names of the views with their keys.
pub fn tabs(app: &App, area: Rect, buf: &mut Buffer) {
    let fixes = match app.model.report().map_or(0, |report| report.offered.len()) {
        0 => "3 Fixes".to_owned(),
        count => format!("3 Fixes ({count})"),
    };
    let names =
        [(ViewName::Build, "1 Build".to_owned()), (ViewName::Explain, "2 Explain".to_owned()), (ViewName::Fix, fixes)];
    let mut spans = Vec::new();
    for (view, name) in names {
        spans.push(match view == app.view {
            true => Span::styled(format!("[{name}]"), app.theme.accent()),
            false => Span::styled(format!(" {name} "), app.theme.dim()),
        });
        spans.push(Span::raw("  "));
    }
    Paragraph::new(Line::from(spans)).render(area, buf);
}
