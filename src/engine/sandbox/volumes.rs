//! The worker's half of `RUN --mount`: every mount is made ready as a detached descriptor, opened inside its root by walking
//! and never by a path that a step could swap, and attached by the helper.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags};

use super::socket::Socket;
use super::sys;
use crate::engine::oci::LayerId;
use crate::engine::protocol::{CacheSharing, CopySource, CopySpec, Failure, MountContent, MountSpec};
use crate::engine::snapshot::failure::{During, mount_refused, user};
use crate::engine::snapshot::layers::WorkDir;
use crate::engine::snapshot::{Layers, View, copy, metadata};
use crate::ground::fs::{Missing, RootDir};

/// The mounts of one run. Locks of cache folders are held as long as this lives.
#[derive(Default)]
pub struct Volumes {
    /// In the order of the targets.
    pub mounts: Vec<Volume>,
    _locks: Vec<File>,
    _sockets: Vec<Socket>,
    _works: Vec<WorkDir>,
    _views: Vec<View>,
}

/// One mount.
pub struct Volume {
    /// Absolute, as written.
    pub target: String,
    /// A folder, not a file.
    pub is_directory: bool,
    /// Detached.
    pub mount: OwnedFd,
}

/// Makes the mounts of a run ready.
pub fn prepare(layers: &Layers, specs: &[MountSpec]) -> Result<Volumes, Failure> {
    let mut out = Volumes::default();
    for spec in specs {
        let opened = match &spec.content {
            MountContent::Layers { layers: chain, path } => from_layers(layers, chain, path, spec.read_only, &mut out)?,
            MountContent::Cache { .. } => cache(layers, &spec.content, &mut out)?,
            MountContent::Tmpfs { size } => {
                let size = size.map(|bytes| bytes.to_string());
                memory(size.as_deref().map(|size| ("size", size)))?
            }
            MountContent::Socket { to, uid, gid, mode } => {
                let (socket, opened) = Socket::open(layers, to, (*uid, *gid), *mode)?;
                out._sockets.push(socket);
                opened
            }
            MountContent::File { bytes, uid, gid, mode } => secret(layers, bytes, (*uid, *gid), *mode, &mut out)?,
        };
        if spec.read_only {
            sys::make_read_only(&opened).map_err(|e| mount_refused("make a mount read-only", &e))?;
        }
        // What a step puts there may hold device nodes, and a cache is seen by the steps after it.
        sys::make_without_devices(&opened).map_err(|e| mount_refused("close the devices of a mount", &e))?;
        let stat = rustix::fs::fstat(&opened).during("look at", &spec.target)?;
        let is_directory = rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory;
        out.mounts.push(Volume { target: spec.target.clone(), is_directory, mount: opened });
    }
    Ok(out)
}

/// A path of a chain. A writable one gets an upper of its own that is thrown away.
fn from_layers(
    layers: &Layers,
    chain: &[LayerId],
    path: &str,
    read_only: bool,
    out: &mut Volumes,
) -> Result<OwnedFd, Failure> {
    if read_only && !chain.is_empty() {
        let view = layers.view(chain)?;
        let opened = clone_of(layers, &view, path);
        out._views.push(view);
        return opened;
    }
    let root = {
        let work = layers.work_dir(chain)?;
        let root = layers.writable(chain, &work)?;
        out._works.push(work);
        root
    };
    clone_of(layers, &root, path)
}

/// What to do when steps take a path away from each other.
pub const ONE_AT_A_TIME: &str = "run the same command again, or let only one step have the cache at a time (sharing=locked)";

/// How often a path that another step swaps is looked up again: for some milliseconds, so that even one that does nothing else
/// is not always in step with it.
const TRIES: usize = 1000;

/// A detached copy of what lies at `path`; its links are followed inside of the root.
fn clone_of(layers: &Layers, root: &RootDir, path: &str) -> Result<OwnedFd, Failure> {
    for _ in 0..TRIES {
        if let Some(clone) = clone_once(layers, root, path)? {
            return Ok(clone);
        }
    }
    Err(taken_away(path, "changed"))
}

