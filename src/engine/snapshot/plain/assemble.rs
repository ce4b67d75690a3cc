//! Puts a chain of layer directories together as one tree.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};

use super::super::failure::During;
use super::super::metadata;
use crate::engine::protocol::Failure;
use crate::ground::fs::root::{names, remove_all};
use crate::ground::fs::{RealPath, RootDir};

/// What the files of the tree are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// Copies, to be written to.
    Copied,
    /// The layers' own files under further names: only for reading.
    Linked,
}

/// Modification times of directories, which are set when nothing is written into them any more.
type Times = BTreeMap<RealPath, (i64, u32)>;

/// Fills the empty directory `tree` with what `layers` (lowest first) show.
pub fn assemble(layers: &[PathBuf], tree: &Path, files: Files) -> Result<(), Failure> {
    let target = RootDir::open(tree)?;
    let mut times = Times::new();
    for layer in layers {
        apply(&RootDir::open(layer)?, &target, files, &mut times)?;
    }
    for (path, time) in times.iter().rev() {
        // A later layer may have put something else in its place.
        if let Ok(dir) = target.open_dir(path) {
            metadata::set_times(dir.as_fd(), b".", *time).during("set the time of", path.absolute())?;
        }
    }
    Ok(())
}

fn apply(layer: &RootDir, target: &RootDir, files: Files, times: &mut Times) -> Result<(), Failure> {
    let mut todo = vec![RealPath::default()];
    while let Some(path) = todo.pop() {
        let from = layer.open_dir(&path).during("open", path.absolute())?;
        let to = target.open_dir(&path).during("open", path.absolute())?;
        if path.name().is_some() && metadata::is_opaque(&metadata::proc_path(from.as_fd(), b".")) {
            for name in names(to.as_fd()).during("list", path.absolute())? {
                remove_all(to.as_fd(), &name).during("remove", path.join(&name).absolute())?;
            }
        }
        dress(from.as_fd(), to.as_fd(), b".").during("set the attributes of", path.absolute())?;
        let stat = rustix::fs::fstat(&from).during("look at", path.absolute())?;
        times.insert(path.clone(), modified(&stat));
        for name in names(from.as_fd()).during("list", path.absolute())? {
            let below = path.join(&name);
            if entry(from.as_fd(), to.as_fd(), &name, files).during("create", below.absolute())? {
                todo.push(below);
            }
        }
    }
    Ok(())
}

/// One name of a layer; whether it is a directory, which is there then.
fn entry(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &[u8], files: Files) -> io::Result<bool> {
    let Some(stat) = metadata::lstat(from, name)? else { return Ok(false) };
    let kind = FileType::from_raw_mode(stat.st_mode);
    let os = OsStr::from_bytes(name);
    if kind == FileType::Directory {
        let there = metadata::lstat(to, name)?;
        if there.as_ref().is_none_or(|there| FileType::from_raw_mode(there.st_mode) != FileType::Directory) {
            remove_all(to, name)?;
            rustix::fs::mkdirat(to, os, Mode::from_raw_mode(0o700))?;
        }
        return Ok(true);
    }
    remove_all(to, name)?;
    if kind == FileType::CharacterDevice && stat.st_rdev == 0 {
        return Ok(false);
    }
    if files == Files::Linked && rustix::fs::linkat(from, os, to, os, AtFlags::empty()).is_ok() {
        return Ok(false);
    }
    // A file has only so many names.
    copy(from, to, name, kind, &stat)?;
    Ok(false)
}

fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &[u8], kind: FileType, stat: &Stat) -> io::Result<()> {
    let os = OsStr::from_bytes(name);
    match kind {
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut source = File::from(rustix::fs::openat(from, os, flags, Mode::empty())?);
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut target = File::from(rustix::fs::openat(to, os, flags, Mode::from_raw_mode(0o600))?);
            io::copy(&mut source, &mut target)?;
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(from, os, Vec::new())?;
            rustix::fs::symlinkat(target, to, os)?;
        }
        kind => rustix::fs::mknodat(to, os, kind, Mode::from_raw_mode(0o600), stat.st_rdev)?,
    }
    dress(from, to, name)?;
    metadata::set_times(to, name, modified(stat))
}

/// Owner, mode and attributes of `name` in `from`, for the same name in `to`.
pub(super) fn dress(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let Some(stat) = metadata::lstat(from, name)? else { return Ok(()) };
    metadata::chown(to, name, stat.st_uid, stat.st_gid)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        metadata::chmod(to, name, stat.st_mode)?;
    }
    metadata::set_xattrs(&metadata::proc_path(to, name), &metadata::xattrs(&metadata::proc_path(from, name))?)
}

fn modified(stat: &Stat) -> (i64, u32) {
    (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0))
}
