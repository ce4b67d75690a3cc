//! The list of steps by stage. Only the rows in sight are made.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget};

use super::pane;
use crate::front::report::document::stage_name;
use crate::front::text;
use crate::front::tui::app::App;
use crate::front::tui::model::{Model, Outlook};
use crate::insight::model::{Fate, Forecast, Mark, Step};

/// Shorter times are shown as `-`: they would read `0.0s`.
const SHOWN_FROM: u64 = 50_000;

/// A row of the list.
pub enum Row<'a> {
    /// A stage; its first step names it.
    Stage(&'a Step),
    /// A step.
    Step(&'a Step),
}

/// All rows, filtered; stages are named when there is more than one.
pub fn rows(model: &Model) -> Vec<Row<'_>> {
    let many = model.state.steps.windows(2).any(|pair| pair[0].stage.index != pair[1].stage.index);
    let mut rows = Vec::new();
    let mut stage = None;
    for step in model.listed() {
        if many && stage != Some(step.stage.index) {
            rows.push(Row::Stage(step));
            stage = Some(step.stage.index);
        }
        rows.push(Row::Step(step));
    }
    rows
}

/// Widths of the columns; 0 leaves one out.
struct Columns {
    sign: usize,
    line: usize,
    name: usize,
    word: usize,
    time: usize,
    size: usize,
}

impl Columns {
    fn of(app: &App, width: usize) -> Self {
        let sign = if app.theme.ascii { 2 } else { 1 };
        let highest = app.model.state.steps.iter().map(|step| step.line).max().unwrap_or(0);
        let line = highest.to_string().len().max(2);
        let (word, time) = (if width >= 40 { 11 } else { 0 }, 9);
        let size = if width >= 52 { 8 } else { 0 };
        Self { sign, line, name: width.saturating_sub(3 + sign + line + word + time + size), word, time, size }
    }
}

/// Draws the list in its frame.
pub fn render(app: &App, area: Rect, buf: &mut Buffer) {
    let rows = rows(&app.model);
    let listed = app.model.listed().count();
    let all = app.model.state.steps.len();
    let note = if listed == all { format!("{all} steps") } else { format!("{listed} of {all} steps") };
    let note = match outlook(app, usize::from(area.width)) {
        Some(words) => format!("{note}   {words}"),
        None => note,
    };
    let inner = pane::render(app.theme, "Steps", &note, area, buf);
    let height = usize::from(inner.height);
    let at = rows.iter().position(|row| matches!(row, Row::Step(s) if Some(s.line) == app.model.selected)).unwrap_or(0);
    let top = at.saturating_sub(height / 2).min(rows.len().saturating_sub(height));
    let columns = Columns::of(app, inner.width.into());
    if rows.is_empty() {
        return Paragraph::new(Line::styled("No step contains this text.", app.theme.dim())).render(inner, buf);
    }
    for (y, row) in rows.iter().skip(top).take(height).enumerate() {
        let place = Rect { y: inner.y + y as u16, height: 1, ..inner };
        match row {
            Row::Stage(first) => stage_row(app, first, inner.width.into(), &columns).render(place, buf),
            Row::Step(step) => {
                step_row(app, step, &columns).render(place, buf);
                if Some(step.line) == app.model.selected {
                    buf.set_style(place, app.theme.selected());
                }
            }
        }
    }
    lower_border(app, top, height, rows.len(), area, buf);
}

/// What the next build will do, as far as it fits.
fn outlook(app: &App, width: usize) -> Option<String> {
    let words = match &app.model.outlook {
        Outlook::Known(plan) => {
            let forecast = Forecast::of(plan);
            match (forecast.will_run.len(), forecast.unknown.len()) {
                (0, 0) => "next build: all cached".to_owned(),
                (runs, 0) => format!("next build: {runs} will run, ~{}", text::seconds(forecast.path.micros)),
                (runs, open) => {
                    let (least, most) = (text::seconds(forecast.path.micros), text::seconds(forecast.longest.micros));
                    let time = if least == most { least } else { format!("{least} to {most}") };
                    format!("next build: {runs} will run, {open} open, ~{time}")
                }
            }
        }
        Outlook::Failed(_) => "next build: it would fail at once".to_owned(),
        Outlook::Unknown => return None,
    };
    (width >= text::width(&words) + 30).then_some(words)
}

