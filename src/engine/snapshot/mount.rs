//! Overlays by the new mount API: option strings have no length limit, and no character of a path is special. A mount stays
//! detached, a mere descriptor, and is gone when that is closed, however the worker ends.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags};

use super::failure::{During, environment, mount_refused, user};
use super::ids::Ids;
use super::layers::{Layers, Snapshotter, WorkDir};
use super::plain::{self, Baseline, Files};
use crate::engine::oci::LayerId;
use crate::engine::protocol::Failure;
use crate::ground::fs::RootDir;

/// overlayfs takes no more lower directories.
pub const MAX_LAYERS: usize = 500;

/// An overlay of `lowers` (lowest first), with an upper when `work` is given; writes go to `work`'s upper.
pub fn overlay(lowers: &[PathBuf], work: Option<&WorkDir>) -> Result<OwnedFd, Failure> {
    if lowers.len() > MAX_LAYERS {
        return Err(user(format!("{} layers are too many: at most {MAX_LAYERS} can be mounted", lowers.len())));
    }
    mount_overlay(lowers, work).map_err(|errno| mount_refused("mount the layers", &io::Error::from(errno)))
}

fn mount_overlay(lowers: &[PathBuf], work: Option<&WorkDir>) -> Result<OwnedFd, Errno> {
    use rustix::mount::{fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen};
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for lower in lowers.iter().rev() {
        fsconfig_set_string(&fs, "lowerdir+", lower.as_path())?;
    }
    match work {
        Some(work) => {
            fsconfig_set_string(&fs, "upperdir", work.upper())?;
            fsconfig_set_string(&fs, "workdir", work.work())?;
        }
        None => fsconfig_set_flag(&fs, "ro")?,
    }
    if Ids::current().are_mapped() {
        // Without root; the kernel follows no redirect then, and refuses to be told so.
        fsconfig_set_flag(&fs, "userxattr")?;
    } else {
        // A planted `trusted.overlay.redirect` must not graft another directory, whatever the kernel's defaults are.
        for (option, value) in [("redirect_dir", "off"), ("metacopy", "off"), ("index", "off")] {
            fsconfig_set_string(&fs, option, value)?;
        }
    }
    fsconfig_create(&fs)?;
    let attributes = if work.is_some() { MountAttrFlags::empty() } else { MountAttrFlags::MOUNT_ATTR_RDONLY };
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// A copy of the mount that holds `path`, rooted there.
pub fn bind(path: &Path) -> Result<OwnedFd, Failure> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    rustix::mount::open_tree(CWD, path, flags).map_err(|e| mount_refused("bind a layer", &io::Error::from(e)))
}

impl Layers {
    /// The directories of layers that must all be there. overlayfs takes none twice: a layer that stands in a chain twice (the
    /// same `COPY --link`, or the same recorded run) hides from its upper place all that it shows from the lower one.
    pub fn paths(&self, ids: &[LayerId]) -> Result<Vec<PathBuf>, Failure> {
        let path = |id: &LayerId| {
            let path = self.path(id);
            let hint = "run the same command again: what is missing is made anew";
            let missing = || environment(format!("layer `{id}` is not in the store"), hint);
            path.is_dir().then_some(path).ok_or_else(missing)
        };
        let uppermost = ids.iter().enumerate().filter(|(at, id)| !ids[at + 1..].contains(id));
        uppermost.map(|(_, id)| path(id)).collect()
    }

    /// What a chain shows, for reading. A chain of one layer needs no mount: the lowest layer holds no whiteouts.
    pub fn view(&self, chain: &[LayerId]) -> Result<View, Failure> {
        let paths = self.paths(chain)?;
        let plain = |root| View { root, _work: None };
        match (paths.as_slice(), self.snapshotter) {
            ([], _) => {
                let empty = self.work_dir(&[])?;
                // The descriptor outlives the directory, which stays empty.
                Ok(plain(RootDir::from_fd(File::open(empty.upper()).during("open", empty.upper())?.into())))
            }
            ([single], _) => Ok(plain(RootDir::open(single)?)),
            (_, Snapshotter::Overlay) => Ok(plain(opened(overlay(&paths, None)?)?)),
            (_, Snapshotter::Copy) => {
                let work = self.work_dir(chain)?;
                plain::assemble(&paths, &work.root(), Files::Linked)?;
                Ok(View { root: RootDir::open(&work.root())?, _work: Some(work) })
            }
        }
    }

    /// A chain with `work`'s upper on it, for writing. Without a chain it is the upper itself.
    pub fn writable(&self, chain: &[LayerId], work: &WorkDir) -> Result<RootDir, Failure> {
        match (chain, self.snapshotter) {
            ([], _) => Ok(RootDir::open(&work.upper())?),
            (_, Snapshotter::Overlay) => opened(overlay(&self.paths(chain)?, Some(work))?),
            (_, Snapshotter::Copy) => Ok(RootDir::open(&tree(&self.paths(chain)?, work)?)?),
        }
    }

    /// Directories of layers (lowest first) with `work`'s upper on them, as a mount for a process.
    pub fn mounted(&self, lowers: &[PathBuf], work: &WorkDir) -> Result<OwnedFd, Failure> {
        match self.snapshotter {
            Snapshotter::Overlay => overlay(lowers, Some(work)),
            Snapshotter::Copy => bind(&tree(lowers, work)?),
        }
    }

    /// Why overlays cannot be mounted here; none when they can.
    pub fn overlay_refused(&self) -> Result<Option<io::Error>, Failure> {
        let (lower, work) = (self.work_dir(&[])?, self.work_dir(&[])?);
        Ok(mount_overlay(&[lower.upper()], Some(&work)).err().map(io::Error::from))
    }
}

/// What a chain shows. A plain tree is removed with it.
pub struct View {
    root: RootDir,
    _work: Option<WorkDir>,
}

impl std::ops::Deref for View {
    type Target = RootDir;

    fn deref(&self) -> &RootDir {
        &self.root
    }
}

/// A tree of copies in `work`, which knows what it was before anybody writes to it.
fn tree(lowers: &[PathBuf], work: &WorkDir) -> Result<PathBuf, Failure> {
    let tree = work.path().join("tree");
    std::fs::create_dir(&tree).during("create", &tree)?;
    plain::assemble(lowers, &tree, Files::Copied)?;
    let baseline = Baseline::of(&tree)?;
    let _ = work.baseline.set(baseline);
    // What the layer has already (mount points) is a change like those to come.
    let upper = work.upper();
    for entry in std::fs::read_dir(&upper).during("list", &upper)? {
        let entry = entry.during("list", &upper)?;
        std::fs::rename(entry.path(), tree.join(entry.file_name())).during("move", entry.path())?;
    }
    Ok(tree)
}

/// A mount's descriptor is an O_PATH one; directories are read through an ordinary one, which keeps the mount alive.
fn opened(mount: OwnedFd) -> Result<RootDir, Failure> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(&mount, ".", flags, Mode::empty());
    // The mount is dissolved with its own descriptor, so that one has to stay open as long as the directory.
    let fd = fd.during("open", "/")?;
    Ok(RootDir::with_mount(fd, mount))
}
