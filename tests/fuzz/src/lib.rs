//! What must hold for any bytes. Each function is a fuzz target; a panic is a finding.
#![allow(dead_code, unused_imports)]

use std::collections::BTreeMap;

#[path = "../../../src/language/mod.rs"]
pub mod language;

use language::dockerfile::checks::{CheckOptions, LintRequest, Target, lint};
use language::dockerfile::expand::{ExpandOptions, OUTPUT_LIMIT, expand_words_with};
use language::dockerfile::git_reference::GitReference;
use language::dockerfile::ports::PortSpec;
use language::dockerfile::reference::ImageName;
use language::dockerfile::{
    Arguments, Dockerfile, Edit, IgnoreRules, Span, apply, check_pattern, detect_check, detect_syntax, expand_heredoc,
    expand_word, go_match, heredocs_of_line, names_in, parse, parse_heredoc_word, render, run_script,
};

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

fn on_boundaries(source: &str, span: Span) {
    assert!(source.get(span.start..span.end).is_some(), "{span:?} is not in the text");
}

/// Printing is lossless; pieces follow each other; spans lie on character boundaries and inside their instruction.
fn sound(file: &Dockerfile, source: &str) {
    assert_eq!(file.print(), source);
    let mut at = 0;
    for piece in &file.pieces {
        assert_eq!(piece.span.start, at);
        at = piece.span.end;
    }
    for diagnostic in &file.diagnostics {
        on_boundaries(source, diagnostic.span);
        let shown = render(diagnostic, file, "Dockerfile");
        assert!(!shown.contains(['\u{1b}', '\0', '\u{202e}']));
    }
    let mut last = 0;
    for instruction in &file.instructions {
        let outer = instruction.span;
        on_boundaries(source, outer);
        assert!(outer.start >= last);
        last = outer.end;
        let inner = std::iter::once(instruction.keyword_span)
            .chain(instruction.flags.iter().map(|flag| flag.span))
            .chain(instruction.heredocs.iter().map(|document| document.span));
        for span in inner {
            on_boundaries(source, span);
            assert!(span.start >= outer.start && span.end <= outer.end.max(span.start), "{span:?} in {outer:?}");
        }
    }
}

/// The whole parser.
pub fn parser(data: &[u8]) {
    let Some(source) = text(data) else { return };
    let file = parse(source);
    sound(&file, source);
    for instruction in &file.instructions {
        let _ = run_script(instruction, source).map(|script| format!("{script:?}"));
        language::shell::parse_commands(&instruction.text);
    }
    let _ = file.outline();
}

/// Directives in comments of every style, and the options of checks.
pub fn directives(data: &[u8]) {
    let Some(source) = text(data) else { return };
    let found = [detect_syntax(source), detect_check(source)];
    for directive in found.into_iter().flatten() {
        assert!(directive.value.starts_with(&directive.reference) && directive.line >= 1);
        let _ = CheckOptions::parse(&directive.value);
    }
    let _ = CheckOptions::parse(source);
    sound(&parse(source), source);
}

/// Heredoc words and bodies.
pub fn heredocs(data: &[u8]) {
    let Some(source) = text(data) else { return };
    let _ = parse_heredoc_word(source);
    let _ = heredocs_of_line(source);
    for head in ["RUN ", "RUN cat <<E ", "COPY <<'E F' <<-X ", "ONBUILD ADD <<E "] {
        let whole = format!("FROM a\n{head}{source}");
        sound(&parse(&whole), &whole);
    }
}

/// Expansion is bounded, and what it calls unset is not set.
pub fn expansion(data: &[u8]) {
    let Some(source) = text(data) else { return };
    let env = |name: &str| match name {
        "a" => Some("x.tar.gz".to_owned()),
        "empty" => Some(String::new()),
        "long" => Some("ab ".repeat(2000)),
        _ => None,
    };
    for escape in ['\\', '`'] {
        if let Ok(expanded) = expand_word(source, &env, escape) {
            assert!(expanded.text.len() <= OUTPUT_LIMIT);
            assert!(expanded.unmatched.iter().all(|name| env(name).is_none()));
            assert!(expanded.used.iter().all(|name| env(name).is_some()));
        }
        for raw in [false, true] {
            let options = ExpandOptions { raw_quotes: raw, raw_escapes: raw, keep_unset: raw, ..ExpandOptions::new(escape) };
            let _ = expand_words_with(source, &env, options);
        }
        names_in(source, escape);
    }
    let _ = expand_heredoc(source, &env);
}

