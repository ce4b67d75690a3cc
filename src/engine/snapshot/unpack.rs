//! Applies a layer blob, as containerd does: whiteouts remove what is below but never what the same layer wrote, links are
//! followed inside the root, and nothing is believed about a name before it has been resolved there.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::archive::Archive;
use super::failure::{During, user};
use super::ids::Ids;
use super::tar_reader::{Kind, Member, TarReader};
use super::{Layers, metadata};
use crate::engine::event::LayerStat;
use crate::engine::oci::LayerId;
use crate::engine::protocol::{Compression, Failure};
use crate::ground::digest::{Digest, Digester};
use crate::ground::fs::root::{names, remove_all};
use crate::ground::fs::{Missing, RealPath, RootDir};

/// A blob and what it must turn out to be.
pub struct Blob<'a> {
    /// Its file.
    pub path: &'a Path,
    /// How it is packed.
    pub compression: Compression,
    /// Of the file.
    pub digest: Digest,
    /// Bytes of the file.
    pub size: u64,
    /// Of the tar in it.
    pub diff_id: Digest,
}

/// Answers `Request::Unpack`.
pub fn unpack(layers: &Layers, id: &LayerId, parents: &[LayerId], blob: &Blob<'_>) -> Result<LayerStat, Failure> {
    if let Some(stat) = layers.stat(id)? {
        return Ok(stat);
    }
    let work = layers.work_dir(parents)?;
    let root = layers.writable(parents, &work)?;
    let mut file = Counted::new(BufReader::with_capacity(1 << 17, File::open(blob.path).during("open", blob.path)?));
    let plain: Box<dyn Read + '_> = match blob.compression {
        Compression::None => Box::new(&mut file),
        Compression::Gzip => Box::new(MultiGzDecoder::new(&mut file)),
        Compression::Zstd => Box::new(zstd_decoder(&mut file).during("read", blob.path)?),
    };
    let mut plain = Counted::new(plain);
    Apply::layer(root).run(Archive { tar: TarReader::new(Box::new(&mut plain)) })?;
    // Everything after the end mark belongs to the digests too.
    io::copy(&mut plain, &mut io::sink()).during("read", blob.path)?;
    let diff_id = plain.digester.clone().finish();
    drop(plain);
    io::copy(&mut file, &mut io::sink()).during("read", blob.path)?;
    let digest = file.digester.finish();
    if file.size != blob.size {
        return Err(user(format!("layer `{}` has {} bytes instead of {}", blob.digest.short(), file.size, blob.size)));
    }
    for (what, is, wanted) in [("digest", digest, blob.digest), ("diff id", diff_id, blob.diff_id)] {
        if is != wanted {
            return Err(user(format!("layer `{}` has the {what} {is} instead of {wanted}", blob.digest.short())));
        }
    }
    layers.commit(&work, id)
}

/// What a small frame may ask for in memory: 128 MiB, as `zstd` itself does without `--memory`.
const ZSTD_WINDOW_LOG: u32 = 27;

fn zstd_decoder<R: Read>(from: R) -> io::Result<zstd::stream::read::Decoder<'static, BufReader<R>>> {
    let mut decoder = zstd::stream::read::Decoder::new(from)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
    Ok(decoder)
}

struct Counted<R> {
    inner: R,
    digester: Digester,
    size: u64,
}

impl<R> Counted<R> {
    fn new(inner: R) -> Self {
        Self { inner, digester: Digester::default(), size: 0 }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.digester.update(&buffer[..length]);
        self.size += length as u64;
        Ok(length)
    }
}

/// Writes members into a root.
pub struct Apply {
    root: RootDir,
    /// Real paths that this layer wrote.
    written: BTreeSet<Vec<u8>>,
    /// Modification times of directories, set at the end: writing into one changes its own.
    times: Vec<(RealPath, (i64, u32))>,
    /// The directory that the last member was in: as written, and in truth.
    last: Option<(Vec<u8>, RealPath, OwnedFd)>,
    whiteouts: bool,
    owner: Option<(u32, u32)>,
    /// What this user may not make or set is left out.
    lenient: bool,
}

