//! The steps of the build by stage, and the output of the selected one.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget};

use super::{above, beside, explain, is_wide};
use crate::front::report::why;
use crate::front::text;
use crate::front::tui::app::App;
use crate::front::tui::keymap::{self, Action};
use crate::front::tui::widgets::{pane, steps};
use crate::insight::model::{Mark, Status, Step};

/// Draws the view.
pub fn render(app: &App, body: Rect, buf: &mut Buffer) {
    if app.model.state.steps.is_empty() {
        return problems(app, body, buf);
    }
    let rows = steps::rows(&app.model).len() as u16 + 2;
    if is_wide(body) {
        let low = body.height < 30;
        let facts = short_facts(app, usize::from(beside(body, 58).1.width.saturating_sub(4)));
        let wanted = rows.max(facts.len() as u16 + 2);
        let (upper, lower) = above(body, if low { body.height } else { wanted.clamp(14, body.height - 11) });
        let (left, right) = beside(upper, 58);
        steps::render(app, left, buf);
        let wanted = if low { (facts.len() as u16 + 2).min(right.height / 2) } else { right.height };
        let (top, bottom) = above(right, wanted);
        let inner = pane::render(app.theme, &about(app), &format!("{} more", keymap::label(Action::Why)), top, buf);
        Paragraph::new(facts).render(inner, buf);
        log(app, if low { bottom } else { lower }, buf);
    } else if body.height < 16 {
        steps::render(app, body, buf);
    } else {
        let (top, bottom) = above(body, rows.clamp(body.height / 2, body.height - 7));
        steps::render(app, top, buf);
        log(app, bottom, buf);
    }
}

fn about(app: &App) -> String {
    app.model.step().map_or_else(String::new, |step| format!("Why  {} {}", step.line, text::line(&step.name)))
}

fn short_facts(app: &App, width: usize) -> Vec<Line<'static>> {
    let Some(step) = app.model.step() else { return Vec::new() };
    let mark = app.model.state.mark(step);
    let facts = why::facts(&app.model.state, step);
    // What comes next stands before sizes and other details, which the pane may have no room for.
    let details = facts.iter().position(|fact| fact.kind == why::FactKind::Detail).unwrap_or(facts.len());
    let mut lines = Vec::new();
    for (at, fact) in facts.iter().enumerate() {
        if at == details {
            lines.extend(next_build(app, step, width));
        }
        let indent = if matches!(fact.kind, why::FactKind::RootReason(_)) { "    " } else { "  " };
        for (row, part) in fact.text.lines().flat_map(|l| text::wrap(l, width.saturating_sub(4))).enumerate() {
            let sign = if at == 0 && row == 0 {
                Span::styled(format!("{} ", text::pad(app.theme.glyph(mark), 1)), app.theme.mark(mark))
            } else {
                Span::raw(indent)
            };
            lines.push(Line::from(vec![sign, Span::raw(part)]));
        }
    }
    if details == facts.len() {
        lines.extend(next_build(app, step, width));
    }
    lines
}

fn next_build(app: &App, step: &Step, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for (at, words) in explain::next_build(app, step).into_iter().enumerate() {
        let (lead, words) = if at == 0 { ("  ", format!("next build: {words}")) } else { ("    ", words) };
        lines.extend(text::wrap(&words, width.saturating_sub(6)).into_iter().map(|part| Line::raw(format!("{lead}{part}"))));
    }
    lines
}

/// Draws the output of the selected step.
pub fn log(app: &App, area: Rect, buf: &mut Buffer) {
    let theme = app.theme;
    let Some(step) = app.model.step() else { return };
    let title = format!("Log  {} {}", step.line, text::line(&step.name));
    let notes = notes(app, step);
    let total = log_len(app);
    let key = format!("{} {}", keymap::label(Action::Log), if app.full_log { "close" } else { "full log" });
    let height = usize::from(area.height.saturating_sub(2));
    let last = total.saturating_sub(height);
    let top = app.log.top.map_or(last, |top| top.min(last));
    let note = if top < last { format!("line {} of {total}  {key}", top + 1) } else { key };
    let inner = pane::render(theme, &title, &note, area, buf);
    let shown = (top..total).take(height).filter_map(|at| match app.log.line(at) {
        Some(line) => Some(output_line(app, line)),
        None => notes.get(at - app.log.len()).cloned(),
    });
    Paragraph::new(shown.collect::<Vec<Line>>()).render(inner, buf);
}

