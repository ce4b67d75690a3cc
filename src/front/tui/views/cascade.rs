//! Which change cost what: every root cause with the steps that followed it, and what equal content spared.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget};

use crate::engine::event::VertexId;
use crate::front::text;
use crate::front::tui::app::App;
use crate::front::tui::widgets::pane;
use crate::insight::model::{Cascade, RootCause};

/// Cells of the longest bar.
const BAR: usize = 20;

/// Draws the view. The step that is selected is marked wherever it stands.
pub fn render(app: &App, body: Rect, buf: &mut Buffer) {
    let state = &app.model.state;
    let cascade = Cascade::of(state);
    let note = match cascade.saved_micros {
        0 => String::new(),
        micros => format!("the cache saved {}", text::seconds(micros)),
    };
    let inner = pane::render(app.theme, "What each change cost", &note, body, buf);
    let width = usize::from(inner.width);
    let mut rows: Vec<(Option<VertexId>, Line<'static>)> = Vec::new();
    for root in &cascade.roots {
        rows.extend(root_rows(app, root, width));
        rows.push((None, Line::default()));
    }
    for cutoff in &cascade.cutoffs {
        let line = |id: VertexId| state.step(id).map_or(0, |step| step.line);
        let more = cutoff.spared.len().saturating_sub(1);
        let words = format!(
            "line {} ran again and gave the same to line {}: {} and {more} below were spared, {}",
            line(cutoff.source),
            line(cutoff.step),
            if more == 0 { "it" } else { "it," },
            text::seconds(cutoff.micros)
        );
        rows.push((Some(cutoff.step), Line::styled(text::fit(&words, width), app.theme.good())));
    }
    if rows.is_empty() {
        let words = match app.model.is_outline() {
            true => "Not built yet: press b to build.",
            false => "No step ran in this build: nothing was paid for.",
        };
        rows.push((None, Line::styled(words, app.theme.dim())));
    }
    let selected = app.model.step().map(|step| step.vertex);
    let at = rows.iter().position(|(id, _)| id.is_some() && *id == selected).unwrap_or(0);
    let height = usize::from(inner.height);
    let top = at.saturating_sub(height / 2).min(rows.len().saturating_sub(height));
    for (y, (id, line)) in rows.into_iter().skip(top).take(height).enumerate() {
        let place = Rect { y: inner.y + y as u16, height: 1, ..inner };
        Paragraph::new(line).render(place, buf);
        if id.is_some() && id == selected {
            buf.set_style(place, app.theme.selected());
        }
    }
}

fn root_rows(app: &App, root: &RootCause, width: usize) -> Vec<(Option<VertexId>, Line<'static>)> {
    let (state, theme) = (&app.model.state, app.theme);
    let mut rows = Vec::new();
    let Some(step) = state.step(root.vertex) else { return rows };
    let head = format!("{} in all  line {} {}", text::seconds(root.micros), step.line, text::line(&step.name));
    rows.push((Some(root.vertex), Line::styled(text::fit(&head, width), theme.strong())));
    for reason in step.reasons().iter().take(3) {
        let words = format!("  {}: {}", reason.code(), text::line(&reason.to_string()));
        rows.push((None, Line::styled(text::fit(&words, width), theme.advice())));
    }
    for id in std::iter::once(&root.vertex).chain(&root.followers) {
        let Some(step) = state.step(*id) else { continue };
        let cells = (step.micros.saturating_mul(BAR as u64) / root.micros.max(1)) as usize;
        let mark = state.mark(step);
        let block = if theme.ascii { "#" } else { "█" };
        let bar = text::pad(&block.repeat(cells.clamp(usize::from(step.micros > 0), BAR)), BAR);
        let name = text::fit(&format!("{} {}", step.line, text::line(&step.name)), width.saturating_sub(BAR + 13));
        rows.push((
            Some(*id),
            Line::from(vec![
                Span::styled(format!("  {bar} "), theme.mark(mark)),
                Span::raw(text::pad_left(&text::seconds(step.micros), 8)),
                Span::styled(format!("  {name}"), Style::new()),
            ]),
        ));
    }
    rows
}
