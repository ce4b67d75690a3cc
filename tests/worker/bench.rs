//! Times, on demand: `cargo test --release --test worker -- --ignored --nocapture`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use super::lab::{id, lab};
use rbuild_tui::engine::protocol::*;
use rbuild_tui::engine::snapshot::record::record_digest;
use rbuild_tui::ground::digest::Digest;

/// The entries of a directory, as a context walk gives them.
pub fn entries(root: &Path) -> Vec<Entry> {
    let mut out = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(path) = todo.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let kind = match meta.file_type() {
            t if t.is_dir() => EntryKind::Directory,
            t if t.is_symlink() => EntryKind::Symlink,
            _ => EntryKind::File,
        };
        if kind == EntryKind::Directory {
            todo.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        }
        let mut entry = Entry {
            path: path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(),
            kind,
            mode: meta.mode() & 0o7777,
            uid: 0,
            gid: 0,
            size: if kind == EntryKind::File { meta.size() } else { 0 },
            link: fs::read_link(&path).ok().map(|l| l.to_str().unwrap().to_owned()),
            xattrs: Vec::new(),
            device: None,
            modified: (meta.mtime(), u32::try_from(meta.mtime_nsec()).unwrap()),
            digest: Digest::of(b""),
        };
        entry.digest = match kind {
            EntryKind::File => record_digest(&entry, fs::File::open(&path).unwrap()).unwrap(),
            _ => record_digest(&entry, std::io::empty()).unwrap(),
        };
        out.push(entry);
    }
    out.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
    out
}

#[test]
#[ignore = "measures"]
fn times() {
    let Some(lab) = lab("times") else { return };
    lab.base("base");
    for network in [Network::None, Network::Host] {
        let mut all = Vec::new();
        for round in 0..50 {
            let start = Instant::now();
            let (code, text, _) =
                lab.run_with(&format!("true-{round}-{network:?}").to_lowercase(), &["base"], |p| p.network = network);
            all.push(start.elapsed().as_secs_f64() * 1000.0);
            assert_eq!(code, 0, "{text}");
        }
        all.sort_by(f64::total_cmp);
        println!("RUN /bin/true, network {network:?}: median {:.1} ms, least {:.1}, most {:.1}", all[25], all[0], all[49]);
    }
    let Some(tree) = std::env::var_os("WORKER_TREE") else { return println!("WORKER_TREE names no tree to copy") };
    let root = Path::new(&tree).to_owned();
    let copy = |name: &str, parents: &[&str], previous: Option<&str>| {
        let entries = entries(&root);
        let count = entries.len();
        let request = Request::Copy {
            layer: id(name),
            parents: parents.iter().map(|p| id(p)).collect(),
            source: CopySource::Directory { root: root.clone(), entries },
            copy: CopySpec { sources: vec![String::new()], destination: "/app/".into(), ..CopySpec::default() },
            previous: previous.map(id),
        };
        let start = Instant::now();
        let reply = lab.call(request).unwrap();
        println!("COPY {name} of {count}: {:.3} s {reply:?}", start.elapsed().as_secs_f64());
    };
    copy("warm", &["base"], None);
    copy("cold", &["base"], None);
    let changed = entries(&root).into_iter().find(|e| e.kind == EntryKind::File).unwrap();
    let original = fs::read(root.join(&changed.path)).unwrap();
    fs::write(root.join(&changed.path), b"changed").unwrap();
    copy("linked", &["base"], Some("cold"));
    fs::write(root.join(&changed.path), original).unwrap();
    let start = Instant::now();
    let (entries, _) = lab.scan(&["base", "cold"], "", false);
    println!("SCAN of {}: {:.3} s", entries.len(), start.elapsed().as_secs_f64());
    let start = Instant::now();
    let (tar, _) = lab.tar_of("cold");
    println!("WRITE of {} bytes: {:.3} s", tar.len(), start.elapsed().as_secs_f64());
    let start = Instant::now();
    let digest = Digest::of(&tar);
    lab.unpack_bytes("again", &["base"], &tar, Compression::None, digest).unwrap();
    println!("UNPACK: {:.3} s with digests of the test", start.elapsed().as_secs_f64());
    let start = Instant::now();
    let to = lab.dir.path().join("cp");
    std::process::Command::new("cp").arg("-a").arg(&root).arg(&to).status().unwrap();
    println!("cp -a: {:.3} s", start.elapsed().as_secs_f64());
}
