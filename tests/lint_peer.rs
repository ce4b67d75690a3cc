//! `lint` beside the real BuildKit's checks, over files of the corpus: the same rules with the same messages on the same lines.
//!
//! Needs the lab: `RBUILD_LAB_SCRIPTS` names the folder with `dk`, `RBUILD_TUI_CONFORMANCE` the cases. `LINT_PEER_FILES` is how
//! many files are compared (120). Each name that a file builds from is a tag of busybox for the time of the test; lines with
//! `# syntax=` are made plain comments, and digests of images left out.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use rbuild_tui::engine::oci::{Platform, Reference};
use rbuild_tui::language::dockerfile::checks::{BaseImage, Lint, LintRequest, Target, lint};
use rbuild_tui::language::dockerfile::{Keyword, find_stage, parse, parse_mount};
use serde_json::Value;

/// Rules that the lab's BuildKit (older than the reference) does not know, or knows as experimental.
const NEWER: [&str; 2] = ["ExposeInvalidFormat", "CopyIgnoredFile"];

struct Lab {
    dk: PathBuf,
    tagged: RefCell<BTreeSet<String>>,
}

impl Lab {
    fn docker(&self, arguments: &[&str]) -> Option<std::process::Output> {
        Command::new(&self.dk).args(arguments).output().ok()
    }

    /// Makes sure that an image of this name exists.
    fn tag(&self, name: &str) {
        let Ok(full) = Reference::parse(name).map(|reference| reference.to_string()) else { return };
        if full.contains('@') || full.contains("busybox:local") || self.tagged.borrow().contains(&full) {
            return;
        }
        let exists = self.docker(&["image", "inspect", &full]).is_some_and(|output| output.status.success());
        let made = !exists && self.docker(&["tag", "busybox:local", &full]).is_some_and(|output| output.status.success());
        if made {
            self.tagged.borrow_mut().insert(full);
        }
    }

    /// BuildKit's findings, and its error.
    fn check(&self, folder: &Path) -> Option<(BTreeSet<String>, Option<String>)> {
        let folder = folder.to_str()?;
        let output = self.docker(&["buildx", "build", "--call=lint,format=json", folder])?;
        let Ok(value) = serde_json::from_slice::<Value>(&output.stdout) else {
            let text = String::from_utf8_lossy(&output.stderr);
            return Some((BTreeSet::new(), Some(text.lines().last().unwrap_or("").to_owned())));
        };
        let line = |warning: &Value| {
            let line = warning["location"]["ranges"][0]["start"]["line"].as_u64().unwrap_or(0);
            (
                line,
                warning["ruleName"].as_str().unwrap_or("").to_owned(),
                warning["detail"].as_str().unwrap_or("").to_owned(),
            )
        };
        let all = value["warnings"].as_array().into_iter().flatten().map(line);
        let found = all.filter(|(_, rule, _)| !NEWER.contains(&rule.as_str())).map(|(l, r, m)| shown(l, &r, &m));
        let found = found.filter(|line| !harmless_by_now(line)).collect();
        let error = value.get("buildError").filter(|error| !error.is_null());
        Some((found, error.map(|error| error["message"].as_str().unwrap_or("").to_owned())))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in self.tagged.borrow().iter() {
            self.docker(&["rmi", name]);
        }
    }
}

/// The newer BuildKit of the reference takes names with the words `file` and `version` for harmless.
fn harmless_by_now(line: &str) -> bool {
    let name = line.split("sensitive data (").nth(1).unwrap_or("").to_lowercase();
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    line.contains(" SecretsUsedInArgOrEnv:") && words.any(|word| word == "file" || word == "version")
}

/// Of several names that were meant BuildKit suggests any, so suggestions are left out.
fn shown(line: u64, rule: &str, message: &str) -> String {
    let message = message.split(" (did you mean").next().unwrap_or("");
    format!("{line} {rule}: {message}")
}

