//! `suggest` from outside: what is listed, applied and taken back, and that nothing lies beside the Dockerfile.

use serde_json::Value;

use super::program::{Program, can_build};
use super::repository::git;

const DOCKERFILE: &str = "FROM node\nWORKDIR /app\nCOPY . .\nRUN npm ci\nRUN npm run build\n";

fn project() -> Program {
    let program = Program::new(DOCKERFILE);
    program.write("package.json", "{}");
    program.write("package-lock.json", "{}");
    program.write("index.js", "1");
    program.write(".git/HEAD", "ref: x");
    program
}

fn rules(program: &Program, args: &[&str]) -> Vec<String> {
    let ended = program.run(&[&["suggest", "--json"], args].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    let offered = document["offered"].as_array().unwrap();
    offered.iter().map(|offer| offer["rule"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn several_offers_are_listed_one_rule_is_applied_and_taken_back() {
    let program = project();
    assert_eq!(rules(&program, &[]), ["broad-copy-before-install", "ignore-lines", "cache-mount", "unpinned-base"]);
    assert_eq!(rules(&program, &["--rule", "Cache-Mount"]), ["cache-mount"]);
    program.run(&["suggest", "--rule", "cach-mount"]).says(2, &["there is no rule", "did you mean cache-mount?"]);
    program.run(&["suggest"]).says(0, &["1. line 4:", "not proven", "seen:", "risk:", "gains:"]);
    let files = || {
        let mut names: Vec<String> =
            std::fs::read_dir(&program.context).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let before = files();
    let read = |name: &str| std::fs::read_to_string(program.context.join(name)).unwrap_or_default();
    program.run(&["suggest", "--apply"]).says(0, &["+COPY package.json package-lock.json ./", "wrote", "--undo"]);
    assert!(read("Dockerfile").contains("COPY package.json package-lock.json ./\nRUN npm ci\nCOPY . .\n"));
    program.run(&["suggest", "--rule", "ignore-lines", "--apply"]).says(0, &["+.git", ".dockerignore"]);
    assert_eq!(read(".dockerignore"), ".git\nDockerfile\n");
    program.run(&["suggest", "--undo"]).says(0, &[".dockerignore is what it was"]);
    assert_eq!(files(), before, "no file beside the Dockerfile, and the ignore file is gone again");
    program.run(&["suggest", "--undo"]).says(0, &["Dockerfile is what it was"]);
    assert_eq!(read("Dockerfile"), DOCKERFILE);
    program.run(&["suggest", "--undo"]).says(1, &["no rewrite of this project"]);
    program.run(&["suggest", "--rule", "cache-mount", "--apply"]).says(0, &["wrote"]);
    program.write("Dockerfile", "FROM scratch\n");
    program.run(&["suggest", "--undo"]).says(1, &["was changed since", "help: take what you need out of"]);
    program.write("Dockerfile", DOCKERFILE);
    program.run(&["suggest", "--rule", "unpinned-base", "--apply"]).says(1, &["nothing to apply"]);
}

#[test]
fn every_rule_has_a_page() {
    let program = Program::new("");
    for name in ["broad-copy-before-install", "step-below-copy", "argument-above-steps", "unused-stage"] {
        program.run(&["lint", "--explain", name]).says(0, &[name, "Improved:", "To this:"]);
    }
    let page = program.run(&["lint", "--json", "--explain", "Cache-Mount"]);
    assert_eq!(serde_json::from_str::<Value>(&page.stdout).unwrap()["rule"], "cache-mount");
    program.run(&["lint", "--explain", "cache-moun"]).says(2, &["did you mean cache-mount?"]);
}

#[test]
fn what_saves_nothing_is_not_offered() {
    if !can_build("what_saves_nothing_is_not_offered") {
        return;
    }
    // A link of the last copy would spare a copy of one small file: nothing.
    let program = Program::new("FROM rbuild-demo:host\nWORKDIR /app\nRUN echo hi > x\nCOPY index.js /srv/app/\n");
    program.write("index.js", "1");
    let demo = program.run(&["demo", "--json", "--dir", program.path("demo").to_str().unwrap()]);
    assert_eq!(demo.code, Some(0), "{}", demo.stderr);
    assert_eq!(rules(&program, &[]), ["copy-without-link"], "without times it may save something");
    program.build(&["."]);
    let ended = program.run(&["suggest", "--json"]);
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    let offered = document["offered"].as_array().unwrap();
    // On a machine that is slow enough, the copy of one small file is worth it.
    let micros =
        |offer: &Value| offer["saving"]["now_micros"].as_u64().unwrap() - offer["saving"]["after_micros"].as_u64().unwrap();
    assert!(offered.iter().all(|offer| micros(offer) >= 50_000), "{document}");
    if offered.is_empty() {
        program.run(&["suggest"]).says(0, &["not offered: line 4, copy-without-link", "would save nothing"]);
    }
}

#[test]
fn a_quick_step_is_not_worth_a_rewrite() {
    if !can_build("a_quick_step_is_not_worth_a_rewrite") {
        return;
    }
    let program = Program::new("FROM rbuild-demo:host\nWORKDIR /app\nCOPY . .\nRUN cat a.lock > /x\n");
    for (path, text) in [("a.lock", "1"), ("main.c", "2"), (".dockerignore", "Dockerfile\n.dockerignore\n")] {
        program.write(path, text);
    }
    let demo = program.run(&["demo", "--json", "--dir", program.path("demo").to_str().unwrap()]);
    assert_eq!(demo.code, Some(0), "{}", demo.stderr);
    program.build(&["."]);
    program.write("main.c", "3");
    let built = program.build(&["."]);
    let run = built["steps"].as_array().unwrap().iter().find(|step| step["line"] == 4).unwrap();
    if run["seconds"].as_f64().unwrap() < 0.045 {
        program.run(&["suggest"]).says(0, &["not offered: line 3", "copy-what-is-read", "would save nothing"]);
    }
}

#[test]
fn the_file_whose_change_is_priced_is_not_the_dockerfile() {
    if !can_build("the_file_whose_change_is_priced_is_not_the_dockerfile") {
        return;
    }
    let program = Program::new("");
    program.write("main.txt", "1");
    program.write("notes.txt", "1");
    // Edited last.
    program.write("Dockerfile", "FROM rbuild-demo:host\nWORKDIR /app\nCOPY . .\nRUN cat main.txt > /made; sleep 0.3\n");
    let demo = program.run(&["demo", "--json", "--dir", program.path("demo").to_str().unwrap()]);
    assert_eq!(demo.code, Some(0), "{}", demo.stderr);
    program.build(&["."]);
    let ended = program.run(&["suggest", "--rule", "copy-what-is-read", "--json"]);
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(document["offered"][0]["saving"]["touched"], serde_json::json!(["notes.txt"]), "{document}");
}

#[test]
fn rewrites_are_priced_over_the_history() {
    let program = project();
    program.write(".dockerignore", ".git\n");
    std::fs::remove_dir_all(program.context.join(".git")).unwrap();
    git(&program.context, &["init", "-q", "-b", "main"]);
    let commit = |path: &str, text: &str| {
        program.write(path, text);
        git(&program.context, &["add", "-A"]);
        git(&program.context, &["commit", "-q", "-m", text]);
    };
    commit("index.js", "one");
    commit("index.js", "two");
    commit("package.json", "{ }");
    commit("index.js", "three");
    let ended = program.run(&["suggest", "--json", "--commits", "10"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    let offers = document["offered"].as_array().unwrap();
    let broad = offers.iter().find(|offer| offer["rule"] == "broad-copy-before-install").unwrap();
    assert_eq!(broad["replayed"]["builds"], 3);
    // COPY, install and build each time; then COPY and build, and for the manifest all of them with a COPY more.
    assert_eq!(broad["replayed"]["untimed"], serde_json::json!([9, 2 + 4 + 2]));
    program.run(&["suggest", "--commits", "10"]).says(0, &["replayed over 3 builds of the history"]);
}