/// None when a link has come into the place of what was found: mounted, it would be followed by whoever uses it.
fn clone_once(layers: &Layers, root: &RootDir, path: &str) -> Result<Option<OwnedFd>, Failure> {
    let missing = |_| user(format!("the source `{}` of a mount does not exist", path.escape_debug()));
    let real = root.resolve(path.as_bytes(), Missing::Fail).map_err(missing)?;
    let opened = root.open_beneath(&real.relative(), OFlags::PATH | OFlags::NOFOLLOW).map_err(missing)?;
    let stat = rustix::fs::fstat(&opened).during("look at", path)?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Symlink {
        return Ok(None);
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let clone = || rustix::mount::open_tree(&opened, "", flags);
    let cloned = match (clone(), root.mount()) {
        (Err(rustix::io::Errno::INVAL), Some(mount)) => while_attached(layers, mount, clone)?,
        (cloned, _) => cloned,
    };
    cloned.map(Some).map_err(|error| match error {
        rustix::io::Errno::NOENT => taken_away(path, "removed"),
        error => mount_refused("mount a source", &error.into()),
    })
}

/// Kernels before 6.15 clone only from mounts that are attached somewhere: this one is, for a moment, in the worker's own
/// namespace.
fn while_attached<T>(layers: &Layers, mount: BorrowedFd<'_>, work: impl FnOnce() -> T) -> Result<T, Failure> {
    let folder = layers.work_dir(&[])?;
    let place = folder.path().join("source");
    fs::DirBuilder::new().mode(0o700).create(&place).during("create", &place)?;
    let attach = rustix::mount::MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", CWD, &place, attach).map_err(|e| mount_refused("mount a source", &e.into()))?;
    let done = work();
    let detached = rustix::mount::unmount(&place, rustix::mount::UnmountFlags::DETACH);
    detached.map_err(|e| mount_refused("detach a source", &e.into()))?;
    Ok(done)
}

/// It was found a moment ago: another step has the same cache.
fn taken_away(path: &str, how: &str) -> Failure {
    let message = format!("the source `{}` of a mount was {how} while it was being mounted", path.escape_debug());
    Failure { hint: Some(ONE_AT_A_TIME.into()), ..user(message) }
}

fn memory(size: Option<(&str, &str)>) -> Result<OwnedFd, Failure> {
    let make = || -> rustix::io::Result<OwnedFd> {
        let fs = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        rustix::mount::fsconfig_set_string(&fs, "source", "tmpfs")?;
        if let Some((key, value)) = size {
            rustix::mount::fsconfig_set_string(&fs, key, value)?;
        }
        rustix::mount::fsconfig_set_string(&fs, "mode", "1777")?;
        rustix::mount::fsconfig_create(&fs)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    };
    make().map_err(|e| mount_refused("mount memory", &e.into()))
}

/// A file in memory: it never lies on a disk. The memory is attached for a moment in the worker's own namespace, because a
/// single file can be cloned only from a mount that is attached.
fn secret(layers: &Layers, bytes: &[u8], owner: (u32, u32), mode: u32, out: &mut Volumes) -> Result<OwnedFd, Failure> {
    let work = layers.work_dir(&[])?;
    let place = work.path().join("secret");
    fs::DirBuilder::new().mode(0o700).create(&place).during("create", &place)?;
    let memory = memory(None)?;
    let attach = rustix::mount::MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(&memory, "", CWD, &place, attach).map_err(|e| mount_refused("mount a secret", &e.into()))?;
    let made = write_secret(&place, bytes, owner, mode);
    let detached = rustix::mount::unmount(&place, rustix::mount::UnmountFlags::DETACH);
    out._works.push(work);
    detached.map_err(|e| mount_refused("detach a secret", &e.into()))?;
    made
}

fn write_secret(place: &Path, bytes: &[u8], owner: (u32, u32), mode: u32) -> Result<OwnedFd, Failure> {
    let path = place.join("file");
    let mut file = File::options().write(true).create_new(true).open(&path).during("create", "a secret")?;
    file.write_all(bytes).during("write", "a secret")?;
    let dir = File::open(place).during("open", "a secret")?;
    metadata::chown(dir.as_fd(), b"file", owner.0, owner.1).during("change the owner of", "a secret")?;
    metadata::chmod(dir.as_fd(), b"file", mode).during("change the mode of", "a secret")?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    rustix::mount::open_tree(CWD, &path, flags).map_err(|e| mount_refused("mount a secret", &e.into()))
}

/// A folder of the store, locked as its sharing says.
fn cache(layers: &Layers, content: &MountContent, out: &mut Volumes) -> Result<OwnedFd, Failure> {
    let MountContent::Cache { name, sharing, seed, path: part, uid, gid, mode } = content else {
        return Err(user("a cache mount is something else"));
    };
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(user("a cache mount has a name that is no digest"));
    }
    let caches = layers.caches();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&caches).during("create", &caches)?;
    let (path, lock) = claim(&caches, name, *sharing)?;
    out._locks.extend(lock);
    if !path.exists() {
        new_cache(layers, &path, seed.as_ref(), (*uid, *gid), *mode)?;
    }
    if !part.is_empty() {
        // Steps write into a cache, also while this one begins: a link there ends inside of it, or nowhere.
        let root = RootDir::open(&path).map_err(|e| user(e.to_string()))?;
        return clone_of(layers, &root, part);
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    rustix::mount::open_tree(CWD, &path, flags).map_err(|e| mount_refused("mount a cache", &e.into()))
}

