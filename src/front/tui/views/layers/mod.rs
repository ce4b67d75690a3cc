//! What the layers of the selected step's result hold: the layers, the tree of one or of all, and the beginning of a file.

pub mod preview;
pub mod state;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget};

pub use preview::PreviewText;
pub use state::{Answer, LayersFound, LayersView, Reading};

use super::{above, beside, is_wide};
use crate::engine::image::inspect::{Mark, Row, WasteGroup};
use crate::front::report::layers as report;
use crate::front::text;
use crate::front::tui::app::App;
use crate::front::tui::keymap::{self, Action};
use crate::front::tui::theme::Theme;
use crate::front::tui::widgets::pane;

/// Draws the view.
pub fn render(app: &App, body: Rect, buf: &mut Buffer) {
    let Some(found) = app.layers.known() else { return nothing(app, body, buf) };
    let rows = found.changed.len() as u16 + 2;
    let (list, rest) = if is_wide(body) { beside(body, 45) } else { above(body, rows.clamp(4, (body.height / 3).max(4))) };
    if is_wide(body) && !found.groups.is_empty() {
        let (upper, lower) = above(list, rows.min(list.height.saturating_sub(8)));
        layers(app, found, upper, buf);
        waste(app, found, lower, buf);
    } else {
        layers(app, found, list, buf);
    }
    if app.layers.has_preview() {
        let (upper, lower) = above(rest, rest.height / 2);
        tree(app, found, upper, buf);
        file(app, lower, buf);
    } else {
        tree(app, found, rest, buf);
    }
}

/// Why there is nothing to see yet.
fn nothing(app: &App, body: Rect, buf: &mut Buffer) {
    let inner = pane::render(app.theme, "Layers", "", body, buf);
    let (words, style) = match &app.layers.found {
        _ if app.is_live() => ("Layers are shown when the build has ended.".to_owned(), app.theme.dim()),
        _ if app.model.is_outline() => {
            (format!("Not built yet: press {} to build.", keymap::label(Action::Build)), app.theme.dim())
        }
        Answer::Failed(message) => (message.clone(), app.theme.error()),
        Answer::Waiting => ("Reading the layers".to_owned(), app.theme.dim()),
        Answer::None | Answer::Known(_) => ("Select a step in the Build view.".to_owned(), app.theme.dim()),
    };
    let width = usize::from(inner.width);
    let lines: Vec<Line> =
        words.lines().flat_map(|line| text::wrap(&text::line(line), width)).map(|line| Line::styled(line, style)).collect();
    Paragraph::new(lines).render(inner, buf);
}

/// First of the rows that are drawn, so that the selected one is in sight.
fn first(selected: usize, height: usize, count: usize) -> usize {
    selected.saturating_sub(height / 2).min(count.saturating_sub(height))
}

/// The list of layers, the highest first.
fn layers(app: &App, found: &LayersFound, area: Rect, buf: &mut Buffer) {
    let (view, theme, count) = (&app.layers, app.theme, found.changed.len());
    let total: u64 = found.bytes.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes));
    let wasted: u64 = found.wasted.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes));
    let score = found.efficiency.score() * 100.0;
    let mut note = text::size(total);
    if wasted > 0 {
        note.push_str(&match area.width {
            ..90 => format!("  !{}  {score:.0}%", text::size(wasted)),
            _ => format!("  {} wasted  {score:.0}% efficient", text::size(wasted)),
        });
    }
    let title = format!("Layers  {}", text::line(&found.of.name));
    let inner = pane::render(theme, &title, &note, area, buf);
    let (height, width) = (usize::from(inner.height), usize::from(inner.width));
    let at = count.saturating_sub(1).saturating_sub(view.layer);
    let largest = found.bytes.iter().copied().max().unwrap_or(0).max(1);
    for (y, from_top) in (first(at, height, count)..count).take(height).enumerate() {
        let layer = count - 1 - from_top;
        let place = Rect { y: inner.y + y as u16, height: 1, ..inner };
        let bytes = found.bytes.get(layer).copied().unwrap_or(0);
        let bar_room = if width >= 56 { 8 } else { 0 };
        let bar = "█".repeat((u128::from(bytes) * bar_room as u128 / u128::from(largest)) as usize);
        let waste = match found.wasted.get(layer).copied().unwrap_or(0) {
            0 => String::new(),
            bytes => format!("!{}", text::size(bytes)),
        };
        let made = found.of.layers.get(layer).map(report::maker).unwrap_or_default();
        let pointer = if layer == view.layer { "▌" } else { " " };
        let name_room = width.saturating_sub(4 + 9 + bar_room + 1 + 9);
        Line::from(vec![
            Span::raw(pointer),
            Span::styled(format!("{:>2} ", layer + 1), theme.dim()),
            Span::raw(text::pad(&made, name_room)),
            Span::raw(text::pad_left(&if bytes == 0 { "-".to_owned() } else { text::size(bytes) }, 9)),
            Span::styled(format!(" {}", text::pad(&bar, bar_room)), theme.mark(crate::insight::model::Mark::New)),
            Span::styled(text::pad_left(&waste, 9), theme.advice()),
        ])
        .render(place, buf);
        if layer == view.layer && !view.in_tree {
            buf.set_style(place, theme.selected());
        }
    }
}

