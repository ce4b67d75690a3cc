//! The Dockerfile language against cases of public projects. The folder is named by `RBUILD_TUI_CONFORMANCE`; its format is
//! described in its README. Every set prints what passed, failed and was skipped, by name.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rbuild_tui::language::dockerfile::checks::Target;
use rbuild_tui::language::dockerfile::encoding::{decode, encode};
use rbuild_tui::language::dockerfile::{
    Arguments, Assignment, CommandForm, Dockerfile, IgnoreRules, Instruction, Severity, detect_check, detect_syntax,
    expand_word, expand_words, heredocs_of_line, parse, parse_heredoc_word, quoted_words,
};
use serde_json::Value;

#[path = "conformance_language/convert.rs"]
mod convert;
#[path = "conformance_language/lint.rs"]
mod lint;
#[path = "conformance_language/names.rs"]
mod names;

/// Cases that are answered differently on purpose, with the reason.
const DEVIATIONS: &[(&str, &str)] = &[
    (
        "buildkit-parser/health",
        "the dump shows instructions that BuildKit's second pass refuses (`HEALTHCHECK` alone, `CONNECT`); our tree leaves them out",
    ),
    (
        "buildkit-lint-doc-examples/LegacyKeyValueFormat/0",
        "`ARG foo bar` declares two arguments; BuildKit has no such check either",
    ),
    ("buildkit-reference-examples/000-Format", "`INSTRUCTION` stands for any instruction"),
    (
        "buildkit-reference-examples/007-Parser-directives",
        "the reference's example of what is wrong: a directive over two lines",
    ),
    ("buildkit-reference-examples/047-RUN---network", "`<TYPE>` is a placeholder"),
    ("buildkit-reference-examples/139-ONBUILD", "`<INSTRUCTION>` is a placeholder"),
    (
        "wild/directive/windows-trailing-backslash-no-directive",
        "several sources need no `/` at the end, as in BuildKit, which builds it when `RUN` and `dir` are files; else they are missing",
    ),
    (
        "wild/struct/copy-from-later",
        "the stage with the mistake is not needed by the last one, and BuildKit dispatches only what is needed; `lint` and `--target a` refuse it",
    ),
];

/// Files of the corpus that BuildKit refuses too.
const NOT_BUILDABLE: &[&str] = &[
    // Elixir modules that are about Dockerfiles.
    "corpus/livebook-dev/livebook/lib/livebook/hubs/dockerfile.ex",
    "corpus/livebook-dev/livebook/test/livebook/hubs/dockerfile_test.exs",
    // `INVALID line`, on purpose.
    "corpus/wagoodman/dive/cmd/dive/cli/testdata/invalid/Dockerfile",
];

enum Verdict {
    Passed,
    Failed(String),
    Skipped(&'static str),
}

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("RBUILD_TUI_CONFORMANCE").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: RBUILD_TUI_CONFORMANCE is not set");
    }
    folder
}

/// Runs every case of a set and fails when one fails that is no deviation.
fn run(set: &str, check: impl Fn(&Path, &Value) -> Verdict) {
    let Some(folder) = folder().map(|folder| folder.join(set)) else { return };
    let text = std::fs::read_to_string(folder.join("cases.json")).expect("the set has cases.json");
    let document: Value = serde_json::from_str(&text).expect("cases.json is JSON");
    let (mut passed, mut failed, mut skipped) = (0, Vec::new(), Vec::new());
    for case in document["cases"].as_array().expect("cases is a list") {
        let name = case["name"].as_str().unwrap_or("?");
        match check(&folder, case) {
            Verdict::Passed => passed += 1,
            Verdict::Skipped(why) => skipped.push(format!("{name}: {why}")),
            Verdict::Failed(why) => match DEVIATIONS.iter().find(|(deviating, _)| *deviating == name) {
                Some((_, reason)) => skipped.push(format!("{name}: deviates: {reason}")),
                None => failed.push(format!("{name}: {why}")),
            },
        }
    }
    println!("{set}: {passed} passed, {} failed, {} skipped", failed.len(), skipped.len());
    skipped.iter().for_each(|line| println!("  skipped {line}"));
    failed.iter().for_each(|line| println!("  FAILED {line}"));
    assert!(failed.is_empty(), "{set}: {} failed", failed.len());
}

