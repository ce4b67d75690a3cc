//! Where layers lie in the store, and how one appears: made in a work directory of this worker, synced, renamed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::FlockOperation;

use super::failure::During;
use super::plain::Baseline;
use super::stat;
use crate::engine::event::LayerStat;
use crate::engine::oci::LayerId;
use crate::engine::protocol::Failure;
use crate::ground::fs::root::remove_all;
use crate::ground::random_hex;

/// The layers of one store: `layers/<id>/` in overlayfs form with `layers/<id>.stat` beside it, `tmp/<worker>/<n>/` for
/// work in progress, and `tmp/<worker>.lock`, held as long as the worker lives.
#[derive(Debug)]
pub struct Layers {
    layers: PathBuf,
    work: PathBuf,
    lock_path: PathBuf,
    next: AtomicU64,
    pub(super) snapshotter: Snapshotter,
    _lock: File,
}

/// How a chain becomes a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Snapshotter {
    /// By overlayfs.
    Overlay,
    /// As a plain tree, which takes time and space: where there is no overlayfs.
    Copy,
}

/// Work in progress: `upper`, `work` and `root` under one directory that is removed on drop.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
    /// The plain tree on which was worked, as it was before.
    pub(super) baseline: OnceLock<Baseline>,
}

/// Layers with more entries than this are made durable by syncfs; smaller ones file by file, which does not wait for
/// what other processes have written.
const SYNC_SINGLY: u64 = 64;

impl Layers {
    /// Opens the layers of `store`, making the directories, and removes what dead workers left.
    pub fn open(store: &Path) -> Result<Self, Failure> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(store).during("create", store)?;
        let store = fs::canonicalize(store).during("open", store)?;
        super::form::check(&store)?;
        let (layers, tmp) = (store.join("layers"), store.join("tmp"));
        for dir in [&layers, &tmp] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).during("create", dir)?;
        }
        sweep(&tmp)?;
        let name = format!("{}-{}", std::process::id(), random_hex(6));
        let (lock_path, lock) = lock(&tmp, &name)?;
        let work = tmp.join(&name);
        fs::DirBuilder::new().mode(0o700).create(&work).during("create", &work)?;
        let snapshotter = Snapshotter::Overlay;
        Ok(Self { layers, work, lock_path, next: AtomicU64::new(0), snapshotter, _lock: lock })
    }

    /// Has chains put together in this way.
    pub fn with(mut self, snapshotter: Snapshotter) -> Self {
        self.snapshotter = snapshotter;
        self
    }

    /// The directory of a layer.
    pub fn path(&self, id: &LayerId) -> PathBuf {
        self.layers.join(id.as_str())
    }

    /// A new work directory with `upper` and `work` in it. The upper's root takes its attributes from the layer on top.
    pub fn work_dir(&self, parents: &[LayerId]) -> Result<WorkDir, Failure> {
        let path = self.work.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let dir = WorkDir { path, baseline: OnceLock::new() };
        fs::DirBuilder::new().mode(0o700).create(&dir.path).during("create", &dir.path)?;
        for part in ["upper", "work", "root"] {
            fs::DirBuilder::new().mode(0o755).create(dir.path.join(part)).during("create", &dir.path)?;
        }
        let upper = dir.upper();
        let (mode, owner) = match parents.last() {
            Some(top) => {
                let meta = fs::metadata(self.path(top)).during("open", self.path(top))?;
                (meta.mode() & 0o7777, (meta.uid(), meta.gid()))
            }
            None => (0o755, (0, 0)),
        };
        std::os::unix::fs::chown(&upper, Some(owner.0), Some(owner.1)).during("change the owner of", &upper)?;
        fs::set_permissions(&upper, fs::Permissions::from_mode(mode)).during("change the mode of", &upper)?;
        Ok(dir)
    }

    /// Where the folders of cache mounts lie.
    pub fn caches(&self) -> PathBuf {
        self.layers.with_file_name("caches")
    }

    /// The statistics of a layer if it is there.
    pub fn stat(&self, id: &LayerId) -> Result<Option<LayerStat>, Failure> {
        let path = self.path(id);
        if !path.is_dir() {
            return Ok(None);
        }
        let beside = self.layers.join(format!("{id}.stat"));
        if let Some(known) = fs::read(&beside).ok().and_then(|text| serde_json::from_slice(&text).ok()) {
            return Ok(Some(known));
        }
        let stat = stat::of(&path)?;
        // Only a shortcut: without it the layer is counted again, and on a full disk it is not worth a failure.
        let _ = self.write_stat(id, &stat);
        Ok(Some(stat))
    }

    /// Counts the files of a layer, whatever was noted when it was made.
    pub fn recount(&self, id: &LayerId) -> Result<LayerStat, Failure> {
        stat::of(&self.path(id))
    }

    fn write_stat(&self, id: &LayerId, stat: &LayerStat) -> Result<(), Failure> {
        let beside = self.layers.join(format!("{id}.stat"));
        let text = serde_json::to_vec(stat).map_err(io::Error::from).during("write", &beside)?;
        // Not synced: it can be made again from the layer, and a torn one does not parse.
        let temporary = self.work.join(format!("{}.stat", random_hex(6)));
        fs::write(&temporary, text).during("write", &temporary)?;
        fs::rename(&temporary, &beside).during("write", &beside)
    }

    /// The directory that holds what was written in `work`, in overlayfs' form. Call when nobody writes any more.
    pub fn settled(&self, work: &WorkDir) -> Result<PathBuf, Failure> {
        let upper = work.upper();
        if let Some(baseline) = work.baseline.get() {
            baseline.settle(&upper)?;
        }
        Ok(upper)
    }

    /// Makes `work`'s upper the layer `id`: synced, renamed, its directory synced. If another process was first, its layer
    /// is used and ours dropped.
    pub fn commit(&self, work: &WorkDir, id: &LayerId) -> Result<LayerStat, Failure> {
        self.commit_with(work, id, Links::New)
    }

    /// The same for a layer that says what its hard links are.
    pub fn commit_with(&self, work: &WorkDir, id: &LayerId, links: Links) -> Result<LayerStat, Failure> {
        let upper = self.settled(work)?;
        let stat = stat::of(&upper)?;
        let many = match links {
            Links::New => stat.entries + stat.removed > SYNC_SINGLY,
            // What counts is what was written: links and directories are in the journal by the first sync.
            Links::OfDurableFiles => count_written(&upper, SYNC_SINGLY).during("read", &upper)? > SYNC_SINGLY,
        };
        if many {
            let dir = File::open(&upper).during("open", &upper)?;
            rustix::fs::syncfs(&dir).during("sync", &upper)?;
        } else if stat != LayerStat::default() {
            // An empty directory needs no sync of its own: the one below brings its name and itself.
            sync_tree(&upper, links).during("sync", &upper)?;
        }
        let path = self.path(id);
        match fs::rename(&upper, &path) {
            Ok(()) => {}
            // An empty directory can be renamed over; a full one answers one of these two.
            Err(error) if matches!(error.raw_os_error(), Some(17 | 39)) => {
                return self.stat(id)?.ok_or_else(|| super::failure::internal(format!("layer `{id}` is no directory")));
            }
            Err(error) => return Err(error).during("create", &path),
        }
        File::open(&self.layers).and_then(|dir| dir.sync_all()).during("sync", &self.layers)?;
        // Only a shortcut: without it the layer is counted again, and on a full disk it is not worth a failure.
        let _ = self.write_stat(id, &stat);
        Ok(stat)
    }

    /// Removes layers; missing ones are fine.
    pub fn remove(&self, ids: &[LayerId]) -> Result<(), Failure> {
        for id in ids {
            for beside in ["stat", "digests"] {
                let _ = fs::remove_file(self.layers.join(format!("{id}.{beside}")));
            }
            let gone = self.work.join(format!("gone-{}", random_hex(6)));
            match fs::rename(self.path(id), &gone) {
                Ok(()) => remove_path(&gone).during("remove", self.path(id))?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).during("remove", self.path(id)),
            }
        }
        Ok(())
    }
}

