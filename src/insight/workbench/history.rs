//! The history of a context, out of git's objects: nothing is checked out. Two processes at most run at a time, both of them
//! plumbing that only reads.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::engine::EngineError;
use crate::engine::fetch::GitSettings;

/// A repository around a context.
pub struct Repository {
    git: GitSettings,
    /// Where its files lie.
    pub top: PathBuf,
    /// The context within it, with a slash at the end; empty when they are the same.
    pub prefix: String,
}

/// What a path is at a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// `0o100644`, `0o100755`, `0o120000` (a link), `0o160000` (another repository).
    pub mode: u32,
    /// Its name, in hex.
    pub id: String,
}

/// A commit, and what it changed against its first parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// In hex.
    pub id: String,
    /// Seconds since 1970.
    pub time: u64,
    /// First line of its message.
    pub subject: String,
    /// It has no parent: its changes are all files.
    pub is_root: bool,
    /// Paths from the top of the repository; none for what is gone.
    pub changes: Vec<(String, Option<Object>)>,
}

/// The first byte of a commit in git's output: no path and no raw line begins with it.
const MARK: char = '\u{1}';
/// What stands between the parents and the message.
const BEHIND_PARENTS: char = '\u{2}';

impl Repository {
    /// The repository that a folder lies in; none when it lies in none. Errors: there is no git.
    pub fn around(git: &GitSettings, folder: &Path) -> Result<Option<Self>, EngineError> {
        let mut command = reading(git, folder)?;
        let output = command.args(["rev-parse", "--show-toplevel", "--show-prefix"]).output().map_err(|e| failed(&e))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut lines = text.split('\n');
        let (Some(top), Some(prefix), true) = (lines.next(), lines.next(), output.status.success()) else {
            return Ok(None);
        };
        Ok(Some(Self { git: git.clone(), top: top.into(), prefix: prefix.to_owned() }))
    }

    /// The same where nothing can be done without one. Errors: why there is none, and what to do.
    pub fn needed(git: &GitSettings, folder: &Path) -> Result<Self, EngineError> {
        if let Some(found) = Self::around(git, folder)? {
            if found.has_commits()? {
                return Ok(found);
            }
            let hint = "commit the files first (`git add -A`, `git commit`); until then `plan` and `whatif` answer for the files \
                        as they are";
            let message = "the git repository around the build context has no commit yet, so it has no history";
            return Err(EngineError::user(message, Some(hint.into())));
        }
        let output = reading(git, folder)?.args(["rev-parse", "--show-toplevel"]).output().map_err(|e| failed(&e))?;
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        let (message, hint) = if words.contains("must be run in a work tree") {
            (
                "the build context lies in git's own folder, which has no files to build from",
                "give a folder of a clone, with its files checked out",
            )
        } else {
            (
                "the build context lies in no git repository, so there is no history",
                "run it in a clone; `plan` and `whatif` answer for the files as they are",
            )
        };
        Err(EngineError::user(message, Some(hint.into())))
    }

    /// Whether HEAD leads to a commit: in a new repository it names a branch that does not exist yet.
    fn has_commits(&self) -> Result<bool, EngineError> {
        let mut command = reading(&self.git, &self.top)?;
        let output = command.args(["rev-parse", "--verify", "--quiet", "HEAD"]).output().map_err(|e| failed(&e))?;
        Ok(output.status.success())
    }

    /// The last commits of HEAD's first parents, oldest first. Errors: there is none.
    pub fn commits(&self, count: usize) -> Result<Vec<Commit>, EngineError> {
        let limit = format!("--max-count={count}");
        let log = ["log", "-z", "--first-parent", "-m", "--raw", "--no-abbrev", "--no-renames", "--no-color", "--no-notes"];
        let format = format!("--format={MARK}%H %ct %p{BEHIND_PARENTS}%s");
        let plain = ["--no-ext-diff", "--no-textconv", "--ignore-submodules=none"];
        let output = self.run(&[&log[..], &plain[..], &[&format, &limit, "HEAD", "--"]].concat())?;
        let mut commits = parse_log(&output);
        commits.reverse();
        Ok(commits)
    }

    /// Every file at a commit, by its path from the top.
    pub fn files(&self, commit: &str) -> Result<Vec<(String, Object)>, EngineError> {
        let output = self.run(&["ls-tree", "-r", "-z", "--full-tree", commit])?;
        let records = output.split(|b| *b == 0).filter(|record| !record.is_empty());
        Ok(records.filter_map(|record| parse_tree_record(&String::from_utf8_lossy(record))).collect())
    }

