//! What to change in the Dockerfile: fixes on offer, those refused, and the one selected in full.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget};

use super::{Frame, above, beside, is_wide};
use crate::front::report::suggest;
use crate::front::text;
use crate::front::tui::app::App;
use crate::front::tui::keymap::{self, Action};
use crate::front::tui::model::{Fixes, Model};
use crate::front::tui::widgets::{diff, pane};
use crate::insight::suggest::{Refusal, Suggestion};

/// What the view remembers.
#[derive(Debug, Default)]
pub struct FixView {
    /// Row of the list: offers, then refusals.
    pub selected: usize,
    /// First row of the details.
    pub top: usize,
}

impl FixView {
    /// The selected fix, when it is an offer.
    pub fn suggestion<'a>(&self, model: &'a Model) -> Option<&'a Suggestion> {
        model.report().and_then(|report| report.offered.get(self.selected))
    }

    fn refusal<'a>(&self, model: &'a Model) -> Option<&'a Refusal> {
        let report = model.report()?;
        report.refused.get(self.selected.checked_sub(report.offered.len())?)
    }
}

fn panes(app: &App, body: Rect) -> (Rect, Rect) {
    if is_wide(body) {
        return beside(body, 42);
    }
    let rows = app.model.report().map_or(1, |r| r.offered.len() + r.refused.len()).max(1) as u16;
    above(body, (rows + 2).min(body.height / 3))
}

/// The largest useful first row of the details on the present screen.
pub fn max_top(app: &App) -> usize {
    let (_, detail) = panes(app, Frame::of(Rect::new(0, 0, app.size.0, app.size.1)).body);
    details(app, detail.width.saturating_sub(4).into()).len().saturating_sub(detail.height.saturating_sub(2).into())
}

/// Draws the view.
pub fn render(app: &App, body: Rect, buf: &mut Buffer) {
    let (list, detail) = panes(app, body);
    let report = app.model.report();
    let offers = report.map_or(0, |r| r.offered.len());
    let inner = pane::render(app.theme, "Fixes", &format!("{offers} on offer"), list, buf);
    rows(app, inner, buf);
    let title = match (app.fix.suggestion(&app.model), app.fix.refusal(&app.model)) {
        (Some(s), _) => format!("Dockerfile line {}", s.line),
        (_, Some(r)) => format!("Dockerfile line {}", r.line),
        _ => "Details".to_owned(),
    };
    let lines = details(app, detail.width.saturating_sub(4).into());
    let more = lines.len() > usize::from(detail.height.saturating_sub(2));
    let note = if more { format!("{} more", keymap::label(Action::PageDown)) } else { String::new() };
    let inner = pane::render(app.theme, &title, &note, detail, buf);
    Paragraph::new(lines.into_iter().skip(app.fix.top).collect::<Vec<_>>()).render(inner, buf);
}

fn rows(app: &App, area: Rect, buf: &mut Buffer) {
    let width = usize::from(area.width);
    let Some(report) = app.model.report() else {
        return Paragraph::new(Line::styled(text::fit(&state_of_search(&app.model), width), app.theme.dim()))
            .render(area, buf);
    };
    let total = report.offered.len() + report.refused.len();
    if total == 0 {
        let words = "Nothing to improve was found in this Dockerfile.";
        return Paragraph::new(Line::styled(words, app.theme.good())).render(area, buf);
    }
    let height = usize::from(area.height);
    let top = app.fix.selected.saturating_sub(height / 2).min(total.saturating_sub(height));
    for (y, at) in (top..total).take(height).enumerate() {
        let row = Rect { y: area.y + y as u16, height: 1, ..area };
        let line = match (report.offered.get(at), report.refused.get(at.wrapping_sub(report.offered.len()))) {
            (Some(s), _) => offer_row(app, at, s, width),
            (_, Some(r)) => refusal_row(app, r, width),
            _ => Line::default(),
        };
        Paragraph::new(line).render(row, buf);
        if at == app.fix.selected {
            buf.set_style(row, app.theme.selected());
        }
    }
}

fn state_of_search(model: &Model) -> String {
    match &model.fixes {
        Fixes::Looking => "Looking for fixes".to_owned(),
        Fixes::Failed(message) => text::line(message),
        Fixes::Unknown | Fixes::Known(_) => "Not looked for yet".to_owned(),
    }
}

fn offer_row(app: &App, at: usize, suggestion: &Suggestion, width: usize) -> Line<'static> {
    let name = char::from(b'A' + (at % 26) as u8);
    let saving = suggestion
        .saving
        .as_ref()
        .map_or_else(String::new, |s| format!("saves {}", text::seconds(s.now_micros.saturating_sub(s.after_micros))));
    let title = text::pad(&text::line(&suggestion.title), width.saturating_sub(5 + text::width(&saving)));
    Line::from(vec![
        Span::styled(format!(" {name}  "), app.theme.accent()),
        Span::raw(title),
        Span::styled(format!(" {saving}"), app.theme.advice()),
    ])
}

fn refusal_row(app: &App, refusal: &Refusal, width: usize) -> Line<'static> {
    let words = format!(" –  line {} not offered: {}", refusal.line, text::line(&refusal.reason));
    Line::styled(text::fit(&words, width), app.theme.dim())
}

fn details(app: &App, width: usize) -> Vec<Line<'static>> {
    let theme = app.theme;
    let mut page = Page { width, lines: Vec::new() };
    if let Some(refusal) = app.fix.refusal(&app.model) {
        page.add("Not offered: ", theme.strong(), &refusal.reason, Style::new());
        page.add("Rule: ", theme.strong(), &refusal.rule, Style::new());
    }
    let Some(suggestion) = app.fix.suggestion(&app.model) else { return page.lines };
    page.add("", Style::new(), &capital(&suggestion.title), theme.strong());
    page.add("", Style::new(), &capital(&suggest::saving(suggestion)), theme.advice());
    if let Some(words) = suggest::expected(suggestion) {
        page.add("", Style::new(), &capital(&words), theme.advice());
    }
    page.add("", Style::new(), &capital(&suggest::proof(suggestion)), theme.removed());
    page.lines.push(Line::default());
    page.lines.extend(diff::lines(theme, &suggestion.before, &suggestion.after, width));
    page.list("What was seen", &suggestion.evidence, theme.strong());
    page.list("What could go wrong", &suggestion.risks, theme.strong());
    if let Some(saving) = suggestion.saving.as_ref().filter(|s| !s.spared_lines.is_empty()) {
        let spared: Vec<String> = saving.spared_lines.iter().map(u32::to_string).collect();
        page.list("Would no longer run", &[format!("line {}", spared.join(", "))], theme.strong());
    }
    page.lines
}

struct Page {
    width: usize,
    lines: Vec<Line<'static>>,
}

impl Page {
    fn add(&mut self, lead: &str, lead_style: Style, words: &str, style: Style) {
        let room = self.width.saturating_sub(text::width(lead));
        for (row, part) in text::wrap(&text::line(words), room).into_iter().enumerate() {
            let lead = if row == 0 { lead.to_owned() } else { " ".repeat(text::width(lead)) };
            self.lines.push(Line::from(vec![Span::styled(lead, lead_style), Span::styled(part, style)]));
        }
    }

    fn list(&mut self, head: &'static str, items: &[String], style: Style) {
        if items.is_empty() {
            return;
        }
        self.lines.push(Line::default());
        self.lines.push(Line::styled(head, style));
        for item in items {
            self.add("  · ", Style::new(), item, Style::new());
        }
    }
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
