//! A worker on a store of its own, hand-made tars, and a directory that must never change.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rbuild_tui::engine::event::LayerStat;
use rbuild_tui::engine::oci::LayerId;
use rbuild_tui::engine::protocol::*;
use rbuild_tui::engine::reads::ReadSet;
use rbuild_tui::engine::worker::{Snapshots, Worker, WorkerError};
use rbuild_tui::ground::digest::Digest;

/// One test's surroundings.
pub struct Lab {
    pub worker: Worker,
    pub dir: tempfile::TempDir,
    canary: CanaryState,
}

/// Mode, owner, count of names and bytes of everything in it.
pub type CanaryState = BTreeMap<PathBuf, (u32, u32, u64, Vec<u8>)>;

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The lab, or `None` with a printed reason: tests that start this very program as somebody else run one of its tests by name.
pub fn lab(test: &str) -> Option<Lab> {
    if std::fs::read_to_string("/proc/sys/user/max_user_namespaces").is_ok_and(|most| most.trim() == "0") && !is_root() {
        println!("skipped {test}: needs root or user namespaces");
        return None;
    }
    // The whole set is run with plain trees, too.
    let copied = std::env::var_os("RBUILD_TUI_SNAPSHOTTER").is_some();
    Some(lab_of(if copied { Snapshots::Copied } else { Snapshots::Best }))
}

/// A lab with a choice of how layers become a root.
pub fn lab_of(snapshots: Snapshots) -> Lab {
    let dir = tempfile::tempdir().unwrap();
    let canary = dir.path().join("canary");
    fs::create_dir(&canary).unwrap();
    fs::write(canary.join("perm0400"), "secret").unwrap();
    fs::set_permissions(canary.join("perm0400"), fs::Permissions::from_mode(0o400)).unwrap();
    fs::create_dir(canary.join("sub")).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_rbuild-tui"));
    let worker = Worker::spawn_with(program, &dir.path().join("store"), snapshots).unwrap();
    let mut lab = Lab { worker, dir, canary: CanaryState::new() };
    lab.canary = lab.canary_state();
    lab
}

/// Conditions after every test: the canary is as it was, and nothing is mounted in the test's folder. And without root, layers
/// belong to ids that only a user namespace may remove.
impl Drop for Lab {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.canary == self.canary_state(), "the canary changed");
            let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
            assert!(!mounts.contains(self.dir.path().to_str().unwrap()), "{mounts}");
        }
        if !is_root() {
            let store = self.dir.path().join("store");
            let args = ["--user", "--map-root-user", "--map-auto", "rm", "-rf"];
            let _ = std::process::Command::new("unshare").args(args).arg(store).output();
        }
    }
}

pub fn id(name: &str) -> LayerId {
    format!("test-layer-{name}").parse().unwrap()
}

impl Lab {
    pub fn layer(&self, name: &str) -> PathBuf {
        self.dir.path().join("store/layers").join(id(name).as_str())
    }

    pub fn canary(&self) -> String {
        self.dir.path().join("canary").to_str().unwrap().to_owned()
    }

    /// Names, modes, owners and contents of the canary.
    pub fn canary_state(&self) -> CanaryState {
        let mut out = BTreeMap::new();
        let mut todo = vec![PathBuf::from(self.canary())];
        while let Some(path) = todo.pop() {
            let meta = fs::symlink_metadata(&path).unwrap();
            let bytes = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            if meta.is_dir() {
                todo.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
            }
            out.insert(path, (meta.mode(), meta.uid(), meta.nlink(), bytes));
        }
        out
    }

    pub fn call(&self, request: Request) -> Result<Reply, Failure> {
        self.call_with(request, Vec::new())
    }

    pub fn call_with(&self, request: Request, fds: Vec<OwnedFd>) -> Result<Reply, Failure> {
        match self.worker.call(request, fds) {
            Err(WorkerError::Failed(failure)) => Err(failure),
            other => Ok(other.unwrap()),
        }
    }

    /// Unpacks `tar` as the layer `name`.
    pub fn unpack(&self, name: &str, parents: &[&str], tar: &Tar) -> Result<LayerStat, Failure> {
        let bytes = tar.finished();
        self.unpack_bytes(name, parents, &bytes, Compression::None, Digest::of(&bytes))
    }

