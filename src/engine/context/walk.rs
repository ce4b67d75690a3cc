//! Reads the part of a directory that the selectors name, in parallel, and hashes its files.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Condvar, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};

use super::entry::{Entry, EntryKind, Selector, header_digest};
use super::hashing::hash;
use super::pattern;
use super::stat_index::StatIndex;
use super::tree::{RootHeader, Tree};
use crate::ground::cancel::CancelToken;
use crate::ground::digest::Digest;
use crate::ground::fs::{PathError, PathResultExt};

/// What of a context exists for a build: decided by `.dockerignore`.
pub trait Filter: Sync {
    /// Whether this path is left out.
    fn excludes(&self, path: &str, is_directory: bool) -> bool;
    /// Whether everything below an excluded directory is left out too, so that it need not be read.
    fn prunes(&self, directory: &str) -> bool;
}

/// Nothing is left out.
pub struct Everything;

impl Filter for Everything {
    fn excludes(&self, _: &str, _: bool) -> bool {
        false
    }
    fn prunes(&self, _: &str) -> bool {
        false
    }
}

/// A context that was read.
#[derive(Debug)]
pub struct Scanned {
    /// What the selectors name, with the directories above.
    pub tree: Tree,
    /// For the next scan.
    pub index: StatIndex,
    /// Files that had to be read.
    pub hashed: u64,
}

/// An entry whose file is still to be hashed, with what `stat` said.
pub(super) struct Found {
    pub(super) entry: Entry,
    pub(super) stat: Stat,
    /// An excluded directory that was entered for an exception below it: stays only if one was found.
    excluded: bool,
}

struct Scan<'a> {
    root: &'a Path,
    wanted: Vec<Vec<&'a str>>,
    filter: &'a dyn Filter,
    queue: Mutex<Queue>,
    more: Condvar,
}

#[derive(Default)]
struct Queue {
    directories: Vec<String>,
    busy: usize,
    error: Option<PathError>,
}

/// Reads what `selectors` name below `root`; everything else is not looked at. Links that a selector follows lead to further
/// selectors. Owners count as 0:0, as BuildKit's client resets them. Names that are not UTF-8 are an error: they cannot be
/// named in a Dockerfile, and BuildKit's protocol refuses them too.
pub fn scan(
    root: &Path,
    selectors: &[Selector],
    filter: &dyn Filter,
    index: &StatIndex,
    cancel: &CancelToken,
) -> Result<Scanned, PathError> {
    let began = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i64);
    let mut wanted: BTreeSet<String> = selectors.iter().map(|s| s.reach().path).collect();
    let mut found;
    let mut hops = 0;
    loop {
        found = walk(root, &wanted, filter)?;
        let extra: Vec<String> = link_targets(&found, &wanted);
        hops += 1;
        if extra.is_empty() || hops > 40 {
            break;
        }
        wanted.extend(extra);
    }
    let (index, hashed) = hash(root, &mut found, index, began, cancel)?;
    let entries = found.into_iter().map(|f| f.entry).collect();
    Ok(Scanned { tree: Tree::new(entries, RootHeader::Constant), index, hashed })
}

/// Path, kind and modification time.
pub type Listed = (String, EntryKind, (i64, u32));

/// The files, links and directories that the filter leaves, without reading any file: path and modification time.
pub fn list(root: &Path, filter: &dyn Filter) -> Result<Vec<Listed>, PathError> {
    let found = walk(root, &BTreeSet::from([String::new()]), filter)?;
    let mut out: Vec<_> = found.into_iter().map(|f| (f.entry.path, f.entry.kind, f.entry.modified)).collect();
    out.sort();
    Ok(out)
}

