//! Text to tree. One pass over the physical lines; each becomes a piece, and what is wrong becomes a diagnostic.
//!
//! Source of the rules: `frontend/dockerfile/parser/parser.go` of BuildKit. BuildKit stops at the first error; here every
//! instruction is read, and those with errors are left out of the tree.

use std::sync::Arc;

use super::arguments::Request;
use super::ast::{Arguments, Dockerfile, Heredoc, Instruction, Keyword, Piece, PieceKind};
use super::diagnostic::{Diagnostic, Severity};
use super::directive::{DirectiveScanner, escape_character};
use super::flags::{check_flags, take_flags};
use super::heredoc::{DelimiterLines, HeredocWord, heredocs_of_line, with_body};
use super::logical::{LogicalLine, Slice};
use super::nearest::nearest;
use super::span::{LineIndex, Span};
use super::words::is_blank;

/// The largest file that is read: 10 MiB.
pub const FILE_LIMIT: usize = 10 << 20;
/// The longest line in bytes, as in BuildKit.
pub const LINE_LIMIT: usize = 65_535;
/// The message about an empty line between continuation lines; a build check looks for it.
pub const EMPTY_CONTINUATION: &str = "empty continuation line";

/// Parses a Dockerfile. Never fails: what is wrong is in `diagnostics`, sorted by place.
///
/// A file larger than [`FILE_LIMIT`] is one broken piece with one diagnostic.
pub fn parse(source: &str) -> Dockerfile {
    let mut parser = Parser::new(source);
    if source.len() > FILE_LIMIT {
        parser.findings.push(Diagnostic::error(Span::new(0, 0), "the file is larger than 10 MiB"));
        parser.pieces.push(Piece { span: Span::new(0, source.len()), kind: PieceKind::Broken });
        return parser.finish();
    }
    parser.read();
    parser.finish()
}

/// A physical line.
#[derive(Clone, Copy)]
struct Line<'s> {
    start: usize,
    /// Start of the next line.
    end: usize,
    /// Without its line break.
    text: &'s str,
}

struct Parser<'s> {
    source: &'s str,
    at: usize,
    lines: LineIndex,
    directives: Vec<super::ast::Directive>,
    scanner: DirectiveScanner,
    escape: char,
    pieces: Vec<Piece>,
    instructions: Vec<Instruction>,
    findings: Vec<Diagnostic>,
    delimiters: Option<DelimiterLines>,
    /// Whether a FROM (or what was meant as one) has been met.
    stage_begun: bool,
    /// Instructions that stand before the first FROM and may not.
    before_stage: Vec<(Keyword, Span)>,
    any_instruction: bool,
}

/// Keyword, flags and arguments of a logical line.
struct Head<'l> {
    keyword: Keyword,
    keyword_span: Span,
    flags: Vec<super::ast::Flag>,
    rest: Slice<'l>,
}

impl<'s> Parser<'s> {
    fn new(source: &'s str) -> Self {
        Self {
            source,
            at: 0,
            lines: LineIndex::new(source),
            directives: Vec::new(),
            scanner: DirectiveScanner::default(),
            escape: '\\',
            pieces: Vec::new(),
            instructions: Vec::new(),
            findings: Vec::new(),
            delimiters: None,
            stage_begun: false,
            before_stage: Vec::new(),
            any_instruction: false,
        }
    }

    fn read(&mut self) {
        if self.source.starts_with('\u{feff}') {
            self.at = '\u{feff}'.len_utf8();
            self.pieces.push(Piece { span: Span::new(0, self.at), kind: PieceKind::ByteOrderMark });
        }
        while let Some(line) = self.next_line() {
            self.line(line);
        }
        self.check_whole();
    }

    fn finish(mut self) -> Dockerfile {
        self.findings.sort_by_key(|finding| (finding.span.start, finding.span.end));
        Dockerfile {
            source: Arc::from(self.source),
            lines: self.lines,
            directives: self.directives,
            escape: self.escape,
            pieces: self.pieces,
            instructions: self.instructions,
            diagnostics: self.findings,
        }
    }

