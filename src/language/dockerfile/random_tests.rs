//! Properties of random texts, made of the language's own parts, and of random valid files: whatever the text, the tree prints
//! back, spans are sound and nest, nothing panics, an edit means what it says, and expansion is bounded.
//!
//! A finding is printed in its smallest form; it becomes a test next to the code, named after what was seen.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

const PARTS: [&str; 76] = [
    "FROM",
    "RUN",
    "COPY",
    "ADD",
    "ENV",
    "ARG",
    "LABEL",
    "ONBUILD",
    "HEALTHCHECK",
    "CMD",
    "SHELL",
    "VOLUME",
    "EXPOSE",
    "WORKDIR",
    "run",
    "FORM",
    " ",
    " ",
    " ",
    "  ",
    "\t",
    "\n",
    "\n",
    "\n",
    "\r\n",
    "\\\n",
    "\\ \n",
    "`\n",
    "\\",
    "`",
    "#",
    "# c\n",
    "# escape=`\n",
    "# syntax=x\n",
    "//",
    "\u{feff}",
    "<<EOF",
    "<<-'E F'",
    "<< EOF",
    "3<<\"x\"",
    "EOF",
    "\nEOF\n",
    "E F",
    "--mount=type=cache,target=/x",
    "--from=a",
    "--",
    "--x",
    "--chown=\"a b\"",
    "=",
    "\"",
    "'",
    "[",
    "]",
    "[\"a\", \"b\"]",
    "[1]",
    ",",
    "$a",
    "${a:-",
    "${b",
    "}",
    "${a/x/y}",
    "${a##*",
    "a",
    "b c",
    ".",
    "/",
    "한",
    "\u{301}",
    "\u{a0}",
    "\u{2028}",
    "\0",
    "\u{1b}[2J",
    "npm ci",
    "AS",
    "NONE",
    "CMD",
];

/// Nearly a Dockerfile, mostly wrong.
fn texts() -> impl Strategy<Value = String> {
    let head = prop_oneof![1 => Just(""), 2 => Just("FROM a\n")];
    (head, prop::collection::vec(select(&PARTS[..]), 0..60)).prop_map(|(head, parts)| head.to_owned() + &parts.concat())
}

/// Instructions of every shape that an edit must carry whole: continuations, comments inside, heredocs, flags, blank lines.
const INSTRUCTIONS: [&str; 16] = [
    "RUN npm ci",
    "run a && \\\n    b",
    "RUN a \\\n# a comment inside\n  b \\\n\n  c",
    "RUN <<EOF\n# not a comment\nFROM nowhere\nEOF",
    "RUN <<-A cat <<'B C'\n\tone\n\tA\ntwo\nB C",
    "RUN --mount=type=cache,target=/c --network=none make",
    "COPY --chown=1:2 a b /c/",
    "COPY <<one <<two /d/\n1\none\n2\ntwo",
    "ADD [\"a b\", \"/c\"]",
    "ENV a=b \\\n  c=\"d e\"",
    "ENV old style value",
    "ARG x=${y:-z} w",
    "LABEL a.b=\"c \\\\ d\"",
    "ONBUILD COPY . /x",
    "HEALTHCHECK --interval=5s CMD true",
    "FROM a AS second",
];

