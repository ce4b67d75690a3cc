//! When each step ran, as bars, with the chain that decided how long the build took.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget};

use crate::front::text;
use crate::front::tui::app::App;
use crate::front::tui::widgets::pane;
use crate::insight::model::Timeline;
use crate::insight::model::timeline::Span as Bar;

/// Draws the view.
pub fn render(app: &App, body: Rect, buf: &mut Buffer) {
    let (state, theme) = (&app.model.state, app.theme);
    let timeline = Timeline::of(state);
    let note = format!("{} in all, {} of steps", text::seconds(timeline.total), text::seconds(timeline.sum));
    let note = if timeline.spans.is_empty() { String::new() } else { note };
    let inner = pane::render(theme, "Timeline", &note, body, buf);
    let width = usize::from(inner.width);
    if timeline.spans.is_empty() {
        let words = if app.model.is_outline() { "Not built yet: press b to build." } else { "No step ran in this build." };
        return Paragraph::new(Line::styled(words, theme.dim())).render(inner, buf);
    }
    let names = (width / 3).clamp(12, 44);
    let cells = width.saturating_sub(names + 10).max(1);
    let height = usize::from(inner.height).saturating_sub(1);
    let selected = app.model.step().map(|step| step.vertex);
    let at = timeline.spans.iter().position(|span| Some(span.vertex) == selected).unwrap_or(0);
    let top = at.saturating_sub(height / 2).min(timeline.spans.len().saturating_sub(height));
    for (y, span) in timeline.spans.iter().skip(top).take(height).enumerate() {
        let place = Rect { y: inner.y + y as u16, height: 1, ..inner }.intersection(inner);
        let Some(step) = state.step(span.vertex) else { continue };
        let name = text::pad(&text::fit(&format!("{} {}", step.line, text::line(&step.name)), names), names);
        let style = if span.critical { theme.advice() } else { theme.mark(state.mark(step)) };
        let line = Line::from(vec![
            Span::raw(name),
            Span::styled(format!(" {}", bar(span, timeline.total, cells, theme.ascii)), style),
            Span::raw(text::pad_left(&text::seconds(span.micros), 9)),
        ]);
        Paragraph::new(line).render(place, buf);
        if Some(span.vertex) == selected {
            buf.set_style(place, theme.selected());
        }
    }
    let lines: Vec<String> =
        timeline.critical.steps.iter().filter_map(|id| state.step(*id)).map(|step| step.line.to_string()).collect();
    let slack = timeline.spans.iter().find(|span| Some(span.vertex) == selected && !span.critical);
    let slack = slack.map_or_else(String::new, |span| format!("   slack of this step: {}", text::seconds(span.slack)));
    let words = format!("critical path: line {} ({}){slack}", lines.join(" > "), text::seconds(timeline.critical.micros));
    let place = Rect { y: inner.bottom().saturating_sub(1), height: 1, ..inner }.intersection(inner);
    Paragraph::new(Line::styled(text::fit(&words, width), theme.advice())).render(place, buf);
}

/// Full cells for the critical path, half ones for the rest.
fn bar(span: &Bar, total: u64, cells: usize, ascii: bool) -> String {
    let at = |micros: u64| (u128::from(micros) * cells as u128 / u128::from(total.max(1))).min(cells as u128) as usize;
    let begin = at(span.start).min(cells - 1);
    let end = at(span.start.saturating_add(span.micros)).clamp(begin + 1, cells.max(begin + 1));
    let block = match (ascii, span.critical) {
        (true, true) => "#",
        (true, false) => "=",
        (false, true) => "█",
        (false, false) => "▄",
    };
    format!("{}{}{}", " ".repeat(begin), block.repeat(end - begin), " ".repeat(cells.saturating_sub(end)))
}