    pub fn unpack_bytes(
        &self,
        name: &str,
        parents: &[&str],
        bytes: &[u8],
        compression: Compression,
        diff_id: Digest,
    ) -> Result<LayerStat, Failure> {
        let blob = self.dir.path().join(format!("{name}.blob"));
        fs::write(&blob, bytes).unwrap();
        let (digest, size) = (Digest::of(bytes), bytes.len() as u64);
        let parents = parents.iter().map(|p| id(p)).collect();
        let before = self.canary_state();
        let reply = self.call(Request::Unpack { layer: id(name), parents, blob, compression, digest, size, diff_id });
        assert_eq!(before, self.canary_state(), "the canary changed");
        assert!(!self.dir.path().join("store/tmp").read_dir().unwrap().any(|e| {
            let path = e.unwrap().path();
            path.is_dir() && path.read_dir().unwrap().any(|e| e.unwrap().path().is_dir())
        }));
        reply.map(|reply| match reply {
            Reply::Layer { stat } => stat,
            other => panic!("{other:?}"),
        })
    }

    /// The names and kinds of a chain, by a scan.
    pub fn list(&self, chain: &[&str]) -> Vec<Entry> {
        self.scan(chain, "", false).0
    }

    pub fn scan(&self, chain: &[&str], path: &str, wildcard: bool) -> (Vec<Entry>, Vec<Vec<String>>) {
        let selectors = vec![Selector { path: path.into(), wildcard, follow_links: true, ..Selector::default() }];
        match self.call(Request::Scan { layers: chain.iter().map(|l| id(l)).collect(), selectors }).unwrap() {
            Reply::Entries { entries, matches } => (entries, matches),
            other => panic!("{other:?}"),
        }
    }

    pub fn names(&self, chain: &[&str]) -> Vec<String> {
        self.list(chain).into_iter().map(|e| e.path).filter(|p| !p.is_empty()).collect()
    }

    /// Runs a shell command; exit code, both outputs, the reply.
    pub fn run(&self, name: &str, parents: &[&str], command: &str) -> (i32, String, Reply) {
        self.run_with(name, parents, |process| process.args = ["/bin/sh", "-c", command].map(str::to_owned).to_vec())
    }

    pub fn run_with(&self, name: &str, parents: &[&str], change: impl FnOnce(&mut ProcessSpec)) -> (i32, String, Reply) {
        let reply = self.try_run(name, parents, change);
        match reply {
            Ok((reply @ Reply::Exited { code, .. }, text)) => (code, text, reply),
            other => panic!("{other:?}"),
        }
    }

    pub fn try_run(
        &self,
        name: &str,
        parents: &[&str],
        change: impl FnOnce(&mut ProcessSpec),
    ) -> Result<(Reply, String), Failure> {
        let mut process = plain_process();
        change(&mut process);
        self.try_process(name, parents, process, None)
    }

    /// Runs a shell command that is watched; exit code, both outputs, what it read.
    pub fn traced(&self, name: &str, parents: &[&str], command: &str) -> (i32, String, Option<ReadSet>) {
        let args = ["/bin/sh", "-c", command].map(str::to_owned).to_vec();
        self.traced_with(name, parents, Some(TraceBudget::default()), |process| process.args = args)
    }

    pub fn traced_with(
        &self,
        name: &str,
        parents: &[&str],
        trace: Option<TraceBudget>,
        change: impl FnOnce(&mut ProcessSpec),
    ) -> (i32, String, Option<ReadSet>) {
        let mut process = plain_process();
        change(&mut process);
        match self.try_process(name, parents, process, trace) {
            Ok((Reply::Exited { code, reads, .. }, text)) => (code, text, reads.map(|reads| *reads)),
            other => panic!("{other:?}"),
        }
    }

    fn try_process(
        &self,
        name: &str,
        parents: &[&str],
        process: ProcessSpec,
        trace: Option<TraceBudget>,
    ) -> Result<(Reply, String), Failure> {
        let mut out = tempfile::tempfile().unwrap();
        let fds = vec![out.try_clone().unwrap().into(), out.try_clone().unwrap().into()];
        let parents = parents.iter().map(|p| id(p)).collect();
        let token = name.bytes().fold(0, |sum, b| sum * 31 % 1_000_003 + u64::from(b));
        let reply = self.call_with(Request::Run { layer: id(name), left: None, parents, process, token, trace }, fds)?;
        let mut text = Vec::new();
        out.rewind().unwrap();
        out.read_to_end(&mut text).unwrap();
        Ok((reply, String::from_utf8_lossy(&text).into_owned()))
    }

