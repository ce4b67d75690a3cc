//! The real binary, and how much memory its processes take at most.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rbuild_tui::engine::image::host_base;
use rbuild_tui::engine::store::Store;

pub struct Ours {
    store: PathBuf,
}

impl Ours {
    /// With a store of its own.
    pub fn new(store: &Path) -> Self {
        Self { store: store.to_owned() }
    }

    fn command(&self, folder: &Path, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rbuild-tui"));
        command.args(["build", "--quiet", "--store"]).arg(&self.store).args(flags).arg(folder);
        command
    }

    /// Builds an image; the time, and the peak memory of the program and its worker together, in bytes.
    pub fn build(&self, folder: &Path, flags: &[&str]) -> (Duration, u64) {
        let start = Instant::now();
        let mut child = self.command(folder, flags).stdout(Stdio::null()).spawn().unwrap();
        let (pid, done) = (child.id(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let memory = scope.spawn(|| peak_memory(pid, &done));
            let status = child.wait().unwrap();
            let time = start.elapsed();
            done.store(true, Ordering::Relaxed);
            assert!(status.success(), "the build failed");
            (time, memory.join().unwrap())
        })
    }

    /// Name of a base image out of this machine's tools.
    pub fn base(&self) -> String {
        let store = Store::open(&self.store).unwrap();
        host_base(&store, "rbuild-bench:host", &[]).unwrap();
        "rbuild-bench:host".to_owned()
    }

    /// The base with nothing but one RUN, as an archive for `docker load`.
    pub fn export(&self, folder: &Path, work: &Path) -> PathBuf {
        let to = work.join("base.tar");
        let output = format!("type=docker,dest={}", to.display());
        let dockerfile = folder.join("Dockerfile.base");
        std::fs::write(&dockerfile, "FROM rbuild-bench:host\nRUN :\n").unwrap();
        let file = dockerfile.to_string_lossy().into_owned();
        let mut command = self.command(folder, &["-f", &file, "-t", "rbuild-bench:host", "-o", &output]);
        assert!(command.stdout(Stdio::null()).status().unwrap().success());
        to
    }
}

/// Most memory that a process and those below it held at any time, each at its own worst.
fn peak_memory(pid: u32, done: &AtomicBool) -> u64 {
    let mut peaks = std::collections::BTreeMap::new();
    while !done.load(Ordering::Relaxed) {
        let mut pending = vec![pid];
        while let Some(pid) = pending.pop() {
            let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kilobytes: u64 = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0);
            let own_program = status.starts_with("Name:\trbuild-tui");
            if own_program {
                let peak = peaks.entry(pid).or_insert(0);
                *peak = kilobytes.max(*peak);
            }
            let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
            pending.extend(children.flat_map(|c| c.split_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<u32>>()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    // The program and its worker; helpers of single RUNs come and go.
    let mut all: Vec<u64> = peaks.into_values().collect();
    all.sort_unstable_by(|a, b| b.cmp(a));
    all.iter().take(2).sum::<u64>() * 1024
}
