//! Streams a layer directory as the tar that it is in an image: sorted, with removals as `.wh.` files.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use flate2::write::GzEncoder;

use super::failure::{During, user};
use super::tar_reader::{Kind, Member};
use super::tar_writer::TarWriter;
use super::{Layers, metadata};
use crate::engine::oci::LayerId;
use crate::engine::protocol::{Compression, EntryKind, Failure, Reply};
use crate::ground::digest::{Digest, Digester};
use crate::ground::fs::root::names;
use crate::ground::fs::{PathError, PathResultExt, RootDir};

/// The level that `zstd` itself takes.
const ZSTD_LEVEL: i32 = 3;

/// Answers `Request::WriteLayer`. Syncing `out` is the caller's job.
pub fn write_layer(
    layers: &Layers,
    id: &LayerId,
    compression: Compression,
    clamp: Option<u64>,
    out: OwnedFd,
) -> Result<Reply, Failure> {
    let root = RootDir::open(&layers.path(id))?;
    let file = Hashing::new(io::BufWriter::with_capacity(1 << 18, File::from(out)));
    let clamp = clamp.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX));
    let end = |mut file: Hashing<io::BufWriter<File>>| -> Result<(Digest, u64), Failure> {
        file.flush().during("write", "the layer's tar")?;
        let (_, digest, size) = file.finish().during("write", "the layer's tar")?;
        Ok((digest, size))
    };
    let (diff_id, digest, size) = match compression {
        Compression::None => {
            let (digest, size) = end(tree(&root, file, clamp)?)?;
            (digest, digest, size)
        }
        Compression::Gzip => {
            let plain = Hashing::new(GzEncoder::new(file, flate2::Compression::new(6)));
            let plain = tree(&root, plain, clamp)?;
            let (encoder, diff_id, _) = plain.finish().during("write", "the layer's tar")?;
            let (digest, size) = end(encoder.finish().during("write", "the layer's tar")?)?;
            (diff_id, digest, size)
        }
        Compression::Zstd => {
            let encoder = zstd::stream::write::Encoder::new(file, ZSTD_LEVEL).during("write", "the layer's tar")?;
            let plain = tree(&root, Hashing::new(encoder), clamp)?;
            let (encoder, diff_id, _) = plain.finish().during("write", "the layer's tar")?;
            let (digest, size) = end(encoder.finish().during("write", "the layer's tar")?)?;
            (diff_id, digest, size)
        }
    };
    Ok(Reply::Written { diff_id, digest, size })
}

fn tree<W: Write>(root: &RootDir, out: W, clamp: Option<i64>) -> Result<W, Failure> {
    let mut walk = Walk { tar: TarWriter::new(out), clamp, seen: HashMap::new(), buffer: vec![0; 1 << 17] };
    walk.directory(root, Vec::new())?;
    walk.tar.finish().during("write", "the layer's tar")
}

struct Walk<W> {
    tar: TarWriter<W>,
    clamp: Option<i64>,
    seen: HashMap<(u64, u64), Vec<u8>>,
    buffer: Vec<u8>,
}

impl<W: Write> Walk<W> {
    /// Everything below `top`, depth first, names sorted; directories are opened by name from the root, so depth costs nothing.
    fn directory(&mut self, root: &RootDir, top: Vec<u8>) -> Result<(), Failure> {
        // What is left to do: paths, with the last on top.
        let mut todo = vec![top];
        // Entries of one directory mostly follow each other, so the last one stays open.
        let mut last: Option<(Vec<u8>, OwnedFd)> = None;
        while let Some(path) = todo.pop() {
            let at = path.iter().rposition(|b| *b == b'/');
            let (parent, name) = at.map_or((&b""[..], &path[..]), |at| (&path[..at], &path[at + 1..]));
            let is_dir = path.is_empty() || {
                let dir = match last.take() {
                    Some((known, dir)) if known == parent => dir,
                    _ => open(root, parent)?,
                };
                let is_dir = self.one(dir.as_fd(), name, &path)?;
                last = Some((parent.to_vec(), dir));
                is_dir
            };
            if !is_dir {
                continue;
            }
            let dir = open(root, &path)?;
            if !path.is_empty() && metadata::is_opaque(&metadata::proc_path(dir.as_fd(), b".")) {
                self.mark([&path[..], b"/.wh..wh..opq"].concat()).during("write", shown(&path))?;
            }
            for child in names(dir.as_fd()).during("list", shown(&path))?.into_iter().rev() {
                todo.push(if path.is_empty() { child } else { [&path[..], b"/", &child].concat() });
            }
        }
        Ok(())
    }

