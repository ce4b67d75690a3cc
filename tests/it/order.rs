//! The cheapest order of steps over a history: found from what they read and wrote, priced, and proven by building both.

use serde_json::Value;

use super::program::{Program, can_build};
use super::repository::git;

const DOCKERFILE: &str = "\
FROM rbuild-demo:host
WORKDIR /w
COPY . .
RUN sleep 0.2; cat Makefile src/* > /app
# what others wrote
RUN sleep 0.8; cat Makefile vendor/list > /lib.a
CMD [\"/app\"]
";

const BEST: &str = "\
FROM rbuild-demo:host
WORKDIR /w
COPY Makefile ./
COPY vendor vendor/
# what others wrote
RUN sleep 0.8; cat Makefile vendor/list > /lib.a
COPY src src/
RUN sleep 0.2; cat Makefile src/* > /app
COPY . .
CMD [\"/app\"]
";

/// A project with a history, in which the sources change six times and everything else once, built and watched.
fn project(dockerfile: &str) -> Program {
    let program = Program::new(dockerfile);
    let commit = |path: &str, text: &str| {
        program.write(path, text);
        git(&program.context, &["add", "-A"]);
        git(&program.context, &["commit", "-q", "-m", text]);
    };
    git(&program.context, &["init", "-q", "-b", "main"]);
    program.write("src/b.c", "b\n");
    program.write("vendor/list", "none\n");
    program.write("readme", "none\n");
    program.write(".dockerignore", ".git\nDockerfile\n.dockerignore\n");
    commit("Makefile", "all:\n");
    (0..6).for_each(|at| commit("src/a.c", &format!("a {at}\n")));
    commit("vendor/list", "one\n");
    commit("readme", "read\n");
    let demo = program.run(&["demo", "--json", "--dir", program.path("demo").to_str().unwrap()]);
    assert_eq!(demo.code, Some(0), "{}", demo.stderr);
    program.build(&["--trace=always", "."]);
    program
}

fn best_order(program: &Program, args: &[&str]) -> Value {
    let ended = program.run(&[&["suggest", "--json", "--rule", "best-order"], args].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

#[test]
fn the_best_order_is_found_priced_and_proven() {
    if !can_build("the_best_order_is_found_priced_and_proven") {
        return;
    }
    let program = project(DOCKERFILE);
    let found = best_order(&program, &["--verify", "--commits", "100"]);
    let offer = &found["offered"][0];
    assert_eq!(offer["after"], BEST, "{found}");
    let number = |path: &str| offer.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {path} in {offer}"));
    // Eight commits: each runs both now. Then six run the 0.2 s, one both, one none.
    assert_eq!((number("/expected/commits"), &offer["expected"]["order"]["is"]), (8, &"optimal".into()));
    assert!(number("/expected/now_micros") > 1_000_000, "{offer}");
    assert!(number("/expected/after_micros") < number("/expected/now_micros") / 2, "{offer}");
    assert_eq!(offer["saving"]["touched"], serde_json::json!(["src/a.c"]));
    // Building in thought, commit by commit, comes to the same; only new COPY lines have no time of their own.
    assert_eq!(number("/replayed/builds"), 8);
    let off = |name: &str, replayed: &str| number(name) as i64 * 8 - number(replayed) as i64;
    assert!(off("/expected/now_micros", "/replayed/now_micros").abs() < 16, "{offer}");
    let copying = off("/expected/after_micros", "/replayed/after_micros");
    assert!(copying > -16 && copying < number("/replayed/now_micros") as i64 / 10, "{offer}");
    // Both were built, and the saving was measured.
    assert_eq!((&offer["proof"], &offer["verified"]["proven"]), (&"traced".into(), &true.into()), "{offer}");
    let (now, after) = (number("/verified/measured/now_micros"), number("/verified/measured/after_micros"));
    assert!(now > after + 500_000, "{offer}");
    let text = program.run(&["suggest", "--rule", "best-order"]).stdout;
    assert!(text.contains("expected, over 8 commits of the history: 1."), "{text}");
    assert!(text.contains("the least of "), "{text}");

    // What the history priced stands first.
    let all: Value = serde_json::from_str(&program.run(&["suggest", "--json"]).stdout).unwrap();
    let rules: Vec<&str> = all["offered"].as_array().unwrap().iter().map(|o| o["rule"].as_str().unwrap()).collect();
    assert_eq!(rules[..2], ["best-order", "copy-what-is-read"], "{rules:?}");

    // Written, there is nothing better; and that is said.
    program.run(&["suggest", "--rule", "best-order", "--apply"]).says(0, &["+COPY vendor vendor/", "wrote"]);
    program.build(&["--trace=always", "."]);
    let again = best_order(&program, &[]);
    assert_eq!(again["offered"].as_array().map(Vec::len), Some(0), "{again}");
    assert!(again["refused"][0]["reason"].as_str().unwrap().contains("no order costs less"), "{again}");
}

#[test]
fn an_order_in_which_the_second_step_uses_the_first_is_kept() {
    if !can_build("an_order_in_which_the_second_step_uses_the_first_is_kept") {
        return;
    }
    // The same rewrite as that of the rule for read sets, which gets the price and the proof that it is the best.
    let program = project(&DOCKERFILE.replace("vendor/list > /lib.a", "/app vendor/list > /lib.a"));
    let found = best_order(&program, &[]);
    let ended = program.run(&["suggest", "--json", "--rule", "copy-what-is-read"]);
    assert_eq!(serde_json::from_str::<Value>(&ended.stdout).unwrap()["offered"], found["offered"], "by either name");
    let offer = &found["offered"][0];
    assert_eq!(offer["rule"], "copy-what-is-read");
    assert_eq!(offer["joined"], serde_json::json!(["best-order"]), "{offer}");
    program.run(&["suggest"]).says(0, &["(copy-what-is-read, best-order)"]);
    assert!(offer["after"].as_str().unwrap().contains("COPY src src/\nRUN sleep 0.2"), "{offer}");
    assert_eq!(offer["expected"]["commits"], 8, "{offer}");
    let evidence = offer["evidence"].to_string();
    assert!(evidence.contains("Lines 4 and 6 keep their order: both use `/app`"), "{evidence}");
}
