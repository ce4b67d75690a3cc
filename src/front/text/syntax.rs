//! Colours of program text in the 16 terminal colours. The grammars are read when the first text is shown.

use std::path::Path;
use std::sync::OnceLock;

use syntect::parsing::{ParseState, ScopeStack, SyntaxReference, SyntaxSet};

use super::Ink;

/// Longer lines are shown without colours: nobody waits for them.
const LONGEST: usize = 4096;

fn grammars() -> &'static SyntaxSet {
    static GRAMMARS: OnceLock<SyntaxSet> = OnceLock::new();
    GRAMMARS.get_or_init(SyntaxSet::load_defaults_newlines)
}

/// Colours a text line by line.
pub struct Syntax {
    /// None for a text of no known grammar.
    state: Option<(ParseState, ScopeStack)>,
}

impl Syntax {
    /// By the name of a file, else by its first line.
    pub fn of_file(name: &str, first_line: &str) -> Self {
        let known = grammars();
        let extension = Path::new(name).extension().and_then(|e| e.to_str());
        let by_name =
            known.find_syntax_by_extension(name).or_else(|| extension.and_then(|e| known.find_syntax_by_extension(e)));
        let first_line: String = first_line.chars().take(200).collect();
        Self::with(by_name.or_else(|| known.find_syntax_by_first_line(&first_line)))
    }

    /// Of shell.
    pub fn shell() -> Self {
        Self::with(grammars().find_syntax_by_extension("sh"))
    }

    fn with(grammar: Option<&SyntaxReference>) -> Self {
        let grammar = grammar.filter(|grammar| grammar.name != grammars().find_syntax_plain_text().name);
        Self { state: grammar.map(|grammar| (ParseState::new(grammar), ScopeStack::new())) }
    }

    /// The next line, without its end, in pieces of one ink; their text together is the line.
    pub fn line(&mut self, text: &str) -> Vec<(Ink, String)> {
        let plain = || vec![(Ink::default(), text.to_owned())];
        if text.len() > LONGEST {
            // What comes after is read from a state that nobody knows.
            self.state = None;
        }
        let Some(state) = &mut self.state else { return plain() };
        match pieces(state, text) {
            Some(pieces) => pieces,
            None => {
                self.state = None;
                plain()
            }
        }
    }
}

fn pieces((state, stack): &mut (ParseState, ScopeStack), text: &str) -> Option<Vec<(Ink, String)>> {
    let operations = state.parse_line(&format!("{text}\n"), grammars()).ok()?;
    let mut out = Vec::new();
    let mut from = 0;
    for (at, operation) in operations {
        let at = at.min(text.len());
        if at > from {
            out.push((ink(stack), text.get(from..at)?.to_owned()));
            from = at;
        }
        stack.apply(&operation).ok()?;
    }
    if from < text.len() {
        out.push((ink(stack), text.get(from..)?.to_owned()));
    }
    Some(out)
}

fn ink(stack: &ScopeStack) -> Ink {
    for scope in stack.as_slice().iter().rev() {
        let name = scope.build_string();
        let colour = match name.split('.').next().unwrap_or("") {
            "comment" => return Ink { dim: true, ..Ink::default() },
            "string" => 2,
            "constant" => 6,
            "keyword" | "storage" => 5,
            "variable" if name.starts_with("variable.function") => 4,
            "variable" if name.starts_with("variable.parameter") => 6,
            "variable" => 3,
            "support" | "entity" => 4,
            _ => continue,
        };
        return Ink { colour: Some(colour), ..Ink::default() };
    }
    Ink::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_change_no_text() {
        let texts = ["{\"a\": [1, true]}", "", "# done", "größe=漢字", &"x".repeat(5000)];
        for name in ["a.json", "a.sh", "a.py", "noname", "Makefile"] {
            let mut syntax = Syntax::of_file(name, texts[0]);
            for text in texts {
                assert_eq!(syntax.line(text).into_iter().map(|(_, piece)| piece).collect::<String>(), text);
            }
        }
        assert!(Syntax::of_file("a.json", "").line(texts[0]).len() > 3);
        assert!(
            Syntax::of_file("script", "#!/usr/bin/env python").line("def f(): return 'x'").len() > 3,
            "by its first line"
        );
    }
}