    /// Reads objects.
    pub fn blobs(&self) -> Result<Blobs, EngineError> {
        let mut command = reading(&self.git, &self.top)?;
        command.args(["cat-file", "--batch"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|e| failed(&e))?;
        let ends = child.stdin.take().zip(child.stdout.take());
        let (input, output) = ends.ok_or_else(|| failed(&std::io::Error::other("it has no pipes")))?;
        Ok(Blobs { child, input: Some(input), output: BufReader::new(output) })
    }

    fn run(&self, args: &[&str]) -> Result<Vec<u8>, EngineError> {
        let mut command = reading(&self.git, &self.top)?;
        let output = command.args(args).output().map_err(|e| failed(&e))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        let why: String = words.lines().last().unwrap_or("it said nothing").chars().take(300).collect();
        let why = why.trim_start_matches("fatal: ").escape_debug().to_string().replace("\\'", "'");
        let hint = "`git fsck` tells what of the repository is missing or damaged".to_owned();
        Err(EngineError::user(format!("git cannot read the history: {why}"), Some(hint)))
    }
}

fn reading(git: &GitSettings, folder: &Path) -> Result<Command, EngineError> {
    git.reading(folder).ok_or_else(|| {
        let hint = "install git; nothing else can read a history here".to_owned();
        EngineError::environment("there is no `git`, which histories are read with", Some(hint))
    })
}

fn failed(error: &std::io::Error) -> EngineError {
    EngineError::environment(format!("cannot work with git: {}", crate::ground::fs::error::describe(error)), None)
}

/// `<mark>HASH TIME PARENTS<mark>SUBJECT`, then pairs of `:OLD NEW OLD NEW LETTER` and a path, all of them ended by NUL.
fn parse_log(output: &[u8]) -> Vec<Commit> {
    let mut commits: Vec<Commit> = Vec::new();
    let mut pending: Option<Option<Object>> = None;
    for token in output.split(|b| *b == 0) {
        let text = String::from_utf8_lossy(token);
        if let (Some(object), Some(commit)) = (pending.take(), commits.last_mut()) {
            commit.changes.push((text.into_owned(), object));
            continue;
        }
        let text = text.trim_start_matches('\n');
        if let Some(head) = text.strip_prefix(MARK) {
            let (head, subject) = head.split_once(BEHIND_PARENTS).unwrap_or((head, ""));
            let mut words = head.split(' ').filter(|word| !word.is_empty());
            let id = words.next().unwrap_or_default().to_owned();
            let time = words.next().and_then(|time| time.parse().ok()).unwrap_or(0);
            let is_root = words.next().is_none();
            commits.push(Commit { id, time, subject: subject.to_owned(), is_root, changes: Vec::new() });
        } else if let Some(raw) = text.strip_prefix(':') {
            let fields: Vec<&str> = raw.split(' ').collect();
            let [_, mode, _, id, _] = fields.as_slice() else { continue };
            let mode = u32::from_str_radix(mode, 8).unwrap_or(0);
            pending = Some((mode != 0).then(|| Object { mode, id: (*id).to_owned() }));
        }
    }
    commits
}

/// `MODE TYPE HASH<tab>PATH`.
fn parse_tree_record(record: &str) -> Option<(String, Object)> {
    let (head, path) = record.split_once('\t')?;
    let mut fields = head.split(' ');
    let mode = u32::from_str_radix(fields.next()?, 8).ok()?;
    Some((path.to_owned(), Object { mode, id: fields.nth(1)?.to_owned() }))
}

/// A process that gives objects.
pub struct Blobs {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Blobs {
    /// The bytes of an object; none when it is missing or larger than `limit`.
    pub fn read(&mut self, id: &str, limit: u64) -> Result<Option<Vec<u8>>, EngineError> {
        self.ask(id, limit).map_err(|e| failed(&e))
    }

    fn ask(&mut self, id: &str, limit: u64) -> std::io::Result<Option<Vec<u8>>> {
        let Some(input) = &mut self.input else { return Ok(None) };
        input.write_all(format!("{id}\n").as_bytes())?;
        input.flush()?;
        let mut head = String::new();
        if self.output.read_line(&mut head)? == 0 {
            return Err(std::io::Error::other("it ended before it answered"));
        }
        let fields: Vec<&str> = head.trim_end().split(' ').collect();
        let [_, _, size] = fields.as_slice() else { return Ok(None) };
        let Ok(size) = size.parse::<u64>() else { return Ok(None) };
        let mut body = Vec::new();
        let keep = size <= limit;
        let mut rest = (&mut self.output).take(size + 1);
        if keep {
            rest.read_to_end(&mut body)?;
            // The line break behind it.
            body.pop();
        } else {
            std::io::copy(&mut rest, &mut std::io::sink())?;
        }
        Ok(keep.then_some(body))
    }
}

impl Drop for Blobs {
    /// At the end of its input it ends by itself.
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_with_and_without_changes_are_read_whatever_their_paths_are() {
        let log = b"\x01aa 12 bb dd\x02Merge 'x'\0\n:100644 000000 1111 0000 D\0a b\0:000000 120000 0000 2222 A\0:odd\0\
                    \x01bb 11 cc\x02empty\0\x01cc 10 \x02\0\n:000000 100755 0000 3333 A\0\x01path\0";
        let commits = parse_log(log);
        assert_eq!(
            commits.iter().map(|c| (c.id.as_str(), c.time, c.changes.len())).collect::<Vec<_>>(),
            [("aa", 12, 2), ("bb", 11, 0), ("cc", 10, 1)]
        );
        assert_eq!((commits[0].subject.as_str(), commits[0].is_root, commits[2].is_root), ("Merge 'x'", false, true));
        assert_eq!(commits[0].changes[0], ("a b".to_owned(), None));
        assert_eq!(commits[0].changes[1], (":odd".to_owned(), Some(Object { mode: 0o120000, id: "2222".into() })));
        assert_eq!(commits[2].changes[0].0, "\u{1}path");
        let record = parse_tree_record("100644 blob abcd\tsome\tpath");
        assert_eq!(record, Some(("some\tpath".to_owned(), Object { mode: 0o100644, id: "abcd".into() })));
    }
}