fn expect_equal<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Verdict {
    if found == expected { Verdict::Passed } else { Verdict::Failed(format!("found {found:?}, expected {expected:?}")) }
}

fn errors(file: &Dockerfile) -> Vec<String> {
    let errors = file.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
    errors.map(|error| format!("line {}: {}", file.lines.line(error.span.start), error.message)).collect()
}

fn well_formed(folder: &Path, case: &Value) -> Verdict {
    let path = folder.join(case["file"].as_str().unwrap_or(""));
    let Ok(bytes) = std::fs::read(&path) else { return Verdict::Failed(format!("cannot read {}", path.display())) };
    let Ok(source) = String::from_utf8(bytes) else { return Verdict::Skipped("no UTF-8") };
    let file = parse(&source);
    if file.print() != source {
        return Verdict::Failed("printing changes it".to_owned());
    }
    for diagnostic in &file.diagnostics {
        rbuild_tui::language::dockerfile::render(diagnostic, &file, "Dockerfile");
    }
    if NOT_BUILDABLE.contains(&case["name"].as_str().unwrap_or("")) {
        return expect_equal(file.has_errors(), true);
    }
    expect_equal(errors(&file), Vec::new())
}

#[test]
fn corpus() {
    run("corpus", well_formed);
}

#[test]
fn official_images() {
    run("official-images", well_formed);
}

#[test]
fn buildkit_parser() {
    run("buildkit-parser", |_, case| {
        let source = case["dockerfile"].as_str().unwrap_or("");
        let file = parse(source);
        let dump: String = file.instructions.iter().map(|instruction| format!("({})\n", dump(instruction))).collect();
        expect_equal(dump.as_str(), case["dump"].as_str().unwrap_or(""))
    });
}

#[test]
fn buildkit_parser_negative() {
    run("buildkit-parser-negative", |_, case| {
        expect_equal(parse(case["dockerfile"].as_str().unwrap_or("")).has_errors(), true)
    });
}

/// `Node.Dump` of BuildKit.
fn dump(instruction: &Instruction) -> String {
    let mut out = instruction.keyword.as_str().to_lowercase();
    if !instruction.flags.is_empty() {
        let written =
            |name: &str, value: Option<&str>| quote(&value.map_or(format!("--{name}"), |value| format!("--{name}={value}")));
        let flags: Vec<String> = instruction.flags.iter().map(|flag| written(&flag.name, flag.value.as_deref())).collect();
        out += &format!(" [{}]", flags.join(" "));
    }
    match &instruction.arguments {
        Arguments::Onbuild(inner) => out += &format!(" ({})", dump(inner)),
        _ => chain(instruction).iter().for_each(|value| out += &format!(" {}", quote(value))),
    }
    out
}

fn chain(instruction: &Instruction) -> Vec<String> {
    let command = |form: &CommandForm| match form {
        CommandForm::Exec(words) => words.clone(),
        CommandForm::Shell(text) if text.is_empty() => Vec::new(),
        CommandForm::Shell(text) => vec![text.clone()],
    };
    match &instruction.arguments {
        Arguments::From { .. } => instruction.text.split_ascii_whitespace().map(str::to_owned).collect(),
        Arguments::Run(form) | Arguments::Cmd(form) | Arguments::Entrypoint(form) => command(form),
        Arguments::Shell(words) => words.clone(),
        Arguments::Copy { sources, destination } => {
            sources.iter().chain([destination]).map(|word| word.text.clone()).collect()
        }
        Arguments::Env(list) | Arguments::Label(list) => {
            list.iter().flat_map(|entry| assignment(instruction, entry)).collect()
        }
        Arguments::Arg(list) => list
            .iter()
            .map(|entry| {
                entry.value.as_ref().map_or(entry.name.text.clone(), |value| format!("{}={}", entry.name.text, value.text))
            })
            .collect(),
        Arguments::Workdir(word) | Arguments::User(word) | Arguments::Stopsignal(word) => vec![word.text.clone()],
        Arguments::Expose(words) | Arguments::Volume(words) => words.iter().map(|word| word.text.clone()).collect(),
        Arguments::Maintainer(text) => vec![text.clone()],
        Arguments::Healthcheck(None) => vec!["NONE".to_owned()],
        Arguments::Healthcheck(Some(form)) => std::iter::once("CMD".to_owned()).chain(command(form)).collect(),
        Arguments::Onbuild(inner) => chain(inner),
    }
}

