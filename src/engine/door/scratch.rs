//! A store beside the store: for builds that must neither find nor leave anything in the cache. It knows the same images, and
//! is gone when it is dropped.

use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::Engine;
use super::error::EngineError;
use crate::engine::oci::LayerId;
use crate::engine::protocol::Request;
use crate::engine::store::{Lease, Store};
use crate::engine::worker::{Snapshots, Worker};
use crate::ground::fs::PathResultExt;

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
        let free = |lock: File| lock.try_lock().is_ok();
        if File::open(entry.path().join("lock")).is_ok_and(free) {
            let _ = std::fs::remove_dir_all(entry.path());
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
        let root = folder.join("store");
        let lock = std::fs::create_dir_all(&folder).and_then(|()| {
            let lock = File::create(folder.join("lock"))?;
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
                let _ = std::fs::remove_dir_all(&folder);
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
        // Without root, layers belong to ids that only the worker can act for.
        let layers = std::fs::read_dir(self.engine.store.layout.root().join("layers")).into_iter().flatten().flatten();
        let own = layers.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let names: Vec<LayerId> = own.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        let remove = || Request::Remove { layers: names.clone() };
        let gone = self.engine.worker.call(remove(), Vec::new()).is_err();
        if gone && !rustix::process::geteuid().is_root() {
            // It was ended early. A new one begins by taking away what the dead one left.
            let again = Worker::spawn(self.engine.store.layout.root(), Snapshots::Best);
            let _ = again.and_then(|worker| worker.call(remove(), Vec::new()));
        }
        // A process that was killed a moment ago may still put something there.
        for _ in 0..20 {
            match std::fs::remove_dir_all(&self.folder) {
                Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                _ => break,
            }
        }
    }
}
