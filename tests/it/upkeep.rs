//! `du`, `prune`, `check`: what they say, what they take, and that builds go on beside them.

use std::fs;
use std::path::PathBuf;

use rbuild_tui::engine::upkeep;
use serde_json::Value;

use super::program::{Program, can_build, codes, line};

const THREE: &str = "FROM scratch AS src\nCOPY a /in/\nFROM scratch\nCOPY --from=src /in/a /a\nCOPY b /b\n";

fn three() -> Program {
    let program = Program::new(THREE);
    program.write("a", "a\n");
    program.write("b", &"b\n".repeat(1000));
    program
}

fn json(program: &Program, arguments: &[&str]) -> Value {
    let output = program.run(arguments);
    serde_json::from_str(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

fn kinds(items: &Value) -> Vec<&str> {
    items.as_array().into_iter().flatten().filter_map(|item| item["kind"].as_str()).collect()
}

#[test]
fn m24_a_miss_after_a_prune_says_when_and_by_what() {
    if !can_build("m24_a_miss_after_a_prune_says_when_and_by_what") {
        return;
    }
    let program = three();
    program.build(&[]);
    let usage = json(&program, &["du", "--json"]);
    let step = usage["items"].as_array().unwrap().iter().find(|item| item["bytes"] == 2000).unwrap();
    assert_eq!((step["line"]["line"].as_u64(), step["line"]["dockerfile"].as_str()), (Some(5), Some("Dockerfile")));
    let refused = program.run(&["prune"]);
    assert_eq!(refused.code, Some(2), "without a terminal nobody can be asked");
    let dry = json(&program, &["prune", "--dry-run", "--json"]);
    let pruned = json(&program, &["prune", "--force", "--json", "--filter", "type=step"]);
    assert_eq!(kinds(&pruned["removed"]), ["step", "step", "step"]);
    assert!(kinds(&dry["removed"]).len() >= 3, "{dry}");
    let second = program.build(&[]);
    let reason = &line(&second, 5)["reasons"][0];
    assert_eq!(codes(line(&second, 5)), ["M24"]);
    let text = reason["text"].as_str().unwrap();
    assert!(text.contains("was taken away on 20") && text.contains("by `prune --filter type=step`"), "{text}");
    assert_eq!(line(&program.build(&[]), 5)["result"], "hit");
}

#[test]
fn a_prune_keeps_what_an_image_needs_and_no_more_than_it_was_told() {
    if !can_build("a_prune_keeps_what_an_image_needs_and_no_more_than_it_was_told") {
        return;
    }
    let program = three();
    program.build(&["-t", "kept:1"]);
    program.write("b", &"c\n".repeat(2000));
    program.build(&[]);
    let pruned = json(&program, &["prune", "--force", "--json", "--filter", "type=step"]);
    let bytes: Vec<u64> = pruned["removed"].as_array().unwrap().iter().filter_map(|item| item["bytes"].as_u64()).collect();
    assert_eq!(bytes, [2, 4000], "the stage that is only copied from, and the step that no image has: {pruned}");
    let all = json(&program, &["prune", "--force", "--json", "--all", "--keep-storage", "1TB"]);
    assert_eq!(kinds(&all["removed"]), Vec::<&str>::new());
    let checked = json(&program, &["check", "--json"]);
    assert_eq!(checked["findings"], Value::Array(Vec::new()), "{checked}");
}

#[test]
fn l03_builds_go_on_while_everything_is_pruned_all_the_time() {
    if !can_build("l03_builds_go_on_while_everything_is_pruned_all_the_time") {
        return;
    }
    let program = three();
    let image = program.build(&["-t", "x"])["image"].clone();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let pruner = scope.spawn(|| {
            let mut rounds = 0;
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                let output = program.run(&["prune", "--force", "--all"]);
                assert!(output.code == Some(0), "{output:?}");
                rounds += 1;
            }
            rounds
        });
        for round in 0..6 {
            let built = program.build(if round % 2 == 0 { &["-t", "x"] } else { &[] });
            assert!(built["error"].is_null() && (round % 2 == 1 || built["image"] == image), "{built}");
        }
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        assert!(pruner.join().unwrap() > 1);
    });
    assert_eq!(json(&program, &["check", "--json"])["findings"], Value::Array(Vec::new()));
}