/// Our findings; tags what the file builds from on the way.
fn ours(source: &str, lab: &Lab) -> Lint {
    let dockerfile = parse(source);
    let base = |name: &str| {
        lab.tag(name);
        let env = vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()];
        Some(BaseImage { env, has_shell: false, platform: Some(Platform::host().text()) })
    };
    let found = lint(&LintRequest {
        dockerfile: &dockerfile,
        ignore: None,
        target: Target::All,
        build_args: &BTreeMap::new(),
        platform: &Platform::host().text(),
        base: &base,
    });
    let stages = dockerfile.stages();
    for instruction in &dockerfile.instructions {
        for flag in &instruction.flags {
            let value = flag.value.clone().unwrap_or_default();
            let from = match (instruction.keyword, flag.name.as_str()) {
                (Keyword::Copy, "from") => Some(value),
                (Keyword::Run, "mount") => parse_mount(&value, &|_: &str| None::<String>, '\\').ok().and_then(|m| m.from),
                _ => None,
            };
            if let Some(name) = from.filter(|name| find_stage(&stages, name, stages.len()).is_none()) {
                lab.tag(&name);
            }
        }
    }
    found
}

/// The file as the lab can build it.
fn without_syntax(source: &str) -> String {
    let plain = |line: &str| {
        let text = line.trim_start_matches(['#', ' ']).to_ascii_lowercase();
        if line.starts_with('#') && text.starts_with("syntax") {
            format!("# was {}", line.trim_start_matches('#'))
        } else {
            line.to_owned()
        }
    };
    let text = source.split('\n').map(plain).collect::<Vec<_>>().join("\n");
    // A tag of busybox has another digest than the one that is asked for.
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some((before, below)) = rest.split_once("@sha256:") {
        out.push_str(before);
        rest = below.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    }
    out + rest
}

#[test]
fn the_same_findings_as_buildkit() {
    let (Some(scripts), Some(cases)) = (std::env::var_os("RBUILD_LAB_SCRIPTS"), std::env::var_os("RBUILD_TUI_CONFORMANCE"))
    else {
        println!("skipped: RBUILD_LAB_SCRIPTS and RBUILD_TUI_CONFORMANCE are not both set");
        return;
    };
    let lab = Lab { dk: Path::new(&scripts).join("dk"), tagged: RefCell::default() };
    let wanted: usize = std::env::var("LINT_PEER_FILES").ok().and_then(|text| text.parse().ok()).unwrap_or(120);
    let folder = Path::new(&cases).join("corpus");
    let text = std::fs::read_to_string(folder.join("cases.json")).expect("the corpus has cases.json");
    let document: Value = serde_json::from_str(&text).expect("cases.json is JSON");
    let all: Vec<&Value> = document["cases"].as_array().into_iter().flatten().collect();
    let step = (all.len() / wanted.max(1)).max(1);
    let context = tempfile::tempdir().expect("a folder for contexts");
    let (mut same, mut findings, mut both_fail, mut differ, mut skipped) = (0, 0, 0, Vec::new(), Vec::new());
    for case in all.iter().step_by(step).take(wanted) {
        let (name, file) = (case["name"].as_str().unwrap_or("?"), case["file"].as_str().unwrap_or(""));
        let Ok(source) = std::fs::read_to_string(folder.join(file)) else { continue };
        let source = without_syntax(&source);
        std::fs::write(context.path().join("Dockerfile"), &source).expect("the file can be written");
        let mine = ours(&source, &lab);
        let Some((theirs, error)) = lab.check(context.path()) else { panic!("the lab does not answer") };
        let list: BTreeSet<String> = mine
            .warnings
            .iter()
            .filter(|warning| !NEWER.contains(&warning.rule))
            .map(|warning| shown(u64::from(warning.line), warning.rule, &warning.message))
            .collect();
        match (error, mine.errors.is_empty()) {
            // Findings are compared as far as BuildKit came.
            (Some(_), false) if theirs.is_subset(&list) => both_fail += 1,
            (Some(error), true) if theirs.is_subset(&list) => skipped.push(format!("{name}: {error}")),
            (None, _) if theirs == list => {
                same += 1;
                findings += list.len();
            }
            (error, _) => {
                let only_ours: Vec<_> = list.difference(&theirs).collect();
                let only_theirs: Vec<_> = theirs.difference(&list).collect();
                differ
                    .push(format!("{name}: only ours {only_ours:?}; only BuildKit's {only_theirs:?}; its error {error:?}"));
            }
        }
    }
    println!(
        "lint beside BuildKit: {same} equal ({findings} findings), {both_fail} refused by both, {} differ, {} where only BuildKit stops",
        differ.len(),
        skipped.len()
    );
    skipped.iter().for_each(|line| println!("  stopped {line}"));
    differ.iter().for_each(|line| println!("  DIFFERS {line}"));
    assert!(differ.is_empty(), "{} files differ", differ.len());
}
