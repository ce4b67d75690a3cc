//! Where copied files come from, as lists of nodes: a directory described by its entries, mounted layers, or given texts.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, OFlags};

use super::super::failure::{During, user};
use super::super::{Layers, View, metadata};
use crate::engine::protocol::{CopySource, CopySpec, Entry, EntryKind, Failure};
use crate::ground::digest::Digest;
use crate::ground::fs::root::names as list;
use crate::ground::fs::{Missing, RootDir};

/// One thing to copy. Its owner is the source's, as it counts for the copy.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Below the source's root.
    pub(super) path: Vec<u8>,
    /// Below the path that was asked for; empty for that itself.
    pub(super) below: Vec<u8>,
    pub(super) kind: EntryKind,
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    pub(super) size: u64,
    pub(super) link: Vec<u8>,
    pub(super) device: u64,
    pub(super) modified: Option<(i64, u32)>,
    /// What hashing the content with its header must give.
    pub(super) entry: Option<Entry>,
    /// Of a file with several names.
    pub(super) inode: Option<(u64, u64)>,
    /// Its content, when it is no file of the source.
    pub(super) text: Option<String>,
}

/// An opened source.
pub(super) enum Source<'a> {
    Directory { root: RootDir, entries: &'a [Entry], by_path: HashMap<&'a str, usize> },
    Layers { root: View },
    Inline { files: &'a [(String, String)] },
}

/// The sources that a request names; texts are all copied.
pub(super) fn names(source: &CopySource, spec: &CopySpec) -> Vec<String> {
    match source {
        CopySource::Inline { files } if spec.sources.is_empty() => files.iter().map(|(name, _)| name.clone()).collect(),
        _ => spec.sources.clone(),
    }
}

impl<'a> Source<'a> {
    pub(super) fn open(layers: &Layers, source: &'a CopySource) -> Result<Self, Failure> {
        Ok(match source {
            CopySource::Directory { root, entries } => Self::Directory {
                root: RootDir::open(root)?,
                entries,
                by_path: entries.iter().enumerate().map(|(index, entry)| (entry.path.as_str(), index)).collect(),
            },
            CopySource::Layers { layers: chain } => Self::Layers { root: layers.view(chain)? },
            CopySource::Inline { files } => Self::Inline { files },
        })
    }

    /// The node at `path` (a link there is followed inside the source) and all below, parents first.
    pub(super) fn nodes(&self, path: &str) -> Result<Vec<Node>, Failure> {
        let missing = || user(format!("`{}` is not in the source of the copy", path.escape_debug()));
        match self {
            Self::Inline { files } => {
                let (_, text) = files.iter().find(|(name, _)| name == path).ok_or_else(missing)?;
                Ok(vec![inline(path, text)])
            }
            Self::Directory { entries, by_path, .. } => {
                let top = follow(entries, by_path, path).ok_or_else(missing)?;
                let below = |entry: &Entry| entry.path[top.path.len()..].trim_start_matches('/').as_bytes().to_vec();
                let node = |entry: &Entry| from_entry(entry, below(entry));
                let mut nodes = vec![node(top)];
                if top.kind == EntryKind::Directory {
                    let prefix = if top.path.is_empty() { String::new() } else { format!("{}/", top.path) };
                    let start = entries.partition_point(|e| e.path.as_bytes() < prefix.as_bytes());
                    let all = entries[start..].iter().take_while(|e| e.path.starts_with(&prefix));
                    nodes.extend(all.filter(|e| !e.path.is_empty()).map(node));
                }
                Ok(nodes)
            }
            Self::Layers { root } => {
                let real = match root.resolve(path.as_bytes(), Missing::Fail) {
                    Ok(real) => real,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
                    Err(error) => return Err(error).during("open", path),
                };
                let mut nodes = Vec::new();
                walk(root, &real.bytes(), &mut nodes)?;
                Ok(nodes)
            }
        }
    }

    /// Opens a node's file. Of a user's directory, no part of the path may have become a link.
    pub(super) fn open_file(&self, path: &[u8]) -> io::Result<File> {
        use std::os::unix::ffi::OsStrExt;
        let root = match self {
            Self::Directory { root, .. } => root,
            Self::Layers { root } => &**root,
            Self::Inline { .. } => return Err(io::ErrorKind::NotFound.into()),
        };
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        let fd = root.open_beneath(path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        match FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) {
            FileType::RegularFile => Ok(fd.into()),
            _ => Err(rustix::io::Errno::NXIO.into()),
        }
    }

    /// The extended attributes of a node.
    pub(super) fn xattrs(&self, node: &Node) -> io::Result<metadata::Xattrs> {
        if node.text.is_some() {
            return Ok(Vec::new());
        }
        match self {
            Self::Directory { .. } => Ok(node.entry.as_ref().map(|e| e.xattrs.clone()).unwrap_or_default()),
            Self::Inline { .. } => Ok(Vec::new()),
            Self::Layers { root } => {
                let (dir, name) = parent(root, &node.path)?;
                let mut all = metadata::xattrs(&metadata::proc_path(dir.as_fd(), &name))?;
                all.retain(|(name, _)| !name.starts_with("security.selinux"));
                Ok(all)
            }
        }
    }
}

