//! Plans, explanations, suggestions and replays, timed: `cargo bench --bench insight`. Builds once with the program, then asks
//! the library. Ratios of one run count, not seconds: the last column sets each row beside a plain walk that stats the files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rbuild_tui::engine::cache::explain::{Evidence, compare};
use rbuild_tui::engine::context::{Entry, IgnoreFile, Selector, StatIndex, list, scan};
use rbuild_tui::engine::store::Store;
use rbuild_tui::engine::{PlanMemory, Project};
use rbuild_tui::ground::cancel::CancelToken;
use rbuild_tui::ground::digest::Digest;
use rbuild_tui::insight::workbench::advice::advise;

/// The middle of five.
fn median(mut measure: impl FnMut(usize) -> Duration) -> Duration {
    let mut all: Vec<Duration> = (0..5).map(&mut measure).collect();
    all.sort();
    all[2]
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let began = Instant::now();
    let _ = work();
    began.elapsed()
}

fn program(store: &Path, args: &[&str]) {
    let done = Command::new(env!("CARGO_BIN_EXE_rbuild-tui")).args(args).env("RBUILD_TUI_STORE", store).output().unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A context of so many files of 200 bytes in folders of a hundred.
fn context(folder: &Path, files: usize, dockerfile: &str) {
    for at in 0..files {
        let place = folder.join(format!("d{}", at / 100));
        if at % 100 == 0 {
            std::fs::create_dir_all(&place).unwrap();
        }
        std::fs::write(place.join(format!("f{at}")), format!("{at:>200}")).unwrap();
    }
    std::fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
}

struct Nothing;

impl Evidence for Nothing {
    fn tree(&self, _: &Digest) -> Option<std::sync::Arc<[Entry]>> {
        None
    }
    fn ignored_then(&self, _: &str) -> bool {
        false
    }
    fn ignored_now(&self, _: &str) -> bool {
        false
    }
}

fn row(name: &str, took: Duration, limit: Option<Duration>) {
    let beside = limit.map_or_else(String::new, |limit| {
        format!("{:6.1}x a stat walk of {:.0} ms", took.as_secs_f64() / limit.as_secs_f64(), limit.as_secs_f64() * 1000.0)
    });
    println!("{name:<58} {:>9.1} ms  {beside}", took.as_secs_f64() * 1000.0);
}

fn plans(work: &Path, files: usize) {
    let folder = work.join(format!("context-{files}"));
    context(&folder, files, "FROM scratch\nCOPY . /src\n");
    let store = work.join(format!("store-{files}"));
    program(&store, &["build", folder.to_str().unwrap()]);
    let store = Store::open(&store).unwrap();
    let project = Project::open(&folder, None).unwrap();
    let walk = median(|_| timed(|| list(&folder, &IgnoreFile::default()).unwrap()));
    let once = median(|_| timed(|| project.plan(&store, &mut PlanMemory::default()).unwrap()));
    row(&format!("plan, {files} files, nothing changed, from nothing"), once, Some(walk));
    let mut memory = PlanMemory::default();
    project.plan(&store, &mut memory).unwrap();
    memory.watched(&project.context);
    let changed = "d0/f1".to_owned();
    let again = median(|at| {
        std::fs::write(folder.join(&changed), format!("changed {at}")).unwrap();
        memory.note(&project.context, Some(std::slice::from_ref(&changed)));
        timed(|| project.plan(&store, &mut memory).unwrap())
    });
    row(&format!("plan, {files} files, one changed, watched"), again, Some(walk));
    let all = [Selector::new("")];
    let read = || {
        scan(&folder, &all, &IgnoreFile::default(), &StatIndex::default(), &CancelToken::default())
            .unwrap()
            .tree
            .into_entries()
    };
    let old = read();
    std::fs::write(folder.join(&changed), "explained").unwrap();
    let new = read();
    let explain = median(|_| timed(|| assert_eq!(compare(&new, &old, &Nothing).len(), 1)));
    row(&format!("explain, one of {files} files changed"), explain, Some(walk));
}

fn long_file(work: &Path) {
    let folder = work.join("long");
    let mut text = "FROM scratch AS base\n".to_owned();
    for at in 0..199 {
        let _ = writeln!(text, "COPY d0/f{} /c{at}/", at % 100);
    }
    context(&folder, 100, &text);
    let store = work.join("store-long");
    program(&store, &["build", folder.to_str().unwrap()]);
    let store = Store::open(&store).unwrap();
    let project = Project::open(&folder, None).unwrap();
    row("plan, 200 instructions", median(|_| timed(|| project.plan(&store, &mut PlanMemory::default()).unwrap())), None);
    row("suggest, 200 instructions", median(|_| timed(|| advise(&project, &store, None).unwrap())), None);
}

/// A history of so many commits, each of which changes one file.
fn repository(folder: &Path, commits: usize) {
    let mut stream = String::new();
    let dockerfile = "FROM scratch AS a\nCOPY src /src\nFROM scratch\nCOPY manifest /m\nCOPY --from=a /src /s\n";
    for at in 0..commits {
        let _ = write!(stream, "commit refs/heads/main\ncommitter a <a@b> {} +0000\ndata 1\nx\n", 1_700_000_000 + at);
        if at == 0 {
            let _ = write!(stream, "M 100644 inline Dockerfile\ndata {}\n{dockerfile}\n", dockerfile.len());
            for file in 0..1000 {
                let _ = write!(stream, "M 100644 inline src/f{file}\ndata 1\n1\n");
            }
        }
        let path = if at % 10 == 0 { "manifest".to_owned() } else { format!("src/f{}", at % 1000) };
        let content = at.to_string();
        let _ = write!(stream, "M 100644 inline {path}\ndata {}\n{content}\n", content.len());
    }
    std::fs::create_dir_all(folder).unwrap();
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.args(args).current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        command
    };
    assert!(git(&["init", "-q", "-b", "main"]).status().unwrap().success());
    let file: PathBuf = folder.join("stream");
    std::fs::write(&file, stream).unwrap();
    let input = std::fs::File::open(&file).unwrap();
    assert!(git(&["fast-import", "--quiet"]).stdin(input).status().unwrap().success());
    std::fs::remove_file(file).unwrap();
    assert!(git(&["reset", "-q", "--hard"]).status().unwrap().success());
}

fn main() {
    // `cargo bench` passes `--bench`; `cargo test` runs bench targets without it, and has nothing to measure.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let work = tempfile::tempdir().unwrap();
    for files in [10_000, 100_000] {
        plans(work.path(), files);
    }
    long_file(work.path());
    let (folder, store) = (work.path().join("history"), work.path().join("store-history"));
    repository(&folder, 1001);
    let replay = median(|_| timed(|| program(&store, &["replay", "--commits", "1000", folder.to_str().unwrap()])));
    row("replay, 1000 commits, the program from start to end", replay, None);
}
