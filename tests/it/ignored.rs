//! What a `.dockerignore` leaves out of a build: rows C11 and C12 of the reliability plan. The matcher has its own tests.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::program::{Ended, Program, can_build};

fn names(folder: &Path, below: &str, out: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = format!("{below}{}", entry.file_name().to_str().unwrap());
        match entry.file_type().unwrap().is_dir() {
            true => names(&entry.path(), &format!("{name}/"), out),
            false => out.push(name),
        }
    }
}

#[test]
fn c11_patterns_leave_out_what_they_should() {
    if !can_build("c11_patterns_leave_out_what_they_should") {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY c /\n");
    let files = ["a", "b.md", "#x", "d/a", "d/b.md", "d/e/a", "d/e/b.md", "[x]"];
    files.iter().for_each(|name| program.write(&format!("c/{name}"), "1\n"));
    for (patterns, left_out) in [
        ("\u{feff}c/a\n", &["a"][..]),
        ("c/a\r\nc/b.md\r\n", &["a", "b.md"]),
        ("# c/a\n\n  c/b.md  \n", &["b.md"]),
        ("c/d\n!c/d/e\n", &["d/a", "d/b.md"]),
        ("!c/a\nc/a\n", &["a"]),
        ("**/*.md\n", &["b.md", "d/b.md", "d/e/b.md"]),
        ("**/*.md\n!**/e/*.md\n", &["b.md", "d/b.md"]),
        ("c/d/**\n", &["d/a", "d/b.md", "d/e/a", "d/e/b.md"]),
        ("c/*/a\n", &["d/a"]),
        ("c/\\#x\n", &["#x"]),
        ("c/d/\n", &["d/a", "d/b.md", "d/e/a", "d/e/b.md"]),
        ("/c/a\n", &["a"]),
        ("./c/a\n", &["a"]),
        ("c/\\[x\\]\n", &["[x]"]),
        ("c/[ab]\n", &["a"]),
        ("c/?\n", &["a", "d/a", "d/b.md", "d/e/a", "d/e/b.md"]),
        (".\n", &[]),
    ] {
        program.write(".dockerignore", patterns);
        let out = program.path("out");
        let _ = fs::remove_dir_all(&out);
        program.build(&["-o", out.to_str().unwrap()]);
        let mut found = Vec::new();
        names(&out, "", &mut found);
        found.sort();
        let mut wanted: Vec<_> = files.iter().filter(|name| !left_out.contains(name)).map(|n| (*n).to_owned()).collect();
        wanted.sort();
        assert_eq!(found, wanted, "{patterns:?}");
    }
    program.write(".dockerignore", "c/[\n");
    program.run(&["build"]).says(1, &[".dockerignore"]);
}

#[test]
fn c12_what_is_left_out_is_never_opened() {
    let test = "c12_what_is_left_out_is_never_opened";
    if !can_build(test) {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY . /\n");
    program.write(".env", "SECRET=1\n");
    program.write("kept-file", "1\n");
    program.write(".dockerignore", ".env\n");
    let trace = program.path("trace");
    let build = program.command(&["build"]);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-s", "300", "-e", "trace=open,openat,openat2", "-o"]).arg(&trace);
    command.arg(build.get_program()).args(build.get_args()).env_clear().current_dir(&program.context);
    build.get_envs().for_each(|(name, value)| {
        command.env(name, value.unwrap_or_default());
    });
    let Ok(output) = command.output() else { return println!("skipped: {test}: needs strace") };
    let ended = Ended::of(output);
    if ended.stderr.contains("ptrace") {
        return println!("skipped: {test}: nothing may be traced here");
    }
    ended.says(0, &[]);
    let trace = String::from_utf8_lossy(&fs::read(&trace).unwrap()).into_owned();
    assert!(trace.contains("kept-file\""), "what is copied is opened");
    let opened: Vec<_> = trace.lines().filter(|line| line.contains(".env\"")).collect();
    assert!(opened.is_empty(), "{opened:?}");
}

#[test]
fn c23_what_is_mounted_in_a_context_is_part_of_it() {
    let test = "c23_what_is_mounted_in_a_context_is_part_of_it";
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: {test}: needs root");
    }
    let program = Program::new("FROM scratch\nCOPY d /\n");
    program.write("d/m/hidden", "1\n");
    fs::create_dir(program.path("other")).unwrap();
    fs::write(program.path("other/seen"), "2\n").unwrap();
    let out = program.path("out");
    let build = program.command(&["build", "-o", out.to_str().unwrap()]);
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", "mount --bind ../other d/m && exec \"$@\"", "sh"]).arg(build.get_program());
    command.args(build.get_args()).env_clear().current_dir(&program.context);
    build.get_envs().for_each(|(name, value)| {
        command.env(name, value.unwrap_or_default());
    });
    Ended::of(command.output().unwrap()).says(0, &[]);
    let mut found = Vec::new();
    names(&out, "", &mut found);
    assert_eq!(found, ["m/seen"]);
}
