//! `--name` and `--name=value` between an instruction's keyword and its arguments.

use super::ast::{Flag, Keyword};
use super::diagnostic::Diagnostic;
use super::logical::Slice;
use super::mount::{MountError, parse_mount};
use super::nearest::nearest;

/// Takes the flags off the front of an instruction's arguments; quotes and backslashes in them are removed.
///
/// A quote that is never closed would make the whole command part of the flag; it is an error here.
///
/// Source of the rule: `extractBuilderFlags` of BuildKit's parser.
pub(super) fn take_flags<'l>(rest: Slice<'l>, diagnostics: &mut Vec<Diagnostic>) -> (Vec<Flag>, Slice<'l>) {
    let mut flags = Vec::new();
    let mut rest = rest.trim();
    while rest.text().starts_with("--") {
        let (word, length, closed) = flag_word(rest.text());
        let span = rest.part(0, length).span();
        rest = rest.after(length).trim();
        if !closed {
            diagnostics.push(Diagnostic::error(span, "a quote in the flag is never closed"));
        }
        let Some(written) = word.strip_prefix("--").filter(|written| !written.is_empty()) else { break };
        let (name, value) = match written.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (written.to_owned(), None),
        };
        flags.push(Flag { name, value, span });
    }
    (flags, rest)
}

/// The first word with quotes and backslashes removed, how many bytes it takes, and whether its quotes are closed.
fn flag_word(text: &str) -> (String, usize, bool) {
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match quote {
            None if character.is_whitespace() => return (word, at, true),
            None if character == '\'' || character == '"' => quote = Some(character),
            Some(open) if character == open => quote = None,
            _ if character == '\\' => word.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => word.push(character),
        }
    }
    (word, text.len(), quote.is_none())
}

/// How a flag is given.
#[derive(Debug, Clone, Copy, PartialEq)]
enum FlagKind {
    /// `--name`, `--name=true`, `--name=false`.
    Switch,
    /// `--name=value`, once.
    Value,
    /// `--name=value`, any number of times.
    Values,
}

/// The flags of each instruction, as of Dockerfile frontend 1.2x.
fn known_flags(keyword: Keyword) -> &'static [(&'static str, FlagKind)] {
    use FlagKind::{Switch, Value, Values};
    match keyword {
        Keyword::From => &[("platform", Value)],
        Keyword::Add => &[
            ("chown", Value),
            ("chmod", Value),
            ("link", Switch),
            ("keep-git-dir", Switch),
            ("checksum", Value),
            ("unpack", Switch),
            ("exclude", Values),
        ],
        Keyword::Copy => &[
            ("chown", Value),
            ("from", Value),
            ("chmod", Value),
            ("link", Switch),
            ("parents", Switch),
            ("exclude", Values),
        ],
        Keyword::Run => &[("mount", Values), ("network", Value), ("security", Value), ("device", Values)],
        Keyword::Healthcheck => &[
            ("interval", Value),
            ("timeout", Value),
            ("start-period", Value),
            ("start-interval", Value),
            ("retries", Value),
        ],
        _ => &[],
    }
}

/// Finds flags that are unknown, repeated or badly given.
///
/// ARG, STOPSIGNAL and `HEALTHCHECK NONE` never look at theirs in BuildKit: there they are ignored, with a warning.
///
/// Source of the rule: `BFlags.Parse` of BuildKit's instructions.
pub(super) fn check_flags(keyword: Keyword, flags: &[Flag], ignored: bool, escape: char, diagnostics: &mut Vec<Diagnostic>) {
    let known = known_flags(keyword);
    for (at, flag) in flags.iter().enumerate() {
        if ignored {
            let message = format!("`{}` takes no flags; `--{}` is ignored", keyword.as_str(), flag.name);
            diagnostics.push(Diagnostic::warning(flag.span, message));
            continue;
        }
        let Some((_, kind)) = known.iter().find(|(name, _)| *name == flag.name) else {
            diagnostics.push(unknown_flag(keyword, flag, known));
            continue;
        };
        if *kind != FlagKind::Values && flags[..at].iter().any(|earlier| earlier.name == flag.name) {
            diagnostics.push(Diagnostic::error(flag.span, format!("duplicate flag `--{}`", flag.name)));
            continue;
        }
        let run_value = || if keyword == Keyword::Run { bad_run_value(flag, escape) } else { None };
        if let Some(message) = bad_value(*kind, flag).or_else(run_value) {
            diagnostics.push(Diagnostic::error(flag.span, message));
        }
    }
}

/// What is wrong with a value of RUN's flags. One with variables is looked at when they are known.
fn bad_run_value(flag: &Flag, escape: char) -> Option<String> {
    let value = flag.value.as_deref()?;
    match flag.name.as_str() {
        "network" if !matches!(value, "default" | "none" | "host") => {
            Some(format!("invalid network mode `{value}`: use `default`, `none` or `host`"))
        }
        "security" if !matches!(value, "sandbox" | "insecure") => {
            Some(format!("invalid security mode `{value}`: use `sandbox` or `insecure`"))
        }
        "mount" => {
            let result = parse_mount(value, &|_: &str| -> Option<String> { None }, escape);
            let final_anyway = matches!(result, Err(MountError::VariableInFrom | MountError::Quotes));
            result.err().filter(|_| final_anyway || !value.contains('$')).map(|error| error.to_string())
        }
        _ => None,
    }
}

fn bad_value(kind: FlagKind, flag: &Flag) -> Option<String> {
    match (kind, flag.value.as_deref()) {
        (FlagKind::Switch, None) => None,
        (FlagKind::Switch, Some(value)) if value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false") => None,
        (FlagKind::Switch, Some(value)) if !value.is_empty() => {
            Some(format!("expecting `true` or `false` for flag `--{}`, not `{value}`", flag.name))
        }
        (FlagKind::Value | FlagKind::Values, Some(_)) => None,
        _ => Some(format!("missing a value on flag `--{}`", flag.name)),
    }
}

fn unknown_flag(keyword: Keyword, flag: &Flag, known: &[(&'static str, FlagKind)]) -> Diagnostic {
    let diagnostic = Diagnostic::error(flag.span, format!("unknown flag `--{}` of `{}`", flag.name, keyword.as_str()));
    let names = known.iter().map(|(name, _)| *name);
    if let Some(meant) = nearest(&flag.name, names.clone()) {
        return diagnostic.with_help(format!("did you mean `--{meant}`?"));
    }
    let list: Vec<String> = names.map(|name| format!("`--{name}`")).collect();
    if list.is_empty() {
        return diagnostic.with_help(format!("`{}` has no flags", keyword.as_str()));
    }
    diagnostic.with_help(format!("`{}` knows {}", keyword.as_str(), list.join(", ")))
}
