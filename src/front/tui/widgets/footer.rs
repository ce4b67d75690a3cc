//! The last rows: one line for the user, and the keys that mean something here.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget};

use crate::front::text;
use crate::front::tui::app::{App, Overlay};
use crate::front::tui::keymap::{self, Action, Scope};
use crate::front::tui::model::Message;
use crate::insight::model::headline;

/// Draws the message, or the sentence for the whole build.
pub fn message(app: &App, area: Rect, buf: &mut Buffer) {
    let theme = app.theme;
    let filter = &app.model.filter;
    let (words, style) = match &app.model.message {
        _ if app.overlay == Some(Overlay::Filter) => (format!("/{}▌", text::line(filter)), theme.accent()),
        Some(Message::Good(words)) => (text::line(words), theme.good()),
        Some(Message::Bad(words)) => (text::line(words), theme.error()),
        None if !filter.is_empty() => (format!("filter: {}   esc clears it", text::line(filter)), theme.accent()),
        None if app.model.is_outline() && !app.model.state.steps.is_empty() => (
            format!(
                "Not built yet. Press {} to build; {} shows all keys.",
                keymap::label(Action::Build),
                keymap::label(Action::Help)
            ),
            Style::new(),
        ),
        None if app.is_live() && app.model.state.finish.is_some() => ("Starting the build".to_owned(), Style::new()),
        None => (text::line(&headline(&app.model.state)), Style::new()),
    };
    let words = text::fit(&words, usize::from(area.width.saturating_sub(2)));
    Paragraph::new(Line::from(vec![Span::raw(" "), Span::styled(words, style)])).render(area, buf);
}

/// Draws the keys, dropping the last ones where room is short; the help stays to the end.
pub fn keys(app: &App, area: Rect, buf: &mut Buffer) {
    let theme = app.theme;
    let scopes = app.scopes();
    let help =
        if scopes.contains(&Scope::Everywhere) { format!("{} help ", keymap::label(Action::Help)) } else { String::new() };
    let mut room = usize::from(area.width).saturating_sub(text::width(&help) + 2);
    let mut spans = vec![Span::raw(" ")];
    for binding in keymap::hints(&scopes) {
        let (key, word) = (binding.short(), format!(" {}  ", binding.hint));
        let cells = text::width(&key) + text::width(&word);
        if cells > room {
            break;
        }
        room -= cells;
        spans.push(Span::styled(key, theme.strong()));
        spans.push(Span::styled(word, theme.dim()));
    }
    Paragraph::new(Line::from(spans)).render(area, buf);
    Paragraph::new(Line::styled(help, theme.strong()).right_aligned()).render(area, buf);
}

/// The keys of a scope as words: `enter choose  esc cancel`.
pub fn words(scope: Scope) -> String {
    let hints = keymap::hints(&[scope]);
    hints.iter().map(|b| format!("{} {}", b.short(), b.hint)).collect::<Vec<_>>().join("  ")
}
