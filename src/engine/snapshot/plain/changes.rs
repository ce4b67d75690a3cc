//! What was changed in a tree, moved into a layer directory of overlayfs' form.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, Statx, StatxFlags, XattrFlags};

use super::super::failure::During;
use super::super::{form, metadata};
use super::assemble::dress;
use crate::engine::protocol::Failure;
use crate::ground::fs::root::names;
use crate::ground::fs::{RealPath, RootDir};

/// What identifies an entry and tells that nothing was done to it: whatever changes an inode changes its change time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    inode: u64,
    /// Numbers of inodes are used again at once; where the file system knows no birth time, this is zero.
    born: (i64, u32),
    changed: (i64, u32),
    is_directory: bool,
}

impl State {
    fn of(stat: &Statx) -> Self {
        let has_birth = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
        Self {
            inode: stat.stx_ino,
            born: if has_birth { (stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec) } else { (0, 0) },
            changed: (stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
            is_directory: FileType::from_raw_mode(stat.stx_mode.into()) == FileType::Directory,
        }
    }

    /// Whether both are of one entry, whatever happened to it.
    fn is_same(&self, other: &Self) -> bool {
        (self.inode, self.born, self.is_directory) == (other.inode, other.born, other.is_directory)
    }
}

/// A tree as it was before a step.
#[derive(Debug)]
pub struct Baseline {
    tree: PathBuf,
    entries: BTreeMap<RealPath, State>,
}

/// A tree as it is afterwards, with what directories need to be made again.
type Now = BTreeMap<RealPath, (State, (i64, u32))>;

impl Baseline {
    /// Of a tree that nobody writes to yet.
    pub fn of(tree: &Path) -> Result<Self, Failure> {
        let entries = look(tree)?.into_iter().map(|(path, (state, _))| (path, state)).collect();
        // The change time is as coarse as the kernel's clock: what is written in the same tick must not look unchanged.
        std::thread::sleep(std::time::Duration::from_millis(12));
        Ok(Self { tree: tree.to_owned(), entries })
    }

    /// The tree.
    pub fn tree(&self) -> &Path {
        &self.tree
    }

    /// Moves what was changed into the directory `upper`, which gets the attributes of the tree's root.
    pub fn settle(&self, upper: &Path) -> Result<(), Failure> {
        let now = look(&self.tree)?;
        let (from, to) = (RootDir::open(&self.tree)?, RootDir::open(upper)?);
        let mut layer = Layer { baseline: self, now: &now, from: &from, to: &to, made: BTreeSet::new() };
        dress(from.fd(), to.fd(), b".").during("set the attributes of", "/")?;
        for (path, (state, _)) in &now {
            if path.name().is_some() && self.entries.get(path) != Some(state) {
                layer.keep(path, state.is_directory)?;
            }
        }
        for path in self.entries.keys().filter(|path| !now.contains_key(*path)) {
            if layer.is_merged(&path.parent()) {
                layer.remove(path)?;
            }
        }
        layer.times()
    }
}

/// Everything in a tree; the root is in it, too.
fn look(tree: &Path) -> Result<Now, Failure> {
    let root = RootDir::open(tree)?;
    let mut out = Now::new();
    let mut note = |path: &RealPath, stat: &Statx| {
        let state = State::of(stat);
        out.insert(path.clone(), (state, (stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec)));
        state.is_directory
    };
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    let top = RealPath::default();
    note(&top, &rustix::fs::statx(root.fd(), "", AtFlags::EMPTY_PATH, wanted).during("look at", "/")?);
    let mut todo = vec![top];
    while let Some(path) = todo.pop() {
        let dir = root.open_dir(&path).during("open", path.absolute())?;
        for name in names(dir.as_fd()).during("list", path.absolute())? {
            let below = path.join(&name);
            let stat = rustix::fs::statx(&dir, OsStr::from_bytes(&name), AtFlags::SYMLINK_NOFOLLOW, wanted);
            if note(&below, &stat.during("look at", below.absolute())?) {
                todo.push(below);
            }
        }
    }
    Ok(out)
}

struct Layer<'a> {
    baseline: &'a Baseline,
    now: &'a Now,
    from: &'a RootDir,
    to: &'a RootDir,
    /// Directories of the layer.
    made: BTreeSet<RealPath>,
}

impl Layer<'_> {
    /// Whether a directory is the very one that was there before, so that what is below it shows through.
    fn is_merged(&self, path: &RealPath) -> bool {
        match (self.now.get(path), self.baseline.entries.get(path)) {
            (Some((now, _)), Some(then)) => now.is_directory && now.is_same(then),
            _ => false,
        }
    }

    fn keep(&mut self, path: &RealPath, is_directory: bool) -> Result<(), Failure> {
        if is_directory {
            return self.directory(path);
        }
        self.directory(&path.parent())?;
        let (from, to) = (self.from.open_dir(&path.parent()), self.to.open_dir(&path.parent()));
        let name = OsStr::from_bytes(path.name().unwrap_or(b"."));
        let moved = from.and_then(|from| Ok(rustix::fs::renameat(from, name, to?, name)?));
        moved.during("create", path.absolute())
    }

    /// A directory of the layer, with those above it.
    fn directory(&mut self, path: &RealPath) -> Result<(), Failure> {
        let Some(name) = path.name() else { return Ok(()) };
        if !self.made.insert(path.clone()) {
            return Ok(());
        }
        self.directory(&path.parent())?;
        let make = || -> std::io::Result<()> {
            let (from, to) = (self.from.open_dir(&path.parent())?, self.to.open_dir(&path.parent())?);
            rustix::fs::mkdirat(&to, OsStr::from_bytes(name), Mode::from_raw_mode(0o700))?;
            dress(from.as_fd(), to.as_fd(), name)?;
            // What was there before must not show through.
            let covers = self.baseline.entries.contains_key(path) && self.is_merged(&path.parent());
            if covers && !self.is_merged(path) {
                let place = metadata::proc_path(to.as_fd(), name);
                rustix::fs::lsetxattr(place, form::opaque(), b"y", XattrFlags::empty())?;
            }
            Ok(())
        };
        make().during("create", path.absolute())
    }

    /// A removal.
    fn remove(&mut self, path: &RealPath) -> Result<(), Failure> {
        self.directory(&path.parent())?;
        let make = || -> std::io::Result<()> {
            let to = self.to.open_dir(&path.parent())?;
            let name = OsStr::from_bytes(path.name().unwrap_or(b"."));
            Ok(rustix::fs::mknodat(&to, name, FileType::CharacterDevice, Mode::empty(), 0)?)
        };
        make().during("remove", path.absolute())
    }

    /// Writing into the directories has changed their times.
    fn times(&self) -> Result<(), Failure> {
        for path in self.made.iter().rev() {
            let (Ok(dir), Some((_, time))) = (self.to.open_dir(path), self.now.get(path)) else { continue };
            metadata::set_times(dir.as_fd(), b".", *time).during("set the time of", path.absolute())?;
        }
        Ok(())
    }
}