    /// Writes one entry; whether it is a directory.
    fn one(&mut self, dir: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<bool, Failure> {
        let stat = metadata::lstat(dir, name).during("look at", shown(path))?;
        let stat = stat.ok_or(rustix::io::Errno::NOENT).during("look at", shown(path))?;
        // A socket means something only to the process that made it.
        let Some(kind) = metadata::kind(&stat) else { return Ok(false) };
        if kind == EntryKind::CharDevice && stat.st_rdev == 0 {
            let parent = &path[..path.len() - name.len()];
            self.mark([parent, b".wh.", name].concat()).during("write", shown(path))?;
            return Ok(false);
        }
        if name.starts_with(b".wh.") {
            let text = shown(path);
            return Err(user(format!("`{}` cannot be in a layer: `.wh.` names mean removals", text.escape_debug())));
        }
        let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        let inode = (kind == EntryKind::File && stat.st_nlink > 1).then(|| metadata::inode(&stat));
        let first = inode.and_then(|inode| self.seen.get(&inode).cloned());
        let mut member = Member {
            name: path.to_vec(),
            kind: match (kind, first) {
                (EntryKind::File, Some(first)) => Kind::HardLink(first),
                (EntryKind::File, None) => Kind::File,
                (EntryKind::Directory, _) => Kind::Directory,
                (EntryKind::CharDevice, _) => Kind::CharDevice(major, minor),
                (EntryKind::BlockDevice, _) => Kind::BlockDevice(major, minor),
                (EntryKind::Fifo, _) => Kind::Fifo,
                (EntryKind::Symlink, _) => {
                    use std::os::unix::ffi::OsStrExt;
                    let os = std::ffi::OsStr::from_bytes(name);
                    let target = rustix::fs::readlinkat(dir, os, Vec::new()).during("read", shown(path))?;
                    Kind::Symlink(target.into_bytes())
                }
            },
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: 0,
            modified: (self.clamp.map_or(stat.st_mtime, |latest| stat.st_mtime.min(latest)), 0),
            xattrs: metadata::xattrs(&metadata::proc_path(dir, name)).during("read the attributes of", shown(path))?,
        };
        if kind == EntryKind::Directory {
            member.name.push(b'/');
        }
        if kind == EntryKind::Symlink {
            member.mode = 0o777;
        }
        if member.kind != Kind::File {
            self.tar.header(&member).during("write", shown(path))?;
            return Ok(kind == EntryKind::Directory);
        }
        if let Some(inode) = inode {
            self.seen.insert(inode, path.to_vec());
        }
        member.size = u64::try_from(stat.st_size).unwrap_or(0);
        self.file(dir, name, &member)?;
        Ok(false)
    }

    fn file(&mut self, dir: BorrowedFd<'_>, name: &[u8], member: &Member) -> Result<(), Failure> {
        use std::os::unix::ffi::OsStrExt;
        let text = shown(&member.name);
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::CLOEXEC;
        let fd = rustix::fs::openat(dir, std::ffi::OsStr::from_bytes(name), flags, rustix::fs::Mode::empty());
        let mut file = File::from(fd.during("open", &text)?).take(member.size);
        self.tar.header(member).during("write", &text)?;
        let mut left = member.size;
        while left > 0 {
            let length = file.read(&mut self.buffer).during("read", &text)?;
            if length == 0 {
                return Err(super::failure::internal(format!("`{text}` shrank while its layer was written")));
            }
            self.tar.body(&self.buffer[..length]).during("write", &text)?;
            left -= length as u64;
        }
        self.tar.pad(member.size).during("write", &text)
    }

    /// An empty file that stands for a removal; without a time, so that equal layers are equal tars.
    fn mark(&mut self, name: Vec<u8>) -> io::Result<()> {
        let (mode, modified, xattrs) = (0o600, (0, 0), Vec::new());
        self.tar.header(&Member { name, kind: Kind::File, mode, uid: 0, gid: 0, size: 0, modified, xattrs })
    }
}

fn open(root: &RootDir, path: &[u8]) -> Result<OwnedFd, PathError> {
    use std::os::unix::ffi::OsStrExt;
    let relative = std::path::Path::new(std::ffi::OsStr::from_bytes(path));
    root.open_beneath(relative, rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::RDONLY).at("open", shown(path))
}

fn shown(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path))
}

/// Hashes and counts what goes through; the hashing is done on a thread of its own, beside the reading of the files.
struct Hashing<W> {
    inner: W,
    waiting: Vec<u8>,
    sender: SyncSender<Vec<u8>>,
    hasher: JoinHandle<Digest>,
    size: u64,
}

/// Bytes that are handed to the hasher at once.
const PIECE: usize = 1 << 18;

impl<W: Write> Hashing<W> {
    fn new(inner: W) -> Self {
        let (sender, pieces) = sync_channel::<Vec<u8>>(4);
        let hasher = std::thread::spawn(move || {
            let mut digester = Digester::default();
            pieces.iter().for_each(|piece| digester.update(piece));
            digester.finish()
        });
        Self { inner, waiting: Vec::with_capacity(PIECE), sender, hasher, size: 0 }
    }

    /// The writer below, the digest and the length of all that was written.
    fn finish(self) -> io::Result<(W, Digest, u64)> {
        let Self { inner, waiting, sender, hasher, size } = self;
        let _ = sender.send(waiting);
        drop(sender);
        let digest = hasher.join().map_err(|_| io::Error::other("hashing broke off"))?;
        Ok((inner, digest, size))
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.inner.write(bytes)?;
        self.waiting.extend_from_slice(&bytes[..length]);
        if self.waiting.len() >= PIECE {
            let full = std::mem::replace(&mut self.waiting, Vec::with_capacity(PIECE));
            self.sender.send(full).map_err(|_| io::Error::other("hashing broke off"))?;
        }
        self.size += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