fn assignment(instruction: &Instruction, entry: &Assignment) -> [String; 3] {
    let old = !instruction.text[entry.name.text.len()..].starts_with('=') && instruction.text.starts_with(&entry.name.text);
    let value = entry.value.as_ref().map_or("", |value| &value.text);
    [entry.name.text.clone(), value.to_owned(), if old { "" } else { "=" }.to_owned()]
}

/// Go's `strconv.Quote`.
fn quote(text: &str) -> String {
    let mut out = String::from('"');
    for character in text.chars() {
        match character {
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            '\t' => out += "\\t",
            '\n' => out += "\\n",
            '\r' => out += "\\r",
            other => out.push(other),
        }
    }
    out + "\""
}

#[test]
fn buildkit_parser_units() {
    run("buildkit-parser-units", |_, case| {
        let input = case["input"].as_str().unwrap_or("");
        let source = case["dockerfile"].as_str().unwrap_or("");
        let expect = &case["expect"];
        match case["kind"].as_str().unwrap_or("") {
            kind if kind.starts_with("split a line") => expect_equal(quoted_words(input, '\\'), strings(expect)),
            "parse error" => expect_equal(parse(source).has_errors(), true),
            kind if kind.ends_with("have no heredocs") => {
                expect_equal(parse(source).instructions.iter().all(|instruction| instruction.heredocs.is_empty()), true)
            }
            "parse one heredoc word" => match (parse_heredoc_word(input), expect["error"].as_bool()) {
                (Err(_), Some(true)) => Verdict::Passed,
                (Ok(found), None) => expect_equal(found.map(|word| word.name), expect["name"].as_str().map(str::to_owned)),
                (found, _) => Verdict::Failed(format!("{found:?}")),
            },
            kind if kind.starts_with("names of heredocs") => {
                let names = heredocs_of_line(input).map(|words| words.into_iter().map(|word| word.name).collect::<Vec<_>>());
                expect_equal(names.unwrap_or_default(), strings(expect))
            }
            kind if kind.starts_with("JSON form must be refused") => {
                expect_equal(parse(&format!("FROM a\nRUN {input}")).has_errors(), true)
            }
            "JSON form" => match &parse(&format!("FROM a\nRUN {input}")).instructions[1].arguments {
                Arguments::Run(CommandForm::Exec(words)) => expect_equal(words.clone(), strings(expect)),
                other => Verdict::Failed(format!("{other:?}")),
            },
            kind if kind.starts_with("name/value") => {
                expect_equal(chain(&parse(&format!("FROM a\nLABEL {input}")).instructions[1]), strings(expect))
            }
            kind if kind.starts_with("directive") => directive(kind, source, expect),
            _ => Verdict::Skipped("unknown kind"),
        }
    });
}

