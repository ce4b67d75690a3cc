//! What a `.dockerignore` leaves out of a build: rows C11 and C12 of the reliability plan. The matcher has its own tests.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::ignored_table::{FILES, TABLE};
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
fn c11_eighty_files_of_patterns_leave_out_what_buildkit_leaves_out() {
    if !can_build("c11_eighty_files_of_patterns_leave_out_what_buildkit_leaves_out") {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY c /\n");
    FILES.iter().for_each(|name| program.write(&format!("c/{name}"), "1\n"));
    let mut wrong = Vec::new();
    for (patterns, recorded) in TABLE {
        program.write(".dockerignore", patterns);
        let out = program.path("out");
        let _ = fs::remove_dir_all(&out);
        let ended = program.run(&["build", "-o", out.to_str().unwrap()]);
        let Some(left_out) = recorded else {
            ended.says(1, &[".dockerignore"]);
            continue;
        };
        assert_eq!(ended.code, Some(0), "{patterns:?}: {}", ended.stderr);
        let mut found = Vec::new();
        names(&out, "", &mut found);
        let missing: Vec<_> = FILES.into_iter().filter(|name| !found.iter().any(|f| f == name)).collect();
        if missing.join("|") != left_out {
            wrong.push(format!("{patterns:?}: {missing:?} instead of {left_out}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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
