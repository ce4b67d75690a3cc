//! Hits and named misses of builds on scratch.

use std::os::unix::fs::PermissionsExt;

use super::program::{Program, busybox, can_build, codes, line};

const TWO: &str = "FROM scratch AS src\nCOPY a b /in/\nFROM scratch\nCOPY --from=src /in/a /a\nCOPY b /b\nCMD [\"x\"]\n";

fn two() -> Program {
    let program = Program::new(TWO);
    program.write("a", "a\n");
    program.write("b", "b\n");
    program
}

#[test]
fn a_second_build_hits_everything() {
    if !can_build("a_second_build_hits_everything") {
        return;
    }
    let program = two();
    let first = program.build(&[]);
    for at in [2, 4, 5] {
        assert_eq!((line(&first, at)["result"].as_str(), codes(line(&first, at))), (Some("ran"), vec!["M1"]));
    }
    let second = program.build(&[]);
    assert_eq!(["hit", "hit", "hit"], [2, 4, 5].map(|at| line(&second, at)["result"].as_str().unwrap()));
    assert_eq!(line(&second, 6)["result"], "config");
    assert_eq!(first["image"], second["image"], "the same layers and configuration are the same image");
}

#[test]
fn a_copied_stage_that_was_made_anew_with_equal_content_is_a_hit() {
    if !can_build("a_copied_stage_that_was_made_anew_with_equal_content_is_a_hit") {
        return;
    }
    let program = two();
    program.build(&[]);
    program.write("b", "other\n");
    let second = program.build(&[]);
    assert_eq!((line(&second, 2)["result"].as_str(), codes(line(&second, 2))), (Some("ran"), vec!["M2"]));
    assert_eq!(line(&second, 2)["reasons"][0]["path"], "b");
    assert_eq!((line(&second, 4)["result"].as_str(), line(&second, 4)["how"].as_str()), (Some("hit"), Some("content")));
    assert_eq!(codes(line(&second, 5)), ["M2"]);
}

