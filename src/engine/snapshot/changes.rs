//! What an upper directory changes of the chain below it, as people see it: a directory that overlayfs only copied up because
//! something in it changed is no change.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{FileType, Stat};

use super::View;
use super::failure::During;
use super::metadata;
use crate::engine::protocol::{Change, ChangeKind, Changes, Failure};
use crate::ground::fs::root::names;
use crate::ground::fs::{RealPath, RootDir};

/// Compares `upper`, in overlayfs' form, with what `below` shows.
pub fn list(below: &View, upper: &Path) -> Result<Changes, Failure> {
    let upper = RootDir::from_fd(File::open(upper).during("open", upper)?.into());
    let mut walk = Walk { below, changes: Changes::default() };
    let mut todo = vec![(RealPath::default(), true)];
    while let Some((path, merged)) = todo.pop() {
        let dir = upper.open_dir(&path).during("open", path.absolute())?;
        let mut here = names(dir.as_fd()).during("list", path.absolute())?;
        here.sort();
        if !merged {
            walk.hidden(&path, &here)?;
        }
        for name in &here {
            if let Some(shows) = walk.entry(dir.as_fd(), &path.join(name))? {
                todo.push((path.join(name), merged && shows));
            }
        }
    }
    walk.changes.listed.sort_by(|a, b| a.path.cmp(&b.path));
    walk.changes.listed.truncate(Changes::LISTED);
    Ok(walk.changes)
}

struct Walk<'a> {
    below: &'a RootDir,
    changes: Changes,
}

impl Walk<'_> {
    /// Compares one name. Of a directory, says whether what is below it shows through.
    fn entry(&mut self, dir: BorrowedFd<'_>, path: &RealPath) -> Result<Option<bool>, Failure> {
        let name = path.name().unwrap_or(b".");
        let Some(now) = metadata::lstat(dir, name).during("look at", path.absolute())? else { return Ok(None) };
        let then = self.stat_below(path);
        let kind = FileType::from_raw_mode(now.st_mode);
        if kind == FileType::CharacterDevice && now.st_rdev == 0 {
            if let Some(then) = then {
                self.deleted(path, &then)?;
            }
            return Ok(None);
        }
        let is_directory = kind == FileType::Directory;
        let opaque = is_directory && metadata::is_opaque(&metadata::proc_path(dir, name));
        let size = |stat: &Stat| {
            (FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
                .then(|| u64::try_from(stat.st_size).unwrap_or(0))
        };
        match &then {
            None => self.add(path, ChangeKind::Added, is_directory, None, size(&now)),
            Some(then) if differs(then, &now) => {
                self.add(path, ChangeKind::Changed, is_directory, size(then), size(&now));
            }
            Some(_) => {}
        }
        let was_directory = then.is_some_and(|then| FileType::from_raw_mode(then.st_mode) == FileType::Directory);
        Ok(is_directory.then_some(!(opaque && was_directory)))
    }

    /// A directory took the place of another: names that only the old one had are gone.
    fn hidden(&mut self, path: &RealPath, here: &[Vec<u8>]) -> Result<(), Failure> {
        let Ok(dir) = self.below.open_dir(path) else { return Ok(()) };
        for name in names(dir.as_fd()).during("list", path.absolute())? {
            let gone = path.join(&name);
            if let (false, Some(then)) = (here.contains(&name), self.stat_below(&gone)) {
                self.deleted(&gone, &then)?;
            }
        }
        Ok(())
    }

    fn deleted(&mut self, path: &RealPath, then: &Stat) -> Result<(), Failure> {
        let is_directory = FileType::from_raw_mode(then.st_mode) == FileType::Directory;
        let bytes = if is_directory { self.bytes_below(path)? } else { u64::try_from(then.st_size).unwrap_or(0) };
        self.add(path, ChangeKind::Deleted, is_directory, Some(bytes), None);
        Ok(())
    }

    /// Bytes of all files in a directory of the chain.
    fn bytes_below(&self, path: &RealPath) -> Result<u64, Failure> {
        let mut bytes = 0;
        let mut todo = vec![path.clone()];
        while let Some(path) = todo.pop() {
            let dir = self.below.open_dir(&path).during("open", path.absolute())?;
            for name in names(dir.as_fd()).during("list", path.absolute())? {
                let Ok(Some(stat)) = metadata::lstat(dir.as_fd(), &name) else { continue };
                match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Directory => todo.push(path.join(&name)),
                    FileType::RegularFile => bytes += u64::try_from(stat.st_size).unwrap_or(0),
                    _ => {}
                }
            }
        }
        Ok(bytes)
    }

    /// The parents of an upper's name may be missing below, or be something else there.
    fn stat_below(&self, path: &RealPath) -> Option<Stat> {
        let dir = self.below.open_dir(&path.parent()).ok()?;
        metadata::lstat(dir.as_fd(), path.name()?).ok()?
    }

    fn add(&mut self, path: &RealPath, kind: ChangeKind, directory: bool, before: Option<u64>, after: Option<u64>) {
        let count = match kind {
            ChangeKind::Added => &mut self.changes.added,
            ChangeKind::Changed => &mut self.changes.changed,
            ChangeKind::Deleted => &mut self.changes.deleted,
        };
        *count += 1;
        // Sorted and cut at the end; a bound here keeps the memory small.
        if self.changes.listed.len() < 4 * Changes::LISTED {
            let path = String::from_utf8_lossy(&[b"/", path.bytes().as_slice()].concat()).into_owned();
            self.changes.listed.push(Change { path, kind, directory, before, after });
        }
    }
}

/// Whether a name is another than before. A directory's size and time say only that something in it changed.
fn differs(then: &Stat, now: &Stat) -> bool {
    let same = (then.st_mode, then.st_uid, then.st_gid) == (now.st_mode, now.st_uid, now.st_gid);
    if FileType::from_raw_mode(now.st_mode) == FileType::Directory && same {
        return false;
    }
    let content = |stat: &Stat| (stat.st_size, stat.st_rdev, stat.st_mtime, stat.st_mtime_nsec);
    !same || content(then) != content(now)
}
