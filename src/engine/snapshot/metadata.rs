//! Reads and writes owner, mode, times and extended attributes of a name in an open directory, never through a link.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::engine::context::entry::xattr_counts;
use crate::engine::protocol::{Entry, EntryKind};
use crate::ground::digest::Digest;

/// Extended attributes: names and values.
pub type Xattrs = Vec<(String, Vec<u8>)>;

/// Whether an attribute belongs to overlayfs and must never enter or leave a layer.
pub fn is_overlay(name: &str) -> bool {
    name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.")
}

/// Whether the layer directory `path` hides what is below.
pub fn is_opaque(path: &Path) -> bool {
    let mut value = [0; 8];
    matches!(rustix::fs::lgetxattr(path, super::form::opaque(), &mut value[..]), Ok(1) if value[0] == b'y')
}

/// A path to `name` in `dir` for calls that take no directory descriptor; the last component is not followed by `l` calls.
pub fn proc_path(dir: BorrowedFd<'_>, name: &[u8]) -> PathBuf {
    Path::new(&format!("/proc/self/fd/{}", dir.as_raw_fd())).join(OsStr::from_bytes(name))
}

/// All extended attributes of `path` (not followed) but those of overlayfs.
pub fn xattrs(path: &Path) -> io::Result<Xattrs> {
    let mut list = vec![0; 1024];
    let length = loop {
        match rustix::fs::llistxattr(path, &mut list[..]) {
            Ok(length) => break length,
            Err(Errno::RANGE) if list.len() < 1 << 20 => list.resize(list.len() * 8, 0),
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
    };
    let mut out = Vec::new();
    for name in list[..length].split(|b| *b == 0).filter(|n| !n.is_empty()) {
        let Ok(name) = std::str::from_utf8(name) else { continue };
        if is_overlay(name) {
            continue;
        }
        let mut value = vec![0; 65536];
        match rustix::fs::lgetxattr(path, name, &mut value[..]) {
            Ok(length) => value.truncate(length),
            Err(Errno::NODATA) => continue,
            Err(error) => return Err(error.into()),
        }
        out.push((name.to_owned(), value));
    }
    out.sort();
    Ok(out)
}

/// Sets extended attributes of `path` (not followed). Unsupported ones of the `user.` kind on links are left out.
pub fn set_xattrs(path: &Path, xattrs: &[(String, Vec<u8>)]) -> io::Result<()> {
    for (name, value) in xattrs.iter().filter(|(name, _)| !is_overlay(name)) {
        rustix::fs::lsetxattr(path, name.as_str(), value, XattrFlags::empty())?;
    }
    Ok(())
}

/// `lstat` in a directory; `None` when there is nothing.
pub fn lstat(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<Option<Stat>> {
    match rustix::fs::statat(dir, OsStr::from_bytes(name), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What kind of entry a stat tells of; sockets are none.
pub fn kind(stat: &Stat) -> Option<EntryKind> {
    Some(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink => EntryKind::Symlink,
        FileType::CharacterDevice => EntryKind::CharDevice,
        FileType::BlockDevice => EntryKind::BlockDevice,
        FileType::Fifo => EntryKind::Fifo,
        _ => return None,
    })
}

/// Builds the entry of `name` in `dir` without its digest, with all extended attributes that count; `None` for a socket.
pub fn entry(dir: BorrowedFd<'_>, name: &[u8], path: String) -> io::Result<Option<Entry>> {
    let stat = match name {
        b"" => rustix::fs::fstat(dir)?,
        _ => rustix::fs::statat(dir, OsStr::from_bytes(name), AtFlags::SYMLINK_NOFOLLOW)?,
    };
    let Some(kind) = kind(&stat) else { return Ok(None) };
    let link = match kind {
        EntryKind::Symlink => {
            let target = rustix::fs::readlinkat(dir, OsStr::from_bytes(name), Vec::new())?;
            Some(String::from_utf8_lossy(target.to_bytes()).into_owned())
        }
        _ => None,
    };
    let is_device = matches!(kind, EntryKind::CharDevice | EntryKind::BlockDevice);
    let mut xattrs = xattrs(&proc_path(dir, if name.is_empty() { b"." } else { name }))?;
    xattrs.retain(|(name, _)| xattr_counts(name));
    Ok(Some(Entry {
        path,
        kind,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: if kind == EntryKind::File { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 },
        link,
        xattrs,
        device: is_device.then(|| (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev))),
        modified: (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0)),
        digest: Digest::of(b""),
    }))
}

/// Changes the owner of `name` itself. Ids of 2^32-1 mean "unchanged" to the kernel and are refused before they come here.
pub fn chown(dir: BorrowedFd<'_>, name: &[u8], uid: u32, gid: u32) -> io::Result<()> {
    if uid == u32::MAX || gid == u32::MAX {
        return Err(Errno::INVAL.into());
    }
    let raw = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    rustix::fs::chownat(dir, OsStr::from_bytes(name), raw.0, raw.1, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| refused_owner(error, uid, gid))
}

/// The same for an open file.
pub fn chown_file(file: BorrowedFd<'_>, uid: u32, gid: u32) -> io::Result<()> {
    rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
        .map_err(|error| refused_owner(error, uid, gid))
}

fn refused_owner(error: Errno, uid: u32, gid: u32) -> io::Error {
    let unknown = (error == Errno::INVAL).then(|| super::ids::unmapped(uid, gid)).flatten();
    unknown.unwrap_or_else(|| error.into())
}

/// Changes the mode of `name`, which the caller has made or seen not to be a link. A descriptor of exactly this entry is
/// changed, so that a link in its place is an error and not followed.
pub fn chmod(dir: BorrowedFd<'_>, name: &[u8], mode: u32) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, OsStr::from_bytes(name), flags, Mode::empty())?;
    if FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) == FileType::Symlink {
        return Err(Errno::LOOP.into());
    }
    let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    Ok(rustix::fs::chmodat(rustix::fs::CWD, path, Mode::from_raw_mode(mode & 0o7777), AtFlags::empty())?)
}

/// Sets the modification time (and the access time alike) of `name` itself.
pub fn set_times(dir: BorrowedFd<'_>, name: &[u8], modified: (i64, u32)) -> io::Result<()> {
    let time = Timespec { tv_sec: modified.0, tv_nsec: modified.1.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::utimensat(dir, OsStr::from_bytes(name), &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// The identity of a file's inode and device numbers of a stat.
pub fn inode(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}