#[test]
fn misses_are_named_down_to_file_and_attribute() {
    if !can_build("misses_are_named_down_to_file_and_attribute") {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY d /d\n");
    let names = ["changed", "gone", "mode", "old-name", "same"];
    for name in names {
        program.write(&format!("d/{name}"), &format!("content of {name}\n"));
    }
    std::os::unix::fs::symlink("same", program.context.join("d/link")).unwrap();
    program.build(&[]);
    let path = |name: &str| program.context.join("d").join(name);
    program.write("d/changed", "changed\n");
    program.write("d/new", "new\n");
    std::fs::remove_file(path("gone")).unwrap();
    std::fs::rename(path("old-name"), path("new-name")).unwrap();
    std::fs::set_permissions(path("mode"), std::fs::Permissions::from_mode(0o4711)).unwrap();
    std::fs::remove_file(path("link")).unwrap();
    std::os::unix::fs::symlink("mode", path("link")).unwrap();
    let second = program.build(&[]);
    let step = line(&second, 2);
    let found: Vec<(&str, &str)> = step["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reason| (reason["path"].as_str().unwrap(), reason["code"].as_str().unwrap()))
        .collect();
    let want =
        [("d/changed", "M2"), ("d/gone", "M4"), ("d/link", "M8"), ("d/mode", "M6"), ("d/new", "M3"), ("d/new-name", "M5")];
    assert_eq!(found, want);
    let why = program.run(&["why", "2"]);
    assert_eq!(why.code, Some(0));
    assert!(why.stdout.contains("`d/old-name` was renamed to `d/new-name`"), "{}", why.stdout);
}

#[test]
fn an_ignore_rule_that_lets_a_file_in_is_named() {
    if !can_build("an_ignore_rule_that_lets_a_file_in_is_named") {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY . /\n");
    program.write("a", "a\n");
    program.write("secret", "s\n");
    program.write(".dockerignore", "secret\n.dockerignore\n");
    program.build(&[]);
    program.write(".dockerignore", ".dockerignore\n");
    let second = program.build(&[]);
    assert_eq!(codes(line(&second, 2)), ["M10"]);
    assert_eq!(line(&second, 2)["reasons"][0]["path"], "secret");
}

#[test]
fn a_touched_file_is_no_miss_and_a_forged_time_no_hit() {
    if !can_build("a_touched_file_is_no_miss_and_a_forged_time_no_hit") {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY a /a\n");
    program.write("a", "1\n");
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let set = || {
        let file = std::fs::File::options().write(true).open(program.context.join("a")).unwrap();
        file.set_modified(time).unwrap();
    };
    program.build(&[]);
    set();
    assert_eq!(line(&program.build(&[]), 2)["result"], "hit");
    // Same size, same mtime, other bytes: the hazard of builders that trust both (moby/buildkit#1368).
    program.write("a", "2\n");
    set();
    assert_eq!(codes(line(&program.build(&[]), 2)), ["M2"]);
}

#[test]
fn no_cache_runs_again_and_says_so() {
    if !can_build("no_cache_runs_again_and_says_so") {
        return;
    }
    let program = two();
    program.build(&[]);
    let second = program.build(&["--no-cache"]);
    for at in [2, 4, 5] {
        assert_eq!((line(&second, at)["result"].as_str(), codes(line(&second, at))), (Some("ran"), vec!["M23"]));
    }
}

#[test]
fn a_lost_layer_is_made_again_and_named() {
    if !can_build("a_lost_layer_is_made_again_and_named") {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY a /a\n");
    program.write("a", "1\n");
    let out = format!("type=oci,dest={}", program.path("image.tar").display());
    let first = program.build(&["-o", &out]);
    for entry in std::fs::read_dir(program.store.join("layers")).unwrap().flatten().filter(|e| e.path().is_dir()) {
        std::fs::remove_dir_all(entry.path()).unwrap();
    }
    let second = program.build(&["-o", &out]);
    assert_eq!((line(&second, 2)["result"].as_str(), codes(line(&second, 2))), (Some("ran"), vec!["M24"]));
    assert!(first["digest"].is_string());
}

#[test]
fn only_what_the_target_needs_is_built() {
    if !can_build("only_what_the_target_needs_is_built") {
        return;
    }
    let program = Program::new("FROM scratch AS one\nCOPY a /a\nFROM scratch AS two\nCOPY missing /\n");
    program.write("a", "1\n");
    let document = program.build(&["--target", "one"]);
    assert!(document["steps"].as_array().unwrap().iter().all(|step| step["line"].as_u64().unwrap() <= 2));
}

#[test]
fn a_pattern_that_matches_a_link_to_a_link_copies_what_is_behind_both() {
    if !can_build("a_pattern_that_matches_a_link_to_a_link_copies_what_is_behind_both") {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY sub/l* /all/\n");
    program.write("sub/real", "1\n");
    std::os::unix::fs::symlink("second", program.context.join("sub/l1")).unwrap();
    std::os::unix::fs::symlink("real", program.context.join("sub/second")).unwrap();
    program.build(&[]);
    assert_eq!(line(&program.build(&[]), 2)["result"], "hit");
    program.write("sub/real", "2\n");
    assert_eq!(codes(line(&program.build(&[]), 2)), ["M2"]);
}

#[test]
fn of_identical_steps_the_later_one_is_merged_even_when_the_first_has_ended() {
    let test = "of_identical_steps_the_later_one_is_merged_even_when_the_first_has_ended";
    let Some(layout) = busybox(test) else { return };
    // The file of `slow` is that of `quick`, but comes when all that stands on `quick` is done.
    let program = Program::new(
        "FROM base AS quick\nRUN echo same > /f\nFROM base AS slow\nRUN sleep 1; echo same > /f\n\
         FROM base AS one\nCOPY --from=quick /f /f\nRUN cat /f > /g\n\
         FROM base AS two\nCOPY --from=slow /f /f\nRUN cat /f > /g\nRUN echo two > /h\n\
         FROM base\nCOPY --from=one /g /one\nCOPY --from=two /h /two\n",
    );
    let base = format!("--build-context=base=oci-layout://{}", layout.display());
    let plan = |args: &[&str]| -> serde_json::Value {
        let ended = program.run(&[&["plan", "--json", base.as_str()], args].concat());
        serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{}", ended.stderr))
    };
    for args in [&[][..], &["--no-cache"]] {
        let planned = plan(args);
        // What the first two stages give decides whether the last two are one.
        assert_eq!([9, 10, 11].map(|at| line(&planned, at)["result"].as_str().unwrap()), ["unknown", "unknown", "ran"]);
        let built = program.build(&[&[base.as_str()], args].concat());
        let result = |at| (line(&built, at)["result"].as_str().unwrap(), line(&built, at)["how"].as_str().unwrap_or(""));
        assert_eq!([6, 7, 9, 10].map(result), [("ran", ""), ("ran", ""), ("hit", "merged"), ("hit", "merged")], "{built}");
        assert_eq!(result(11).0, "ran");
    }
}

#[test]
fn a_plan_merges_what_is_the_same_and_nothing_else() {
    let test = "a_plan_merges_what_is_the_same_and_nothing_else";
    let Some(layout) = busybox(test) else { return };
    let program = Program::new(
        "FROM base AS one\nCOPY x/f /f\nRUN cat /f > /g\nFROM base AS two\nCOPY y/f /f\nRUN cat /f > /g\n\
         FROM base AS three\nCOPY x/f /f\nRUN cat /f > /g\n\
         FROM base\nCOPY --from=one /g /one\nCOPY --from=two /g /two\nCOPY --from=three /g /three\n",
    );
    program.write("x/f", "x\n");
    program.write("y/f", "y\n");
    let base = format!("--build-context=base=oci-layout://{}", layout.display());
    let how = |document: &serde_json::Value, at| {
        let step = line(document, at);
        step["how"].as_str().unwrap_or(step["result"].as_str().unwrap()).to_owned()
    };
    for (round, args) in [&[][..], &["--no-cache"]].into_iter().enumerate() {
        if round == 1 {
            program.build(&[&base]);
        }
        let ended = program.run(&[&["plan", "--json", base.as_str()], args].concat());
        let planned: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!([2, 3, 5, 6, 8, 9].map(|at| how(&planned, at)), ["ran", "ran", "ran", "ran", "merged", "merged"]);
    }
    let built = program.build(&[&base, "--no-cache"]);
    assert_eq!([5, 6].map(|at| how(&built, at)), ["ran", "ran"], "{built}");
    let mut twins = [[2, 8], [3, 9]].map(|pair| pair.map(|at| how(&built, at)));
    twins.iter_mut().for_each(|pair| pair.sort());
    assert_eq!(twins, [["merged", "ran"], ["merged", "ran"]], "{built}");
}

#[test]
fn the_difference_of_a_text_is_told_when_its_layer_is_gone() {
    if !can_build("the_difference_of_a_text_is_told_when_its_layer_is_gone") {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY d /d\n");
    program.write("d/text", "one\ntwo\n");
    program.write("d/large", &"x\n".repeat(40_000));
    std::fs::write(program.context.join("d/bytes"), [0, 159, 146, 150]).unwrap();
    program.build(&[]);
    let kept = || -> Vec<String> {
        let db = rusqlite::Connection::open(program.store.join("index.db")).unwrap();
        let mut query = db.prepare("select cast(bytes as text) from texts order by bytes").unwrap();
        query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(kept(), ["one\ntwo\n"], "neither what is large nor what is no text");
    program.run(&["prune", "--all", "--force"]).says(0, &[]);
    assert!(std::fs::read_dir(program.store.join("layers")).unwrap().next().is_none(), "the layer is gone");
    program.write("d/text", "one\nthree\n");
    program.write("d/large", &"y\n".repeat(40_000));
    std::fs::write(program.context.join("d/bytes"), [0, 159, 146, 151]).unwrap();
    program.build(&[]);
    let why = program.run(&["why", "2"]);
    why.says(0, &["`d/text`", "-two", "+three"]);
    why.says(0, &["larger than 64 KiB"]);
    // What no list on record names goes with it.
    assert_eq!(kept(), ["one\nthree\n", "one\ntwo\n"]);
    program.build(&[]);
    program.run(&["prune", "--all", "--force"]).says(0, &[]);
    assert_eq!(kept(), ["one\nthree\n"]);
}

#[test]
fn the_same_linked_copy_may_stand_in_a_chain_twice() {
    if !can_build("the_same_linked_copy_may_stand_in_a_chain_twice") {
        return;
    }
    let program = Program::new(
        "FROM scratch AS one\nCOPY --link d /d/\nCOPY e /d/\nCOPY --link d /d/\n\
         FROM scratch AS two\nCOPY --link d /d/\nCOPY --link d /d/\n\
         FROM scratch\nCOPY --from=one / /one/\nCOPY --from=two / /two/\n",
    );
    program.write("d/f", "of d\n");
    program.write("d/sub/g", "of d\n");
    program.write("e/f", "of e\n");
    program.write("e/h", "of e\n");
    let (out, image) = (program.path("out"), program.path("image.tar"));
    program.build(&[&format!("-o={}", out.display())]);
    let read = |path: &str| std::fs::read_to_string(out.join(path)).unwrap();
    assert_eq!([read("one/d/f"), read("one/d/sub/g"), read("one/d/h")], ["of d\n", "of d\n", "of e\n"]);
    assert_eq!([read("two/d/f"), read("two/d/sub/g")], ["of d\n", "of d\n"]);
    program.build(&["--target=one", "-o", &format!("type=docker,dest={}", image.display()), "-t", "one"]);
    program.run(&["image", "load", image.to_str().unwrap()]).says(0, &["one"]);
    program.run(&["check"]).says(0, &[]);
}
