//! Random texts out of the language's own parts: whatever they are, the tree prints back, spans are sound, and nothing panics.

use super::*;

/// A small generator of its own (SplitMix64), so that a failure can be repeated from its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

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

fn text(random: &mut Random) -> String {
    let count = random.below(60);
    let head = if random.below(3) == 0 { "" } else { "FROM a\n" };
    std::iter::once(head).chain((0..count).map(|_| PARTS[random.below(PARTS.len())])).collect()
}

fn check(source: &str) {
    let file = parse(source);
    assert_eq!(file.print(), source);
    for diagnostic in &file.diagnostics {
        assert!(source.get(diagnostic.span.start..diagnostic.span.end).is_some(), "{diagnostic:?} in {source:?}");
        let shown = render(diagnostic, &file, "Dockerfile");
        assert!(!shown.contains(['\u{1b}', '\0']), "{shown:?}");
    }
    for (index, instruction) in file.instructions.iter().enumerate() {
        assert!(source.get(instruction.span.start..instruction.span.end).is_some(), "{source:?}");
        let _ = expand_word(&instruction.text, &|name: &str| (name == "a").then(|| "xax".to_owned()), file.escape);
        let _ = run_script(instruction, source).map(|script| format!("{script:?}"));
        crate::language::shell::parse_commands(&instruction.text);
        let edits = [
            Edit::InsertBefore { instruction: index, text: "RUN true".to_owned() },
            Edit::MoveAfter { instruction: index, after: file.instructions.len() - 1 },
        ];
        let after = parse(&apply(&file, &edits));
        if !file.has_errors() && instruction.keyword != Keyword::From && index > 0 {
            assert!(after.instructions.len() >= file.instructions.len(), "{source:?} became {:?}", after.source);
        }
    }
    let _ = IgnoreRules::parse(source).map(|rules| rules.is_ignored("a/b"));
    let _ = go_match(source, "a/b");
    detect_syntax(source);
}

#[test]
fn random_texts_are_kept_whole() {
    for seed in 0..2_000 {
        check(&text(&mut Random(seed)));
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

/// An insertion, a removal and a move give the instructions that were meant, and only those.
fn edits_mean_what_they_say(file: &Dockerfile, random: &mut Random) {
    let count = file.instructions.len();
    if file.has_errors() || count < 2 || file.source.contains('\u{feff}') {
        return;
    }
    let lines = |file: &Dockerfile| -> Vec<String> { file.instructions.iter().map(Instruction::one_line).collect() };
    let (at, to) = (1 + random.below(count - 1), random.below(count));
    let mut meant = lines(file);
    let edit = match random.below(4) {
        0 => {
            meant.insert(at, "USER me".to_owned());
            Edit::InsertBefore { instruction: at, text: "USER me".to_owned() }
        }
        1 => {
            meant.insert(at + 1, "USER me".to_owned());
            Edit::InsertAfter { instruction: at, text: "USER me\n".to_owned() }
        }
        2 => {
            meant.remove(at);
            Edit::Remove { instruction: at }
        }
        _ if at == to => return,
        _ => {
            let moved = meant.remove(at);
            meant.insert(if to > at { to } else { to + 1 }, moved);
            Edit::MoveAfter { instruction: at, after: to }
        }
    };
    let after = parse(&apply(file, std::slice::from_ref(&edit)));
    assert_eq!(lines(&after), meant, "{edit:?} of {:?} gave {:?}", file.source, after.source);
}

#[test]
fn spans_nest_edits_mean_what_they_say_and_checks_point_into_the_file() {
    let build_args = std::collections::BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let ignore = IgnoreRules::parse("a\n").unwrap_or_default();
    for seed in 10_000..13_000 {
        let mut random = Random(seed);
        let source = text(&mut random);
        let file = parse(&source);
        spans_nest(&file);
        edits_mean_what_they_say(&file, &mut random);
        let request = checks::LintRequest {
            dockerfile: &file,
            ignore: Some(&ignore),
            target: checks::Target::All,
            build_args: &build_args,
            platform: "linux/amd64",
            base: &|_| None,
        };
        let lint = checks::lint(&request);
        for warning in &lint.warnings {
            assert!(source.get(warning.span.start..warning.span.end).is_some() && warning.line >= 1, "{warning:?}");
        }
        file.outline();
        let _ = reference::ImageName::parse_normalized(&source);
        let _ = (git_reference::GitReference::parse(&source), ports::PortSpec::parse(&source));
    }
}

#[test]
fn expansion_is_bounded() {
    let long = |_: &str| Some("x${a}y ".repeat(500));
    for seed in 0..2_000 {
        let source = text(&mut Random(seed));
        if let Ok(expanded) = expand_word(&source, &long, '\\') {
            assert!(expanded.text.len() <= expand::OUTPUT_LIMIT);
        }
    }
}

#[test]
fn checks_and_outline_of_very_many_stages_and_names_take_linear_time() {
    let begun = std::time::Instant::now();
    let chain: String = (0..5_000).map(|n| format!("FROM s{n} AS s{}\nENV a{n}=$c{n}\n", n + 1)).collect();
    let names: String = (0..10_000).map(|n| format!("ARG b{n}\nENV c{n}=$d{n}\n")).collect();
    for source in [format!("FROM scratch AS s0\n{chain}"), format!("FROM scratch\n{names}")] {
        let file = parse(&source);
        let request = checks::LintRequest {
            dockerfile: &file,
            ignore: None,
            target: checks::Target::All,
            build_args: &Default::default(),
            platform: "linux/amd64",
            base: &|_| None,
        };
        assert!(checks::lint(&request).warnings.len() >= 5_000);
        file.outline();
    }
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}

#[test]
fn deep_and_long_texts_take_linear_time() {
    let begun = std::time::Instant::now();
    for source in [
        format!("FROM a\nRUN {}", "[".repeat(200_000)),
        format!("FROM a\n{}", "ONBUILD ".repeat(8_000)),
        format!("FROM a\n{}", (0..20_000).map(|n| format!("RUN <<E{n}\n")).collect::<String>()),
        format!("FROM a\nRUN a {}", "\\\n".repeat(300_000)),
        format!("FROM a\nENV {}", "a=${b:-".repeat(9_000)),
        format!("FROM a\nCOPY {} /\n", "--exclude=x ".repeat(5_000)),
        "FROM".repeat(15_000),
    ] {
        let file = parse(&source);
        assert_eq!(file.print(), source);
    }
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}
