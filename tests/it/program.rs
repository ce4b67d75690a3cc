//! The program on a store and a context of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

pub struct Program {
    dir: tempfile::TempDir,
    pub store: PathBuf,
    pub context: PathBuf,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Program {
    pub fn new(dockerfile: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, context) = (dir.path().join("store"), dir.path().join("context"));
        fs::create_dir(&context).unwrap();
        let program = Self { dir, store, context };
        program.write("Dockerfile", dockerfile);
        program
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.context.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rbuild-tui"));
        command.args(args).env_clear().env("RBUILD_TUI_STORE", &self.store).env("PATH", "/usr/bin:/bin");
        command
            .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
            .env("HOME", self.dir.path())
            .current_dir(&self.context)
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ended {
        Ended::of(self.command(args).output().unwrap())
    }

    /// `build --json` that succeeds.
    pub fn build(&self, args: &[&str]) -> Value {
        let ended = self.run(&[&["build", "--json"], args].concat());
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap()
    }
}

impl Ended {
    pub fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// The exit code, and parts that the message must have, in order. The report of a build is standard output's; what goes
    /// wrong before there is a build is standard error's.
    pub fn says(&self, code: i32, parts: &[&str]) {
        let all = format!("{}{}", self.stdout, self.stderr);
        assert_eq!(self.code, Some(code), "{all}");
        let mut rest = all.as_str();
        for part in parts {
            let at = rest.find(part).unwrap_or_else(|| panic!("`{part}` is not (in this order) in\n{all}"));
            rest = &rest[at + part.len()..];
        }
    }
}

/// The step of a line.
pub fn line(document: &Value, line: u64) -> &Value {
    let steps = document["steps"].as_array().unwrap();
    steps.iter().find(|step| step["line"] == line).unwrap_or_else(|| panic!("no line {line} in {document}"))
}

pub fn codes(step: &Value) -> Vec<&str> {
    step["reasons"].as_array().unwrap().iter().map(|reason| reason["code"].as_str().unwrap()).collect()
}

/// Whether a build can run here at all: layers are made by a worker with a mount namespace.
pub fn can_build(test: &str) -> bool {
    let namespaces = fs::read_to_string("/proc/sys/user/max_user_namespaces").is_ok_and(|most| most.trim() != "0");
    let can = namespaces || rustix::process::geteuid().is_root();
    if !can {
        println!("skipped: {test}: needs root or user namespaces");
    }
    can
}

/// The busybox layout of the lab, if one is named.
pub fn busybox(test: &str) -> Option<PathBuf> {
    let layout = std::env::var_os("RBUILD_LAB").map(|lab| Path::new(&lab).join("images/busybox.oci")).filter(|p| p.is_dir());
    if layout.is_none() {
        println!("skipped: {test}: RBUILD_LAB names no folder with images/busybox.oci");
    }
    layout.filter(|_| can_build(test))
}
