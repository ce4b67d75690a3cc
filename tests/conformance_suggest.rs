//! `suggest` over real Dockerfiles: it ends, what it writes parses and keeps the meaning; real commits that improved a
//! Dockerfile, and whether it would have offered that; files that are in good order already, and what it says about them.
//! Reads the folder that RBUILD_TUI_CONFORMANCE names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rbuild_tui::insight::suggest::{ContextView, Rewritten, SuggestReport, Suggestion, suggest};
use rbuild_tui::language::dockerfile::{Arguments, Dockerfile, IgnoreRules, Keyword, parse};
use serde_json::Value;

fn conformance(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("RBUILD_TUI_CONFORMANCE").map(PathBuf::from).filter(|folder| folder.is_dir());
    if folder.is_none() {
        println!("skipped: {test}: RBUILD_TUI_CONFORMANCE names no folder");
    }
    folder
}

fn cases(folder: &Path, set: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join(set).join("cases.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["cases"].as_array().unwrap().clone()
}

/// A context of which names are known, and contents as far as somebody gave them.
struct Names {
    files: BTreeMap<String, String>,
    ignore: String,
}

/// Contents that mean nothing, of manifests that are there.
fn plain(path: &str) -> &'static str {
    match path.rsplit('/').next().unwrap_or("") {
        "package.json" | "composer.json" => "{}",
        "go.mod" => "module x\n",
        _ => "",
    }
}

impl Names {
    fn new<'n>(names: impl IntoIterator<Item = &'n str>, ignore: &str) -> Self {
        let rules = IgnoreRules::parse(ignore).unwrap_or_default();
        let names = names.into_iter().map(|name| match name.strip_suffix('/') {
            Some(folder) => format!("{folder}/some-file"),
            None => name.to_owned(),
        });
        let kept = names.filter(|name| !rules.is_ignored(name));
        Self { files: kept.map(|name| (name.clone(), plain(&name).to_owned())).collect(), ignore: ignore.to_owned() }
    }

    /// Everything that an install of any kind could want, and sources.
    fn all() -> Self {
        let names = [
            "package.json",
            "package-lock.json",
            "yarn.lock",
            "pnpm-lock.yaml",
            "requirements.txt",
            "go.mod",
            "go.sum",
            "Gemfile",
            "Gemfile.lock",
            "composer.json",
            "composer.lock",
            "pom.xml",
            "build.gradle",
            "pyproject.toml",
            "Cargo.toml",
            "Cargo.lock",
            "src/main.x",
            "index.js",
            "README.md",
        ];
        Self::new(names, "")
    }
}

impl Names {
    /// What the improved file copies by name is there, too.
    fn of_after(after: &str) -> Self {
        let mut out = Self::all();
        for instruction in parse(after).instructions.iter().filter(|i| i.flag("from").is_none()) {
            let Arguments::Copy { sources, .. } = &instruction.arguments else { continue };
            for word in sources.iter().map(|word| word.text.trim_start_matches("./").trim_start_matches('/')) {
                if !word.contains(['*', '?', '[', '$', '<', ':']) && word.contains('.') && word != "." {
                    out.files.insert(word.to_owned(), plain(word).to_owned());
                }
            }
        }
        out
    }
}

impl ContextView for Names {
    fn ignore_text(&self) -> String {
        self.ignore.clone()
    }
    fn exists(&self, path: &str) -> bool {
        let below = format!("{path}/");
        self.files.contains_key(path)
            || self.files.range(below.clone()..).next().is_some_and(|(file, _)| file.starts_with(&below))
    }
    fn read(&self, path: &str) -> Option<String> {
        self.files.get(path).cloned()
    }
    fn list(&self) -> Vec<String> {
        self.files.keys().cloned().collect()
    }
}

/// What an instruction does, without what rewrites may change of it: mounts, --link, and where a destination is written from.
fn essence(dockerfile: &Dockerfile, at: usize, rule: &str) -> String {
    let instruction = &dockerfile.instructions[at];
    let mut out = instruction.keyword.as_str().to_owned();
    for flag in &instruction.flags {
        if !matches!((rule, flag.name.as_str()), ("cache-mount" | "secret-in-arg-or-env", "mount") | (_, "link")) {
            out.push_str(&format!(" --{}={}", flag.name, flag.value.as_deref().unwrap_or("")));
        }
    }
    let mut text = instruction.text.split_whitespace().collect::<Vec<_>>();
    if matches!(instruction.keyword, Keyword::Copy | Keyword::Add)
        && matches!(rule, "step-below-copy" | "broad-copy-before-install")
    {
        text.pop();
    }
    format!("{out} {}", text.join(" "))
}