/// Targets of links that lie on or above a wanted path, and are not wanted yet.
fn link_targets(found: &[Found], wanted: &BTreeSet<String>) -> Vec<String> {
    let mut out = Vec::new();
    for Found { entry, .. } in found {
        let Some(target) = entry.link.as_ref().filter(|_| entry.kind == EntryKind::Symlink) else { continue };
        for path in wanted {
            let parts: Vec<&str> = entry.path.split('/').collect();
            let pattern: Vec<&str> = path.split('/').collect();
            if parts.len() > pattern.len() || !covers(&pattern[..parts.len()], &parts) {
                continue;
            }
            let base = entry.path.rfind('/').map_or("", |at| &entry.path[..at]);
            let rest = pattern[parts.len()..].join("/");
            let joined =
                if target.starts_with('/') { format!("{target}/{rest}") } else { format!("{base}/{target}/{rest}") };
            let resolved = normal(&joined);
            if !wanted.contains(&resolved) {
                out.push(resolved);
            }
        }
    }
    out
}

/// Removes `.`, `..` and empty components; `..` stops at the root.
fn normal(path: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                out.pop();
            }
            name => out.push(name),
        }
    }
    out.join("/")
}

fn covers(pattern: &[&str], names: &[&str]) -> bool {
    pattern.iter().zip(names).all(|(p, n)| p == n || (pattern::is_pattern(p) && pattern::matches(p, n)))
}

fn walk(root: &Path, wanted: &BTreeSet<String>, filter: &dyn Filter) -> Result<Vec<Found>, PathError> {
    let wanted = wanted.iter().map(|path| path.split('/').filter(|c| !c.is_empty()).collect()).collect();
    let queue = Queue { directories: vec![String::new()], ..Queue::default() };
    let scan = Scan { root, wanted, filter, queue: Mutex::new(queue), more: Condvar::new() };
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    let mut out = Vec::new();
    let top = rustix::fs::stat(root).at("read the context", root)?;
    out.push(Found { entry: entry_of(String::new(), EntryKind::Directory, &top, None), stat: top, excluded: false });
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| scan.work())).collect();
        for worker in workers {
            out.extend(worker.join().unwrap_or_default());
        }
    });
    match scan.queue.into_inner().map(|queue| queue.error) {
        Ok(Some(error)) => Err(error),
        _ => Ok(without_empty_exclusions(out)),
    }
}

fn without_empty_exclusions(mut found: Vec<Found>) -> Vec<Found> {
    if !found.iter().any(|item| item.excluded) {
        return found;
    }
    let mut needed = BTreeSet::new();
    for item in found.iter().filter(|item| !item.excluded) {
        let mut path = item.entry.path.as_str();
        while let Some(at) = path.rfind('/') {
            path = &path[..at];
            needed.insert(path.to_owned());
        }
    }
    found.retain(|item| !item.excluded || needed.contains(&item.entry.path));
    found
}

