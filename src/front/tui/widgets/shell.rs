//! Shell text in the 16 terminal colours.

use ratatui::text::Span;

use crate::front::text::Syntax;
use crate::front::tui::theme::Theme;

/// Colours one line of safe shell text; text that cannot be read as shell stays plain.
pub fn colour(theme: Theme, text: &str) -> Vec<Span<'static>> {
    if theme.mono {
        return vec![Span::raw(text.to_owned())];
    }
    let pieces = Syntax::shell().line(text).into_iter();
    pieces.map(|(ink, piece)| Span::styled(piece, theme.output(ink))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_change_no_text() {
        for text in ["npm ci && echo \"$HOME\" # done", "", "'unclosed", "größe=漢字; [[ -f x ]]"] {
            let spans = colour(Theme::default(), text);
            assert_eq!(spans.iter().map(|s| s.content.as_ref()).collect::<String>(), text);
        }
        assert!(colour(Theme::default(), "npm ci && echo \"$HOME\"").len() > 3);
    }
}