/// The instructions of each stage, as often as they stand there.
fn stages(dockerfile: &Dockerfile, rule: &str) -> Vec<BTreeMap<String, i32>> {
    let mut out = vec![BTreeMap::new()];
    for (at, instruction) in dockerfile.instructions.iter().enumerate() {
        if instruction.keyword == Keyword::From {
            out.push(BTreeMap::new());
        }
        *out.last_mut().unwrap().entry(essence(dockerfile, at, rule)).or_default() += 1;
    }
    out
}

/// What a rewrite takes away and brings, beside moving.
fn difference(suggestion: &Suggestion) -> (Vec<String>, Vec<String>) {
    let (before, after) =
        (stages(&parse(&suggestion.before), &suggestion.rule), stages(&parse(&suggestion.after), &suggestion.rule));
    assert_eq!(before.len(), after.len(), "another number of stages");
    let (mut gone, mut new) = (Vec::new(), Vec::new());
    for (then, now) in before.iter().zip(&after) {
        for text in then.keys().chain(now.keys()).collect::<BTreeSet<_>>() {
            let count = |map: &BTreeMap<String, i32>| map.get(text).copied().unwrap_or(0);
            for _ in count(now)..count(then) {
                gone.push(text.clone());
            }
            for _ in count(then)..count(now) {
                new.push(text.clone());
            }
        }
    }
    (gone, new)
}

/// Whether a rewrite does what its rule says, and nothing else.
fn keeps_the_meaning(suggestion: &Suggestion) -> Result<(), String> {
    if suggestion.file == Rewritten::IgnoreFile {
        let added = suggestion.after.starts_with(suggestion.before.trim_end());
        return if added && IgnoreRules::parse(&suggestion.after).is_ok() { Ok(()) } else { Err("the ignore file".into()) };
    }
    if suggestion.is_advice() {
        return Ok(());
    }
    let after = parse(&suggestion.after);
    if after.has_errors() {
        return Err("it does not parse".into());
    }
    let (gone, new) = difference(suggestion);
    let fine = match suggestion.rule.as_str() {
        // A RUN that does more than install is made two.
        "broad-copy-before-install" => {
            let copies = new.iter().filter(|line| line.starts_with("COPY ")).count();
            let halves: Vec<&str> = new.iter().filter_map(|line| line.strip_prefix("RUN ")).collect();
            let whole = |run: &String| {
                let all = run.trim_start_matches("RUN ");
                halves.len() == 2
                    && [format!("{} && {}", halves[0], halves[1]), format!("{} && {}", halves[1], halves[0])]
                        .contains(&all.to_owned())
            };
            copies + halves.len() == new.len() && gone.iter().all(whole) && (gone.is_empty() || halves.len() == 2)
        }
        "apt-update-alone" => {
            let words = |line: &&String| line.split_whitespace().any(|word| word == "update") && !line.contains(" install ");
            let updates = gone.iter().filter(words).count();
            updates == 1
                && gone.len() == new.len() + 1
                && new.iter().all(|line| line.contains(" update") && line.contains("&&"))
        }
        "copied-twice" => new.is_empty() && gone.len() == 1 && gone[0].starts_with("COPY "),
        "secret-in-arg-or-env" => new.is_empty() && gone.len() == 1 && gone[0].starts_with("ARG "),
        _ => gone.is_empty() && new.is_empty(),
    };
    if fine { Ok(()) } else { Err(format!("gone: {gone:?}; new: {new:?}")) }
}

