//! The arguments of each instruction.
//!
//! Source of the rules: `line_parsers.go` of BuildKit's parser and `parse.go` of its instructions.

use super::ast::{Arguments, Assignment, CommandForm, Flag, Keyword, Word};
use super::diagnostic::Diagnostic;
use super::heredoc::parse_heredoc_word;
use super::logical::Slice;
use super::span::Span;
use super::values::check_healthcheck_flags;
use super::words::{JsonForm, is_blank, json_form, split_at_blanks, split_quoted};

/// What is needed to understand an instruction's arguments.
pub(super) struct Request<'r> {
    pub(super) keyword: Keyword,
    /// Where a missing argument is shown.
    pub(super) keyword_span: Span,
    pub(super) flags: &'r [Flag],
    pub(super) rest: Slice<'r>,
    pub(super) escape: char,
}

type Findings = Vec<Diagnostic>;

impl Request<'_> {
    /// The arguments, or `None` when what is missing or wrong is now among the findings. ONBUILD is not read here.
    pub(super) fn arguments(&self, findings: &mut Findings) -> Option<Arguments> {
        Some(match self.keyword {
            Keyword::From => self.from(findings)?,
            Keyword::Run => Arguments::Run(self.command(findings)?),
            Keyword::Cmd => Arguments::Cmd(self.command(findings)?),
            Keyword::Entrypoint => Arguments::Entrypoint(self.command(findings)?),
            Keyword::Shell => Arguments::Shell(self.shell(findings)?),
            Keyword::Copy | Keyword::Add => self.copy(findings)?,
            Keyword::Env => Arguments::Env(self.assignments(findings)?),
            Keyword::Label => Arguments::Label(self.assignments(findings)?),
            Keyword::Arg => Arguments::Arg(self.declarations(findings)?),
            Keyword::Workdir => Arguments::Workdir(self.one_word(findings)?),
            Keyword::User => Arguments::User(self.one_word(findings)?),
            Keyword::Stopsignal => Arguments::Stopsignal(self.one_word(findings)?),
            Keyword::Maintainer => Arguments::Maintainer(self.one_word(findings)?.text),
            Keyword::Expose => {
                Arguments::Expose(self.at_least_one(split_at_blanks(self.rest).iter().map(Slice::word).collect(), findings)?)
            }
            Keyword::Volume => Arguments::Volume(self.volumes(findings)?),
            Keyword::Healthcheck => Arguments::Healthcheck(self.healthcheck(findings)?),
            Keyword::Onbuild => return None,
        })
    }

    fn fail<T>(&self, findings: &mut Findings, span: Span, message: String) -> Option<T> {
        findings.push(Diagnostic::error(span, message));
        None
    }

    fn at_least_one<T>(&self, words: Vec<T>, findings: &mut Findings) -> Option<Vec<T>> {
        if words.is_empty() {
            return self.fail(
                findings,
                self.keyword_span,
                format!("`{}` requires at least one argument", self.keyword.as_str()),
            );
        }
        Some(words)
    }

    fn one_word(&self, findings: &mut Findings) -> Option<Word> {
        if self.rest.text().is_empty() {
            return self.fail(
                findings,
                self.keyword_span,
                format!("`{}` requires exactly one argument", self.keyword.as_str()),
            );
        }
        Some(self.rest.word())
    }

    fn from(&self, findings: &mut Findings) -> Option<Arguments> {
        let words = split_at_blanks(self.rest);
        match words.as_slice() {
            [image] => Some(Arguments::From { image: image.word(), name: None }),
            [image, middle, name] if middle.text().eq_ignore_ascii_case("as") => {
                let name = name.word();
                self.check_stage_name(&name, findings)?;
                Some(Arguments::From { image: image.word(), name: Some(name) })
            }
            [] => self.fail(findings, self.keyword_span, "`FROM` requires an image".to_owned()),
            [_, middle, _] => {
                let message = format!("expecting `AS` before the stage's name, not `{}`", middle.text());
                findings.push(Diagnostic::error(middle.span(), message).with_help("write `FROM image AS name`"));
                None
            }
            [_, first, .., last] => self.wrong_count_in_from(findings, first.span().start, last.span().end),
            [_, first] => self.wrong_count_in_from(findings, first.span().start, first.span().end),
        }
    }

    fn wrong_count_in_from<T>(&self, findings: &mut Findings, start: usize, end: usize) -> Option<T> {
        let message = "`FROM` requires either one or three arguments";
        findings
            .push(Diagnostic::error(Span::new(start, end), message).with_help("write `FROM image` or `FROM image AS name`"));
        None
    }

    fn check_stage_name(&self, name: &Word, findings: &mut Findings) -> Option<()> {
        let lower = name.text.to_lowercase();
        let well_formed = lower.starts_with(|c: char| c.is_ascii_lowercase())
            && lower.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.'));
        if !well_formed {
            let message = format!("invalid name for a build stage: `{}`", name.text);
            let help = "a name starts with a letter and has only letters, digits, `-`, `_` and `.`";
            findings.push(Diagnostic::error(name.span, message).with_help(help));
            return None;
        }
        if lower == "scratch" || lower == "context" {
            let message = format!("the stage's name `{}` is reserved", name.text);
            findings.push(Diagnostic::warning(name.span, message).with_help("choose another name"));
        }
        Some(())
    }

    /// The JSON form or the shell form; a JSON array with anything but strings in it is an error.
    fn command_of(&self, rest: Slice<'_>, findings: &mut Findings) -> Option<CommandForm> {
        match json_form(rest) {
            JsonForm::Words(words) => Some(CommandForm::Exec(words.into_iter().map(|word| word.text).collect())),
            JsonForm::NotJson => Some(CommandForm::Shell(rest.text().to_owned())),
            JsonForm::NotString(span) => self.fail(findings, span, "a JSON form may hold only strings".to_owned()),
        }
    }

    fn command(&self, findings: &mut Findings) -> Option<CommandForm> {
        self.command_of(self.rest, findings)
    }

    fn shell(&self, findings: &mut Findings) -> Option<Vec<String>> {
        match self.command(findings)? {
            CommandForm::Exec(words) => self.at_least_one(words, findings),
            CommandForm::Shell(text) if text.is_empty() => self.at_least_one(Vec::new(), findings),
            CommandForm::Shell(_) => {
                let diagnostic = Diagnostic::error(self.rest.span(), "`SHELL` requires the JSON form");
                findings.push(diagnostic.with_help("write `SHELL [\"executable\", \"parameter\"]`, with double quotes"));
                None
            }
        }
    }

    /// Words of the JSON form or split at blanks.
    fn list(&self, findings: &mut Findings) -> Option<Vec<Word>> {
        match json_form(self.rest) {
            JsonForm::Words(words) => Some(words),
            JsonForm::NotJson => Some(split_at_blanks(self.rest).iter().map(Slice::word).collect()),
            JsonForm::NotString(span) => self.fail(findings, span, "a JSON form may hold only strings".to_owned()),
        }
    }

    fn copy(&self, findings: &mut Findings) -> Option<Arguments> {
        let name = self.keyword.as_str();
        let mut words = self.list(findings)?;
        let destination = match words.pop() {
            Some(destination) if !words.is_empty() => destination,
            Some(only) => {
                let message = format!("`{name}` requires at least two arguments: the destination is missing");
                return self.fail(findings, only.span, message);
            }
            None => return self.fail(findings, self.keyword_span, format!("`{name}` requires at least two arguments")),
        };
        if matches!(parse_heredoc_word(&destination.text), Ok(Some(_))) {
            return self.fail(findings, destination.span, format!("`{name}` cannot accept a heredoc as its destination"));
        }
        Some(Arguments::Copy { sources: words, destination })
    }

    fn volumes(&self, findings: &mut Findings) -> Option<Vec<Word>> {
        let words = self.list(findings)?;
        let mut words = self.at_least_one(words, findings)?;
        for word in &mut words {
            word.text = word.text.trim().to_owned();
            if word.text.is_empty() {
                return self.fail(findings, word.span, "a volume cannot be an empty string".to_owned());
            }
        }
        Some(words)
    }

    /// `NAME=value ...`, or the old `NAME value`.
    fn assignments(&self, findings: &mut Findings) -> Option<Vec<Assignment>> {
        let words = split_quoted(self.rest, self.escape);
        let words = self.at_least_one(words, findings)?;
        if words.first().is_some_and(|word| !word.text.contains('=')) {
            return self.old_assignment(findings);
        }
        let mut assignments = Vec::with_capacity(words.len());
        let mut failed = false;
        for word in words {
            match self.assignment(&word, findings) {
                Some(assignment) => assignments.push(assignment),
                None => failed = true,
            }
        }
        (!failed).then_some(assignments)
    }

    fn assignment(&self, word: &Word, findings: &mut Findings) -> Option<Assignment> {
        let Some((name, value)) = word.text.split_once('=') else {
            let message = format!("can't find `=` in `{}`", word.text);
            findings.push(Diagnostic::error(word.span, message).with_help("write `name=value`, with quotes around blanks"));
            return None;
        };
        if name.is_empty() {
            return self.fail(findings, word.span, format!("names of `{}` cannot be blank", self.keyword.as_str()));
        }
        let (name_span, value_span) = around_equals(word, name.len());
        Some(Assignment {
            name: Word { text: name.to_owned(), span: name_span },
            value: Some(Word { text: value.to_owned(), span: value_span }),
        })
    }

    fn old_assignment(&self, findings: &mut Findings) -> Option<Vec<Assignment>> {
        let text = self.rest.text();
        let end = text.find(is_blank).unwrap_or(text.len());
        let value = self.rest.after(end).trim();
        if value.text().is_empty() {
            let message = format!("`{}` must have two arguments", self.keyword.as_str());
            findings.push(Diagnostic::error(self.rest.span(), message).with_help("write `name=value`"));
            return None;
        }
        Some(vec![Assignment { name: self.rest.part(0, end).word(), value: Some(value.word()) }])
    }

    fn declarations(&self, findings: &mut Findings) -> Option<Vec<Assignment>> {
        let words = split_quoted(self.rest, self.escape);
        let words = self.at_least_one(words, findings)?;
        words
            .into_iter()
            .map(|word| match word.text.contains('=') {
                true => self.assignment(&word, findings),
                false => Some(Assignment { name: word, value: None }),
            })
            .collect()
    }

    fn healthcheck(&self, findings: &mut Findings) -> Option<Option<CommandForm>> {
        let text = self.rest.text();
        if text.is_empty() {
            self.at_least_one::<()>(Vec::new(), findings)?;
        }
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let kind = self.rest.part(0, end);
        let below = self.rest.after(end).trim();
        match kind.text().to_ascii_uppercase().as_str() {
            "NONE" if below.text().is_empty() => Some(None),
            "NONE" => self.fail(findings, below.span(), "`HEALTHCHECK NONE` takes no arguments".to_owned()),
            "CMD" => {
                check_healthcheck_flags(self.flags, findings);
                match self.command_of(below, findings)? {
                    CommandForm::Exec(words) if words.is_empty() => self.missing_check(findings, kind),
                    CommandForm::Shell(text) if text.is_empty() => self.missing_check(findings, kind),
                    command => Some(Some(command)),
                }
            }
            _ => {
                let message = format!("unknown type `{}` of `HEALTHCHECK`", kind.text());
                findings.push(
                    Diagnostic::error(kind.span(), message)
                        .with_help("write `HEALTHCHECK CMD command` or `HEALTHCHECK NONE`"),
                );
                None
            }
        }
    }

    fn missing_check<T>(&self, findings: &mut Findings, kind: Slice<'_>) -> Option<T> {
        self.fail(findings, kind.span(), "missing command after `HEALTHCHECK CMD`".to_owned())
    }

    /// A heredoc is opened by RUN, COPY and ADD, but not in their JSON form.
    pub(super) fn can_have_heredocs(keyword: Keyword, rest: Slice<'_>) -> bool {
        matches!(keyword, Keyword::Run | Keyword::Copy | Keyword::Add)
            && rest.text().contains("<<")
            && matches!(json_form(rest), JsonForm::NotJson)
    }
}

/// The spans of name and value inside of a word; the whole word where a continuation lies in between.
fn around_equals(word: &Word, name_length: usize) -> (Span, Span) {
    if word.span.end - word.span.start != word.text.len() {
        return (word.span, word.span);
    }
    let equals = word.span.start + name_length;
    (Span::new(word.span.start, equals), Span::new(equals + 1, word.span.end))
}
