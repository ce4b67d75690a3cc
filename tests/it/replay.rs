//! `replay` beside real builds, and over a long history.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::program::{Program, can_build};
use super::repository::{Repository, Shape, git};

/// Every kind of step: a stage that copies from another, wildcards, a link, the whole context.
const DOCKERFILE: &str = "\
FROM rbuild-demo:host AS deps
WORKDIR /app
COPY package.json package-lock.json ./
RUN mkdir node_modules && cat package.json package-lock.json > node_modules/all && sleep 0.4
FROM deps AS build
ARG MODE=prod
COPY tsconfig.json ./
COPY src src
COPY --chmod=755 scripts/*.sh bin/
RUN cat tsconfig.json $(find src -name '*.js') > bundle.js && find src scripts bin >> bundle.js; sleep 0.2
FROM rbuild-demo:host
WORKDIR /srv
COPY --from=build /app/bundle.js /app/node_modules/all ./made/
COPY --link docs/*.md docs/
COPY src/current/ current/
COPY --exclude=**/*.md . all/
RUN cat made/bundle.js > served && sleep 0.1
";

fn dockerfiles() -> Vec<String> {
    vec![
        DOCKERFILE.to_owned(),
        DOCKERFILE.replace("MODE=prod", "MODE=test"),
        format!("# only a comment\n{DOCKERFILE}"),
        DOCKERFILE.replace("COPY --link docs/*.md docs/\n", ""),
    ]
}

fn has_git(test: &str) -> bool {
    let found = ["/usr/bin/git", "/bin/git"].iter().any(|path| Path::new(path).is_file());
    if !found {
        println!("skipped: {test}: there is no git in /usr/bin");
    }
    found
}