impl Apply {
    /// For a layer.
    pub fn layer(root: RootDir) -> Self {
        Self { root, written: BTreeSet::new(), times: Vec::new(), last: None, whiteouts: true, owner: None, lenient: false }
    }

    /// For an archive that ADD unpacks: no whiteouts, maybe another owner, and nothing that points out of the destination.
    pub fn archive(root: RootDir, owner: Option<(u32, u32)>) -> Self {
        Self { whiteouts: false, owner, ..Self::layer(root.closed()) }
    }

    /// For files that a user gets: no whiteouts, and what this user may not make or set is left out.
    pub fn files(root: RootDir, owner: Option<(u32, u32)>) -> Self {
        Self { lenient: true, ..Self::archive(root, owner) }
    }

    /// Applies all members.
    pub fn run(mut self, mut archive: Archive<'_>) -> Result<(), Failure> {
        while let Some(member) = archive.tar.next_member().map_err(unreadable)? {
            let shown = String::from_utf8_lossy(&member.name).into_owned();
            self.member(&member, &mut archive.tar, &shown)?;
        }
        // Later members may have replaced a directory by something else.
        for (path, time) in self.times.iter().rev() {
            if let Ok(dir) = self.root.open_dir(path) {
                metadata::set_times(dir.as_fd(), b".", *time).during("set the time of", path.absolute())?;
            }
        }
        Ok(())
    }

    fn member(&mut self, member: &Member, body: &mut impl Read, shown: &str) -> Result<(), Failure> {
        if member.name.contains(&0) {
            return Err(user(format!("the layer has the name `{}` with a NUL byte", shown.escape_debug())));
        }
        if self.whiteouts && in_metadata(&member.name) {
            return Ok(());
        }
        if !self.whiteouts && leads_out(&member.name) {
            return Err(user(format!("the archive has `{}`, which lies outside of the destination", shown.escape_debug())));
        }
        // `x/..` names a directory that exists; anything but a directory cannot take its place.
        let ends_in_dots = member.name.rsplit(|b| *b == b'/').find(|n| !n.is_empty() && *n != b".") == Some(b"..");
        let Some((parent, name)) = self.parent(&member.name, shown)? else {
            return self.root_entry(member, shown);
        };
        if ends_in_dots && member.kind != Kind::Directory {
            return Err(user(format!("the layer has the name `{}`, which is a directory's", shown.escape_debug())));
        }
        if name.starts_with(b".wh.") {
            return self.whiteout(&parent, &name, shown);
        }
        let Some((_, real, dir)) = self.last.take() else { return Ok(()) };
        let made = self.make(dir.as_fd(), &parent, &name, member, body, shown);
        self.last = made.as_ref().is_ok_and(|keep| *keep).then_some((raw_parent(&member.name), real, dir));
        made.map(|_| ())
    }

    /// A member that names the root: only a directory can, and it gives the root its attributes.
    fn root_entry(&mut self, member: &Member, shown: &str) -> Result<(), Failure> {
        // An archive says nothing about the directory that it is unpacked into.
        if !self.whiteouts {
            return Ok(());
        }
        if member.kind != Kind::Directory {
            return Err(user(format!("the layer wants to replace the root directory by `{}`", shown.escape_debug())));
        }
        if self.whiteouts {
            let (uid, gid) = (member.uid, member.gid);
            metadata::chown(self.root.fd(), b".", uid, gid).during("change the owner of", "/")?;
            metadata::chmod(self.root.fd(), b".", member.mode).during("change the mode of", "/")?;
            self.times.push((RealPath::default(), member.modified));
        }
        Ok(())
    }