impl Scan<'_> {
    /// Takes directories from the queue until all are read.
    fn work(&self) -> Vec<Found> {
        let mut out = Vec::new();
        while let Some(directory) = self.take() {
            let mut below = Vec::new();
            let result = self.read(&directory, &mut out, &mut below);
            let Ok(mut queue) = self.queue.lock() else { return out };
            queue.busy -= 1;
            queue.directories.append(&mut below);
            if let Err(error) = result {
                queue.error.get_or_insert(error);
                queue.directories.clear();
            }
            self.more.notify_all();
        }
        out
    }

    fn take(&self) -> Option<String> {
        let mut queue = self.queue.lock().ok()?;
        loop {
            if let Some(directory) = queue.directories.pop() {
                queue.busy += 1;
                return Some(directory);
            }
            if queue.busy == 0 {
                return None;
            }
            queue = self.more.wait(queue).ok()?;
        }
    }

    /// Whether a path lies on the way to, at, or below something wanted.
    fn concerns(&self, path: &str) -> bool {
        let names: Vec<&str> = path.split('/').collect();
        self.wanted.iter().any(|pattern| {
            let len = pattern.len().min(names.len());
            covers(&pattern[..len], &names[..len])
        })
    }

    fn read(&self, directory: &str, out: &mut Vec<Found>, below: &mut Vec<String>) -> Result<(), PathError> {
        let full = self.root.join(directory);
        let handle = match open_directory(&full) {
            // Vanished between listing and opening: as if it had never been there.
            Err(error) if error.raw_os_error() == Some(2) && !directory.is_empty() => return Ok(()),
            other => other.at("read", &full)?,
        };
        let mut names = Vec::new();
        for item in Dir::read_from(&handle).at("read", &full)? {
            let item = item.at("read", &full)?;
            let bytes = item.file_name().to_bytes();
            if bytes == b"." || bytes == b".." {
                continue;
            }
            let Ok(name) = std::str::from_utf8(bytes) else {
                let shown = full.join(String::from_utf8_lossy(bytes).as_ref());
                let cause = std::io::Error::new(
                    std::io::ErrorKind::InvalidData,
                    format!("its name `{}` is not UTF-8; rename it or exclude it in .dockerignore", bytes.escape_ascii()),
                );
                let path = if directory.is_empty() {
                    String::from_utf8_lossy(bytes).into_owned()
                } else {
                    format!("{directory}/{}", String::from_utf8_lossy(bytes))
                };
                if self.filter.excludes(&path, item.file_type() == FileType::Directory) {
                    continue;
                }
                return Err(cause).at("read", shown);
            };
            names.push(name.to_owned());
        }
        for name in names {
            self.visit(&handle, directory, &name, out, below)?;
        }
        Ok(())
    }

    fn visit(
        &self,
        handle: &OwnedFd,
        directory: &str,
        name: &str,
        out: &mut Vec<Found>,
        below: &mut Vec<String>,
    ) -> Result<(), PathError> {
        let path = if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
        if !self.concerns(&path) {
            return Ok(());
        }
        let stat = match rustix::fs::statat(handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) => return Ok(()),
            other => other.at("read", self.root.join(&path))?,
        };
        let Some(kind) = kind_of(&stat) else { return Ok(()) };
        let excluded = self.filter.excludes(&path, kind == EntryKind::Directory);
        if excluded && (kind != EntryKind::Directory || self.filter.prunes(&path)) {
            return Ok(());
        }
        if kind == EntryKind::Directory {
            below.push(path.clone());
        }
        let link = match kind {
            EntryKind::Symlink => {
                let target = rustix::fs::readlinkat(handle, name, Vec::new()).at("read", self.root.join(&path))?;
                Some(target.to_string_lossy().into_owned())
            }
            _ => None,
        };
        out.push(Found { entry: entry_of(path, kind, &stat, link), stat, excluded });
        Ok(())
    }
}

fn open_directory(path: &Path) -> std::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match rustix::fs::open(path, flags, Mode::empty()) {
        // Only the root may be a link.
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR) => {
            Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
        }
        other => Ok(other?),
    }
}

/// Sockets have no kind: they are left out, as every builder does.
fn kind_of(stat: &Stat) -> Option<EntryKind> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Some(EntryKind::File),
        FileType::Directory => Some(EntryKind::Directory),
        FileType::Symlink => Some(EntryKind::Symlink),
        FileType::CharacterDevice => Some(EntryKind::CharDevice),
        FileType::BlockDevice => Some(EntryKind::BlockDevice),
        FileType::Fifo => Some(EntryKind::Fifo),
        _ => None,
    }
}

