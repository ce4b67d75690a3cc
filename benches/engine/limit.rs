//! What the machine itself can do: the least that the same work can cost.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Lists every folder and asks for the metadata of every file, on all cores.
pub fn walk(folder: &Path) -> Duration {
    timed(|| {
        let pending = Mutex::new(vec![folder.to_owned()]);
        let (busy, bytes) = (AtomicUsize::new(1), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().map_or(2, |n| n.get()) {
                scope.spawn(|| {
                    while busy.load(Ordering::SeqCst) > 0 {
                        let Some(folder) = pending.lock().unwrap().pop() else {
                            std::hint::spin_loop();
                            continue;
                        };
                        let below = look(&folder, &bytes);
                        busy.fetch_add(below.len(), Ordering::SeqCst);
                        pending.lock().unwrap().extend(below);
                        busy.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(bytes.into_inner() > 0);
    })
}

/// The folders in a folder.
fn look(folder: &Path, bytes: &AtomicUsize) -> Vec<PathBuf> {
    let mut below = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let meta = entry.metadata().unwrap();
        bytes.fetch_add(meta.size() as usize, Ordering::Relaxed);
        if meta.is_dir() {
            below.push(entry.path());
        }
    }
    below
}

/// Reads all files and writes one archive, synced.
pub fn archive(folder: &Path, to: &Path) -> Duration {
    timed(|| {
        let file = std::fs::File::create(to).unwrap();
        let mut tar = tar::Builder::new(std::io::BufWriter::with_capacity(1 << 20, file));
        tar.append_dir_all(".", folder).unwrap();
        tar.into_inner().unwrap().into_inner().unwrap().sync_all().unwrap();
    })
}

/// `cp -a`.
pub fn copy(folder: &Path, to: &Path) -> Duration {
    timed(|| assert!(Command::new("cp").arg("-a").args([folder, to]).status().unwrap().success()))
}

/// A second name for every file, in a tree of its own: what a layer costs that differs in one file.
pub fn link_all(folder: &Path, to: &Path) -> Duration {
    timed(|| link(folder, to))
}

fn link(folder: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().unwrap().is_dir() {
            true => link(&from, &to),
            false => std::fs::hard_link(from, to).unwrap(),
        }
    }
}

/// Processes one after the other, each with the namespaces of a RUN.
pub fn processes(count: usize) -> Duration {
    timed(|| {
        for _ in 0..count {
            let flags = ["--mount", "--pid", "--fork", "--ipc", "--uts", "/bin/sh", "-c", ":"];
            assert!(Command::new("unshare").args(flags).status().unwrap().success());
        }
    })
}