    fn next_line(&mut self) -> Option<Line<'s>> {
        let rest = self.source.get(self.at..).filter(|rest| !rest.is_empty())?;
        let length = rest.find('\n').map_or(rest.len(), |newline| newline + 1);
        let start = self.at;
        self.at += length;
        let text = rest[..length].trim_end_matches(['\r', '\n']);
        self.check_length(start, rest[..length].trim_end_matches('\n'));
        Some(Line { start, end: self.at, text })
    }

    fn check_length(&mut self, start: usize, text: &str) {
        if text.len() > LINE_LIMIT {
            let message = format!("the line is longer than {LINE_LIMIT} bytes");
            let diagnostic = Diagnostic::error(Span::new(start, start + text.len()), message);
            self.findings.push(diagnostic.with_help("break it with continuations, or move the text into a file"));
        }
    }

    fn line(&mut self, line: Line<'s>) {
        let text = line.text.trim_start();
        let start = line.start + (line.text.len() - text.len());
        let mut piece = |kind| self.pieces.push(Piece { span: Span::new(line.start, line.end), kind });
        if let Some(directive) = self.scanner.take(text, start, &mut self.findings) {
            piece(PieceKind::Directive);
            if directive.name == "escape"
                && let Some(escape) = escape_character(&directive, &mut self.findings)
            {
                self.escape = escape;
            }
            self.directives.push(directive);
        } else if text.starts_with('#') {
            piece(PieceKind::Comment);
        } else if text.is_empty() {
            piece(PieceKind::Blank);
        } else {
            self.instruction(line, text, start);
        }
    }

    /// Reads an instruction with its continuation lines and heredocs.
    fn instruction(&mut self, first: Line<'s>, text: &'s str, start: usize) {
        let logical = self.join(text, start);
        let head_end = self.at;
        self.any_instruction = true;
        let read = self.understand(&logical, Span::new(start, start + text.len()));
        // The joined lines, and the heredocs' bodies if there were any.
        let end = self.at.max(head_end);
        let span = Span::new(first.start, end);
        match read {
            Some(mut instruction) => {
                let trimmed = self.source[start..end].trim_end_matches('\n');
                let trimmed = trimmed.strip_suffix('\r').unwrap_or(trimmed);
                instruction.span = Span::new(start, start + trimmed.len());
                instruction.line = self.lines.line(start);
                instruction.end_line = self.lines.line(end.saturating_sub(1).max(start));
                self.pieces.push(Piece { span, kind: PieceKind::Instruction(self.instructions.len()) });
                self.instructions.push(instruction);
            }
            None => self.pieces.push(Piece { span, kind: PieceKind::Broken }),
        }
    }

    /// Joins continuation lines: the escape character, blanks behind it and the line break vanish, and so do comment and
    /// blank lines in between; the indentation of the next line stays.
    fn join(&mut self, text: &'s str, start: usize) -> LogicalLine {
        let mut logical = LogicalLine::default();
        let (part, mut continues) = without_continuation(text, self.escape);
        logical.push(part, start);
        let mut empty_line = None;
        while continues {
            let Some(line) = self.next_line() else { break };
            let trimmed = line.text.trim_start();
            if trimmed.starts_with('#') {
                continue;
            }
            if trimmed.is_empty() {
                empty_line.get_or_insert(Span::new(line.start, line.start + line.text.len()));
                continue;
            }
            let (part, more) = without_continuation(line.text, self.escape);
            logical.push(part, line.start);
            continues = more;
        }
        if let Some(span) = empty_line {
            let help = "remove it: empty continuation lines will become errors in a future release";
            self.findings.push(Diagnostic::warning(span, EMPTY_CONTINUATION).with_help(help));
        }
        logical
    }

    /// Reads a logical line; `None` when an error was found in it.
    fn understand(&mut self, logical: &LogicalLine, line: Span) -> Option<Instruction> {
        let findings_before = self.findings.len();
        let whole = logical.whole().trim();
        let head = self.head(whole, line)?;
        self.check_place(head.keyword, head.keyword_span);
        let heredocs = self.heredocs(&head, logical.text());
        let instruction = self.build(head, heredocs)?;
        let broken = self.findings[findings_before..].iter().any(|finding| finding.severity == Severity::Error);
        (!broken).then_some(instruction)
    }

    fn head<'l>(&mut self, whole: Slice<'l>, line: Span) -> Option<Head<'l>> {
        let text = whole.text();
        let end = text.find(is_blank).unwrap_or(text.len());
        let written = whole.part(0, end);
        let known = Keyword::ALL.iter().find(|keyword| keyword.as_str().eq_ignore_ascii_case(written.text()));
        let Some(keyword) = known.copied() else {
            self.unknown(written, line);
            return None;
        };
        let (flags, rest) = take_flags(whole.after(end), &mut self.findings);
        Some(Head { keyword, keyword_span: written.span(), flags, rest })
    }

    fn unknown(&mut self, written: Slice<'_>, line: Span) {
        if written.text().is_empty() {
            self.findings.push(Diagnostic::error(line, "a line continuation without an instruction"));
            return;
        }
        let meant = nearest(written.text(), Keyword::ALL.iter().map(|keyword| keyword.as_str()));
        // A misspelt FROM begins a stage, so that what follows it is not reported as well.
        self.stage_begun |= meant == Some("FROM");
        let diagnostic = Diagnostic::error(written.span(), format!("unknown instruction `{}`", shortened(written.text())));
        self.findings.push(match meant {
            Some(meant) => diagnostic.with_help(format!("did you mean `{meant}`?")),
            None => diagnostic,
        });
    }

    fn check_place(&mut self, keyword: Keyword, span: Span) {
        if keyword == Keyword::From {
            self.stage_begun = true;
        } else if !self.stage_begun && keyword != Keyword::Arg {
            self.before_stage.push((keyword, span));
        }
    }

    /// Reads the bodies of the heredocs that a line opens.
    fn heredocs(&mut self, head: &Head<'_>, logical: &str) -> Vec<Heredoc> {
        let mut keyword = head.keyword;
        let mut rest = head.rest;
        if keyword == Keyword::Onbuild {
            let text = rest.text();
            let end = text.find(is_blank).unwrap_or(text.len());
            let Some(inner) = Keyword::ALL.iter().find(|inner| inner.as_str().eq_ignore_ascii_case(&text[..end])) else {
                return Vec::new();
            };
            keyword = *inner;
            rest = take_flags(rest.after(end), &mut Vec::new()).1;
        }
        if !Request::can_have_heredocs(keyword, rest) {
            return Vec::new();
        }
        match heredocs_of_line(logical) {
            Ok(words) => words
                .into_iter()
                .filter_map(|word| {
                    let place = place_of_heredoc(rest, &word).unwrap_or(head.keyword_span);
                    self.body(word, place)
                })
                .collect(),
            Err(error) => {
                self.findings.push(Diagnostic::error(rest.span(), error.to_string()));
                Vec::new()
            }
        }
    }

    fn body(&mut self, word: HeredocWord, place: Span) -> Option<Heredoc> {
        let (source, from) = (self.source, self.at);
        let delimiters = self.delimiters.get_or_insert_with(|| DelimiterLines::new(source, from));
        let Some((start, end)) = delimiters.end_of(&word, from) else {
            if !word.apart {
                let help = format!("end it with a line that has only `{}`", word.name);
                let message = format!("unterminated heredoc `{}`", word.name);
                self.findings.push(Diagnostic::error(place, message).with_help(help));
                self.skip_unterminated();
            }
            return None;
        };
        let span = Span::new(from, start);
        self.check_body_lines(span);
        self.at = end;
        Some(with_body(word, span.text(source), span))
    }

    fn check_body_lines(&mut self, span: Span) {
        let mut start = span.start;
        for line in span.text(self.source).split_inclusive('\n') {
            self.check_length(start, line.trim_end_matches('\n'));
            start += line.len();
        }
    }

    /// A heredoc without an end must not hide the rest of the file: its body is taken to end where a line looks like an
    /// instruction in capitals.
    fn skip_unterminated(&mut self) {
        while let Some(rest) = self.source.get(self.at..).filter(|rest| !rest.is_empty()) {
            let word = rest.split(|c: char| c.is_whitespace()).next().unwrap_or("");
            if Keyword::ALL.iter().any(|keyword| keyword.as_str() == word) {
                return;
            }
            if self.next_line().is_none() {
                return;
            }
        }
    }

    fn build(&mut self, head: Head<'_>, heredocs: Vec<Heredoc>) -> Option<Instruction> {
        let Head { keyword, keyword_span, flags, rest } = head;
        let never_looked_at = matches!(keyword, Keyword::Arg | Keyword::Stopsignal)
            || (keyword == Keyword::Healthcheck && rest.text().eq_ignore_ascii_case("none"));
        check_flags(keyword, &flags, never_looked_at, self.escape, &mut self.findings);
        let arguments = if keyword == Keyword::Onbuild {
            self.onbuild(rest, keyword_span, &heredocs)?
        } else {
            let request = Request { keyword, keyword_span, flags: &flags, rest, escape: self.escape };
            request.arguments(&mut self.findings)?
        };
        let span = Span::new(keyword_span.start, rest.span().end.max(keyword_span.end));
        let (line, end_line) = (self.lines.line(span.start), self.lines.line(span.end.saturating_sub(1).max(span.start)));
        let text = rest.text().to_owned();
        Some(Instruction { span, line, end_line, keyword, keyword_span, flags, arguments, heredocs, text })
    }

    fn onbuild(&mut self, rest: Slice<'_>, place: Span, heredocs: &[Heredoc]) -> Option<Arguments> {
        if rest.text().is_empty() {
            self.findings.push(Diagnostic::error(place, "`ONBUILD` requires at least one argument"));
            return None;
        }
        let head = self.head(rest, rest.span())?;
        let message = match head.keyword {
            Keyword::Onbuild => "chaining `ONBUILD ONBUILD` isn't allowed".to_owned(),
            keyword @ (Keyword::From | Keyword::Maintainer) => {
                format!("`{}` isn't allowed as an ONBUILD trigger", keyword.as_str())
            }
            _ => {
                let trigger = self.build(head, heredocs.to_vec())?;
                return Some(Arguments::Onbuild(Box::new(trigger)));
            }
        };
        self.findings.push(Diagnostic::error(head.keyword_span, message));
        None
    }

    fn check_whole(&mut self) {
        let end = self.source.len();
        if !self.any_instruction {
            self.findings.push(
                Diagnostic::error(Span::new(0, 0), "the file has no instructions").with_help("begin with `FROM image`"),
            );
            return;
        }
        if !self.stage_begun && self.before_stage.is_empty() {
            let diagnostic = Diagnostic::error(Span::new(end, end), "there is no stage to build: `FROM` is missing");
            self.findings.push(diagnostic.with_help("add `FROM image`"));
        }
        // Without any FROM one complaint says it all.
        let shown = if self.stage_begun { self.before_stage.len() } else { 1 };
        for (keyword, span) in self.before_stage.iter().take(shown) {
            let message = format!("no build stage: `{}` stands before the first `FROM`", keyword.as_str());
            let help = "only `ARG` may stand before the first `FROM`";
            self.findings.push(Diagnostic::error(*span, message).with_help(help));
        }
    }
}

/// The text before a line continuation, and whether there is one: the escape character, not doubled, with at most tabs and
/// spaces behind it.
fn without_continuation(text: &str, escape: char) -> (&str, bool) {
    match text.trim_end_matches([' ', '\t']).strip_suffix(escape) {
        Some(before) if !before.ends_with(escape) => (before, true),
        _ => (text, false),
    }
}

/// Where a line opens a heredoc: from `<<` to the end of the word.
fn place_of_heredoc(rest: Slice<'_>, word: &HeredocWord) -> Option<Span> {
    let text = rest.text();
    text.match_indices("<<").find_map(|(at, _)| {
        let below = text[at + 2..].trim_start_matches(['-', '\'', '"', ' ']);
        let name_at = text.len() - below.len();
        below.starts_with(word.name.as_str()).then(|| rest.part(at, name_at + word.name.len()).span())
    })
}

/// At most forty characters.
fn shortened(text: &str) -> String {
    if text.chars().count() <= 40 {
        return text.to_owned();
    }
    text.chars().take(37).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests;