fn directive(kind: &str, source: &str, expect: &Value) -> Verdict {
    // The recorder read the byte order mark as Latin-1.
    let source = source.replace("\u{ef}\u{bb}\u{bf}", "\u{feff}");
    if kind == "directive *" {
        let found = parse(&source).directives;
        let first = found.first().map(|d| (d.name.clone(), d.value.clone())).unwrap_or_default();
        let expected =
            (expect["d[0].Name"].as_str().unwrap_or("").to_owned(), expect["d[0].Value"].as_str().unwrap_or("").to_owned());
        return expect_equal((found.len() as u64, first), (expect["count"].as_u64().unwrap_or(0), expected));
    }
    let found = if kind.ends_with("check") { detect_check(&source) } else { detect_syntax(&source) };
    let matches = |key: &str, value: Option<Value>| expect.get(key).is_none_or(|expected| value.as_ref() == Some(expected));
    let empty = || Some(Value::from(""));
    let all = matches("found", Some(found.is_some().into()))
        && matches("ref", found.as_ref().map(|f| f.reference.clone().into()).or_else(empty))
        && matches("cmdline", found.as_ref().map(|f| f.value.clone().into()).or_else(empty))
        && matches("loc[0].Start.Line", found.as_ref().map(|f| f.line.into()));
    if all { Verdict::Passed } else { Verdict::Failed(format!("{found:?}, expected {expect}")) }
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn environment(case: &Value) -> HashMap<String, String> {
    let mut env: HashMap<String, String> = HashMap::new();
    for (name, value) in case["env"].as_object().into_iter().flatten() {
        env.insert(name.clone(), value.as_str().unwrap_or("").to_owned());
    }
    for line in strings(&case["env_list"]) {
        let (name, value) = line.split_once('=').unwrap_or((&line, ""));
        env.insert(name.to_owned(), value.to_owned());
    }
    env
}

#[test]
fn buildkit_shell() {
    run("buildkit-shell", |_, case| {
        let (input, expect, env) = (case["input"].as_str().unwrap_or(""), &case["expect"], environment(case));
        if case["platform"].as_str() == Some("windows") {
            return Verdict::Skipped("names of variables know no case on Windows only");
        }
        match case["kind"].as_str().unwrap_or("") {
            "words" => match expand_words(input, &env, '\\') {
                Ok(found) => expect_equal(found.words, strings(&expect["words"])),
                Err(error) => Verdict::Failed(error.to_string()),
            },
            kind if kind.starts_with("word") => match (expand_word(input, &env, '\\'), expect["error"].as_bool()) {
                (Err(error), Some(true)) => {
                    let part = expect["error_contains"].as_str().unwrap_or("");
                    expect_equal(error.to_string().contains(part), true)
                }
                (Ok(found), None) => {
                    let names = |key: &str, found: &[String]| expect.get(key).map_or_else(|| found.to_vec(), strings);
                    let expected = (
                        expect["value"].as_str().unwrap_or(""),
                        names("matched", &found.used),
                        names("unmatched", &found.unmatched),
                    );
                    expect_equal((found.text.as_str(), found.used.clone(), found.unmatched.clone()), expected)
                }
                (found, _) => Verdict::Failed(format!("{found:?}, expected {expect}")),
            },
            _ => Verdict::Skipped("tells how BuildKit builds a regular expression; there is none here"),
        }
    });
}

#[test]
fn buildkit_instructions() {
    run("buildkit-instructions", |_, case| {
        let Some(source) = case["dockerfile"].as_str() else {
            return Verdict::Skipped("tests a function below the parser (flag table, device)");
        };
        let begun = source.lines().any(|line| line.to_ascii_uppercase().starts_with("FROM "));
        let file = parse(&if begun { source.to_owned() } else { format!("FROM scratch\n{source}") });
        let expect = &case["expect"];
        if expect.get("error").is_some() {
            return expect_equal(file.has_errors(), true);
        }
        if expect.get("no_crash").is_some() {
            return Verdict::Passed;
        }
        if !errors(&file).is_empty() {
            return Verdict::Failed(format!("{:?}", errors(&file)));
        }
        let Some(instruction) = file.instructions.get(1) else { return Verdict::Failed("no instruction".to_owned()) };
        if let Some(test) = expect.get("healthcheck_test") {
            let Arguments::Healthcheck(Some(CommandForm::Shell(text))) = &instruction.arguments else {
                return Verdict::Failed("form".to_owned());
            };
            return expect_equal(vec!["CMD-SHELL".to_owned(), text.clone()], strings(test));
        }
        if expect.get("stage0_doc").is_some() {
            return described(&file, expect);
        }
        if let Some(destination) = expect["DestPath"].as_str() {
            return copied(instruction, destination, &expect["SourceContents"][0]);
        }
        if expect.get("cmdline").is_some() {
            return executed(&file, instruction, expect);
        }
        Verdict::Passed
    });
}

fn described(file: &Dockerfile, expect: &Value) -> Verdict {
    let of_args = |at: usize| match &file.instructions[at].arguments {
        Arguments::Arg(list) => list
            .iter()
            .map(|entry| vec![entry.name.text.clone(), file.description(at, &entry.name.text).unwrap_or("").to_owned()])
            .collect(),
        _ => Vec::new(),
    };
    let stage = file
        .instructions
        .iter()
        .position(|instruction| matches!(instruction.arguments, Arguments::From { .. }))
        .unwrap_or(0);
    let global: Vec<Vec<String>> = (0..stage).flat_map(of_args).collect();
    let own: Vec<Vec<String>> = (stage..file.instructions.len()).flat_map(of_args).collect();
    let found = serde_json::json!({"stage0_doc": file.description(stage, "base").unwrap_or(""), "meta_args": global, "stage0_args": own});
    expect_equal(&found, expect)
}

fn copied(instruction: &Instruction, destination: &str, content: &Value) -> Verdict {
    let (Arguments::Copy { destination: found, .. }, Some(heredoc)) = (&instruction.arguments, instruction.heredocs.first())
    else {
        return Verdict::Failed(format!("{instruction:?}"));
    };
    expect_equal(
        (found.text.as_str(), heredoc.name.as_str(), heredoc.content.as_str(), Some(heredoc.expand)),
        (
            destination,
            content["Path"].as_str().unwrap_or(""),
            content["Data"].as_str().unwrap_or(""),
            content["Expand"].as_bool(),
        ),
    )
}

fn executed(file: &Dockerfile, instruction: &Instruction, expect: &Value) -> Verdict {
    let files: Vec<Value> = instruction
        .heredocs
        .iter()
        .map(|heredoc| serde_json::json!({"Name": heredoc.name, "Data": heredoc.span.text(&file.source), "Chomp": heredoc.chomp}))
        .collect();
    let expected: Vec<Value> = expect["files"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|file| serde_json::json!({"Name": file["Name"], "Data": file["Data"], "Chomp": file["Chomp"].as_bool().unwrap_or(false)}))
        .collect();
    expect_equal((chain(instruction), files), (strings(&expect["cmdline"]), expected))
}

#[test]
fn dockerignore_patterns() {
    run("dockerignore-patterns", |_, case| {
        let patterns = strings(&case["patterns"]);
        let expect = &case["expect"];
        let rules = IgnoreRules::from_patterns(patterns.iter().map(String::as_str));
        match (case["api"].as_str().unwrap_or(""), rules) {
            (_, Err(error)) => expect_equal((error.to_string(), expect.get("error").is_some()).1, true),
            ("New", Ok(rules)) => expect_equal(Some(rules.has_exceptions()), expect["exclusions"].as_bool()),
            ("compile", Ok(_)) => Verdict::Skipped("tells which regular expression moby builds; there is none here"),
            (_, Ok(rules)) => {
                expect_equal(Some(rules.is_ignored(case["path"].as_str().unwrap_or(""))), expect["match"].as_bool())
            }
        }
    });
}

/// What holds for every tree: printing is lossless, pieces follow each other, spans lie on character boundaries and nest.
fn check_tree(file: &Dockerfile, source: &str) -> Option<String> {
    let mut at = 0;
    for piece in &file.pieces {
        if piece.span.start != at {
            return Some(format!("a gap before byte {}", piece.span.start));
        }
        at = piece.span.end;
    }
    if file.print() != source {
        return Some("printing changes it".to_owned());
    }
    let mut last = 0;
    for instruction in &file.instructions {
        let outer = instruction.span;
        let inner = std::iter::once(instruction.keyword_span)
            .chain(instruction.flags.iter().map(|flag| flag.span))
            .chain(instruction.heredocs.iter().map(|heredoc| heredoc.span))
            .chain(words(&instruction.arguments));
        for span in inner.chain([outer]) {
            if source.get(span.start..span.end).is_none() || span.start < outer.start || span.end > outer.end.max(span.start)
            {
                return Some(format!("span {span:?} in {outer:?} of line {}", instruction.line));
            }
        }
        if outer.start < last {
            return Some(format!("line {} overlaps", instruction.line));
        }
        last = outer.end;
    }
    file.diagnostics.iter().find(|d| source.get(d.span.start..d.span.end).is_none()).map(|d| format!("{d:?}"))
}

fn words(arguments: &Arguments) -> Vec<rbuild_tui::language::dockerfile::Span> {
    match arguments {
        Arguments::From { image, name } => name.iter().chain([image]).map(|word| word.span).collect(),
        Arguments::Copy { sources, destination } => sources.iter().chain([destination]).map(|word| word.span).collect(),
        Arguments::Env(list) | Arguments::Label(list) | Arguments::Arg(list) => {
            list.iter().flat_map(|entry| entry.value.iter().chain([&entry.name])).map(|word| word.span).collect()
        }
        Arguments::Workdir(word) | Arguments::User(word) | Arguments::Stopsignal(word) => vec![word.span],
        Arguments::Expose(list) | Arguments::Volume(list) => list.iter().map(|word| word.span).collect(),
        _ => Vec::new(),
    }
}

/// A file with bytes that are not UTF-8 outside of comments is refused before the parser.
fn refused(expect: &str) -> Verdict {
    if expect == "ok" { Verdict::Failed("refused: not UTF-8".to_owned()) } else { Verdict::Passed }
}

/// The time that this thread has had on a processor: other work on the machine does not count.
fn worked() -> std::time::Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    std::time::Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[test]
fn wild() {
    run("wild", |folder, case| {
        let (stage, expect) = (case["stage"].as_str().unwrap_or(""), case["expect"].as_str().unwrap_or(""));
        let Some(name) = case["file"].as_str() else { return Verdict::Skipped("no file") };
        let Ok(bytes) = std::fs::read(folder.join(name)) else { return Verdict::Failed("cannot read it".to_owned()) };
        let bytes = if name.ends_with(".gz") { unpacked(&bytes) } else { bytes };
        let decoded = decode(bytes.clone());
        let Ok(source) = decoded else { return refused(expect) };
        if encode(&source, &bytes) != bytes {
            return Verdict::Failed("its bytes are not kept".to_owned());
        }
        if stage == "ignore" {
            let _ = IgnoreRules::parse(&source);
            return Verdict::Passed;
        }
        let begun = worked();
        let file = parse(&source);
        if let Some(problem) = check_tree(&file, &source) {
            return Verdict::Failed(problem);
        }
        let _ = (lint::linted(&source, "tmp\n", &Default::default(), Target::All), file.outline());
        let verdict = match (stage, expect) {
            ("parse", "error") => expect_equal(file.has_errors(), true),
            ("instruction", "error") => convert::verdict(&file, None, "error"),
            ("convert", expect) => convert::verdict(&file, None, expect),
            (_, "ok") => expect_equal(errors(&file), Vec::new()),
            (_, "error") => Verdict::Skipped("found by a later step"),
            _ => Verdict::Passed,
        };
        let took = worked().saturating_sub(begun);
        if took.as_secs() > 3 { Verdict::Failed(format!("took {took:?}")) } else { verdict }
    });
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let _ = std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes), &mut out);
    out
}