/// What is wasted, and between which layers it was.
fn waste(app: &App, found: &LayersFound, area: Rect, buf: &mut Buffer) {
    let theme = app.theme;
    let note = "brought by > hidden by layer";
    let inner = pane::render(theme, "Waste", note, area, buf);
    let width = usize::from(inner.width);
    let row = |group: &WasteGroup| {
        let verb = if group.is_deleted { "removed" } else { "replaced" };
        let who = format!(" {} > {} {verb}", group.layer + 1, group.by + 1);
        let path = report::shown(&group.path, group.files > 1);
        Line::from(vec![
            Span::styled(text::pad_left(&text::size(group.bytes), 8), theme.advice()),
            Span::raw(format!("  {}", text::pad(&path, width.saturating_sub(10 + 20)))),
            Span::styled(text::pad(&who, 20), theme.dim()),
        ])
    };
    Paragraph::new(found.groups.iter().take(inner.height.into()).map(row).collect::<Vec<_>>()).render(inner, buf);
}

/// The rows of the tree that are in sight.
fn tree(app: &App, found: &LayersFound, area: Rect, buf: &mut Buffer) {
    let (view, theme, rows) = (&app.layers, app.theme, app.layers.rows());
    let key = keymap::label(Action::Merged);
    let (title, note) = match view.merged {
        true => ("All layers together".to_owned(), format!("{key}: one layer")),
        false => {
            let signs = if area.width < 76 { "" } else { "A added  C changed  R removed   " };
            (format!("Files in layer {}", view.layer + 1), format!("{signs}{key}: all layers"))
        }
    };
    let inner = pane::render(theme, &title, &note, area, buf);
    if rows.is_empty() {
        let words = if view.merged { "There are no files." } else { "This layer changes no file." };
        return Paragraph::new(Line::styled(words, theme.dim())).render(inner, buf);
    }
    let (height, count) = (usize::from(inner.height), view.visible.len());
    let top = first(view.row, height, count);
    for (y, at) in view.visible.iter().enumerate().skip(top).take(height) {
        let place = Rect { y: inner.y + (y - top) as u16, height: 1, ..inner };
        let Some(row) = rows.get(*at) else { continue };
        tree_row(app, found, *at, row, usize::from(inner.width)).render(place, buf);
        if y == view.row && view.in_tree {
            buf.set_style(place, theme.selected());
        }
    }
    let below = count.saturating_sub(top + height);
    if (top > 0 || below > 0) && area.height > 1 {
        let words = format!(" {top} above, {below} below ");
        if let Some(start) = area.width.saturating_sub(4).checked_sub(text::width(&words) as u16) {
            buf.set_string(area.x + 2 + start, area.bottom() - 1, &words, theme.dim().fg(Color::Reset));
        }
    }
}

fn tree_row(app: &App, found: &LayersFound, at: usize, row: &Row, width: usize) -> Line<'static> {
    let theme = app.theme;
    let entry = row.place.and_then(|place| found.stack.entry(place));
    let sign = match (row.end > at + 1, app.layers.is_open(at)) {
        (false, _) => " ",
        (true, true) => "▾",
        (true, false) => "▸",
    };
    // Deep trees stay in the room: what matters is the name.
    let indent = " ".repeat((2 * row.path.depth()).min(width / 3));
    let slash = if row.is_directory { "/" } else { "" };
    let arrow = entry.map(report::arrow).unwrap_or_default();
    let name = format!("{indent}{sign} {}{slash}{arrow}", text::path(row.path.name()));
    let style = row.mark.map_or(Style::new(), |mark| ink(theme, mark));
    let attributes = if width >= 64 { format!("  {}", report::attributes(entry)) } else { String::new() };
    let attributes = text::pad(&attributes, if width >= 64 { 24 } else { 0 });
    let room = width.saturating_sub(2 + 9 + text::width(&attributes));
    Line::from(vec![
        Span::styled(format!("{} ", row.mark.map_or(" ", report::sign)), style),
        Span::styled(text::pad(&name, room), if row.mark == Some(Mark::Removed) { style } else { Style::new() }),
        Span::raw(text::pad_left(&text::size(row.bytes), 9)),
        Span::styled(attributes, theme.dim()),
    ])
}

fn ink(theme: Theme, mark: Mark) -> Style {
    match mark {
        Mark::Added => theme.good(),
        Mark::Changed => theme.advice(),
        Mark::Removed => theme.removed(),
        Mark::Named => theme.dim(),
    }
}

/// The beginning of the selected file.
fn file(app: &App, area: Rect, buf: &mut Buffer) {
    let (view, theme) = (&app.layers, app.theme);
    let title = view.selected().map_or_else(String::new, |(_, row)| report::shown(&row.path, row.is_directory));
    let note = match &view.preview {
        Answer::Known(text) if text.lines.len() > usize::from(area.height.saturating_sub(2)) => {
            format!("{}   {} more", text.note, keymap::label(Action::PageDown))
        }
        Answer::Known(text) => text.note.clone(),
        _ => String::new(),
    };
    let inner = pane::render(theme, &title, &note, area, buf);
    let lines: Vec<Line> = match &view.preview {
        Answer::Known(text) if text.lines.is_empty() => vec![Line::styled("It is empty.", theme.dim())],
        Answer::Known(text) => {
            let top = view.top.min(text.lines.len().saturating_sub(inner.height.into()));
            text.lines.iter().skip(top).take(inner.height.into()).map(|line| drawn(theme, line)).collect()
        }
        Answer::Failed(message) => message.lines().map(|line| Line::styled(text::line(line), theme.error())).collect(),
        Answer::Waiting | Answer::None => vec![Line::styled("Reading the layer", theme.dim())],
    };
    Paragraph::new(lines).render(inner, buf);
}

fn drawn<'a>(theme: Theme, line: &'a [(text::Ink, String)]) -> Line<'a> {
    Line::from_iter(line.iter().map(|(ink, words)| Span::styled(words.as_str(), theme.output(*ink))))
}