/// Everything about one file that has to hold whatever it is.
fn examine(name: &str, report: &SuggestReport, wrong: &mut Vec<String>) {
    for suggestion in &report.offered {
        if let Err(why) = keeps_the_meaning(suggestion) {
            wrong.push(format!("{name}: {} (line {}): {why}", suggestion.rule, suggestion.line));
        }
        if suggestion.evidence.is_empty() || suggestion.risks.is_empty() {
            wrong.push(format!("{name}: {} has no evidence or no risk", suggestion.rule));
        }
        if suggestion.file == Rewritten::Dockerfile && !suggestion.is_advice() {
            let again = suggest(&parse(&suggestion.after), &Names::all());
            if again.offered.iter().any(|other| other.rule == suggestion.rule && other.after == suggestion.after) {
                wrong.push(format!("{name}: {} is offered again", suggestion.rule));
            }
        }
    }
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn every_rewrite_of_the_corpus_parses_and_keeps_the_meaning() {
    let Some(folder) = conformance("every_rewrite_of_the_corpus_parses_and_keeps_the_meaning") else { return };
    let (mut files, mut wrong) = (0, Vec::new());
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for set in ["corpus", "official-images"] {
        for case in cases(&folder, set) {
            let name = case["name"].as_str().unwrap();
            let Ok(source) = std::fs::read_to_string(folder.join(set).join(case["file"].as_str().unwrap())) else {
                continue;
            };
            files += 1;
            for place in ["siblings", "root"] {
                let context = Names::new(strings(&case[place]), case["dockerignore"].as_str().unwrap_or(""));
                let report = suggest(&parse(&source), &context);
                examine(name, &report, &mut wrong);
                for suggestion in report.offered.iter().filter(|_| place == "root") {
                    *counts.entry(suggestion.rule.clone()).or_default() += 1;
                }
            }
        }
    }
    println!("{files} Dockerfiles, each in two contexts; offers in the second one: {counts:?}");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(files > 600 && counts.len() > 8, "{files} {counts:?}");
}

#[test]
fn hostile_files_end_and_are_rewritten_to_what_parses() {
    let Some(folder) = conformance("hostile_files_end_and_are_rewritten_to_what_parses") else { return };
    let (mut files, mut wrong, mut slowest) = (0, Vec::new(), std::time::Duration::ZERO);
    for set in ["wild", "buildkit-parser", "buildkit-instructions", "buildkit-integration", "moby-cli-build", "buildah-bud"]
    {
        for case in cases(&folder, set) {
            let name = case["name"].as_str().unwrap();
            let given = case["dockerfile"].as_str().map(str::to_owned);
            let path = case["file"].as_str().filter(|file| !file.ends_with(".gz"));
            let Some(source) = given.or_else(|| std::fs::read_to_string(folder.join(set).join(path?)).ok()) else {
                continue;
            };
            files += 1;
            let began = std::time::Instant::now();
            let report = suggest(&parse(&source), &Names::all());
            slowest = slowest.max(began.elapsed());
            examine(name, &report, &mut wrong);
        }
    }
    println!("{files} hostile files and test cases; the slowest took {slowest:?}");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(files > 300 && slowest.as_secs() < 10, "{files} {slowest:?}");
}

/// Whether in a rewrite the slow line stands above the volatile one: (all pairs, how many).
fn swapped(before: &str, after: &str, swaps: &[Value]) -> usize {
    let (then, now) = (parse(before), parse(after));
    let text = |line: &Value| {
        let line = u32::try_from(line.as_u64().unwrap_or(0)).unwrap_or(0);
        then.instructions.iter().find(|i| i.line <= line && line <= i.end_line).map(|i| i.text.trim().to_owned())
    };
    // Mounts and moved destinations do not change the beginning.
    let place = |text: &str| {
        let begin: String = text.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
        let of = |at: &str| at.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
        now.instructions.iter().position(|i| of(i.text.trim()) == begin)
    };
    let done = |swap: &&Value| {
        let (volatile, slow) = (text(&swap[0]), text(&swap[1]));
        match (volatile.and_then(|t| place(&t)), slow.and_then(|t| place(&t))) {
            (Some(volatile), Some(slow)) => slow < volatile,
            _ => false,
        }
    };
    swaps.iter().filter(done).count()
}

#[test]
fn real_commits_that_improved_the_order_are_suggested() {
    let Some(folder) = conformance("real_commits_that_improved_the_order_are_suggested") else { return };
    let order = ["broad-copy-before-install", "step-below-copy", "argument-above-steps", "apt-update-alone"];
    let (mut total, mut found, mut complete, mut wrong) = (0, 0, 0, Vec::new());
    for case in cases(&folder, "suggestion-pairs-history") {
        let (name, before) = (case["name"].as_str().unwrap(), case["before"].as_str().unwrap());
        let report = suggest(&parse(before), &Names::of_after(case["after"].as_str().unwrap()));
        examine(name, &report, &mut wrong);
        if case["strict"] != true {
            continue;
        }
        total += 1;
        let empty = Vec::new();
        let swaps = case["detail"]["swaps"].as_array().unwrap_or(&empty);
        let useful = |suggestion: &&Suggestion| {
            order.contains(&suggestion.rule.as_str())
                && (swaps.is_empty() && suggestion.rule == order[0] || swapped(before, &suggestion.after, swaps) > 0)
        };
        let offers: Vec<&Suggestion> = report.offered.iter().filter(useful).collect();
        let most = offers.iter().map(|s| swapped(before, &s.after, swaps)).max().unwrap_or(0);
        found += usize::from(!offers.is_empty());
        complete += usize::from(!offers.is_empty() && most == swaps.len());
        if offers.is_empty() {
            let refused: Vec<String> = report
                .refused
                .iter()
                .filter(|refusal| order.contains(&refusal.rule.as_str()))
                .map(|refusal| format!("line {}: {}", refusal.line, refusal.reason))
                .collect();
            let wanted: Vec<String> = swaps.iter().map(|swap| format!("{} below {}", swap[0], swap[1])).collect();
            let why = if refused.is_empty() { "no rule sees it".to_owned() } else { refused.join("; ") };
            println!("missed: {} ({}): {why}", name.trim_start_matches("suggestion-pairs-history/"), wanted.join(", "));
        }
    }
    println!("strict pairs of histories: {found} of {total} suggested, {complete} of them completely");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(found * 2 > total, "{found} of {total}");
}

/// The rules that answer to the words of a documentation pair.
fn answers(kind: &str) -> &'static [&'static str] {
    match kind {
        "dependencies-before-source" => &["broad-copy-before-install"],
        "costly-step-before-volatile" => &["step-below-copy", "argument-above-steps"],
        "metadata-moved-down" => &["argument-above-steps"],
        "cache-mount" => &["cache-mount"],
        "copy-link" => &["copy-without-link"],
        "multi-stage" => &["build-tools-in-image"],
        "dockerignore" => &["ignore-lines"],
        _ => &[],
    }
}