    /// A root file system with the machine's shell and a few tools, as the layer `name`.
    pub fn base(&self, name: &str) {
        let mut tar = Tar::default();
        let mut done = std::collections::BTreeSet::new();
        for tool in [
            "sh", "true", "cat", "ls", "sleep", "mkdir", "rm", "id", "touch", "mount", "unshare", "chmod", "ln", "mv",
            "mknod", "dd",
        ] {
            let path = ["/bin", "/usr/bin"].map(|d| Path::new(d).join(tool)).into_iter().find(|p| p.exists()).unwrap();
            tar = tar.file(&format!("bin/{tool}"), 0o755, &fs::read(&path).unwrap());
            let ldd = std::process::Command::new("ldd").arg(&path).output().unwrap();
            for word in String::from_utf8_lossy(&ldd.stdout).split_whitespace().filter(|w| w.starts_with('/')) {
                if done.insert(word.to_owned()) {
                    tar = tar.file(&word[1..], 0o755, &fs::read(word).unwrap());
                }
            }
        }
        tar = tar.dir("etc", 0o755).dir("tmp", 0o1777).dir("proc", 0o755).dir("dev", 0o755).dir("sys", 0o755);
        tar = tar.file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1001::/home/bob:/bin/sh\n");
        tar = tar.file("etc/group", 0o644, b"root:x:0:\nbob:x:1001:\nwheel:x:10:bob\n");
        self.unpack(name, &[], &tar).unwrap();
    }

    /// The layer as an uncompressed tar.
    pub fn tar_of(&self, name: &str) -> (Vec<u8>, Reply) {
        let path = self.dir.path().join("out.tar");
        let file = File::create(&path).unwrap();
        let request =
            Request::WriteLayer { layer: id(name), compression: Compression::None, level: None, clamp_times: None };
        let reply = self.call_with(request, vec![file.into()]).unwrap();
        (fs::read(&path).unwrap(), reply)
    }
}

/// What every test's process begins as.
fn plain_process() -> ProcessSpec {
    ProcessSpec {
        mounts: Vec::new(),
        hosts: Vec::new(),
        ulimits: Vec::new(),
        args: vec!["/bin/true".into()],
        env: vec!["PATH=/usr/local/bin:/usr/bin:/bin".into()],
        cwd: "/".into(),
        user: String::new(),
        hostname: "buildkitsandbox".into(),
        network: Network::None,
        limits: Default::default(),
        insecure: false,
    }
}

/// A tar made byte by byte: library writers refuse most hostile shapes.
#[derive(Default, Clone)]
pub struct Tar(pub Vec<u8>);

impl Tar {
    /// A header and a body; `size` is what the header says.
    pub fn raw(mut self, name: &[u8], kind: u8, mode: u32, size: u64, link: &[u8], body: &[u8]) -> Self {
        let mut head = [0u8; 512];
        head[..name.len()].copy_from_slice(name);
        let mut put = |at: usize, text: String| head[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(100, format!("{mode:07o}\0"));
        put(108, "0000000\0".into());
        put(116, "0000000\0".into());
        put(124, format!("{size:011o}\0"));
        put(136, format!("{:011o}\0", 1_700_000_000));
        put(148, "        ".into());
        put(257, "ustar\x0000".into());
        head[156] = kind;
        head[157..157 + link.len()].copy_from_slice(link);
        Self::seal(&mut head);
        self.0.extend_from_slice(&head);
        self.0.extend_from_slice(body);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn seal(head: &mut [u8]) {
        head[148..156].copy_from_slice(b"        ");
        let sum: u32 = head[..512].iter().map(|b| u32::from(*b)).sum();
        head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }

    /// Changes the header of the last member, which has no body.
    pub fn patch(mut self, change: impl FnOnce(&mut [u8])) -> Self {
        let at = self.0.len() - 512;
        change(&mut self.0[at..]);
        Self::seal(&mut self.0[at..]);
        self
    }

    pub fn file(self, name: &str, mode: u32, body: &[u8]) -> Self {
        self.raw(name.as_bytes(), b'0', mode, body.len() as u64, b"", body)
    }

    pub fn dir(self, name: &str, mode: u32) -> Self {
        self.raw(name.as_bytes(), b'5', mode, 0, b"", b"")
    }

    pub fn link(self, name: &str, target: &str) -> Self {
        self.raw(name.as_bytes(), b'2', 0o777, 0, target.as_bytes(), b"")
    }

    pub fn hard(self, name: &str, target: &str) -> Self {
        self.raw(name.as_bytes(), b'1', 0o644, 0, target.as_bytes(), b"")
    }

    pub fn pax(self, records: &[(&str, &str)]) -> Self {
        let mut body = Vec::new();
        for (key, value) in records {
            let mut length = key.len() + value.len() + 4;
            while format!("{length} {key}={value}\n").len() != length {
                length += 1;
            }
            body.extend_from_slice(format!("{length} {key}={value}\n").as_bytes());
        }
        self.raw(b"PaxHeaders/x", b'x', 0o644, body.len() as u64, b"", &body)
    }

    pub fn finished(&self) -> Vec<u8> {
        let mut bytes = self.0.clone();
        bytes.resize(bytes.len() + 1024, 0);
        bytes
    }
}
