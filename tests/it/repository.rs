//! A generated git repository: a small service with its sources, documents and tests, and a history of edits, renames, removals,
//! modes, links, merges and reverts. The same seed gives the same history.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Random numbers, the same on every machine.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit.max(1)
    }
}

pub struct Shape {
    pub seed: u64,
    pub commits: usize,
    pub sources: usize,
    /// How many of a hundred edits are of the Dockerfile or of the ignore file.
    pub of_the_build: usize,
    pub dockerfiles: Vec<String>,
}

pub struct Repository {
    pub folder: PathBuf,
}

pub fn git(folder: &Path, args: &[&str]) -> String {
    let mut command = Command::new("sh");
    command.args(["-c", "umask 022; exec git \"$@\"", "git", "-c", "user.name=a", "-c", "user.email=a@b"]).args(args);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    let done = command.current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

type Files = BTreeMap<String, (&'static str, String)>;

struct Writer {
    stream: String,
    marks: usize,
    random: Random,
    files: Files,
    old: Vec<(String, String)>,
}

impl Repository {
    /// Writes the history into a new repository; the work tree is that of the last commit.
    pub fn generate(folder: &Path, shape: &Shape) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        git(folder, &["init", "-q", "-b", "main"]);
        let mut writer = Writer {
            stream: String::new(),
            marks: 0,
            random: Random::new(shape.seed),
            files: Files::new(),
            old: Vec::new(),
        };
        writer.first(shape);
        for at in 1..shape.commits {
            writer.next(at, shape);
        }
        let mut child =
            Command::new("git").args(["fast-import", "--quiet"]).current_dir(folder).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(writer.stream.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        git(folder, &["reset", "-q", "--hard", "main"]);
        Self { folder: folder.to_owned() }
    }

    /// The last commits, oldest first.
    pub fn last(&self, count: usize) -> Vec<String> {
        let text = git(&self.folder, &["rev-list", "--first-parent", &format!("--max-count={count}"), "main"]);
        let mut commits: Vec<String> = text.lines().map(str::to_owned).collect();
        commits.reverse();
        commits
    }
}

impl Writer {
    fn first(&mut self, shape: &Shape) {
        for n in 0..shape.sources {
            self.set(&format!("src/part{}/file{n}.js", n % 40), "100644", format!("export const n{n} = 0;\n"));
        }
        for n in 0..shape.sources / 5 {
            self.set(&format!("docs/page{n}.md"), "100644", format!("# {n}\n"));
            self.set(&format!("tests/case{n}.js"), "100644", format!("test({n});\n"));
        }
        for (path, text) in [("package.json", "{}\n"), ("package-lock.json", "{\"v\":0}\n"), ("tsconfig.json", "{}\n")] {
            self.set(path, "100644", text.into());
        }
        self.set("scripts/run.sh", "100644", "echo run\n".into());
        self.set("src/current", "120000", "part0".into());
        self.set("Dockerfile", "100644", shape.dockerfiles[0].clone());
        self.commit("first", None);
    }

    fn set(&mut self, path: &str, mode: &'static str, text: String) {
        if let Some((_, before)) = self.files.insert(path.to_owned(), (mode, text)) {
            self.old.push((path.to_owned(), before));
        }
    }

    fn any(&mut self, prefix: &str) -> Option<String> {
        let known: Vec<&String> = self.files.keys().filter(|path| path.starts_with(prefix)).collect();
        let at = self.random.below(known.len());
        known.get(at).map(|path| (*path).clone())
    }

    fn next(&mut self, at: usize, shape: &Shape) {
        let before = self.files.clone();
        for _ in 0..=self.random.below(3) {
            let kind =
                if self.random.below(100) < shape.of_the_build { 91 + self.random.below(6) } else { self.random.below(91) };
            match kind {
                0..38 => self.edit("src/part", at),
                38..49 => self.edit("docs/", at),
                49..52 => self.edit("tsconfig", at),
                52..62 => self.edit("tests/", at),
                62..68 => self.set(&format!("src/part{}/new{at}.js", at % 40), "100644", format!("new {at}\n")),
                68..73 => {
                    if let Some(path) = self.any("src/part").filter(|_| self.files.len() > 20) {
                        self.files.remove(&path);
                    }
                }
                73..77 => {
                    if let Some(path) = self.any("docs/") {
                        let file = self.files.remove(&path).unwrap();
                        self.files.insert(format!("docs/renamed{at}.md"), file);
                    }
                }
                77..80 => {
                    let mode = if self.files["scripts/run.sh"].0 == "100644" { "100755" } else { "100644" };
                    self.set("scripts/run.sh", mode, "echo run\n".into());
                }
                80..84 => self.set("package-lock.json", "100644", format!("{{\"v\":{at}}}\n")),
                84..86 => self.set("package.json", "100644", format!("{{\"version\":\"{at}\"}}\n")),
                86..89 => {
                    if let Some((path, text)) = self.old.pop() {
                        self.files.insert(path, ("100644", text));
                    }
                }
                89..91 => self.set("src/current", "120000", format!("part{}", at % 3)),
                91..94 => {
                    let which = self.random.below(shape.dockerfiles.len());
                    self.set("Dockerfile", "100644", shape.dockerfiles[which].clone());
                }
                _ => {
                    let rules = ["docs\n", ".git\n*.md\n!docs/page1.md\n", ".git\ndocs\ntests\n", "# nothing\n"];
                    let which = self.random.below(rules.len());
                    self.set(".dockerignore", "100644", rules[which].into());
                }
            }
        }
        let side = (self.random.below(12) == 0).then(|| {
            self.edit("docs/", at + 100_000);
            before
        });
        self.commit(&format!("change {at}"), side);
    }

    fn edit(&mut self, prefix: &str, at: usize) {
        if let Some(path) = self.any(prefix) {
            let (mode, text) = self.files[&path].clone();
            self.set(&path, mode, format!("{text}// {at}\n"));
        }
    }

    /// With `side`, the change came by a branch, which began with the files of the commit before.
    fn commit(&mut self, message: &str, side: Option<Files>) {
        let parent = self.marks;
        if side.is_some() {
            self.one("a branch", "refs/heads/side", &[parent]);
            let branch = self.marks;
            return self.one(message, "refs/heads/main", &[parent, branch]);
        }
        self.one(message, "refs/heads/main", if parent == 0 { &[] } else { std::slice::from_ref(&parent) });
    }

    fn one(&mut self, message: &str, branch: &str, parents: &[usize]) {
        self.marks += 1;
        let time = 1_700_000_000 + self.marks * 3600;
        let out = &mut self.stream;
        let _ = write!(out, "commit {branch}\nmark :{}\ncommitter a <a@b> {time} +0000\n", self.marks);
        let _ = write!(out, "data {}\n{message}\n", message.len());
        for (at, parent) in parents.iter().enumerate() {
            let _ = writeln!(out, "{} :{parent}", if at == 0 { "from" } else { "merge" });
        }
        out.push_str("deleteall\n");
        for (path, (mode, text)) in &self.files {
            let _ = write!(out, "M {mode} inline {path}\ndata {}\n{text}\n", text.len());
        }
    }
}
