//! One builder at a time for one step, across processes: of two that reach the same step, the second says whose pid it waits
//! for, takes the result, and takes over if the first dies. There is no lock over the whole store.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Solver;
use super::error::SolveError;
use crate::engine::event::{BuildEvent, VertexId};
use crate::ground::fs::{PathError, PathResultExt};

/// Held while a step runs. The kernel releases it when the holder dies.
pub(super) struct StepLock {
    file: File,
    path: PathBuf,
}

impl Drop for StepLock {
    fn drop(&mut self) {
        // Removed while still held: whoever waits sees that its file has no name any more and opens the next one.
        let _ = std::fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

fn open(path: &Path) -> Result<File, PathError> {
    File::options().read(true).write(true).create(true).truncate(false).open(path).at("create", path)
}

impl Solver<'_> {
    /// Waits until nobody else runs the step of this name.
    pub(super) fn lock_step(&self, vertex: VertexId, name: &str) -> Result<StepLock, SolveError> {
        let path = self.store.layout.lock(name);
        let fail = |error: PathError| {
            let hint = crate::ground::hint::Hint::hint(&error);
            SolveError::environment(&self.speaker.file, self.vertex(vertex), error, hint)
        };
        let mut waited = false;
        loop {
            let mut file = open(&path).map_err(fail)?;
            match file.try_lock() {
                Ok(()) => {
                    let named = path.metadata().is_ok_and(|named| file.metadata().is_ok_and(|own| own.ino() == named.ino()));
                    if named {
                        let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
                        return Ok(StepLock { file, path });
                    }
                }
                Err(TryLockError::WouldBlock) => {
                    self.check_cancelled(vertex)?;
                    if !waited {
                        waited = true;
                        let mut holder = String::new();
                        let _ = file.rewind().and_then(|()| file.read_to_string(&mut holder));
                        let pid: u32 = holder.trim().parse().unwrap_or(0);
                        // An identical step of this very build is no news: the hit says that they were merged.
                        if pid != std::process::id() {
                            self.speaker.say(BuildEvent::VertexWaiting { vertex, pid });
                        }
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(TryLockError::Error(error)) => return Err(fail(PathError { action: "lock", path, source: error })),
            }
        }
    }
}
