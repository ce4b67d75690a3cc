//! Parser directives: `# name=value` at the head of a file.

use std::collections::HashMap;

use super::ast::Directive;
use super::diagnostic::Diagnostic;
use super::nearest::nearest;
use super::span::Span;

const NAMES: [&str; 3] = ["syntax", "escape", "check"];

/// Reads directives line by line until the first line that is none.
#[derive(Debug, Default)]
pub(super) struct DirectiveScanner {
    done: bool,
    seen: Vec<String>,
}

impl DirectiveScanner {
    /// Takes the next line (`text` starts with its first non-blank byte at `start`).
    ///
    /// A repeated directive is an error; a misspelt one is a comment, as in BuildKit, with a warning.
    pub(super) fn take(&mut self, text: &str, start: usize, diagnostics: &mut Vec<Diagnostic>) -> Option<Directive> {
        if self.done {
            return None;
        }
        let span = Span::new(start, start + text.len());
        let Some((name, value)) = name_and_value(text, "#") else {
            self.done = true;
            return None;
        };
        let name = name.to_ascii_lowercase();
        if !NAMES.contains(&name.as_str()) {
            self.done = true;
            if let Some(meant) = nearest(&name, NAMES) {
                let message = format!("`{name}` is no parser directive, so this line is a comment");
                diagnostics.push(Diagnostic::warning(span, message).with_help(format!("did you mean `{meant}`?")));
            }
            return None;
        }
        if self.seen.contains(&name) {
            diagnostics.push(Diagnostic::error(span, format!("only one `{name}` parser directive can be used")));
            return None;
        }
        self.seen.push(name.clone());
        Some(Directive { name, value: value.to_owned(), span })
    }
}

/// The escape character that a directive's value names.
pub(super) fn escape_character(directive: &Directive, diagnostics: &mut Vec<Diagnostic>) -> Option<char> {
    match directive.value.as_str() {
        "\\" => Some('\\'),
        "`" => Some('`'),
        other => {
            let message = format!("invalid escape character `{other}`");
            diagnostics.push(Diagnostic::error(directive.span, message).with_help("use a backslash or a backtick"));
            None
        }
    }
}

/// A directive found by [`detect_syntax`] or [`detect_check`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetectedDirective {
    /// The value up to its first blank.
    pub reference: String,
    /// The whole value.
    pub value: String,
    /// Its line, from 1.
    pub line: u32,
}

/// The frontend that a file of any kind asks for: `# syntax=`, `// syntax=`, or `{"syntax": ...}`, also below a `#!` line.
///
/// Source of the rule: `DetectSyntax` of BuildKit's parser.
pub fn detect_syntax(source: &str) -> Option<DetectedDirective> {
    let (text, skipped) = without_head(source);
    from_comments(text, skipped, "#", "syntax").or_else(|| from_comments(text, skipped, "//", "syntax")).or_else(|| {
        let document: HashMap<String, serde_json::Value> = serde_json::from_str(text).ok()?;
        let value = document.get("syntax")?.as_str()?.to_owned();
        Some(DetectedDirective { reference: value.clone(), value, line: skipped + 1 })
    })
}

/// The `# check=` directive, also below a `#!` line.
///
/// Source of the rule: `ParseDirective` of BuildKit's parser.
pub fn detect_check(source: &str) -> Option<DetectedDirective> {
    let (text, skipped) = without_head(source);
    from_comments(text, skipped, "#", "check")
}

/// The text without byte order mark and `#!` line, and how many lines were skipped.
fn without_head(source: &str) -> (&str, u32) {
    let text = source.strip_prefix('\u{feff}').unwrap_or(source);
    match text.strip_prefix("#!") {
        Some(rest) => (rest.split_once('\n').map_or("", |(_, below)| below), 1),
        None => (text, 0),
    }
}

fn from_comments(text: &str, skipped: u32, comment: &str, wanted: &str) -> Option<DetectedDirective> {
    let mut seen: Vec<String> = Vec::new();
    for (line, number) in text.lines().zip(skipped + 1..) {
        let (name, value) = name_and_value(line, comment)?;
        let name = name.to_ascii_lowercase();
        if !NAMES.contains(&name.as_str()) || seen.contains(&name) {
            return None;
        }
        if name == wanted {
            let reference = value.split(' ').next().unwrap_or("").to_owned();
            return Some(DetectedDirective { reference, value: value.to_owned(), line: number });
        }
        seen.push(name);
    }
    None
}

/// Takes `# name = value` apart.
fn name_and_value<'t>(text: &'t str, comment: &str) -> Option<(&'t str, &'t str)> {
    let text = text.strip_prefix(comment)?.trim_start();
    let (name, value) = text.split_once('=')?;
    let name = name.trim_end();
    let value = value.trim();
    let well_formed = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(|c| c.is_ascii_alphanumeric());
    (well_formed && !value.is_empty()).then_some((name, value))
}