/// Rows of the selected step's log.
pub fn log_len(app: &App) -> usize {
    app.log.len() + app.model.step().map_or(0, |step| notes(app, step).len())
}

fn output_line<'a>(app: &App, line: &'a text::OutputLine) -> Line<'a> {
    Line::from_iter(line.pieces.iter().map(|(ink, text)| Span::styled(text.as_str(), app.theme.output(*ink))))
}

/// What is said below the output: why it ends here, what went wrong, what is counted.
fn notes(app: &App, step: &Step) -> Vec<Line<'static>> {
    let theme = app.theme;
    let mut lines = Vec::new();
    if app.log.cut {
        lines.push(Line::styled("(only the end is shown; the build's log has all of it)", theme.dim()));
    }
    if let Some(error) = &app.log.error {
        lines.push(Line::styled(text::line(error), theme.error()));
    }
    if let Some(message) = step.failure() {
        lines.extend(text::block(message).lines().map(|l| Line::styled(l.to_owned(), theme.error())));
    }
    if let Some(progress) = &step.progress {
        let total = progress.total.map_or_else(String::new, |total| format!(" of {total}"));
        let what = text::line(&progress.what);
        lines.push(Line::styled(format!("{what} {}{total}", progress.done), theme.dim()));
    }
    if lines.is_empty() && app.log.len() == 0 {
        lines.push(Line::styled(nothing(app, step), theme.dim()));
    }
    lines
}

fn nothing(app: &App, step: &Step) -> String {
    if let Status::Blocked { pid } = step.status {
        return format!("Process {pid} runs the same step: its result will be taken.");
    }
    let words = match app.model.state.mark(step) {
        Mark::Config => "Nothing to run: this line only changes the image's configuration.",
        Mark::Cached => "Served from the cache: nothing was executed.",
        Mark::Waiting if app.model.is_outline() => "Not built yet: press b to build.",
        Mark::Waiting => "Waiting for its turn.",
        Mark::Running => "Running; no output yet.",
        Mark::Skipped => "Not tried, because the build ended before.",
        Mark::Cancelled => "Cancelled.",
        Mark::New | Mark::Changed | Mark::Reran | Mark::Failed => "It wrote nothing.",
    };
    words.to_owned()
}

/// What is shown when there are no steps: findings, the error, or that something is under way.
fn problems(app: &App, body: Rect, buf: &mut Buffer) {
    let theme = app.theme;
    let state = &app.model.state;
    let inner = pane::render(theme, "Dockerfile", "", body, buf);
    let width = usize::from(inner.width);
    let mut lines: Vec<Line> = Vec::new();
    let error = state.finish.as_ref().and_then(|f| f.error.as_deref());
    let said = state.diagnostics.iter().map(|d| (d.text.as_str(), d.error));
    let told = state.diagnostics.is_empty();
    for (text, is_error) in said.chain(error.filter(|_| told).map(|e| (e, true))) {
        let style = if is_error { theme.error() } else { theme.advice() };
        for (row, line) in text::block(text).lines().enumerate() {
            let style = if row == 0 { style } else { theme.output(text::Ink::default()) };
            lines.push(Line::styled(text::fit(line, width), style));
        }
        lines.push(Line::default());
    }
    if lines.is_empty() {
        let words = if app.is_live() { "Reading the Dockerfile and the context" } else { "Reading the project" };
        lines.push(Line::styled(words, theme.dim()));
    }
    Paragraph::new(lines).render(inner, buf);
}