#[test]
fn buildkit_error_lines() {
    run("buildkit-error-lines", |_, case| {
        let file = parse(case["dockerfile"].as_str().unwrap_or(""));
        let lines: Vec<u64> =
            case["expect"]["error_lines"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
        if !file.has_errors() {
            // A command that fails is shown with all lines of its instruction.
            let spans = |i: &Instruction| lines == [u64::from(i.line), u64::from(i.end_line)];
            return expect_equal(file.instructions.iter().any(spans), true);
        }
        let found = file.diagnostics.iter().find(|d| d.severity == Severity::Error).map(|d| file.lines.line(d.span.start));
        expect_equal(found.map(u64::from), lines.first().copied())
    });
}

/// Every Dockerfile text of every set parses without harm to it.
#[test]
fn every_set_prints_back() {
    let Some(folder) = folder() else { return };
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).expect("the folder can be listed").flatten() {
        let Ok(text) = std::fs::read_to_string(entry.path().join("cases.json")) else { continue };
        let document: Value = serde_json::from_str(&text).expect("cases.json is JSON");
        for case in document["cases"].as_array().into_iter().flatten() {
            for key in ["dockerfile", "before", "after"] {
                let Some(source) = case[key].as_str() else { continue };
                count += 1;
                assert_eq!(check_tree(&parse(source), source), None, "{}", case["name"]);
            }
        }
    }
    println!("every set: {count} texts print back");
}