/// The sign of what the next build will do with a step: nothing for a hit.
fn sign(app: &App, step: &Step) -> &'static str {
    match app.model.fate(step.line) {
        Some(Fate::WillRun) if app.theme.ascii => "!",
        Some(Fate::WillRun) => "≠",
        Some(Fate::Unknown) => "?",
        Some(Fate::Hit | Fate::Config) | None => " ",
    }
}

/// Says in the lower border how many rows are out of sight, and what times in brackets mean.
fn lower_border(app: &App, top: usize, height: usize, count: usize, area: Rect, buf: &mut Buffer) {
    let below = count.saturating_sub(top + height);
    let state = &app.model.state;
    let saved = state.steps.iter().any(|s| state.mark(s) == Mark::Cached && s.micros >= SHOWN_FROM);
    let mut notes = Vec::new();
    if top > 0 || below > 0 {
        notes.push(format!("{top} above, {below} below"));
    }
    if saved && area.width >= 70 {
        notes.push("(time) = saved by the cache".to_owned());
    }
    let fates = state.steps.iter().filter_map(|step| app.model.fate(step.line));
    if area.width >= 66 && fates.clone().any(|fate| matches!(fate, Fate::WillRun | Fate::Unknown)) {
        notes.push(format!("{} = runs next time, ? = open", if app.theme.ascii { "!" } else { "≠" }));
    }
    if notes.is_empty() || area.height == 0 {
        return;
    }
    let words = format!(" {} ", notes.join("   "));
    let room = area.width.saturating_sub(4);
    if let Some(start) = room.checked_sub(text::width(&words) as u16) {
        buf.set_string(area.x + 2 + start, area.bottom() - 1, &words, app.theme.dim().fg(Color::Reset));
    }
}

fn stage_row(app: &App, first: &Step, width: usize, columns: &Columns) -> Line<'static> {
    let state = &app.model.state;
    let steps = || state.steps.iter().filter(|s| s.stage.index == first.stage.index);
    let ran = |s: &&Step| !matches!(state.mark(s), Mark::Cached);
    let micros: u64 = steps().filter(ran).map(|s| s.elapsed(app.model.clock)).fold(0, u64::saturating_add);
    let name = match &first.stage.name {
        Some(_) => stage_name(first),
        None if state.steps.iter().all(|s| s.stage.index <= first.stage.index) => "final stage".to_owned(),
        None => format!("stage {}", first.stage.index),
    };
    let time = if micros >= SHOWN_FROM { text::seconds(micros) } else { String::new() };
    let right = columns.size;
    let name = text::pad(&format!("▾ {}", text::line(&name)), width.saturating_sub(9 + right));
    Line::from(vec![Span::styled(name, app.theme.strong()), Span::styled(text::pad_left(&time, 9), app.theme.dim())])
}

fn step_row(app: &App, step: &Step, columns: &Columns) -> Line<'static> {
    let theme = app.theme;
    let mark = app.model.state.mark(step);
    let selected = Some(step.line) == app.model.selected;
    let pointer = if selected { "▌" } else { " " };
    let word = match mark {
        Mark::Waiting if app.model.is_outline() => "not built",
        mark => mark.word(),
    };
    let word = if columns.word == 0 { String::new() } else { format!("  {}", text::pad(word, columns.word - 2)) };
    let size = step.layer.filter(|l| l.bytes > 0).map_or_else(|| "-".to_owned(), |l| text::size(l.bytes));
    let quiet = matches!(mark, Mark::Config | Mark::Skipped | Mark::Cancelled | Mark::Waiting);
    let body = if quiet { theme.dim() } else { Style::new() };
    let mut spans = vec![
        Span::raw(pointer),
        Span::styled(text::pad(theme.glyph(mark), columns.sign), theme.mark(mark)),
        Span::styled(sign(app, step), theme.advice()),
        Span::styled(format!("{:>1$} ", step.line, columns.line), theme.dim()),
        Span::styled(text::pad(&text::line(&step.name), columns.name), body),
        Span::styled(word, theme.mark(mark)),
        Span::styled(text::pad_left(&time(app, step, mark), columns.time), body),
    ];
    if columns.size > 0 {
        spans.push(Span::styled(text::pad_left(&size, columns.size), body));
    }
    Line::from(spans)
}

fn time(app: &App, step: &Step, mark: Mark) -> String {
    let micros = step.elapsed(app.model.clock);
    match mark {
        Mark::Cached if micros >= SHOWN_FROM => format!("({})", text::seconds(micros)),
        Mark::Running | Mark::New | Mark::Changed | Mark::Reran | Mark::Failed => text::seconds(micros),
        _ => "-".to_owned(),
    }
}
