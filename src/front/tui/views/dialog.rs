//! A question with two answers, the harmless one marked.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph, Widget};

use crate::front::text;
use crate::front::tui::app::{App, Question};
use crate::front::tui::keymap::Scope;
use crate::front::tui::widgets::{footer, pane};

/// Draws the question over the screen.
pub fn render(app: &App, question: Question, yes: bool, screen: Rect, buf: &mut Buffer) {
    let theme = app.theme;
    let (title, words, no_word, yes_word) = match question {
        Question::Apply => {
            let title = app.fix.suggestion(&app.model).map_or_else(String::new, |s| text::line(&s.title));
            let words = format!("Change the Dockerfile: {title}. It is not proven. A backup of the present file is kept.");
            ("Write Dockerfile?", words, " Cancel ", " Write Dockerfile ")
        }
        Question::Quit => {
            let words = "A build is running. Finished steps are kept when it is cancelled.".to_owned();
            ("Quit?", words, " Stay ", " Cancel build and quit ")
        }
    };
    let width = screen.width.saturating_sub(8).min(60);
    let lines = text::wrap(&words, width.saturating_sub(4).into());
    let height = (lines.len() as u16 + 6).min(screen.height);
    let area = Rect { x: screen.x + (screen.width - width) / 2, y: screen.y + (screen.height - height) / 2, width, height };
    Clear.render(area, buf);
    let inner = pane::render(theme, title, "", area, buf);
    let mark = |on: bool| if on { theme.selected().patch(theme.strong()) } else { theme.dim() };
    let answers = Line::from(vec![
        Span::styled(format!("[{no_word}]"), mark(!yes)),
        Span::raw("   "),
        Span::styled(format!("[{yes_word}]"), mark(yes)),
    ]);
    let mut all: Vec<Line> = lines.into_iter().map(Line::raw).collect();
    all.push(Line::default());
    all.push(answers);
    all.push(Line::default());
    all.push(Line::styled(footer::words(Scope::Dialog), theme.dim()));
    Paragraph::new(all).render(inner, buf);
}
