//! What the tests stand on: the lab's folder, its docker client, our program, one table at the end.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

/// Every test of this binary: the one that ends last prints the table.
const TESTS: &[&str] = &[
    "cache_facts",
    "seeded_changes",
    "matrix",
    "plans",
    "image_equals_what_run_saw",
    "express",
    "traced_express",
    "forty_features",
    "kill_nine",
    "two_builds",
    "two_builds_holder_killed",
    "reproducible",
    "registry_and_skopeo",
    "bases_of_docker",
    "sources_of_servers",
];

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
static TABLE: Mutex<BTreeMap<&'static str, String>> = Mutex::new(BTreeMap::new());

/// A test under way: holds the lab for itself, and writes its row when it ends.
pub struct Running {
    name: &'static str,
    row: Option<String>,
    _alone: MutexGuard<'static, ()>,
}

impl Running {
    pub fn start(name: &'static str) -> Self {
        assert!(TESTS.contains(&name), "{name} is not in the list of tests");
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        Self { name, row: None, _alone: alone }
    }

    /// Ends the test as skipped.
    pub fn skip(mut self, reason: impl std::fmt::Display) {
        println!("skipped: {}: {reason}", self.name);
        self.row = Some(format!("skipped: {reason}"));
    }

    /// Ends the test as passed.
    pub fn pass(mut self, what: impl std::fmt::Display) {
        println!("passed: {}: {what}", self.name);
        self.row = Some(format!("passed: {what}"));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let row = self.row.take().unwrap_or_else(|| "FAILED".into());
        let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
        table.insert(self.name, row);
        if table.len() == TESTS.len() {
            let count = |word: &str| table.values().filter(|row| row.starts_with(word)).count();
            println!("\n== peers: {} ran, {} skipped", table.len() - count("skipped"), count("skipped"));
            for name in TESTS {
                println!("   {name:<28} {}", table[name]);
            }
            println!("   {} passed, {} failed", count("passed"), count("FAILED"));
        }
    }
}

/// An environment variable that names a folder, or why not.
pub fn folder(variable: &str) -> Result<PathBuf, String> {
    let value = std::env::var_os(variable).ok_or_else(|| format!("{variable} is not set"))?;
    let path = PathBuf::from(value);
    if path.is_dir() { Ok(path) } else { Err(format!("{variable} names no folder")) }
}

/// A base image of the lab as an OCI layout.
pub fn image(name: &str) -> Result<PathBuf, String> {
    if !rustix::process::geteuid().is_root() {
        return Err("needs root".into());
    }
    let path = folder("RBUILD_LAB")?.join(format!("images/{name}.oci"));
    if path.is_dir() { Ok(path) } else { Err(format!("there is no {} (make-images)", path.display())) }
}

/// A program of this machine.
pub fn program(name: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| format!("there is no {name}"))
}

/// The lab's docker client, when its daemon answers and knows `busybox:local`.
pub struct Docker {
    script: PathBuf,
    /// `docker 28.5.2`.
    pub version: String,
}

impl Docker {
    pub fn open() -> Result<Self, String> {
        let script = folder("RBUILD_LAB_SCRIPTS")?.join("dk");
        let lab = folder("RBUILD_LAB")?;
        let mut docker = Self { script, version: String::new() };
        docker.version = docker
            .output(&["version", "--format", "docker {{.Server.Version}}"])
            .map_err(|_| "the lab's daemon does not answer (lab start)".to_owned())?
            .trim()
            .to_owned();
        if docker.output(&["image", "inspect", "busybox:local"]).is_err() {
            let tar = lab.join("images/busybox.tar");
            docker.output(&["load", "-i", tar.to_str().unwrap()])?;
        }
        Ok(docker)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.script);
        command.args(args).stdin(Stdio::null());
        command
    }

    pub fn output(&self, args: &[&str]) -> Result<String, String> {
        let done = self.command(args).output().map_err(|e| e.to_string())?;
        let out = String::from_utf8_lossy(&done.stdout).into_owned();
        if done.status.success() { Ok(out) } else { Err(format!("dk {args:?}: {}", String::from_utf8_lossy(&done.stderr))) }
    }

    pub fn ok(&self, args: &[&str]) -> String {
        self.output(args).unwrap_or_else(|e| panic!("{e}"))
    }
}

