//! Shell text in the 16 terminal colours. The grammar is read when the first RUN is shown.

use std::sync::OnceLock;

use ratatui::style::Style;
use ratatui::text::Span;
use syntect::parsing::{ParseState, ScopeStack, SyntaxSet};

use crate::front::tui::theme::Theme;

/// Longer text is shown without colours: nobody waits for them.
const LONGEST: usize = 4096;

fn grammars() -> &'static SyntaxSet {
    static GRAMMARS: OnceLock<SyntaxSet> = OnceLock::new();
    GRAMMARS.get_or_init(SyntaxSet::load_defaults_newlines)
}

/// Colours one line of safe shell text; text that cannot be read as shell stays plain.
pub fn colour(theme: Theme, text: &str) -> Vec<Span<'static>> {
    spans(theme, text).unwrap_or_else(|| vec![Span::raw(text.to_owned())])
}

fn spans(theme: Theme, text: &str) -> Option<Vec<Span<'static>>> {
    if text.len() > LONGEST || theme.mono {
        return None;
    }
    let grammar = grammars().find_syntax_by_extension("sh")?;
    let with_end = format!("{text}\n");
    let operations = ParseState::new(grammar).parse_line(&with_end, grammars()).ok()?;
    let mut stack = ScopeStack::new();
    let mut spans = Vec::new();
    let mut from = 0;
    for (at, operation) in operations {
        let at = at.min(text.len());
        if at > from {
            spans.push(Span::styled(text.get(from..at)?.to_owned(), style(theme, &stack)));
            from = at;
        }
        stack.apply(&operation).ok()?;
    }
    if from < text.len() {
        spans.push(Span::styled(text.get(from..)?.to_owned(), style(theme, &stack)));
    }
    Some(spans)
}

fn style(theme: Theme, stack: &ScopeStack) -> Style {
    for scope in stack.as_slice().iter().rev() {
        let name = scope.build_string();
        let colour = match name.split('.').next().unwrap_or("") {
            "comment" => return theme.dim(),
            "string" => 2,
            "constant" => 6,
            "keyword" | "storage" => 5,
            "variable" if name.starts_with("variable.function") => 4,
            "variable" if name.starts_with("variable.parameter") => 6,
            "variable" => 3,
            "support" | "entity" => 4,
            _ => continue,
        };
        return theme.indexed(colour);
    }
    Style::new()
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