fn replayed(program: &Program, args: &[&str]) -> Value {
    let ended = program.run(&[&["replay", "--json"], args].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

/// How often each line has each result: COPY --link has two steps on one line.
fn results<'v>(steps: impl Iterator<Item = (&'v Value, &'v Value)>) -> BTreeMap<(u64, String), usize> {
    let mut out = BTreeMap::new();
    for (line, result) in steps {
        *out.entry((line.as_u64().unwrap(), result.as_str().unwrap().to_owned())).or_default() += 1;
    }
    out
}

#[test]
fn twenty_commits_are_predicted_as_they_are_built() {
    let name = "twenty_commits_are_predicted_as_they_are_built";
    if !has_git(name) || !can_build(name) {
        return;
    }
    let program = Program::new("");
    let folder = program.path("repository");
    let repository = Repository::generate(
        &folder,
        &Shape { seed: 20_240_607, commits: 60, sources: 60, of_the_build: 8, dockerfiles: dockerfiles() },
    );
    let path = folder.to_str().unwrap().to_owned();
    let demo = program.run(&["demo", "--json", "--dir", program.path("demo").to_str().unwrap()]);
    assert_eq!(demo.code, Some(0), "{}", demo.stderr);
    // The first build fills the cache and gives the times.
    let commits = repository.last(21);
    git(&folder, &["checkout", "-q", "--detach", &commits[0]]);
    program.build(&[&path]);
    git(&folder, &["checkout", "-q", "main"]);
    let prediction = replayed(&program, &["--commits", "21", &path]);
    let (mut steps, mut open, mut open_hits, mut errors) = (0, 0, 0, Vec::new());
    let (mut predicted_seconds, mut real_seconds) = (0.0, 0.0);
    for (commit, row) in commits.iter().zip(prediction["commits"].as_array().unwrap()).skip(1) {
        assert_eq!(row["commit"], commit.as_str());
        git(&folder, &["checkout", "-q", "--detach", commit]);
        let built = program.build(&[&path]);
        let real = built["steps"].as_array().unwrap().iter().filter(|step| {
            let text = step["instruction"].as_str().unwrap();
            step["result"] != "config" && !text.starts_with("FROM")
        });
        let real: Vec<&Value> = real.collect();
        let predicted = row["present"]["steps"].as_array().unwrap();
        assert_eq!(predicted.len(), real.len(), "{commit}");
        for (guess, step) in predicted.iter().zip(&real) {
            steps += 1;
            assert_eq!(guess["line"], step["line"]);
            match guess["result"].as_str().unwrap() {
                "unknown" => {
                    open += 1;
                    open_hits += usize::from(step["result"] == "hit");
                }
                _ if guess["result"] != step["result"] => errors.push(format!("{commit}: {guess}, in truth {step}")),
                _ => {}
            }
        }
        let as_built = results(real.iter().map(|step| (&step["line"], &step["result"])));
        assert!(!as_built.is_empty());
        let (guess, took) = (row["present"]["seconds"].as_f64().unwrap(), ran_seconds(&real));
        predicted_seconds += guess;
        real_seconds += took;
        println!("{} predicted {guess:.2}s, took {took:.2}s: {}", &commit[..10], row["subject"]);
    }
    println!(
        "{steps} steps of 20 commits: {} wrong, {open} left open ({open_hits} of them were hits); {predicted_seconds:.2}s \
         predicted, {real_seconds:.2}s taken: {:+.0} %",
        errors.len(),
        (predicted_seconds - real_seconds) / real_seconds * 100.0
    );
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    assert!(steps > 150, "{steps}");
}

fn ran_seconds(steps: &[&Value]) -> f64 {
    steps.iter().filter(|step| step["result"] == "ran").map(|step| step["seconds"].as_f64().unwrap()).sum()
}

#[test]
fn a_thousand_commits_take_less_than_ten_seconds() {
    if !has_git("a_thousand_commits_take_less_than_ten_seconds") {
        return;
    }
    let program = Program::new("");
    let folder = program.path("repository");
    let shape = Shape { seed: 7, commits: 1100, sources: 1000, of_the_build: 1, dockerfiles: dockerfiles() };
    Repository::generate(&folder, &shape);
    let proposed = program.path("proposed");
    std::fs::write(&proposed, DOCKERFILE.replace("COPY --exclude=**/*.md . all/\n", "")).unwrap();
    let path = folder.to_str().unwrap();
    let done = replayed(&program, &["--commits", "1000", "--dockerfile", proposed.to_str().unwrap(), path]);
    let seconds = done["replayed_in_seconds"].as_f64().unwrap();
    println!("1000 commits, 1400 files, two Dockerfiles: {seconds:.2}s");
    // A test without optimisation, on a machine that does other things too, is given more.
    let limit = if cfg!(debug_assertions) { 120.0 } else { 10.0 };
    assert!(seconds < limit, "{seconds}");
    assert_eq!(done["present"]["builds"], 999);
    let ran = |side: &str| done[side]["ran"].as_u64().unwrap();
    assert!(ran("present") > ran("proposed") && ran("proposed") > 1000, "{} {}", done["present"], done["proposed"]);
}

#[test]
fn what_cannot_be_replayed_says_why() {
    let name = "what_cannot_be_replayed_says_why";
    if !has_git(name) {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY a /a\n");
    program.run(&["replay"]).says(1, &["lies in no git repository", "help:"]);
    git(&program.context, &["init", "-q", "-b", "main"]);
    program.run(&["replay"]).says(1, &["has no commit yet"]);
    program.write("a", "1");
    git(&program.context, &["add", "a"]);
    git(&program.context, &["commit", "-q", "-m", "one"]);
    program.run(&["replay"]).says(1, &["nothing can be replayed", "there is no `Dockerfile` at this commit"]);
    git(&program.context, &["add", "-A"]);
    git(&program.context, &["commit", "-q", "-m", "two"]);
    git(&program.context, &["rm", "-q", "a"]);
    git(&program.context, &["commit", "-q", "-m", "three \u{1b}[31m"]);
    let done = replayed(&program, &["."]);
    assert_eq!(done["commits"][0]["left_out"], "there is no `Dockerfile` at this commit");
    assert_eq!((&done["commits"][1]["first"], &done["present"]["failed"]), (&Value::Bool(true), &Value::from(1)));
    let plain = program.run(&["replay", "--each"]);
    plain.says(0, &["left out", "(the first)", "1 fail", "3 commits, 1 builds", "taken for granted"]);
    assert!(!plain.stdout.contains('\u{1b}'));
    program.run(&["replay", "--dockerfile", "missing"]).says(1, &["cannot read the proposed Dockerfile `missing`"]);
    // A context below the top: its own ignore file, and no `.git` in it.
    program.write("sub/Dockerfile", "FROM scratch\nCOPY . /\n");
    program.write("sub/.dockerignore", "notes\n");
    program.write("sub/f", "1");
    git(&program.context, &["add", "-A"]);
    git(&program.context, &["commit", "-q", "-m", "four"]);
    program.write("sub/notes", "1");
    git(&program.context, &["add", "-A"]);
    git(&program.context, &["commit", "-q", "-m", "five"]);
    program.write("sub/f", "2");
    git(&program.context, &["commit", "-q", "-a", "-m", "six"]);
    let done = replayed(&program, &["sub"]);
    let ran: Vec<&Value> = done["commits"].as_array().unwrap().iter().skip(3).map(|row| &row["present"]["ran"]).collect();
    assert_eq!(ran, [1, 0, 1]);
    assert_eq!(done["commits"][5]["present"]["blame"][0]["path"], "f");
}

/// Everything that a repository's own configuration can make git start: none of it runs.
#[test]
fn a_hostile_repository_runs_nothing() {
    if !has_git("a_hostile_repository_runs_nothing") {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY a /a\n");
    program.write("a", "1");
    program.write(".gitattributes", "* diff=evil filter=evil\n");
    let folder = program.context.clone();
    git(&folder, &["init", "-q", "-b", "main"]);
    git(&folder, &["add", "-A"]);
    git(&folder, &["commit", "-q", "-m", "one"]);
    program.write("a", "2");
    git(&folder, &["commit", "-q", "-a", "-m", "two"]);
    let canary = program.path("canary");
    let script = program.path("evil");
    std::fs::write(&script, format!("#!/bin/sh\necho \"$0 $*\" >> {}\n", canary.display())).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let evil = script.to_str().unwrap();
    let remote = format!("ext::{evil} %S");
    for (key, value) in [
        ("core.fsmonitor", evil),
        ("core.pager", evil),
        ("pager.log", evil),
        ("core.editor", evil),
        ("core.sshCommand", evil),
        ("core.askPass", evil),
        ("core.gitProxy", evil),
        ("credential.helper", evil),
        ("diff.external", evil),
        ("diff.evil.command", evil),
        ("diff.evil.textconv", evil),
        ("filter.evil.smudge", evil),
        ("filter.evil.clean", evil),
        ("filter.evil.process", evil),
        ("gpg.program", evil),
        ("log.showSignature", "true"),
        ("alias.log", &format!("!{evil}")),
        ("uploadpack.packObjectsHook", evil),
        ("remote.origin.url", &remote),
        ("remote.origin.uploadpack", evil),
        ("remote.origin.promisor", "true"),
        ("extensions.partialClone", "origin"),
        ("core.repositoryFormatVersion", "1"),
        ("protocol.ext.allow", "always"),
        ("protocol.file.allow", "always"),
    ] {
        git(&folder, &["config", key, value]);
    }
    std::fs::create_dir_all(folder.join(".git/hooks")).unwrap();
    for hook in ["post-checkout", "reference-transaction", "post-index-change", "fsmonitor-watchman"] {
        std::fs::copy(&script, folder.join(".git/hooks").join(hook)).unwrap();
    }
    program.run(&["replay"]).says(0, &["2 commits, 1 builds"]);
    program.run(&["heat"]).says(0, &["1 commits of the history"]);
    program.run(&["suggest"]).says(0, &[]);
    let ran = || std::fs::read_to_string(&canary).unwrap_or_default();
    assert_eq!(ran(), "");
    // An object that is missing would be fetched from the remote.
    let blob = git(&folder, &["-c", "core.fsmonitor=false", "rev-parse", "HEAD:Dockerfile"]);
    let (first, rest) = blob.trim().split_at(2);
    std::fs::remove_file(folder.join(".git/objects").join(first).join(rest)).unwrap();
    let _ = std::fs::remove_file(&canary);
    program.run(&["replay"]).says(1, &["cannot be read"]);
    assert_eq!(ran(), "");
    // Git as people start it does run something here.
    let mut plain = std::process::Command::new("git");
    plain.args(["cat-file", "-p", "HEAD:Dockerfile"]).current_dir(&folder).output().unwrap();
    assert_ne!(ran(), "");
}

#[test]
fn without_a_history_it_is_said_what_is_missing_and_what_to_do() {
    if !has_git("without_a_history_it_is_said_what_is_missing_and_what_to_do") {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY a /a\n");
    program.write("a", "1");
    let folder = program.context.clone();
    let says = |parts: &[&str]| {
        let ended = program.run(&["replay"]);
        ended.says(1, parts);
        for word in ["fatal", "HEAD", "ambiguous", "unknown revision"] {
            assert!(!ended.stderr.contains(word), "git's own words: {}", ended.stderr);
        }
    };
    says(&["error: the build context lies in no git repository, so there is no history", "help: run it in a clone"]);
    git(&folder, &["init", "-q"]);
    says(&["error: the git repository around the build context has no commit yet", "help: commit the files first"]);
    git(&folder, &["add", "-A"]);
    git(&folder, &["commit", "-q", "-m", "one"]);
    program.run(&["replay"]).says(0, &["1 commits"]);
    // A folder in git's own.
    fs::create_dir_all(folder.join(".git/inside")).unwrap();
    fs::write(folder.join(".git/inside/Dockerfile"), "FROM scratch\n").unwrap();
    let ended = program.run(&["replay", ".git/inside"]);
    ended.says(1, &["error: the build context lies in git's own folder", "help: give a folder of a clone"]);
}
