//! Writes the planned files into the upper directory, hashing what is copied, on a few threads.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::super::failure::{During, internal, user};
use super::super::metadata;
use super::Rules;
use super::plan::Plan;
use super::previous::Previous;
use super::source::{Node, Source};
use crate::engine::context::entry::record_digester;
use crate::engine::protocol::{Entry, EntryKind, Failure};
use crate::ground::digest::Digester;
use crate::ground::fs::{RealPath, RootDir};

/// Files a thread takes at least, so that small copies start none.
const PER_THREAD: usize = 256;

/// Writes all files, links and devices.
pub(super) fn files(
    plan: &Plan,
    source: &Source<'_>,
    upper: &RootDir,
    previous: &Previous,
    rules: &Rules,
) -> Result<(), Failure> {
    let (linked, single): (Vec<_>, Vec<_>) = plan.files.iter().partition(|(_, node)| node.inode.is_some());
    let writer = |part: &[&(RealPath, Node)]| {
        let mut writer = Writer { source, upper, previous, rules, dir: None, inodes: HashMap::new(), buffer: Vec::new() };
        part.iter().try_for_each(|(place, node)| writer.write(place, node))
    };
    // The same place written twice must end as the last one, so such a plan is written in order.
    let mut places: Vec<&RealPath> = single.iter().map(|(place, _)| place).collect();
    places.sort_unstable();
    let twice = places.windows(2).any(|pair| pair[0] == pair[1]);
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get().min(8));
    let threads = if twice { 1 } else { cores.min(single.len() / PER_THREAD + 1) };
    let size = single.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let work: Vec<_> = single.chunks(size).map(|part| scope.spawn(move || writer(part))).collect();
        work.into_iter().try_for_each(|handle| handle.join().unwrap_or_else(|_| Err(internal("copying broke off"))))
    })?;
    // Files with several names are linked to the first, which one writer has to know.
    writer(&linked)
}

/// Gives the directories that were copied their attributes, deepest first: writing into one changes its time.
pub(super) fn directories(plan: &Plan, source: &Source<'_>, upper: &RootDir, rules: &Rules) -> Result<(), Failure> {
    for (place, node) in plan.directories.iter().rev() {
        let shown = place.absolute();
        let dir = upper.open_dir(place).during("open", &shown)?;
        let (uid, gid) = rules.owner.unwrap_or(node.owner);
        metadata::chown(dir.as_fd(), b".", uid, gid).during("change the owner of", &shown)?;
        metadata::chmod(dir.as_fd(), b".", rules.mode_of(node)).during("change the mode of", &shown)?;
        let xattrs = source.xattrs(node).during("read the attributes of", &shown)?;
        metadata::set_xattrs(&metadata::proc_path(dir.as_fd(), b"."), &xattrs).during("set the attributes of", &shown)?;
        if let Some(modified) = node.modified {
            metadata::set_times(dir.as_fd(), b".", modified).during("set the time of", &shown)?;
        }
    }
    // Source: fsutil `copy.go`, `restoreFileTimestamp`.
    for (place, modified) in &plan.times {
        let shown = place.absolute();
        let dir = upper.open_dir(place).during("open", &shown)?;
        metadata::set_times(dir.as_fd(), b".", *modified).during("set the time of", &shown)?;
    }
    Ok(())
}

/// Reads a file of the source and hashes it as its entry was hashed.
pub(super) struct Checked<'a> {
    file: File,
    digester: Option<(Digester, &'a Entry)>,
}

impl<'a> Checked<'a> {
    pub(super) fn new(file: File, entry: Option<&'a Entry>) -> Self {
        Self { file, digester: entry.map(|entry| (record_digester(entry), entry)) }
    }

    /// Call after the last byte.
    pub(super) fn verify(self, shown: &str) -> Result<(), Failure> {
        match self.digester {
            Some((digester, entry)) if digester.clone().finish() != entry.digest => Err(changed(shown)),
            _ => Ok(()),
        }
    }
}

impl Read for Checked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        if let Some((digester, _)) = &mut self.digester {
            digester.update(&buffer[..length]);
        }
        Ok(length)
    }
}

