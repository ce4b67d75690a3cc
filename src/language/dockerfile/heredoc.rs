//! Heredocs: which ones a line opens, where their bodies end, and what a RUN makes of them.

use std::collections::HashMap;

use super::ast::{Arguments, CommandForm, Heredoc, Instruction};
use super::expand::{ExpandOptions, expand_words_with};
use super::span::Span;

/// A redirection `<<NAME` before its body is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeredocWord {
    /// The delimiter without quotes.
    pub name: String,
    /// False when the delimiter was quoted.
    pub expand: bool,
    /// `<<-`.
    pub chomp: bool,
    /// The number in front of `<<`, else 0.
    pub file_descriptor: u32,
    /// `<< NAME` with a blank between: taken as a heredoc only when the body has an end, because `$((1 << 2))` looks alike.
    pub(super) apart: bool,
}

/// The quotes of a heredoc's delimiter do not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the quotes around the heredoc's name do not match")]
pub struct HeredocQuotesError;

/// Reads one word such as `<<EOF`, `3<<-'EOF'`; `None` when it is no heredoc.
///
/// Source of the rule: `ParseHeredoc` of BuildKit's parser.
///
/// # Errors
/// When the delimiter's quotes do not match.
pub fn parse_heredoc_word(word: &str) -> Result<Option<HeredocWord>, HeredocQuotesError> {
    let digits = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let (number, rest) = word.split_at(digits);
    let Some(rest) = rest.strip_prefix("<<") else { return Ok(None) };
    let (chomp, rest) = match rest.strip_prefix('-') {
        Some(below) => (true, below),
        None => (false, rest),
    };
    if rest.contains('<') || rest.trim().is_empty() {
        return Ok(None);
    }
    let nothing = |_: &str| -> Option<String> { None };
    let options = ExpandOptions { keep_unset: true, ..ExpandOptions::new('\\') };
    let plain = expand_words_with(rest, &nothing, options).map_err(|_| HeredocQuotesError)?;
    let [name] = plain.words.as_slice() else { return Ok(None) };
    let quoted =
        expand_words_with(rest, &nothing, ExpandOptions { raw_quotes: true, ..options }).map_err(|_| HeredocQuotesError)?;
    let raw = quoted.words.first().map_or("", String::as_str);
    Ok(Some(HeredocWord {
        expand: count_quotes(name) == count_quotes(raw),
        name: name.clone(),
        chomp,
        file_descriptor: number.parse().unwrap_or(0),
        apart: false,
    }))
}

fn count_quotes(text: &str) -> usize {
    text.chars().filter(|c| matches!(c, '\'' | '"')).count()
}

/// The heredocs that a logical line opens, in order.
///
/// Source of the rule: `heredocsFromLine` of BuildKit's parser. A line that its lexer cannot read opens none.
///
/// # Errors
/// When a delimiter's quotes do not match.
pub fn heredocs_of_line(line: &str) -> Result<Vec<HeredocWord>, HeredocQuotesError> {
    let mut found = Vec::new();
    if !line.contains("<<") {
        return Ok(found);
    }
    let nothing = |_: &str| -> Option<String> { None };
    let options = ExpandOptions { raw_quotes: true, raw_escapes: true, keep_unset: true, ..ExpandOptions::new('\\') };
    let Ok(expanded) = expand_words_with(line, &nothing, options) else { return Ok(found) };
    let mut words = expanded.words.iter().peekable();
    while let Some(word) = words.next() {
        let operator = word.trim_start_matches(|c: char| c.is_ascii_digit());
        let apart = operator == "<<" || operator == "<<-";
        let heredoc = match words.peek() {
            Some(name) if apart => parse_heredoc_word(&format!("{word}{name}")).unwrap_or(None),
            _ => parse_heredoc_word(word)?,
        };
        if let Some(heredoc) = heredoc {
            found.push(HeredocWord { apart, ..heredoc });
        }
    }
    Ok(found)
}

/// Where in a source each possible delimiter line stands, so that many heredocs without an end do not make parsing quadratic.
#[derive(Debug, Default)]
pub(super) struct DelimiterLines {
    exact: HashMap<String, Vec<(usize, usize)>>,
    without_tabs: HashMap<String, Vec<(usize, usize)>>,
}

impl DelimiterLines {
    /// Indexes the lines from byte `from` on.
    pub(super) fn new(source: &str, from: usize) -> Self {
        let mut index = Self::default();
        let mut start = from;
        for line in source.get(from..).unwrap_or("").split_inclusive('\n') {
            let place = (start, start + line.len());
            start = place.1;
            let text = line.trim_end_matches(['\r', '\n']);
            index.exact.entry(text.to_owned()).or_default().push(place);
            if text.starts_with('\t') {
                index.without_tabs.entry(text.trim_start_matches('\t').to_owned()).or_default().push(place);
            }
        }
        index
    }

    /// The first line from byte `from` on that ends the heredoc: its start and the start of the next line.
    pub(super) fn end_of(&self, heredoc: &HeredocWord, from: usize) -> Option<(usize, usize)> {
        let first = |lines: &HashMap<String, Vec<(usize, usize)>>| {
            let places = lines.get(&heredoc.name)?;
            places.get(places.partition_point(|(start, _)| *start < from)).copied()
        };
        let exact = first(&self.exact);
        if !heredoc.chomp {
            return exact;
        }
        match (exact, first(&self.without_tabs)) {
            (Some(left), Some(right)) => Some(left.min(right)),
            (left, right) => left.or(right),
        }
    }
}

/// Builds the heredoc from its word and its body.
pub(super) fn with_body(word: HeredocWord, body: &str, span: Span) -> Heredoc {
    let content = if word.chomp { without_leading_tabs(body) } else { body.to_owned() };
    Heredoc { name: word.name, expand: word.expand, chomp: word.chomp, file_descriptor: word.file_descriptor, content, span }
}

fn without_leading_tabs(body: &str) -> String {
    body.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
}

/// What a RUN gives to the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunScript {
    /// This text, to be handed to the shell of the SHELL instruction.
    Shell(String),
    /// A heredoc that opens with `#!`: it becomes a file of this name, and is executed as it is.
    File {
        /// The delimiter.
        name: String,
        /// The body.
        content: String,
    },
    /// An argument vector.
    Exec(Vec<String>),
}

/// What a RUN instruction executes, with its heredocs put in place; `None` for other instructions.
///
/// Source of the rule: `dispatchRun` in BuildKit's `dockerfile2llb/convert.go`.
pub fn run_script(instruction: &Instruction, source: &str) -> Option<RunScript> {
    let Arguments::Run(form) = &instruction.arguments else { return None };
    let text = match form {
        CommandForm::Exec(words) => return Some(RunScript::Exec(words.clone())),
        CommandForm::Shell(text) => text,
    };
    let Some(first) = instruction.heredocs.first() else { return Some(RunScript::Shell(text.clone())) };
    if matches!(parse_heredoc_word(text), Ok(Some(_))) {
        let content = first.content.clone();
        // Tabs that the heredoc removes do not hide the `#!` (BuildKit's `testRunShebangHeredoc`).
        if content.starts_with("#!") {
            return Some(RunScript::File { name: first.name.clone(), content });
        }
        return Some(RunScript::Shell(content));
    }
    let mut full = text.clone();
    for heredoc in &instruction.heredocs {
        full.push('\n');
        full.push_str(heredoc.span.text(source));
        full.push_str(&heredoc.name);
    }
    Some(RunScript::Shell(full))
}
