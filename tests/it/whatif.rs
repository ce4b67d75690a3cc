//! `whatif`: which steps would run, without running any.

use serde_json::Value;

use super::program::{Program, can_build};

const DOCKERFILE: &str = "\
FROM node:22 AS build
ARG V=1
ENV W=$V
WORKDIR /app
COPY package*.json ./
RUN npm ci
ARG U=2
COPY --exclude=*.md src src
RUN npm run build $U
FROM nginx:1 AS run
COPY --from=build /app/dist /d
COPY conf /c
RUN echo hi
";

fn project() -> Program {
    let program = Program::new(DOCKERFILE);
    for path in ["package.json", "package-lock.json", "src/a/b.js", "src/notes.md", "conf/x", "logs/1", "logs/2", "README"] {
        program.write(path, path);
    }
    program.write(".dockerignore", "# what stays\nlogs\n");
    program
}

fn ask(program: &Program, args: &[&str]) -> Value {
    let ended = program.run(&[&["whatif", "--json"], args].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

/// `(line, result)` of every step that is named.
fn steps(answer: &Value) -> Vec<(u64, String)> {
    let steps = answer["steps"].as_array().unwrap();
    steps.iter().map(|s| (s["line"].as_u64().unwrap(), s["result"].as_str().unwrap().to_owned())).collect()
}

fn expected(list: &[(u64, &str)]) -> Vec<(u64, String)> {
    list.iter().map(|(line, result)| (*line, (*result).to_owned())).collect()
}

#[test]
fn a_touched_file_runs_its_copy_and_what_follows_and_the_rest_hangs_on_outputs() {
    let program = project();
    let answer = ask(&program, &["--touch", "src/**"]);
    let all = [(8, "runs"), (9, "runs"), (11, "unknown"), (12, "unknown"), (13, "unknown")];
    assert_eq!(steps(&answer), expected(&all));
    assert_eq!(answer["steps"][0]["causes"][0]["path"], "src/a/b.js");
    assert_eq!(answer["steps"][2]["depends_on"], serde_json::json!([9]));
    assert_eq!(answer["asked"][0]["text"], "2 files, of which steps read 1");
    let several = ask(&program, &["--touch", "conf/x", "--touch", "package-lock.json"]);
    assert_eq!(steps(&several).len(), 7);
    assert_eq!(steps(&several)[4..], expected(&[(11, "unknown"), (12, "runs"), (13, "runs")]));
    assert!(!program.store.join("builds").exists() || std::fs::read_dir(program.store.join("builds")).unwrap().count() == 0);
}

#[test]
fn files_that_nothing_copies_or_that_are_ignored_cost_nothing_and_say_so() {
    let program = project();
    for (pattern, text) in [
        ("logs/*", "2 files, left out by line 2 of .dockerignore: it costs nothing"),
        ("logs/3", "1 file, left out by line 2 of .dockerignore: it costs nothing"),
        ("README", "1 file, which no step reads: it costs nothing"),
        ("src/notes.md", "1 file, which no step reads: it costs nothing"),
        ("*.rb", "there is no such file: it costs nothing"),
        ("other", "there is no such file, and no step would read it: it costs nothing"),
    ] {
        let answer = ask(&program, &["--touch", pattern]);
        assert_eq!(answer["asked"][0]["text"], text, "{pattern}");
        assert_eq!(steps(&answer), [], "{pattern}");
    }
    let new = ask(&program, &["--touch", "./src/new.js"]);
    assert_eq!(new["asked"][0]["text"], "there is no such file yet: taken as a new one");
    assert_eq!(steps(&new)[0], (8, "runs".to_owned()));
    program.run(&["whatif", "--touch", "[a"]).says(2, &["--touch `[a`"]);
    program.run(&["whatif"]).says(2, &["--touch"]);
}

#[test]
fn an_argument_enters_every_later_run_of_its_stage_and_each_is_blamed_for_its_own() {
    let program = project();
    let answer = ask(&program, &["--arg", "U=9", "--arg", "V=2"]);
    assert_eq!(steps(&answer)[..3], expected(&[(6, "runs"), (8, "runs"), (9, "runs")]));
    let causes = |at: usize| -> Vec<String> {
        let causes = answer["steps"][at]["causes"].as_array().unwrap();
        causes
            .iter()
            .map(|c| format!("{} {}", c["name"].as_str().unwrap_or(""), c["how"]["how"].as_str().unwrap_or("")))
            .collect()
    };
    assert_eq!(causes(0), ["V unnamed", "V variable"]);
    assert_eq!(causes(2), ["U named", "V unnamed", "V variable", " "]);
    let none = ask(&program, &["--arg", "V=1", "--arg", "NOBODY=3"]);
    assert_eq!(steps(&none), []);
    assert!(none["asked"][0]["text"].as_str().unwrap().contains("costs nothing"));
}

#[test]
fn a_moved_base_runs_all_that_stands_on_it() {
    let program = project();
    let answer = ask(&program, &["--base", "docker.io/library/nginx:1"]);
    assert_eq!(steps(&answer), expected(&[(10, "moved"), (11, "runs"), (12, "runs"), (13, "runs")]));
    program.run(&["whatif", "--base", "alpine"]).says(0, &["no stage that is built begins with", "nothing runs"]);
}

#[test]
fn times_are_those_of_the_last_build() {
    if !can_build("times_are_those_of_the_last_build") {
        return;
    }
    let program = Program::new("");
    let folder = program.path("demo");
    let demo = program.run(&["demo", "--json", "--dir", folder.to_str().unwrap()]);
    assert_eq!(demo.code, Some(0), "{}", demo.stderr);
    let answer = ask(&program, &["--touch", "src/**", folder.to_str().unwrap()]);
    assert_eq!(steps(&answer), expected(&[(5, "runs"), (6, "runs"), (7, "runs")]));
    let seconds: f64 = answer["steps"].as_array().unwrap().iter().map(|s| s["seconds"].as_f64().unwrap()).sum();
    let total = answer["seconds"]["certain"].as_f64().unwrap();
    assert!(total > 0.1 && (seconds - total).abs() < 1e-6, "{answer}");
    budgets(&program, folder.to_str().unwrap());
}

/// With times on record: within, over, and what the formats say.
fn budgets(program: &Program, folder: &str) {
    let ci = |args: &[&str]| program.run(&[&["ci", "--touch", "src/**"], args, &[folder]].concat());
    ci(&["--max", "10m"]).says(0, &["within the budget"]);
    ci(&["--max", "50ms"]).says(1, &["over the budget"]);
    ci(&[]).says(0, &["no budget was given"]);
    let sarif: Value = serde_json::from_str(&ci(&["--max", "50ms", "--format", "sarif"]).stdout).unwrap();
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!((&result["kind"], &result["level"]), (&"fail".into(), &"error".into()));
    assert_eq!(result["locations"][0]["physicalLocation"]["region"]["startLine"], 6);
    let junit = ci(&["--max", "50ms", "--format", "junit"]);
    junit.says(1, &["<testsuite name=\"rebuild-budget\" tests=\"1\" failures=\"1\" errors=\"0\"", "<failure message="]);
    ci(&["--max", "50ms", "--format", "markdown"])
        .says(1, &["### ❌ Rebuild cost: over", "| 6 | `RUN vendor-install` | runs |"]);
    let json: Value = serde_json::from_str(&ci(&["--max", "600", "--json"]).stdout).unwrap();
    assert_eq!((&json["judgement"], &json["max_seconds"]), (&"within".into(), &600.0.into()));
}

#[test]
fn a_budget_without_times_is_judged_only_where_nothing_runs() {
    let program = project();
    program.run(&["ci", "--touch", "src/**", "--max", "20s"]).says(3, &["cannot be judged", "no build of this project"]);
    program.run(&["ci", "--touch", "README", "--max", "0s"]).says(0, &["nothing runs", "within the budget"]);
    let junit = program.run(&["ci", "--touch", "conf/*", "--max", "1s", "--format", "junit"]);
    junit.says(3, &["errors=\"1\"", "<error message="]);
    program.run(&["ci", "--touch", "README", "--max", "soon"]).says(2, &["--max"]);
}
