//! The screens. Every view draws from [`App`] and changes nothing; what does not fit is left out, never a panic.

pub mod build;
pub mod cascade;
pub mod dialog;
pub mod explain;
pub mod fix;
pub mod help;
pub mod layers;
pub mod timeline;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget};

use super::app::{App, Overlay};
use super::{ViewName, widgets};
use crate::front::text;

/// Smallest screen that shows views.
pub const SMALLEST: (u16, u16) = (60, 15);

/// The rows of a screen.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// The answers.
    pub header: Rect,
    /// The names of the views; empty on low screens.
    pub tabs: Rect,
    /// The view.
    pub body: Rect,
    /// One line for the user.
    pub message: Rect,
    /// Keys.
    pub footer: Rect,
}

impl Frame {
    /// Divides a screen; every part is empty when it does not fit.
    pub fn of(area: Rect) -> Self {
        let row = |y: u16, height: u16| Rect { x: area.x, y: area.y + y, width: area.width, height }.intersection(area);
        let tabs = u16::from(area.height >= 18);
        let body = area.height.saturating_sub(3 + tabs);
        Self {
            header: row(0, 1),
            tabs: row(1, tabs),
            body: row(1 + tabs, body),
            message: row(1 + tabs + body, 1),
            footer: row(2 + tabs + body, 1),
        }
    }
}

/// Two panes beside each other on wide screens: the share of the left one in per cent.
pub fn beside(area: Rect, percent: u16) -> (Rect, Rect) {
    let left = (u32::from(area.width) * u32::from(percent) / 100) as u16;
    let right = Rect { x: area.x + left, width: area.width - left, ..area };
    (Rect { width: left, ..area }, right)
}

/// One pane above the other: rows of the upper one.
pub fn above(area: Rect, rows: u16) -> (Rect, Rect) {
    let rows = rows.min(area.height);
    let lower = Rect { y: area.y + rows, height: area.height - rows, ..area };
    (Rect { height: rows, ..area }, lower)
}

/// Whether two panes fit beside each other.
pub fn is_wide(area: Rect) -> bool {
    area.width >= 100
}

/// Rows of text that the log over the whole screen shows.
pub fn log_height(size: (u16, u16)) -> usize {
    usize::from(Frame::of(Rect::new(0, 0, size.0, size.1)).body.height.saturating_sub(2))
}

/// Draws the whole interface.
pub fn render(app: &App, area: Rect, buf: &mut Buffer) {
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        too_small(area, buf);
    } else {
        let frame = Frame::of(area);
        widgets::header::header(app, frame.header, buf);
        widgets::header::tabs(app, frame.tabs, buf);
        match (app.full_log, app.view) {
            (true, _) => build::log(app, frame.body, buf),
            (false, ViewName::Build) => build::render(app, frame.body, buf),
            (false, ViewName::Explain) => explain::render(app, frame.body, buf),
            (false, ViewName::Cascade) => cascade::render(app, frame.body, buf),
            (false, ViewName::Timeline) => timeline::render(app, frame.body, buf),
            (false, ViewName::Fix) => fix::render(app, frame.body, buf),
            (false, ViewName::Layers) => layers::render(app, frame.body, buf),
        }
        widgets::footer::message(app, frame.message, buf);
        widgets::footer::keys(app, frame.footer, buf);
        match &app.overlay {
            Some(Overlay::Help { query, top }) => help::render(app, query, *top, area, buf),
            Some(Overlay::Dialog(question, yes)) => dialog::render(app, *question, *yes, area, buf),
            Some(Overlay::Filter) | None => {}
        }
    }
    app.theme.finish(buf);
}

fn too_small(area: Rect, buf: &mut Buffer) {
    let words = format!("needs {}×{}, has {}×{}", SMALLEST.0, SMALLEST.1, area.width, area.height);
    let line = Rect { y: area.y + area.height / 2, height: area.height.min(1), ..area }.intersection(area);
    let words = text::fit(&words, area.width.into());
    Paragraph::new(Line::from(Span::raw(words))).centered().render(line, buf);
}
