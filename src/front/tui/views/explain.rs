//! Why the selected step ran, or did not.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget};

use super::{Frame, beside, is_wide};
use crate::engine::verdict::MissReason;
use crate::front::report::plan;
use crate::front::report::why::{self, Fact, FactKind};
use crate::front::text;
use crate::front::tui::app::App;
use crate::front::tui::keymap::{self, Action};
use crate::front::tui::model::Outlook;
use crate::front::tui::widgets::{diff, pane, shell, steps};
use crate::insight::model::cascade::root_of;
use crate::insight::model::{Cascade, Fate, Mark, Step};

/// What the view remembers.
#[derive(Debug, Default)]
pub struct ExplainView {
    /// First row shown.
    pub top: usize,
}

fn panes(body: Rect) -> (Option<Rect>, Rect) {
    if !is_wide(body) {
        return (None, body);
    }
    let (left, right) = beside(body, 45);
    (Some(left), right)
}

/// The largest useful first row on the present screen.
pub fn max_top(app: &App) -> usize {
    let (_, text) = panes(Frame::of(Rect::new(0, 0, app.size.0, app.size.1)).body);
    lines(app, text.width.saturating_sub(4).into()).len().saturating_sub(text.height.saturating_sub(2).into())
}

/// Draws the view.
pub fn render(app: &App, body: Rect, buf: &mut Buffer) {
    let (list, right) = panes(body);
    if let Some(list) = list {
        steps::render(app, list, buf);
    }
    let lines = lines(app, right.width.saturating_sub(4).into());
    let more = lines.len() > usize::from(right.height.saturating_sub(2));
    let note = if more { format!("{} more", keymap::label(Action::PageDown)) } else { String::new() };
    let inner = pane::render(app.theme, &title(app, right.width.into()), &note, right, buf);
    Paragraph::new(lines.into_iter().skip(app.explain.top).collect::<Vec<_>>()).render(inner, buf);
}

/// The question that the page answers; the name is cut so that the question stays whole.
fn title(app: &App, width: usize) -> String {
    let Some(step) = app.model.step() else { return "Why".to_owned() };
    let (before, after) = match app.model.state.mark(step) {
        Mark::Reran | Mark::Changed => ("Why did", "run again?"),
        Mark::New => ("Why did", "run?"),
        Mark::Cached => ("Why did", "not run?"),
        Mark::Failed => ("Why did", "fail?"),
        Mark::Config => ("What does", "do?"),
        _ => ("What about", ""),
    };
    let name = format!("{} {}", step.line, text::line(&step.name));
    let name = text::fit(&name, width.saturating_sub(before.len() + after.len() + 24));
    format!("{before}  {name}  {after}").trim_end().to_owned()
}

fn lines(app: &App, width: usize) -> Vec<Line<'static>> {
    let Some(step) = app.model.step() else {
        return vec![Line::styled("Select a step in the Build view.", app.theme.dim())];
    };
    let facts = why::facts(&app.model.state, step);
    let mut page = Page { app, width, lines: Vec::new() };
    page.verdict(step, &facts);
    let head = if step.ran_unchanged().is_some() { "Reason" } else { "What changed" };
    page.section(head, &facts, |k| matches!(k, FactKind::Reason(c) if c.starts_with('M')));
    page.commands(step);
    page.root(step);
    page.section("", &facts, |k| matches!(k, FactKind::RootReason(_)));
    page.section("Cost", &facts, |k| k == FactKind::Cost);
    page.followers(step);
    page.section("Link to the step before", &facts, |k| matches!(k, FactKind::Reason(c) if !c.starts_with('M')));
    page.next_build(step);
    page.section("Details", &facts, |k| k == FactKind::Detail);
    page.command(step);
    page.lines
}

struct Page<'a> {
    app: &'a App,
    width: usize,
    lines: Vec<Line<'static>>,
}