/// A valid file: instructions with comments and blank lines between them, either line ending, with or without the last one.
fn files() -> impl Strategy<Value = String> {
    let above = select(&["", "", "# about it\n", "\n", "# one\n# two\n", "# far\n\n", "  # indented\n"][..]);
    let lines = prop::collection::vec((above, select(&INSTRUCTIONS[..])), 1..8);
    (lines, any::<bool>(), any::<bool>()).prop_map(|(lines, windows, ends)| {
        let body: Vec<String> = lines.iter().map(|(above, instruction)| format!("{above}{instruction}")).collect();
        let text = format!("FROM a\n{}{}", body.join("\n"), if ends { "\n" } else { "" });
        if windows { text.replace('\n', "\r\n") } else { text }
    })
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, max_global_rejects: 10 * cases, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn a_text_prints_back_and_its_diagnostics_point_into_it(source in prop_oneof![4 => texts(), 1 => any::<String>()]) {
        let file = parse(&source);
        prop_assert_eq!(file.print(), &source[..]);
        for diagnostic in &file.diagnostics {
            prop_assert!(source.get(diagnostic.span.start..diagnostic.span.end).is_some(), "{:?}", diagnostic);
            let shown = render(diagnostic, &file, "Dockerfile");
            prop_assert!(!shown.contains(['\u{1b}', '\0']), "{:?}", shown);
        }
    }

    #[test]
    fn spans_lie_on_characters_and_nest(source in prop_oneof![texts(), files()]) {
        spans_nest(&parse(&source));
    }

    #[test]
    fn readers_of_any_text_never_panic(source in texts()) {
        let file = parse(&source);
        for instruction in &file.instructions {
            let _ = run_script(instruction, &source).map(|script| format!("{script:?}"));
            crate::language::shell::parse_commands(&instruction.text);
        }
        file.outline();
        let _ = IgnoreRules::parse(&source).map(|rules| rules.is_ignored("a/b"));
        let _ = go_match(&source, "a/b");
        let _ = reference::ImageName::parse_normalized(&source);
        let _ = (git_reference::GitReference::parse(&source), ports::PortSpec::parse(&source));
        detect_syntax(&source);
    }

    #[test]
    fn checks_point_into_the_file(source in prop_oneof![texts(), files()]) {
        let build_args = std::collections::BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let (file, ignore) = (parse(&source), IgnoreRules::parse("a\n").unwrap_or_default());
        let request = checks::LintRequest {
            dockerfile: &file,
            ignore: Some(&ignore),
            target: checks::Target::All,
            build_args: &build_args,
            platform: "linux/amd64",
            base: &|_| None,
        };
        for warning in &checks::lint(&request).warnings {
            let inside = source.get(warning.span.start..warning.span.end).is_some();
            prop_assert!(inside && warning.line >= 1, "{:?}", warning);
        }
    }

    #[test]
    fn an_edit_gives_the_instructions_that_were_meant(
        source in prop_oneof![1 => texts(), 4 => files()], kind in 0..5_u8, at in any::<Index>(), to in any::<Index>(),
    ) {
        let file = parse(&source);
        // A byte order mark counts only at the very start, so a text with one further down changes its meaning when it moves.
        prop_assume!(!file.has_errors() && file.instructions.len() > 1 && !source.contains('\u{feff}'));
        let (at, to) = (1 + at.index(file.instructions.len() - 1), to.index(file.instructions.len()));
        prop_assume!(at != to);
        let (edit, meant) = edited(&file, kind, at, to);
        let after = apply(&file, std::slice::from_ref(&edit));
        prop_assert_eq!(one_lines(&parse(&after)), meant, "{:?} gave {:?}", edit, after);
        prop_assert_eq!(kept_comments(&after), kept_comments(&source), "{:?} gave {:?}", edit, after);
    }

    #[test]
    fn expansion_is_bounded(source in texts()) {
        for value in ["xax".to_owned(), "x${a}y ".repeat(500)] {
            for escape in ['\\', '`'] {
                if let Ok(expanded) = expand_word(&source, &|_: &str| Some(value.clone()), escape) {
                    prop_assert!(expanded.text.len() <= expand::OUTPUT_LIMIT);
                }
            }
        }
    }
}

/// Spans of words, flags and heredocs lie inside of their instruction, and instructions follow each other.
fn spans_nest(file: &Dockerfile) {
    let mut last = 0;
    for instruction in &file.instructions {
        let outer = instruction.span;
        assert!(outer.start >= last, "line {} overlaps in {:?}", instruction.line, file.source);
        last = outer.end;
        let words: Vec<Span> = match &instruction.arguments {
            Arguments::Copy { sources, destination } => sources.iter().chain([destination]).map(|word| word.span).collect(),
            Arguments::Env(list) | Arguments::Label(list) | Arguments::Arg(list) => {
                list.iter().flat_map(|entry| entry.value.iter().chain([&entry.name])).map(|word| word.span).collect()
            }
            Arguments::Expose(list) | Arguments::Volume(list) => list.iter().map(|word| word.span).collect(),
            _ => Vec::new(),
        };
        let flags = instruction.flags.iter().map(|flag| flag.span);
        let heredocs = instruction.heredocs.iter().map(|document| document.span);
        for span in words.into_iter().chain(flags).chain(heredocs) {
            assert!(file.source.get(span.start..span.end).is_some(), "{span:?} in {:?}", file.source);
            assert!(span.start >= outer.start && span.end <= outer.end.max(span.start), "{span:?} in {:?}", file.source);
        }
    }
}

fn one_lines(file: &Dockerfile) -> Vec<String> {
    file.instructions.iter().map(Instruction::one_line).collect()
}

/// The comments of the valid files: none may get lost, except those of what is removed (no edit here removes).
fn kept_comments(source: &str) -> usize {
    source.matches("# one").count() + source.matches("# about it").count() + source.matches("# far").count()
}

/// One edit, and the instructions that the file then has.
fn edited(file: &Dockerfile, kind: u8, at: usize, to: usize) -> (Edit, Vec<String>) {
    let mut meant = one_lines(file);
    let edit = match kind {
        0 => {
            meant.insert(at, "USER me".to_owned());
            Edit::InsertBefore { instruction: at, text: "USER me".to_owned() }
        }
        1 => {
            meant.insert(at + 1, "USER me".to_owned());
            Edit::InsertAfter { instruction: at, text: "USER me\n".to_owned() }
        }
        2 => {
            meant[at] = "USER me".to_owned();
            Edit::ReplaceArgument { span: file.instructions[at].span, text: "USER me".to_owned() }
        }
        _ => {
            let moved = meant.remove(at);
            meant.insert(if to > at { to } else { to + 1 }, moved);
            Edit::MoveAfter { instruction: at, after: to }
        }
    };
    (edit, meant)
}

#[test]
fn a_removal_takes_the_instruction_and_what_stands_directly_above_it() {
    let file = parse("FROM a\n# far\n\n# about it\nRUN b\nRUN c\n");
    assert_eq!(apply(&file, &[Edit::Remove { instruction: 1 }]), "FROM a\n# far\n\nRUN c\n");
}
