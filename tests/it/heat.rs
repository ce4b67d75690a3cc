//! `heat`: what a change costs, times how often it happens.

use serde_json::Value;

use super::program::Program;
use super::repository::git;

const DOCKERFILE: &str = "\
FROM node:22
COPY package.json /app/
RUN npm install
COPY src /app/src
RUN npm run build
COPY docs /app/docs
";

fn heat(program: &Program, args: &[&str]) -> Value {
    let ended = program.run(&[&["heat", "--json"], args].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

fn row<'v>(document: &'v Value, path: &str) -> &'v Value {
    let rows = document["rows"].as_array().unwrap();
    rows.iter().find(|row| row["path"] == path).unwrap_or_else(|| panic!("no {path} in {document}"))
}

fn number(row: &Value, field: &str) -> f64 {
    row[field].as_f64().unwrap()
}

#[test]
fn folders_count_a_commit_once_and_stand_above_what_is_in_them() {
    let program = Program::new(DOCKERFILE);
    for path in ["package.json", "src/a.js", "src/lib/b.js", "docs/d.md", "notes", "left/out"] {
        program.write(path, "0");
    }
    program.write(".dockerignore", "left\n.git\n");
    // Without a repository: what a change costs, and no word about how often.
    let plain = program.run(&["heat"]);
    plain.says(0, &["steps a change", "package.json", "no git history", "steps are counted"]);
    let priced = heat(&program, &[]);
    assert_eq!(
        (number(row(&priced, "package.json"), "cost"), &row(&priced, "src")["cost_per_100_commits"]),
        (5.0, &Value::Null)
    );
    assert_eq!(priced["rows"][1]["path"], "package.json", "the dearest comes first");
    git(&program.context, &["init", "-q", "-b", "main"]);
    let commit = |files: &[&str], message: &str| {
        files.iter().for_each(|path| program.write(path, message));
        git(&program.context, &["add", "-A"]);
        git(&program.context, &["commit", "-q", "-m", message]);
    };
    commit(&[], "all of them at once count nothing");
    commit(&["src/a.js"], "1");
    commit(&["src/a.js", "src/lib/b.js"], "2");
    commit(&["docs/d.md", "src/lib/b.js"], "3");
    commit(&["notes", "left/out"], "4");
    let found = heat(&program, &[]);
    assert_eq!((&found["commits"], &found["unit"]), (&4.into(), &"steps".into()));
    // A file of src costs 3 steps, one of docs 1, both together still 3.
    assert_eq!(number(row(&found, "src/a.js"), "cost_per_100_commits"), 150.0);
    assert_eq!(number(row(&found, "src"), "cost_per_100_commits"), 225.0, "three commits, and none of them twice");
    assert_eq!(number(row(&found, "docs"), "cost_per_100_commits"), 25.0);
    assert_eq!(number(row(&found, ""), "cost_per_100_commits"), 225.0);
    assert_eq!((number(row(&found, "src"), "changes"), number(row(&found, "src"), "cost")), (3.0, 3.0));
    assert_eq!(number(row(&found, "package.json"), "cost_per_100_commits"), 0.0);
    assert_eq!(row(&found, "src/a.js")["read_by"], serde_json::json!([4]));
    let rows = found["rows"].as_array().unwrap();
    let order: Vec<&str> = rows.iter().map(|row| row["path"].as_str().unwrap()).collect();
    assert_eq!(&order[..5], ["", "src", "src/a.js", "src/lib", "src/lib/b.js"]);
    assert!(!order.contains(&"left") && row(&found, "notes")["read_by"] == serde_json::json!([]));
    // Where `.git` is part of the context, every commit changes it.
    program.write(".dockerignore", "left\n");
    let with_git = heat(&program, &["--top", "100"]);
    assert_eq!(
        (number(row(&with_git, ".git"), "changes_per_100_commits"), number(row(&with_git, ""), "changes")),
        (100.0, 4.0)
    );
    let top = heat(&program, &["--top", "2"]);
    assert_eq!(top["rows"].as_array().unwrap().len(), 2);
    program
        .run(&["heat", "--commits", "2"])
        .says(0, &["steps per 100 commits", "changes per 100 commits", "2 commits of the history"]);
}