/// `.dockerignore`: first line the path, the rest the file.
pub fn ignore(data: &[u8]) {
    let Some(source) = text(data) else { return };
    let (path, rules) = source.split_once('\n').unwrap_or((source, source));
    let _ = check_pattern(path);
    let _ = go_match(path, rules);
    if let Ok(rules) = IgnoreRules::parse(rules) {
        if let Some(hit) = rules.matches(path, false) {
            assert!(hit.line >= 1 && hit.negated != rules.is_ignored(path));
        }
        rules.may_have_exceptions_below(path);
        rules.leaves_out_the_root(path);
    }
}

/// Names of images and repositories, ports: what is read prints to what is read again.
pub fn references(data: &[u8]) {
    let Some(source) = text(data) else { return };
    if let Ok(name) = ImageName::parse(source) {
        assert_eq!(name.to_string(), source);
    }
    if let Ok(name) = ImageName::parse_normalized(source) {
        let full = name.to_string();
        assert_eq!(ImageName::parse_normalized(&full).as_ref(), Ok(&name), "{full}");
        let short = name.familiar();
        assert_eq!(ImageName::parse_normalized(&short).as_ref(), Ok(&name), "{short}");
    }
    if let Ok(spec) = PortSpec::parse(source) {
        assert!(spec.first <= spec.last);
    }
    if let Ok(Some(reference)) = GitReference::parse(source) {
        let again = GitReference::parse(&reference.with_fragment(true)).ok().flatten();
        assert_eq!(again.map(|again| again.remote), Some(reference.remote));
    }
}

/// Checks never panic, and point into the file.
pub fn checks(data: &[u8]) {
    let Some(source) = text(data) else { return };
    let file = parse(source);
    let ignore = IgnoreRules::parse("*.md\ntmp\n").unwrap_or_default();
    for target in [Target::All, Target::Last, Target::Named("a")] {
        let found = lint(&LintRequest {
            dockerfile: &file,
            ignore: Some(&ignore),
            target,
            build_args: &BTreeMap::from([("a".to_owned(), "1".to_owned())]),
            platform: "linux/amd64",
            base: &|_| None,
        });
        let lines = file.lines.line(source.len());
        for warning in &found.warnings {
            on_boundaries(source, warning.span);
            assert!((1..=lines).contains(&warning.line));
        }
        found.errors.iter().for_each(|error| on_boundaries(source, error.span));
    }
}

/// First byte which edit, second which instruction: the rest parses to what was meant, every other instruction is kept.
pub fn edits(data: &[u8]) {
    let ([kind, at, to, rest @ ..], true) = (data, data.len() > 3) else { return };
    let Some(source) = text(rest) else { return };
    let file = parse(source);
    if file.has_errors() || file.instructions.len() < 2 {
        return;
    }
    let count = file.instructions.len();
    let (at, to) = (1 + usize::from(*at) % (count - 1), usize::from(*to) % count);
    let lines = |file: &Dockerfile| -> Vec<String> { file.instructions.iter().map(|i| i.one_line()).collect() };
    let mut meant = lines(&file);
    let edit = match kind % 4 {
        0 => {
            meant.insert(at, "USER fuzz".to_owned());
            Edit::InsertBefore { instruction: at, text: "USER fuzz".to_owned() }
        }
        1 => {
            meant.insert(at + 1, "USER fuzz".to_owned());
            Edit::InsertAfter { instruction: at, text: "USER fuzz".to_owned() }
        }
        2 => {
            meant.remove(at);
            Edit::Remove { instruction: at }
        }
        _ => {
            if at != to {
                let moved = meant.remove(at);
                meant.insert(if to > at { to } else { to + 1 }, moved);
            }
            Edit::MoveAfter { instruction: at, after: to }
        }
    };
    let after = parse(&apply(&file, &[edit.clone()]));
    assert_eq!(lines(&after), meant, "{edit:?} of {source:?} gave {:?}", after.source);
}