fn context_of(case: &Value) -> Names {
    match case["context_files"].as_array() {
        Some(_) => Names::new(strings(&case["context_files"]), ""),
        None => Names::all(),
    }
}

#[test]
fn improvements_of_the_documentation_are_suggested() {
    let Some(folder) = conformance("improvements_of_the_documentation_are_suggested") else { return };
    let (mut total, mut found, mut beyond, mut wrong) = (0, 0, 0, Vec::new());
    for case in cases(&folder, "suggestion-pairs-docs") {
        let name = case["name"].as_str().unwrap();
        let report = suggest(&parse(case["before"].as_str().unwrap()), &context_of(&case));
        examine(name, &report, &mut wrong);
        let kinds = strings(&case["kinds"]);
        let rules: Vec<&str> = kinds.iter().flat_map(|kind| answers(kind)).copied().collect();
        if rules.is_empty() {
            beyond += 1;
            println!("beyond the rules: {name} ({})", kinds.join(", "));
            continue;
        }
        total += 1;
        if report.offered.iter().any(|suggestion| rules.contains(&suggestion.rule.as_str())) {
            found += 1;
            continue;
        }
        let refused: Vec<&str> =
            report.refused.iter().filter(|r| rules.contains(&r.rule.as_str())).map(|r| r.reason.as_str()).collect();
        let why = if refused.is_empty() { "no rule sees it".to_owned() } else { refused.join("; ") };
        println!("missed: {name} ({}): {why}", kinds.join(", "));
    }
    println!("documentation pairs: {found} of {total} suggested, {beyond} are about what no rule is for");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(found * 2 > total, "{found} of {total}");
}

/// Files as their authors left them after they improved the order: all that is said about them is printed, for the eye.
#[test]
fn files_in_good_order_are_left_alone() {
    let Some(folder) = conformance("files_in_good_order_are_left_alone") else { return };
    let time = ["broad-copy-before-install", "step-below-copy", "argument-above-steps"];
    let docs = cases(&folder, "suggestion-pairs-docs").into_iter();
    let history = cases(&folder, "suggestion-pairs-history").into_iter().filter(|case| case["strict"] == true);
    let (mut files, mut alarms, mut others) = (0, 0, 0);
    for case in docs.chain(history).take(50) {
        files += 1;
        let after = case["after"].as_str().unwrap();
        let report = suggest(&parse(after), &context_of(&case));
        for suggestion in &report.offered {
            let of_order = time.contains(&suggestion.rule.as_str());
            *(if of_order { &mut alarms } else { &mut others }) += 1;
            let name = case["name"].as_str().unwrap().trim_start_matches("suggestion-pairs-");
            println!("{name}: {}: {} | {}", suggestion.rule, suggestion.title, suggestion.evidence.join(" "));
        }
    }
    println!("{files} files in good order: {alarms} offers about their order, {others} about other things");
    assert_eq!(files, 50);
}
