//! A frame with a title on the left and a note on the right of its upper border.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Color;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Padding, Widget};

use crate::front::text;
use crate::front::tui::theme::Theme;

/// Draws the frame, cutting the title where the note needs room; returns the room inside.
pub fn render(theme: Theme, title: &str, note: &str, area: Rect, buf: &mut Buffer) -> Rect {
    Clear.render(area, buf);
    let width = usize::from(area.width.saturating_sub(4));
    let note = if text::width(note) + 12 <= width { note } else { "" };
    let title = text::fit(title, width.saturating_sub(text::width(note) + 5));
    let mut block =
        Block::bordered().border_type(BorderType::Rounded).border_style(theme.border()).padding(Padding::horizontal(1));
    if !title.is_empty() {
        block = block.title(Line::from(vec![
            Span::styled("─ ", theme.border()),
            Span::styled(title, theme.strong().fg(Color::Reset)),
            Span::raw(" "),
        ]));
    }
    if !note.is_empty() {
        block = block.title(
            Line::from(vec![
                Span::styled(format!(" {note} "), theme.dim().fg(Color::Reset)),
                Span::styled("─", theme.border()),
            ])
            .right_aligned(),
        );
    }
    let inner = block.inner(area);
    block.render(area, buf);
    inner.intersection(area)
}