fn parent(root: &RootDir, path: &[u8]) -> io::Result<(OwnedFd, Vec<u8>)> {
    use std::os::unix::ffi::OsStrExt;
    let at = path.iter().rposition(|b| *b == b'/');
    let (dir, name) = at.map_or((&b""[..], path), |at| (&path[..at], &path[at + 1..]));
    let dir = root.open_beneath(Path::new(std::ffi::OsStr::from_bytes(dir)), OFlags::DIRECTORY | OFlags::RDONLY)?;
    Ok((dir, if name.is_empty() { b".".to_vec() } else { name.to_vec() }))
}

/// A file given by its text.
///
/// Source of the mode: BuildKit `dispatchCopy`, `llb.Mkfile(f, 0644, ...)`.
pub(super) fn inline(name: &str, text: &str) -> Node {
    Node {
        path: name.as_bytes().to_vec(),
        below: Vec::new(),
        kind: EntryKind::File,
        mode: 0o644,
        owner: (0, 0),
        size: text.len() as u64,
        link: Vec::new(),
        device: 0,
        modified: None,
        entry: None,
        inode: None,
        text: Some(text.to_owned()),
    }
}

fn from_entry(entry: &Entry, below: Vec<u8>) -> Node {
    let (major, minor) = entry.device.unwrap_or((0, 0));
    Node {
        path: entry.path.as_bytes().to_vec(),
        below,
        kind: entry.kind,
        mode: entry.mode,
        owner: (0, 0),
        size: entry.size,
        link: entry.link.clone().unwrap_or_default().into_bytes(),
        device: rustix::fs::makedev(major, minor),
        modified: Some(entry.modified),
        entry: Some(entry.clone()),
        inode: None,
        text: None,
    }
}

/// The entry at `path`, with links followed among the entries; what they do not name does not exist.
fn follow<'a>(entries: &'a [Entry], by_path: &HashMap<&str, usize>, path: &str) -> Option<&'a Entry> {
    let split = |text: &str| -> VecDeque<String> {
        text.split('/').filter(|n| !n.is_empty() && *n != ".").map(str::to_owned).collect()
    };
    let (mut todo, mut here, mut links) = (split(path), Vec::<String>::new(), 0);
    while let Some(name) = todo.pop_front() {
        if name == ".." {
            here.pop();
            continue;
        }
        here.push(name);
        let entry = &entries[*by_path.get(here.join("/").as_str())?];
        if entry.kind == EntryKind::Symlink {
            links += 1;
            let target = entry.link.as_deref().filter(|_| links <= 40)?;
            here.pop();
            if target.starts_with('/') {
                here.clear();
            }
            for name in split(target).into_iter().rev() {
                todo.push_front(name);
            }
        }
    }
    by_path.get(here.join("/").as_str()).map(|index| &entries[*index])
}

fn walk(root: &RootDir, top: &[u8], out: &mut Vec<Node>) -> Result<(), Failure> {
    let shown = |path: &[u8]| format!("/{}", String::from_utf8_lossy(path));
    let mut todo = vec![top.to_vec()];
    while let Some(path) = todo.pop() {
        let (dir, name) = parent(root, &path).during("open", shown(&path))?;
        let Some(stat) = metadata::lstat(dir.as_fd(), &name).during("look at", shown(&path))? else { continue };
        let Some(kind) = metadata::kind(&stat) else { continue };
        let link = match kind {
            EntryKind::Symlink => {
                use std::os::unix::ffi::OsStrExt;
                let name = std::ffi::OsStr::from_bytes(&name);
                rustix::fs::readlinkat(&dir, name, Vec::new()).during("read", shown(&path))?.into_bytes()
            }
            _ => Vec::new(),
        };
        if kind == EntryKind::Directory {
            let inner =
                root.open_beneath(relative(&path), OFlags::DIRECTORY | OFlags::RDONLY).during("open", shown(&path))?;
            for child in list(inner.as_fd()).during("list", shown(&path))?.into_iter().rev() {
                todo.push(if path.is_empty() { child } else { [&path[..], b"/", &child].concat() });
            }
        }
        let cut = if top.is_empty() { 0 } else { (top.len() + 1).min(path.len()) };
        out.push(Node {
            below: path[cut..].to_vec(),
            path,
            kind,
            mode: stat.st_mode & 0o7777,
            owner: (stat.st_uid, stat.st_gid),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            link,
            device: stat.st_rdev,
            modified: Some((stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0))),
            entry: None,
            inode: (kind == EntryKind::File && stat.st_nlink > 1).then_some((stat.st_dev, stat.st_ino)),
            text: None,
        });
    }
    Ok(())
}

fn relative(path: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(path))
}

/// A digest that no content has, for nodes without one.
pub(super) fn known_digest(node: &Node) -> Option<Digest> {
    node.entry.as_ref().map(|entry| entry.digest)
}