/// The first file below a folder of the store whose content is this.
fn file_with(folder: PathBuf, content: &str) -> PathBuf {
    let mut todo = vec![folder];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                todo.push(path);
            } else if fs::read(&path).is_ok_and(|bytes| bytes == content.as_bytes()) {
                return path;
            }
        }
    }
    panic!("no file holds {content:?}");
}

#[test]
fn x14_damage_is_named_never_used_silently_and_repaired() {
    if !can_build("x14_damage_is_named_never_used_silently_and_repaired") {
        return;
    }
    type Damage = fn(&std::path::Path);
    let damages: [(&str, Damage); 5] = [
        ("truncated", |path| fs::write(path, "").unwrap()),
        ("a flipped bit", |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[0] ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("deleted", |path| fs::remove_file(path).unwrap()),
        ("a folder", |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
        ("a link", |path| {
            fs::remove_file(path).unwrap();
            std::os::unix::fs::symlink("/etc/hostname", path).unwrap();
        }),
    ];
    // The same times, so that the same files are the same image.
    let arguments = ["-t", "x", "--build-arg", "SOURCE_DATE_EPOCH=1"];
    for (name, damage) in damages {
        let program = three();
        let image = program.build(&arguments)["image"].clone();
        let clean = json(&program, &["check", "--json"]);
        assert_eq!(clean["findings"], Value::Array(Vec::new()), "{name}: {clean}");
        damage(&file_with(program.store.join("layers"), "a\n"));
        let hex = image.as_str().unwrap().trim_start_matches("sha256:");
        damage(&program.store.join("blobs/sha256").join(hex));
        let found = program.run(&["check"]);
        let text = found.stdout;
        assert_eq!(found.code, Some(1), "{name}: {text}");
        assert!(text.contains("layer ") && (text.contains(hex) || text.contains("image")), "{name}: {text}");
        let repaired = program.run(&["check", "--repair"]);
        assert!(repaired.code == Some(0), "{name}: {repaired:?}");
        assert_eq!(json(&program, &["check", "--json"])["findings"], Value::Array(Vec::new()), "{name}");
        let again = program.build(&arguments);
        assert_eq!(again["image"], image, "{name}: the same image again");
        assert!(program.run(&["prune", "--force", "--all"]).code == Some(0), "{name}");
    }
}

#[test]
fn an_image_that_was_made_while_somebody_thought_about_pruning_is_whole() {
    if !can_build("an_image_that_was_made_while_somebody_thought_about_pruning_is_whole") {
        return;
    }
    let program = three();
    program.build(&[]);
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_rbuild-tui"));
    let worker = rbuild_tui::engine::worker::Worker::spawn_program(binary, &program.store).unwrap();
    let store = rbuild_tui::engine::store::Store::open(&program.store).unwrap();
    let inventory = upkeep::Inventory::take(&store, &worker).unwrap();
    let selection = upkeep::select(&inventory, &upkeep::Limits { all: true, ..Default::default() }, u64::MAX / 2);
    assert!(selection.items.len() >= 3);
    program.build(&["-t", "late"]);
    let collected = upkeep::collect(&store, &worker, selection, 1, "`a test`").unwrap();
    assert!(collected.kept.len() >= 2, "{collected:?}");
    assert_eq!(json(&program, &["check", "--json"])["findings"], Value::Array(Vec::new()));
    program.run(&["image", "save", "late", "-o", "late.tar"]).says(0, &["saved"]);
    program.run(&["why"]).says(0, &["COPY"]);
}

#[test]
fn a_damaged_image_is_not_written_anywhere() {
    if !can_build("a_damaged_image_is_not_written_anywhere") {
        return;
    }
    let program = three();
    program.build(&["-t", "x"]);
    program.run(&["image", "save", "x", "-o", "good.tar"]).says(0, &["saved"]);
    fs::write(file_with(program.store.join("layers"), &"b\n".repeat(1000)), "HACKED\n").unwrap();
    // The blob of the export above goes, so that the layer has to be read again.
    program.run(&["prune", "--all", "--force", "--filter", "type=blob"]).says(0, &["freed"]);
    program.run(&["image", "save", "x", "-o", "bad.tar"]).says(3, &["the layer ", "does not match", "check --repair"]);
    assert!(!program.context.join("bad.tar").exists());
    fs::create_dir(program.store.join("caches")).unwrap();
    fs::create_dir(program.store.join("caches/x\u{1b}[31m")).unwrap();
    program.run(&["prune", "--force"]).says(0, &[]);
}
