//! A store that cannot be written, a full disk, an interrupt.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::program::{Ended, Program, busybox, can_build, line};

#[test]
fn what_a_script_asks_for_is_written_and_a_dockerfile_may_come_from_standard_input() {
    if !can_build("what_a_script_asks_for_is_written_and_a_dockerfile_may_come_from_standard_input") {
        return;
    }
    let program = Program::new("FROM nowhere\n");
    program.write("a", "a\n");
    let (id, metadata) = (program.path("id"), program.path("metadata"));
    let (id_text, metadata_text) = (id.to_str().unwrap(), metadata.to_str().unwrap());
    let args = ["build", "-f", "-", "-t", "x", "--label", "k=v", "--iidfile", id_text, "--metadata-file", metadata_text];
    let build = |text: &str| {
        let mut child = program.command(&args).stdin(std::process::Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
        child.wait().unwrap().code()
    };
    assert_eq!(build("FROM scratch\nCOPY a /a\n"), Some(0));
    let written = std::fs::read_to_string(&id).unwrap();
    let document: serde_json::Value = serde_json::from_slice(&std::fs::read(&metadata).unwrap()).unwrap();
    assert_eq!(document["containerimage.config.digest"], written.as_str());
    assert_eq!(document["image.name"], "docker.io/library/x:latest");
    assert_eq!(build("FROM scratch\nNOTHING\n"), Some(1));
    assert!(!id.exists(), "a build that fails leaves no id");
    program.run(&["build", "--ulimit", "moon=1"]).says(2, &["--ulimit", "moon"]);
    program.run(&["build", "--add-host", "x"]).says(2, &["--add-host"]);
    program.run(&["build", "--shm-size", "x"]).says(2, &["--shm-size"]);
}

#[test]
fn a_store_that_cannot_be_made_is_one_message() {
    let mut program = Program::new("FROM scratch\nCOPY a /a\n");
    program.write("a", "1\n");
    std::fs::write(program.path("file"), "").unwrap();
    program.store = program.path("file").join("store");
    let ended = program.run(&["build"]);
    ended.says(3, &["error: ", "not a directory"]);
    assert_eq!(ended.stderr.matches("error: ").count(), 1, "{}", ended.stderr);
}

#[test]
fn a_store_on_a_read_only_file_system_is_one_message() {
    let name = "a_store_on_a_read_only_file_system_is_one_message";
    if !can_build(name) {
        return;
    }
    let mut program = Program::new("FROM scratch\nCOPY a /a\n");
    let Some(mount) = Mount::tmpfs(&program, "size=8m,ro") else {
        println!("skipped: {name}: mounts are not allowed here");
        return;
    };
    program.store = mount.0.join("store");
    program.run(&["build"]).says(3, &["error: ", "read-only file system"]);
}

#[test]
fn a_full_disk_is_named_and_finished_steps_are_kept() {
    let name = "a_full_disk_is_named_and_finished_steps_are_kept";
    if !can_build(name) {
        return;
    }
    let mut program = Program::new("FROM scratch\nCOPY small /small\nCOPY large /large\n");
    program.write("small", "1\n");
    program.write("large", &"0123456789abcdef".repeat(1 << 20));
    let Some(mount) = Mount::tmpfs(&program, "size=8m") else {
        println!("skipped: {name}: mounts are not allowed here");
        return;
    };
    program.store = mount.0.join("store");
    program.run(&["build"]).says(3, &["Dockerfile:3 COPY large /large", "no space left", "ENOSPC"]);
    program.write("large", "2\n");
    let document = program.build(&[]);
    assert_eq!((line(&document, 2)["result"].as_str(), line(&document, 3)["result"].as_str()), (Some("hit"), Some("ran")));
}

/// A file system of its own, gone at the end.
struct Mount(std::path::PathBuf);

impl Mount {
    fn tmpfs(program: &Program, options: &str) -> Option<Self> {
        let at = program.path("mount");
        std::fs::create_dir(&at).unwrap();
        let done = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&at).status();
        done.is_ok_and(|status| status.success()).then_some(Self(at))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn an_interrupt_cancels_with_130_and_ends_what_runs() {
    let name = "an_interrupt_cancels_with_130_and_ends_what_runs";
    let Some(layout) = busybox(name) else { return };
    let program = Program::new("FROM busybox:local\nRUN echo started; exec sleep 4321\n");
    assert_eq!(program.run(&["image", "load", layout.to_str().unwrap()]).code, Some(0));
    let mut command = program.command(&["build"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let sleeping = || {
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        entries.filter(|e| std::fs::read(e.path().join("cmdline")).is_ok_and(|text| text == b"sleep\x004321\0")).count()
    };
    let wait = |what: usize| {
        let began = Instant::now();
        while sleeping() != what && began.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(sleeping(), what);
    };
    wait(1);
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ended = Ended::of(child.wait_with_output().unwrap());
    ended.says(130, &["cancel"]);
    wait(0);
}