impl Page<'_> {
    fn head(&mut self, words: &'static str) {
        self.lines.push(Line::default());
        self.lines.push(Line::styled(words, self.app.theme.strong()));
    }

    fn wrapped(&mut self, lead: &str, lead_style: Style, words: &str, style: Style) {
        let room = self.width.saturating_sub(text::width(lead));
        for (row, part) in words.lines().flat_map(|l| text::wrap(l, room)).enumerate() {
            let blank = " ".repeat(text::width(lead));
            let lead = if row == 0 { lead.to_owned() } else { blank };
            self.lines.push(Line::from(vec![Span::styled(lead, lead_style), Span::styled(part, style)]));
        }
    }

    fn verdict(&mut self, step: &Step, facts: &[Fact]) {
        let theme = self.app.theme;
        let mark = self.app.model.state.mark(step);
        let lead = format!("{} {}   ", theme.glyph(mark), mark.word());
        for fact in facts.iter().filter(|f| matches!(f.kind, FactKind::Verdict | FactKind::Failure)) {
            match fact.kind {
                FactKind::Verdict => self.wrapped(&lead, theme.mark(mark), &sentence(&fact.text), theme.strong()),
                _ => self.wrapped("  ", theme.error(), &fact.text, theme.error()),
            }
        }
    }

    fn section(&mut self, head: &'static str, facts: &[Fact], of: impl Fn(FactKind) -> bool) {
        let theme = self.app.theme;
        let mut first = true;
        for fact in facts.iter().filter(|fact| of(fact.kind)) {
            if std::mem::take(&mut first) && !head.is_empty() {
                self.head(head);
            }
            match fact.kind {
                FactKind::Reason(code) => self.wrapped(&format!("  {code:<3} "), theme.advice(), &fact.text, Style::new()),
                FactKind::RootReason(code) => {
                    self.wrapped(&format!("      {code:<3} "), theme.advice(), &fact.text, Style::new());
                }
                FactKind::Cost => {
                    let words = fact.text.trim_start_matches("cost: ");
                    self.wrapped("  ", Style::new(), words, Style::new());
                }
                _ => self.wrapped("  ", Style::new(), &fact.text, Style::new()),
            }
        }
    }

    /// The command before and now, with the words that differ marked.
    fn commands(&mut self, step: &Step) {
        let changed = step.reasons().iter().find_map(|reason| match reason {
            MissReason::CommandChanged { old, new, .. } => Some((old, new)),
            _ => None,
        });
        let Some((old, new)) = changed else { return };
        self.head("Word by word");
        self.lines.extend(diff::words(self.app.theme, &text::line(old), &text::line(new), self.width));
    }

    /// The step where the cascade began, when that is another one.
    fn root(&mut self, step: &Step) {
        let state = &self.app.model.state;
        let other = |vertex: &_| *vertex != step.vertex;
        let Some(root) = root_of(state, step).filter(other).and_then(|vertex| state.step(vertex)) else { return };
        let mark = state.mark(root);
        self.head("Root cause");
        let lead = format!("  {} {:>2} ", self.app.theme.glyph(mark), root.line);
        self.wrapped(&lead, self.app.theme.mark(mark), &text::line(&root.name), self.app.theme.strong());
    }

    /// What a root cause pulled along, each with a bar of its time.
    fn followers(&mut self, step: &Step) {
        let state = &self.app.model.state;
        let cascade = Cascade::of(state);
        let Some(root) = cascade.root(step.vertex).filter(|root| !root.followers.is_empty()) else { return };
        let theme = self.app.theme;
        self.head("Then these ran, only because of it");
        let longest = root.followers.iter().filter_map(|v| state.step(*v)).map(|s| s.micros).max().unwrap_or(0).max(1);
        let room = self.width.saturating_sub(36).min(30);
        let name_width = self.width.saturating_sub(room + 19).min(60);
        for follower in root.followers.iter().filter_map(|v| state.step(*v)) {
            let mark = state.mark(follower);
            let bar = (u128::from(follower.micros) * room as u128 / u128::from(longest)) as usize;
            self.lines.push(Line::from(vec![
                Span::styled(format!("  {} ", text::pad(theme.glyph(mark), 2)), theme.mark(mark)),
                Span::raw(format!("{:>3} {} ", follower.line, text::pad(&text::line(&follower.name), name_width))),
                Span::raw(format!("{} ", text::pad_left(&text::seconds(follower.micros), 7))),
                Span::styled("█".repeat(bar.max(1).min(room)), theme.mark(mark)),
            ]));
        }
    }

    fn next_build(&mut self, step: &Step) {
        let words = next_build(self.app, step);
        if !words.is_empty() {
            self.head("Next build");
        }
        for words in words {
            self.wrapped("  ", Style::new(), &words, Style::new());
        }
    }

    fn command(&mut self, step: &Step) {
        let Some((keyword, rest)) = step.name.split_once(' ') else { return };
        self.head("The line");
        let rest = text::line(rest);
        let is_run = keyword.eq_ignore_ascii_case("run");
        let mut lead = format!("  {} ", text::line(keyword));
        for part in text::wrap(&rest, self.width.saturating_sub(text::width(&lead))) {
            let mut spans = vec![Span::styled(lead.clone(), self.app.theme.strong())];
            if is_run {
                spans.extend(shell::colour(self.app.theme, &part));
            } else {
                spans.push(Span::raw(part));
            }
            self.lines.push(Line::from(spans));
            lead = " ".repeat(text::width(&lead));
        }
    }
}

/// That the next build will or may run a step, and why; nothing if not. Safe text.
pub fn next_build(app: &App, step: &Step) -> Vec<String> {
    let Outlook::Known(plan) = &app.model.outlook else { return Vec::new() };
    let Some(planned) = plan.at_line(step.line) else { return Vec::new() };
    let words = match Fate::of(planned) {
        Fate::WillRun => "it will run".to_owned(),
        Fate::Unknown => "it may run".to_owned(),
        Fate::Hit | Fate::Config => return Vec::new(),
    };
    let whys = plan::whys(plan, planned);
    std::iter::once(words).chain(whys.iter().map(|why| text::line(why))).collect()
}

/// A clause of the report as a sentence of its own.
pub fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).chain(['.']).collect())
}