/// Our program on a store of its own.
pub struct Ours {
    pub store: PathBuf,
    dir: tempfile::TempDir,
}

impl Ours {
    pub fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap())
    }

    /// In memory, where that can be: nothing waits for a disk.
    pub fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        let can = memory.is_dir().then(|| tempfile::tempdir_in(memory)).and_then(Result::ok);
        Self::at(can.unwrap_or_else(|| tempfile::tempdir().unwrap()))
    }

    fn at(dir: tempfile::TempDir) -> Self {
        Self { store: dir.path().join("store"), dir }
    }

    /// With an image of the lab under a name.
    pub fn with_image(layout: &Path, tags: &[&str]) -> Self {
        let ours = Self::new();
        ours.load(layout, tags);
        ours
    }

    pub fn load(&self, layout: &Path, tags: &[&str]) {
        for tag in tags {
            self.ok(&["image", "load", "-t", tag, layout.to_str().unwrap()]);
        }
    }

    /// A folder beside the store.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rbuild-tui"));
        command.env("RBUILD_TUI_STORE", &self.store).args(args).stdin(Stdio::null()).env_remove("SOURCE_DATE_EPOCH");
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub fn ok(&self, args: &[&str]) -> String {
        let done = self.run(args);
        let error = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{args:?}: {:?}: {error}", done.status.code());
        String::from_utf8(done.stdout).unwrap()
    }

    /// `plan --json` in a folder; it must succeed.
    pub fn plan(&self, context: &Path, args: &[&str]) -> Value {
        let mut all = vec!["plan", "--json"];
        all.extend(args);
        all.push(context.to_str().unwrap());
        serde_json::from_str(&self.ok(&all)).unwrap()
    }

    /// `build --json` in a folder; it must succeed.
    pub fn build(&self, context: &Path, args: &[&str]) -> Value {
        let mut all = vec!["build", "--json"];
        all.extend(args);
        all.push(context.to_str().unwrap());
        serde_json::from_str(&self.ok(&all)).unwrap()
    }
}

/// The steps of a document that have work to do: neither configuration nor FROM.
pub fn work(document: &Value) -> Vec<&Value> {
    let steps = document["steps"].as_array().unwrap();
    steps.iter().filter(|s| s["result"] != "config" && !is_from(s)).collect()
}

pub fn is_from(step: &Value) -> bool {
    step["instruction"].as_str().unwrap().to_uppercase().starts_with("FROM ")
}

/// The step of a line; for COPY from an image the copy, not the image that it brings in.
pub fn at_line(document: &Value, line: u64) -> &Value {
    let steps = document["steps"].as_array().unwrap();
    steps.iter().rfind(|s| s["line"] == line).unwrap_or_else(|| panic!("no step in line {line}"))
}

/// How many steps were executed.
pub fn ran(document: &Value) -> usize {
    work(document).iter().filter(|s| s["result"] == "ran").count()
}

/// The codes of a step's reasons.
pub fn codes(step: &Value) -> Vec<String> {
    step["reasons"].as_array().unwrap().iter().map(|r| r["code"].as_str().unwrap().to_owned()).collect()
}

/// Writes a file and the folders above it.
pub fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Numbers from a seed (SplitMix64), so that a failure can be played again.
pub struct Random(pub u64);

impl Random {
    /// The seed of `RBUILD_PEERS_SEED`, else of the clock.
    pub fn from_environment() -> Self {
        let clock = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
        let given = std::env::var("RBUILD_PEERS_SEED").ok().and_then(|text| text.parse().ok());
        Self(given.unwrap_or_else(clock))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