fn changed(path: &str) -> Failure {
    let mut failure = user(format!("`{}` changed while it was copied", path.escape_debug()));
    failure.hint = Some("run the build again when the file is no longer written to".into());
    failure
}

struct Writer<'a> {
    source: &'a Source<'a>,
    upper: &'a RootDir,
    previous: &'a Previous,
    rules: &'a Rules,
    /// The directory of the last file, and the same directory of the previous layer.
    dir: Option<(RealPath, OwnedFd, Option<OwnedFd>)>,
    inodes: HashMap<(u64, u64), RealPath>,
    buffer: Vec<u8>,
}

impl Writer<'_> {
    fn write(&mut self, place: &RealPath, node: &Node) -> Result<(), Failure> {
        let parent = place.parent();
        if self.dir.as_ref().is_none_or(|(path, ..)| *path != parent) {
            let dir = self.upper.open_dir(&parent).during("open", parent.absolute())?;
            let old = self.previous.root.as_ref().and_then(|root| root.open_dir(&parent).ok());
            self.dir = Some((parent, dir, old));
        }
        let Some((_, dir, old)) = self.dir.take() else { return Ok(()) };
        let result = self.write_in(dir.as_fd(), old.as_ref().map(AsFd::as_fd), place, node);
        self.dir = Some((place.parent(), dir, old));
        result
    }

    fn write_in(
        &mut self,
        dir: BorrowedFd<'_>,
        old: Option<BorrowedFd<'_>>,
        place: &RealPath,
        node: &Node,
    ) -> Result<(), Failure> {
        let name = place.name().unwrap_or(b".");
        if node.kind != EntryKind::File {
            return self.special(dir, name, place, node);
        }
        if let Some(old) = old
            && self.link_previous(dir, old, name, place, node)
        {
            return Ok(());
        }
        if let Some(first) = node.inode.and_then(|inode| self.inodes.get(&inode)) {
            let link = || {
                let from = self.upper.open_dir(&first.parent())?;
                let from_name = OsStr::from_bytes(first.name().unwrap_or(b"."));
                replace(dir, name, || rustix::fs::linkat(&from, from_name, dir, OsStr::from_bytes(name), AtFlags::empty()))
            };
            return link().during("create", place.absolute());
        }
        self.file(dir, name, place, node)?;
        if let Some(inode) = node.inode {
            self.inodes.insert(inode, place.clone());
        }
        Ok(())
    }

    /// Links the file of the previous layer if content (by record digest), owner, mode, time and size are what is wanted.
    fn link_previous(&self, dir: BorrowedFd<'_>, old: BorrowedFd<'_>, name: &[u8], place: &RealPath, node: &Node) -> bool {
        let Some(digest) = super::source::known_digest(node) else { return false };
        if self.previous.digests.get(&place.bytes()) != Some(&digest) {
            return false;
        }
        let Ok(Some(stat)) = metadata::lstat(old, name) else { return false };
        let (uid, gid) = self.rules.owner.unwrap_or(node.owner);
        let modified = (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(u32::MAX));
        let equal = metadata::kind(&stat) == Some(EntryKind::File)
            && (stat.st_uid, stat.st_gid) == (uid, gid)
            && stat.st_mode & 0o7777 == self.rules.mode_of(node)
            && Some(modified) == node.modified
            && u64::try_from(stat.st_size).ok() == Some(node.size);
        let os = OsStr::from_bytes(name);
        equal && rustix::fs::linkat(old, os, dir, os, AtFlags::empty()).is_ok()
    }

    fn file(&mut self, dir: BorrowedFd<'_>, name: &[u8], place: &RealPath, node: &Node) -> Result<(), Failure> {
        let shown = String::from_utf8_lossy(&node.path).into_owned();
        let absolute = place.absolute();
        let mode = self.rules.mode_of(node) & 0o7777;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let os = OsStr::from_bytes(name);
        let create = || rustix::fs::openat(dir, os, flags, Mode::from_raw_mode(mode));
        let fd = replace(dir, name, create).during("create", &absolute)?;
        let mut out = File::from(fd);
        if let Some(text) = &node.text {
            out.write_all(text.as_bytes()).during("write", &absolute)?;
        } else {
            let gone = |error: io::Error| match error.raw_os_error() {
                Some(2 | 6 | 20 | 40) if node.entry.is_some() => changed(&shown),
                _ => Err::<(), _>(error).during("open", &shown).unwrap_err(),
            };
            let file = self.source.open_file(&node.path).map_err(gone)?;
            let mut content = Checked::new(file, node.entry.as_ref());
            self.buffer.resize(128 * 1024, 0);
            let mut total = 0;
            loop {
                let length = match content.read(&mut self.buffer) {
                    Ok(0) => break,
                    Ok(length) => length,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error).during("read", &shown),
                };
                total += length as u64;
                // A file that grows for ever must not fill the store.
                if node.entry.is_some() && total > node.size {
                    return Err(changed(&shown));
                }
                out.write_all(&self.buffer[..length]).during("write", &absolute)?;
            }
            content.verify(&shown)?;
        }
        self.dress(out.as_fd(), mode, node, &absolute)
    }

    /// Owner first: changing it clears the setuid bits and file capabilities.
    fn dress(&self, file: BorrowedFd<'_>, mode: u32, node: &Node, shown: &std::path::Path) -> Result<(), Failure> {
        let (uid, gid) = self.rules.owner.unwrap_or(node.owner);
        if (uid, gid) != (0, 0) {
            metadata::chown_file(file, uid, gid).during("change the owner of", shown)?;
        }
        if (uid, gid) != (0, 0) || mode & 0o7000 != 0 {
            rustix::fs::fchmod(file, Mode::from_raw_mode(mode)).during("change the mode of", shown)?;
        }
        for (name, value) in self.source.xattrs(node).during("read the attributes of", shown)? {
            rustix::fs::fsetxattr(file, name.as_str(), &value, rustix::fs::XattrFlags::empty())
                .during("set the attributes of", shown)?;
        }
        if let Some((tv_sec, nanoseconds)) = node.modified {
            let time = Timespec { tv_sec, tv_nsec: nanoseconds.into() };
            let times = Timestamps { last_access: time, last_modification: time };
            rustix::fs::futimens(file, &times).during("set the time of", shown)?;
        }
        Ok(())
    }

    fn special(&self, dir: BorrowedFd<'_>, name: &[u8], place: &RealPath, node: &Node) -> Result<(), Failure> {
        let shown = place.absolute();
        let os = OsStr::from_bytes(name);
        let kind = match node.kind {
            EntryKind::CharDevice => FileType::CharacterDevice,
            EntryKind::BlockDevice => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        let mode = self.rules.mode_of(node);
        replace(dir, name, || match node.kind {
            EntryKind::Symlink => rustix::fs::symlinkat(OsStr::from_bytes(&node.link), dir, os),
            _ => rustix::fs::mknodat(dir, os, kind, Mode::from_raw_mode(mode), node.device),
        })
        .during("create", &shown)?;
        let (uid, gid) = self.rules.owner.unwrap_or(node.owner);
        metadata::chown(dir, name, uid, gid).during("change the owner of", &shown)?;
        if node.kind != EntryKind::Symlink {
            metadata::chmod(dir, name, mode).during("change the mode of", &shown)?;
        }
        let xattrs = self.source.xattrs(node).during("read the attributes of", &shown)?;
        metadata::set_xattrs(&metadata::proc_path(dir, name), &xattrs).during("set the attributes of", &shown)?;
        match node.modified {
            Some(modified) => metadata::set_times(dir, name, modified).during("set the time of", &shown),
            None => Ok(()),
        }
    }
}

/// Makes `name`; what a former source of the same copy put there goes first.
fn replace<T>(dir: BorrowedFd<'_>, name: &[u8], make: impl Fn() -> Result<T, Errno>) -> io::Result<T> {
    match make() {
        Err(Errno::EXIST) => {
            rustix::fs::unlinkat(dir, OsStr::from_bytes(name), AtFlags::empty())?;
            Ok(make()?)
        }
        other => Ok(other?),
    }
}
