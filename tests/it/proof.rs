//! A suggestion from what a step read, proven by building both; and one that does not hold, refuted.

use serde_json::Value;

use super::program::{Program, can_build};

fn project(dockerfile: &str) -> Program {
    let program = Program::new(dockerfile);
    for (path, text) in [("in/a", "a\n"), ("docs/1.md", "1\n"), ("docs/2.md", "2\n"), (".dockerignore", "Dockerfile\n")] {
        program.write(path, text);
    }
    let demo = program.run(&["demo", "--json", "--dir", program.path("demo").to_str().unwrap()]);
    assert_eq!(demo.code, Some(0), "{}", demo.stderr);
    program.build(&["--trace=always", "."]);
    program
}

fn verified(program: &Program) -> Value {
    let ended = program.run(&["suggest", "--json", "--rule", "copy-what-is-read", "--verify"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    document["offered"][0].clone()
}

#[test]
fn a_copy_narrowed_to_what_was_read_is_proven() {
    if !can_build("a_copy_narrowed_to_what_was_read_is_proven") {
        return;
    }
    let program = project("FROM rbuild-demo:host\nWORKDIR /w\nCOPY . .\nRUN sleep 0.4; cat in/a > /out\n");
    let offer = verified(&program);
    assert!(offer["after"].as_str().unwrap().contains("COPY in in/\nRUN sleep"), "{offer}");
    assert_eq!((&offer["proof"], &offer["verified"]["proven"]), (&"traced".into(), &true.into()), "{offer}");
    let micros = |name: &str| offer["verified"]["measured"][name].as_u64().unwrap();
    assert!(micros("now_micros") > micros("after_micros") + 200_000, "{offer}");
    let left: Vec<_> = std::fs::read_dir(program.store.join("scratch")).unwrap().collect();
    assert!(left.is_empty(), "the scratch store is gone: {left:?}");

    // What pays for a change that happened stands before what would pay more for one that did not: the ignore file's.
    program.write("docs/1.md", "edited\n");
    program.build(&["--trace=always", "."]);
    let ended = program.run(&["suggest", "--json"]);
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    let offered: Vec<&str> = document["offered"].as_array().unwrap().iter().map(|o| o["rule"].as_str().unwrap()).collect();
    assert_eq!(offered[0], "copy-what-is-read", "{offered:?}");
    assert!(offered.contains(&"ignore-lines"), "{offered:?}");

    let applied = program.run(&["suggest", "--apply"]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    assert!(std::fs::read_to_string(program.context.join("Dockerfile")).unwrap().contains("COPY in in/"));
}

#[test]
fn a_saving_is_that_of_the_change_that_happened() {
    if !can_build("a_saving_is_that_of_the_change_that_happened") {
        return;
    }
    // The rewrite names both parts before their steps: `docs` is one of them, and what was edited.
    let program =
        project("FROM rbuild-demo:host\nWORKDIR /w\nCOPY . .\nRUN sleep 0.4; cat in/a > /out\nRUN cat docs/1.md > /docs\n");
    program.write("docs/1.md", "edited\n");
    program.build(&["--trace=always", "."]);
    let ended = program.run(&["suggest", "--json", "--rule", "copy-what-is-read"]);
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    let offer = &document["offered"][0];
    assert!(offer["after"].as_str().unwrap().contains("COPY docs"), "{offer}");
    assert_eq!(offer["saving"]["touched"], serde_json::json!(["docs/1.md"]), "{offer}");
    assert_eq!(offer["saving"]["spared_lines"], serde_json::json!([4]), "{offer}");
}

#[test]
fn a_rewrite_that_changes_the_image_is_refuted_and_not_applied() {
    if !can_build("a_rewrite_that_changes_the_image_is_refuted_and_not_applied") {
        return;
    }
    // It lists the folder, and would see fewer names.
    let program = project("FROM rbuild-demo:host\nWORKDIR /w\nCOPY . .\nRUN sleep 0.2; cat in/a > /out; ls > /names\n");
    let offer = verified(&program);
    assert_eq!(offer["verified"]["proven"], false, "{offer}");
    assert_eq!(offer["verified"]["differing"][0], "/names: content", "{offer}");
    assert!(offer["risks"][0].as_str().unwrap().contains("listed the names in /w"), "{offer}");
    let applied = program.run(&["suggest", "--rule", "copy-what-is-read", "--verify", "--apply"]);
    applied.says(1, &["not proven", "nothing was written"]);
    assert!(!std::fs::read_to_string(program.context.join("Dockerfile")).unwrap().contains("COPY in in/"));
}

/// Processes that name a path in their arguments.
fn processes_of(path: &std::path::Path) -> Vec<String> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        if words.contains(path.to_str().unwrap()) {
            out.push(words);
        }
    }
    out
}

#[test]
fn a_verification_that_is_cancelled_ends_at_once_and_leaves_nothing() {
    if !can_build("a_verification_that_is_cancelled_ends_at_once_and_leaves_nothing") {
        return;
    }
    // A file of nothing whose digest takes long: there is no process that could be told to end.
    let big = "dd if=/dev/zero of=/big bs=1 count=0 seek=100G 2>/dev/null";
    let program = project(&format!("FROM rbuild-demo:host\nWORKDIR /w\nCOPY . .\nRUN sleep 0.2; cat in/a > /out; {big}\n"));
    let mut command = program.command(&["suggest", "--rule", "copy-what-is-read", "--verify"]);
    let child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let scratch = program.store.join("scratch");
    let is_assembling = || {
        let stores = std::fs::read_dir(&scratch).into_iter().flatten().flatten();
        let logs =
            stores.flat_map(|store| std::fs::read_dir(store.path().join("store/builds")).into_iter().flatten().flatten());
        logs.filter_map(|build| std::fs::read_to_string(build.path().join("events.jsonl")).ok())
            .any(|log| log.contains("assembling image"))
    };
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !is_assembling() {
        assert!(std::time::Instant::now() < until, "it never came to the image");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    std::thread::sleep(std::time::Duration::from_millis(200));
    let began = std::time::Instant::now();
    let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ended = super::program::Ended::of(child.wait_with_output().unwrap());
    let took = began.elapsed();
    ended.says(130, &["cancelling", "the verification was cancelled"]);
    assert!(took < std::time::Duration::from_secs(5), "{took:?}");
    println!("ended in {took:?}");
    assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0, "the scratch store is gone");
    assert_eq!(processes_of(&program.store), Vec::<String>::new());
}