fn entry_of(path: String, kind: EntryKind, stat: &Stat, link: Option<String>) -> Entry {
    let device = matches!(kind, EntryKind::CharDevice | EntryKind::BlockDevice)
        .then(|| (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)));
    let mut entry = Entry {
        path,
        kind,
        mode: if kind == EntryKind::Symlink { 0o777 } else { stat.st_mode & 0o7777 },
        uid: 0,
        gid: 0,
        size: if kind == EntryKind::File { stat.st_size as u64 } else { 0 },
        link,
        xattrs: Vec::new(),
        device,
        modified: (stat.st_mtime, stat.st_mtime_nsec as u32),
        digest: Digest::from_bytes([0; 32]),
    };
    if kind != EntryKind::File {
        entry.digest = header_digest(&entry);
    }
    entry
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn selector(path: &str) -> Selector {
        Selector::new(path)
    }

    #[test]
    fn reads_only_what_is_selected_and_follows_links_inside() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::create_dir(dir.path().join("other")).unwrap();
        std::fs::write(dir.path().join("a/b/f"), "x").unwrap();
        std::fs::write(dir.path().join("other/g"), "y").unwrap();
        std::os::unix::fs::symlink("../a", dir.path().join("other/l")).unwrap();
        let paths = |selectors: &[Selector]| -> Vec<String> {
            let scanned = scan(dir.path(), selectors, &Everything, &StatIndex::default(), &CancelToken::default()).unwrap();
            scanned.tree.entries().iter().map(|e| e.path.clone()).collect()
        };
        assert_eq!(paths(&[selector("a")]), ["", "a", "a/b", "a/b/f"]);
        assert_eq!(paths(&[selector("other/l")]), ["", "a", "a/b", "a/b/f", "other", "other/l"]);
        assert_eq!(paths(&[selector("o*/g")]), ["", "other", "other/g"]);
        let scanned =
            scan(dir.path(), &[selector("other/l")], &Everything, &StatIndex::default(), &CancelToken::default()).unwrap();
        assert_eq!(scanned.tree.matches(&selector("other/l")), ["a"]);
    }

    #[test]
    fn a_changed_byte_changes_the_digest_and_a_touch_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        std::fs::write(&file, "x").unwrap();
        let key = || {
            let scanned =
                scan(dir.path(), &[selector("")], &Everything, &StatIndex::default(), &CancelToken::default()).unwrap();
            super::super::content_key(&scanned.tree, &[selector("")]).unwrap()
        };
        let first = key();
        File::options().write(true).open(&file).unwrap().set_modified(UNIX_EPOCH).unwrap();
        assert_eq!(key(), first);
        std::fs::write(&file, "y").unwrap();
        assert_ne!(key(), first);
    }

    #[test]
    fn a_scan_that_is_cancelled_finishes_no_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("large"), vec![0; 1 << 20]).unwrap();
        let cancel = CancelToken::default();
        let scanned = |cancel| scan(dir.path(), &[selector("")], &Everything, &StatIndex::default(), cancel);
        assert_eq!(scanned(&cancel).unwrap().hashed, 1);
        cancel.cancel();
        assert!(scanned(&cancel).is_err_and(|error| error.to_string().contains("large")));
    }

    #[test]
    fn an_extended_attribute_counts_and_is_found_again_through_the_index() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        std::fs::write(&file, "x").unwrap();
        let read = |index: &StatIndex| {
            let scanned = scan(dir.path(), &[selector("f")], &Everything, index, &CancelToken::default()).unwrap();
            let entry = scanned.tree.get("f").unwrap().clone();
            (super::super::content_key(&scanned.tree, &[selector("f")]).unwrap(), entry.xattrs, scanned.index)
        };
        let (plain, none, _) = read(&StatIndex::default());
        assert!(none.is_empty());
        if rustix::fs::setxattr(&file, "user.a", b"1", rustix::fs::XattrFlags::empty()).is_err() {
            println!("skipped: this file system has no extended attributes");
            return;
        }
        let (marked, xattrs, _) = read(&StatIndex::default());
        assert_ne!(marked, plain);
        assert_eq!(xattrs, [("user.a".to_owned(), b"1".to_vec())]);
        std::thread::sleep(std::time::Duration::from_millis(50));
        let (_, _, index) = read(&StatIndex::default());
        let (again, xattrs, _) = read(&index);
        assert_eq!((again, xattrs.len()), (marked, 1));
    }
}