impl Drop for Layers {
    fn drop(&mut self) {
        let _ = remove_path(&self.work);
        let _ = fs::remove_file(&self.lock_path);
    }
}

impl WorkDir {
    /// Itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What becomes the layer.
    pub fn upper(&self) -> PathBuf {
        self.path.join("upper")
    }

    /// Where what becomes the layer is written straight, past a mount. A directory of lower layers is there if it was made
    /// or changed through the root.
    pub fn content(&self) -> PathBuf {
        self.baseline.get().map_or_else(|| self.upper(), |baseline| baseline.tree().to_owned())
    }

    /// overlayfs' own.
    pub fn work(&self) -> PathBuf {
        self.path.join("work")
    }

    /// A mount point.
    pub fn root(&self) -> PathBuf {
        self.path.join("root")
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        let _ = remove_path(&self.path);
    }
}

/// Makes and locks `tmp/<name>.lock`. A sweeper may lock and remove the file between its creation and our lock.
fn lock(tmp: &Path, name: &str) -> Result<(PathBuf, File), Failure> {
    let path = tmp.join(format!("{name}.lock"));
    loop {
        let file = File::options().create(true).truncate(false).write(true).open(&path).during("create", &path)?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive).during("lock", &path)?;
        if file.metadata().during("lock", &path)?.nlink() > 0 {
            return Ok((path, file));
        }
    }
}

/// Removes the work directories whose lock nobody holds.
fn sweep(tmp: &Path) -> Result<(), Failure> {
    for entry in fs::read_dir(tmp).during("list", tmp)?.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "lock") {
            let Ok(file) = File::open(&path) else { continue };
            if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                let _ = remove_path(&path.with_extension(""));
                let _ = fs::remove_file(&path);
            }
        } else if path.is_dir() && !path.with_extension("lock").exists() {
            let _ = remove_path(&path);
        }
    }
    Ok(())
}

fn remove_path(path: &Path) -> io::Result<()> {
    use std::os::fd::AsFd;
    use std::os::unix::ffi::OsStrExt;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    remove_all(File::open(parent)?.as_fd(), name.as_bytes())
}

/// What the hard links of a new layer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// Files of this layer with several names.
    New,
    /// Files of an earlier layer, whose bytes are durable: every file with several names.
    OfDurableFiles,
}

/// Files with one name below `dir`, counted up to a little above `enough`.
fn count_written(dir: &Path, enough: u64) -> io::Result<u64> {
    let mut count = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            count += count_written(&entry.path(), enough.saturating_sub(count))?;
        } else if !kind.is_file() || entry.metadata()?.nlink() == 1 {
            count += 1;
        }
        if count > enough {
            break;
        }
    }
    Ok(count)
}

/// fsync of the written files and of every directory.
fn sync_tree(dir: &Path, links: Links) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sync_tree(&entry.path(), links)?;
        } else if kind.is_file() && (links == Links::New || entry.metadata()?.nlink() == 1) {
            File::open(entry.path())?.sync_data()?;
        }
    }
    File::open(dir)?.sync_all()
}
