//! A store beside the store: for builds that must neither find nor leave anything in the cache. It knows the same images, and
//! is gone when it is dropped.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Engine;
use super::error::EngineError;
use crate::engine::oci::LayerId;
use crate::engine::protocol::Request;
use crate::engine::store::{Lease, Store};
use crate::engine::worker::{Snapshots, Worker};
use crate::ground::fs::PathResultExt;

/// The store in the folder of a scratch store, and the file that says that somebody works there.
const STORE: &str = "store";
const LOCK: &str = "lock";

/// An engine on a store of its own.
pub struct Scratch {
    /// The engine.
    pub engine: Engine,
    folder: PathBuf,
    /// What is borrowed from the store stays there.
    _lease: Lease,
    /// Says that somebody works in the folder.
    _lock: File,
}

/// Removes what killed programs left.
fn sweep(all: &Path) {
    for entry in std::fs::read_dir(all).into_iter().flatten().flatten() {
        let free = |lock: &File| lock.try_lock().is_ok();
        if let Some(_lock) = File::open(entry.path().join(LOCK)).ok().filter(free) {
            remove(&entry.path(), None);
        }
    }
}

/// Takes a scratch store away. Its lock goes last: what cannot be removed now is found again.
fn remove(folder: &Path, worker: Option<&Worker>) {
    let root = folder.join(STORE);
    // Without root, layers belong to ids that only the worker can act for.
    let layers = std::fs::read_dir(root.join("layers")).into_iter().flatten().flatten();
    let own = layers.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let names: Vec<LayerId> = own.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let take = |worker: &Worker| worker.call(Request::Remove { layers: names.clone() }, Vec::new()).is_ok();
    if !names.is_empty() && !worker.is_some_and(take) && !rustix::process::geteuid().is_root() {
        // It was ended early. A new one begins by taking away what the dead one left.
        let _ = Worker::spawn(&root, Snapshots::Best).map(|worker| take(&worker));
    }
    let gone = ["context", "Dockerfile", STORE].map(|name| is_removed(&folder.join(name)));
    if gone == [true; 3] {
        is_removed(folder);
    }
}

fn is_removed(path: &Path) -> bool {
    // A process that was killed a moment ago may still put something there.
    for _ in 0..20 {
        let removed = match path.symlink_metadata() {
            Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
            Ok(_) => std::fs::remove_file(path),
            Err(error) => Err(error),
        };
        match removed.map_err(|error| error.kind()) {
            Ok(()) | Err(ErrorKind::NotFound) => return true,
            Err(ErrorKind::DirectoryNotEmpty) => std::thread::sleep(Duration::from_millis(20)),
            // Copies of folders that nobody may write.
            Err(ErrorKind::PermissionDenied) => open_up(path),
            Err(_) => return false,
        }
    }
    false
}

/// Gives the owner every right to a folder and those in it.
fn open_up(folder: &Path) {
    let mut todo = vec![folder.to_owned()];
    while let Some(folder) = todo.pop() {
        if std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).is_ok() {
            let inside = std::fs::read_dir(&folder).into_iter().flatten().flatten();
            let folders = inside.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            todo.extend(folders.map(|entry| entry.path()));
        }
    }
}

impl Engine {
    /// Makes an empty store that has the images of this one. Blobs and layers of images are shared, nothing else is. Errors: the
    /// store cannot be written, or a worker cannot be started.
    pub fn scratch(&self, snapshots: Snapshots) -> Result<Scratch, EngineError> {
        let lease = self.store.lease()?;
        let own = &self.store.layout;
        // Not in `tmp`, which every worker empties when it starts.
        let all = own.root().join("scratch");
        sweep(&all);
        let folder = all.join(crate::ground::random_hex(8));
        let root = folder.join(STORE);
        let lock = std::fs::create_dir_all(&folder).and_then(|()| {
            let lock = File::create(folder.join(LOCK))?;
            lock.lock()?;
            Ok(lock)
        });
        let lock = lock.at("lock", &folder).map_err(crate::engine::store::StoreError::from)?;
        let make = || -> Result<Store, EngineError> {
            std::fs::create_dir_all(&root).at("create", &root).map_err(crate::engine::store::StoreError::from)?;
            let blobs = root.join("blobs");
            symlink(own.root().join("blobs"), &blobs)
                .at("create", &blobs)
                .map_err(crate::engine::store::StoreError::from)?;
            let store = Store::open(&root)?;
            for (name, record, created) in self.store.index.images()? {
                for layer in record.layers.iter().filter(|layer| layer.blob.is_none()) {
                    lease.note([layer.layer.as_str()]).map_err(crate::engine::store::StoreError::from)?;
                    let link = store.layout.layer(&layer.layer);
                    if std::fs::symlink_metadata(&link).is_err() {
                        let from = own.layer(&layer.layer);
                        symlink(from, &link).at("create", &link).map_err(crate::engine::store::StoreError::from)?;
                    }
                }
                store.index.put_image(&name, &record, created)?;
            }
            Ok(store)
        };
        let made = make().and_then(|store| {
            drop(store);
            let engine = Engine::open(&root, Worker::spawn(&root, snapshots)?)?;
            // Nobody needs it after a power cut.
            engine.store.index.with(|db| db.execute_batch("pragma synchronous = off"))?;
            Ok(engine)
        });
        match made {
            Ok(engine) => {
                let engine = Engine { sources: self.sources.clone(), ..engine };
                Ok(Scratch { engine, folder, _lease: lease, _lock: lock })
            }
            Err(error) => {
                remove(&folder, None);
                Err(error)
            }
        }
    }
}

impl Scratch {
    /// A folder that goes with it.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// Ends whatever goes on in it, at once: what it made is not wanted any more.
    pub fn abandon(&self) {
        self.engine.worker.abort();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.folder, Some(&self.engine.worker));
    }
}