    /// The real directory of a member, made where it is missing, and the member's own name. `None` for the root.
    fn parent(&mut self, name: &[u8], shown: &str) -> Result<Option<(RealPath, Vec<u8>)>, Failure> {
        let raw = raw_parent(name);
        let base = name.split(|b| *b == b'/').rfind(|n| !n.is_empty() && *n != b".");
        if let (Some((known, real, _)), Some(base)) = (&self.last, base)
            && *known == raw
            && base != b".."
        {
            return Ok(Some((real.clone(), base.to_vec())));
        }
        if self.whiteouts && base.is_some_and(|base| base.starts_with(b".wh.")) {
            // What is removed in a directory that is not there makes none.
            let Ok(Some((real, base))) = self.root.resolve_parent(name, Missing::Fail) else {
                self.last = None;
                return Ok(base.map(|base| (RealPath::default(), base.to_vec())));
            };
            let dir = self.root.open_dir(&real).during("open", real.absolute())?;
            self.last = Some((raw, real.clone(), dir));
            return Ok(Some((real, base)));
        }
        let mut made = Vec::new();
        let mut dress = |_: BorrowedFd<'_>, path: &RealPath| {
            made.push(path.bytes());
            Ok(())
        };
        let resolve = |root: &RootDir, dress: &mut dyn FnMut(BorrowedFd<'_>, &RealPath) -> io::Result<()>| {
            root.resolve_parent(name, Missing::Make(dress))
        };
        let mut found = resolve(&self.root, &mut dress);
        if matches!(&found, Err(error) if error.raw_os_error() == Some(20)) {
            // A file is in the way of a directory: as in umoci and GNU tar's callers, the later member wins.
            self.clear_way(name).during("create", shown)?;
            found = resolve(&self.root, &mut dress);
        }
        if matches!(&found, Err(error) if error.raw_os_error() == Some(Errno::XDEV.raw_os_error())) {
            let shown = shown.escape_debug();
            return Err(user(format!("the archive has `{shown}`, where a link leads out of the destination")));
        }
        let found = found.during("create", shown)?;
        self.written.extend(made);
        if let Some((real, _)) = &found {
            let dir = self.root.open_dir(real).during("open", real.absolute())?;
            self.last = Some((raw, real.clone(), dir));
        }
        Ok(found)
    }

    /// Removes the first thing on the way of `name` that is neither a directory nor a link.
    fn clear_way(&mut self, name: &[u8]) -> io::Result<()> {
        let parts: Vec<&[u8]> = name.split(|b| *b == b'/').filter(|n| !n.is_empty() && *n != b".").collect();
        for length in 1..parts.len() {
            let real = self.root.resolve(&parts[..length].join(&b'/'), Missing::Keep)?;
            let Some(last) = real.name() else { continue };
            let Ok(dir) = self.root.open_dir(&real.parent()) else { return Ok(()) };
            match metadata::lstat(dir.as_fd(), last)? {
                Some(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
                Some(_) => return remove_all(dir.as_fd(), last),
                None => return Ok(()),
            }
        }
        Ok(())
    }

    fn whiteout(&mut self, parent: &RealPath, name: &[u8], shown: &str) -> Result<(), Failure> {
        if !self.whiteouts {
            return Err(user(format!("`{}` cannot be added: in a layer, `.wh.` names mean removals", shown.escape_debug())));
        }
        let hidden = &name[4..];
        if hidden.is_empty() || hidden == b"." || hidden == b".." {
            return Err(user(format!("the layer has the invalid whiteout `{}`", shown.escape_debug())));
        }
        let Some((_, _, dir)) = self.last.take() else { return Ok(()) };
        if name == b".wh..wh..opq" {
            return self.clear(dir.as_fd(), parent).during("clear", parent.absolute());
        }
        self.remove(dir.as_fd(), parent, hidden).during("remove", parent.join(hidden).absolute())
    }

    /// Removes `name` unless this layer wrote it; of a directory that it wrote, what it did not write.
    fn remove(&mut self, dir: BorrowedFd<'_>, parent: &RealPath, name: &[u8]) -> io::Result<()> {
        let path = parent.join(name);
        let Some(stat) = metadata::lstat(dir, name)? else { return Ok(()) };
        let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if self.wrote(&path.bytes()) {
            if is_dir {
                let inner = self.root.open_dir(&path)?;
                self.clear(inner.as_fd(), &path)?;
            }
            return Ok(());
        }
        remove_all(dir, name)
    }

    fn clear(&mut self, dir: BorrowedFd<'_>, path: &RealPath) -> io::Result<()> {
        names(dir)?.iter().try_for_each(|name| self.remove(dir, path, name))
    }

    /// Whether this layer wrote `path` or something below.
    fn wrote(&self, path: &[u8]) -> bool {
        if self.written.contains(path) {
            return true;
        }
        let below = [path, b"/"].concat();
        self.written.range(below.clone()..).next().is_some_and(|next| next.starts_with(&below))
    }

    /// Makes one member; whether the directory's real path still holds for the next one.
    fn make(
        &mut self,
        dir: BorrowedFd<'_>,
        parent: &RealPath,
        name: &[u8],
        member: &Member,
        body: &mut impl Read,
        shown: &str,
    ) -> Result<bool, Failure> {
        let place = parent.join(name);
        let there = metadata::lstat(dir, name).during("look at", shown)?;
        let was_dir = there.as_ref().is_some_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory);
        let keeps = was_dir && member.kind == Kind::Directory;
        let os = OsStr::from_bytes(name);
        let mode = Mode::from_raw_mode(0o600);
        let node = |kind, device| rustix::fs::mknodat(dir, os, kind, mode, device);
        if let Kind::HardLink(target) = &member.kind {
            return self.hard_link(dir, &place, target, there.is_some(), shown);
        }
        if there.is_some() && !keeps {
            remove_all(dir, name).during("replace", shown)?;
        }
        match &member.kind {
            Kind::Directory if keeps => {}
            Kind::Directory => {
                rustix::fs::mkdirat(dir, os, Mode::from_raw_mode(0o700)).during("create", shown)?;
            }
            Kind::File => self.file(dir, name, member, body, shown)?,
            Kind::Symlink(target) if target.is_empty() || target.contains(&0) => {
                return Err(user(format!("the layer has the link `{}` without a target", shown.escape_debug())));
            }
            Kind::Symlink(target) => {
                rustix::fs::symlinkat(OsStr::from_bytes(target), dir, os).during("create", shown)?;
            }
            // In a layer directory such a node would be a removal.
            Kind::CharDevice(0, 0) => return Err(user(format!("the layer has the device 0:0 `{}`", shown.escape_debug()))),
            Kind::CharDevice(major, minor) | Kind::BlockDevice(major, minor) => {
                let kind = if matches!(member.kind, Kind::CharDevice(..)) {
                    FileType::CharacterDevice
                } else {
                    FileType::BlockDevice
                };
                match node(kind, rustix::fs::makedev(*major, *minor)) {
                    // No user namespace can make a device. containerd leaves them out, too; a step gets its devices in `/dev`.
                    Err(Errno::PERM) if self.lenient || Ids::current().are_mapped() => return Ok(there.is_none()),
                    other => other.during("create", shown)?,
                }
            }
            Kind::Fifo => node(FileType::Fifo, 0).during("create", shown)?,
            Kind::HardLink(_) => {}
        }
        self.dress(dir, name, &place, member, shown)?;
        self.written.insert(place.bytes());
        Ok(there.is_none() || keeps)
    }

    fn file(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        member: &Member,
        body: &mut impl Read,
        shown: &str,
    ) -> Result<(), Failure> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(dir, OsStr::from_bytes(name), flags, Mode::from_raw_mode(0o600));
        let mut file = File::from(fd.during("create", shown)?);
        let mut buffer = vec![0; usize::try_from(member.size.clamp(1, 1 << 17)).unwrap_or(1)];
        loop {
            match body.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => io::Write::write_all(&mut file, &buffer[..length]).during("write", shown)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(error)),
            }
        }
    }

    /// Owner, then mode (changing the owner clears setuid bits), attributes (file capabilities are cleared too), time.
    fn dress(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        place: &RealPath,
        member: &Member,
        shown: &str,
    ) -> Result<(), Failure> {
        let (uid, gid) = self.owner.unwrap_or((member.uid, member.gid));
        metadata::chown(dir, name, uid, gid).during("change the owner of", shown)?;
        if !matches!(member.kind, Kind::Symlink(_)) {
            metadata::chmod(dir, name, member.mode).during("change the mode of", shown)?;
        }
        if !member.xattrs.is_empty() {
            let path = metadata::proc_path(dir, name);
            for (key, value) in member.xattrs.iter().filter(|(key, _)| !metadata::is_overlay(key)) {
                match metadata::set_xattrs(&path, &[(key.clone(), value.clone())]) {
                    // Labels of a security module, and user attributes of links and devices, may not fit this machine.
                    Err(e) if matches!(e.raw_os_error(), Some(1 | 95)) && (self.lenient || key != "security.capability") => {
                    }
                    other => other.during("set the attributes of", shown)?,
                }
            }
        }
        if member.kind == Kind::Directory {
            self.times.push((place.clone(), member.modified));
            return Ok(());
        }
        match metadata::set_times(dir, name, member.modified) {
            // A time that the file system cannot hold.
            Err(error) if matches!(error.raw_os_error(), Some(22 | 34 | 75)) => Ok(()),
            other => other.during("set the time of", shown),
        }
    }

    /// Links to the very entry that the target names, which may be a link itself: nothing is followed or changed through it.
    fn hard_link(
        &mut self,
        dir: BorrowedFd<'_>,
        place: &RealPath,
        target: &[u8],
        there: bool,
        shown: &str,
    ) -> Result<bool, Failure> {
        if self.whiteouts && in_metadata(target) {
            return Ok(true);
        }
        let to = String::from_utf8_lossy(target).into_owned();
        if !self.whiteouts && leads_out(target) {
            let (shown, to) = (shown.escape_debug(), to.escape_debug());
            return Err(user(format!("the archive links `{shown}` to `{to}`, which lies outside of the destination")));
        }
        let Some((parent, name)) = self.root.resolve_parent(target, Missing::Fail).during("link to", &to)? else {
            return Err(user(format!("the layer links `{}` to the root directory", shown.escape_debug())));
        };
        if parent.join(&name) == *place {
            return Ok(true);
        }
        let from = self.root.open_dir(&parent).during("open", &to)?;
        let stat = metadata::lstat(from.as_fd(), &name).during("link to", &to)?.ok_or(Errno::NOENT);
        let stat = stat.during("link to", &to)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            return Err(user(format!("the layer links `{}` to the directory `{to}`", shown.escape_debug())));
        }
        let own = place.name().unwrap_or(b".");
        if there {
            remove_all(dir, own).during("replace", shown)?;
        }
        rustix::fs::linkat(&from, OsStr::from_bytes(&name), dir, OsStr::from_bytes(own), AtFlags::empty())
            .during("create", shown)?;
        self.written.insert(place.bytes());
        // The target was copied up: it belongs to this layer now.
        self.written.insert(parent.join(&name).bytes());
        Ok(!there)
    }
}

fn unreadable(error: io::Error) -> Failure {
    match error.raw_os_error() {
        Some(_) => Err::<(), _>(error).during("read", "the layer's tar").unwrap_err(),
        None => user(format!("cannot unpack the layer: {error}")),
    }
}

/// Whether a name has more `..` than directories before them.
///
/// Source of the rule: moby's `archive.Unpack`, which BuildKit uses for ADD: `invalid entry name`, `invalid hardlink target`.
fn leads_out(name: &[u8]) -> bool {
    let mut depth = 0;
    name.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".").any(|part| {
        depth += if part == b".." { -1 } else { 1 };
        depth < 0
    })
}

/// The directory part of a name, as written: only equal texts share a look-up.
fn raw_parent(name: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = name.split(|b| *b == b'/').filter(|n| !n.is_empty() && *n != b".").collect();
    parts[..parts.len().saturating_sub(1)].join(&b'/')
}

/// Whether a name is one of AUFS' notes, or lies in its directories. The opaque marker alone has become everybody's.
fn in_metadata(name: &[u8]) -> bool {
    name.split(|b| *b == b'/').any(|part| part.starts_with(b".wh..wh.") && part != b".wh..wh..opq")
}
