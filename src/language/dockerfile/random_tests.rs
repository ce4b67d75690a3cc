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