/// Which folder a step gets: `locked` waits for it, `private` takes the first that nobody has.
fn claim(caches: &Path, name: &str, sharing: CacheSharing) -> Result<(PathBuf, Option<File>), Failure> {
    let lock_of = |name: &str| {
        let path = caches.join(format!("{name}.lock"));
        File::options().read(true).write(true).create(true).truncate(false).open(&path).during("create", &path)
    };
    match sharing {
        CacheSharing::Shared => Ok((caches.join(name), None)),
        CacheSharing::Locked => {
            let lock = lock_of(name)?;
            lock.lock().during("lock", caches.join(name))?;
            Ok((caches.join(name), Some(lock)))
        }
        CacheSharing::Private => {
            for number in 0..1000 {
                let name = if number == 0 { name.to_owned() } else { format!("{name}.{number}") };
                let lock = lock_of(&name)?;
                if lock.try_lock().is_ok() {
                    return Ok((caches.join(name), Some(lock)));
                }
            }
            Err(user("more than 1,000 steps use the same private cache mount"))
        }
    }
}

/// Made aside and renamed, so that a folder is never half filled. Of two that make it at once the second takes the first's.
fn new_cache(
    layers: &Layers,
    path: &Path,
    seed: Option<&(Vec<LayerId>, String)>,
    owner: (u32, u32),
    mode: u32,
) -> Result<(), Failure> {
    let work = layers.work_dir(&[])?;
    let place = work.path().join("cache");
    fs::DirBuilder::new().mode(0o755).create(&place).during("create", &place)?;
    if let Some((chain, from)) = seed {
        let source = CopySource::Layers { layers: chain.clone() };
        let spec = CopySpec { sources: vec![from.clone()], destination: "/".into(), ..CopySpec::default() };
        copy::into(layers, &place, &source, &spec)?;
    }
    let dir = File::open(&place).during("open", &place)?;
    metadata::chown(dir.as_fd(), b".", owner.0, owner.1).during("change the owner of", &place)?;
    metadata::chmod(dir.as_fd(), b".", mode).during("change the mode of", &place)?;
    match fs::rename(&place, path) {
        Err(error) if !matches!(error.raw_os_error(), Some(17 | 39)) => Err(error).during("create", path),
        _ => Ok(()),
    }
}
