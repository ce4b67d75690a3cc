//! What builds under way use, so that nobody takes it away from under them.
//!
//! A lease is a file that its builder holds locked and appends names to; when the builder dies, the lock goes and with it the
//! lease. No lock is held over the store. The rule that makes this safe: a builder *notes* a name and then looks whether its
//! record is still there; a collector *removes* the record and then looks whether the name is noted. Whoever comes second sees
//! the first.

use std::collections::{BTreeSet, HashSet};
use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::ground::fs::{PathError, PathResultExt};

/// Held as long as a build is under way.
#[derive(Debug)]
pub struct Lease {
    /// The file, and what it says already: each step names all layers below it.
    noted: Mutex<(File, HashSet<String>)>,
    path: PathBuf,
}

impl Lease {
    /// Takes a lease in the store's folder of leases. Errors: the file cannot be made.
    pub fn take(folder: &Path) -> Result<Self, PathError> {
        loop {
            let path = folder.join(format!("{}-{}", std::process::id(), crate::ground::random_hex(6)));
            let file = File::options().create_new(true).append(true).open(&path).at("create", &path)?;
            file.lock().at("lock", &path)?;
            // A reader may have taken it for a dead one's between these two lines, and removed it.
            if file.metadata().at("lock", &path)?.nlink() > 0 {
                return Ok(Self { noted: Mutex::new((file, HashSet::new())), path });
            }
        }
    }

    /// Says that this build uses these. A note that cannot be written (a full disk) is an error: the name would be unprotected.
    pub fn note<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<(), PathError> {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, known) = &mut *noted;
        let new: Vec<&str> = names.into_iter().filter(|name| !known.contains(*name)).collect();
        if new.is_empty() {
            return Ok(());
        }
        file.write_all((new.join("\n") + "\n").as_bytes()).at("write", &self.path)?;
        known.extend(new.into_iter().map(str::to_owned));
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What all builds under way use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leased {
    /// The names.
    pub names: BTreeSet<String>,
    /// When the oldest of them began: what is younger may be half of a step's work, named by nobody yet.
    pub since: Option<SystemTime>,
}

impl Leased {
    /// Reads the leases of living builders and removes those of dead ones. Errors: the folder cannot be read.
    pub fn read(folder: &Path) -> Result<Self, PathError> {
        let mut leased = Self::default();
        for entry in std::fs::read_dir(folder).at("list", folder)?.flatten() {
            let path = entry.path();
            let Ok(mut file) = File::open(&path) else { continue };
            match file.try_lock() {
                Ok(()) => {
                    let _ = std::fs::remove_file(&path);
                }
                Err(TryLockError::WouldBlock) => {
                    let begun =
                        file.metadata().and_then(|meta| meta.created().or_else(|_| meta.modified())).at("read", &path)?;
                    leased.since = Some(leased.since.map_or(begun, |since| since.min(begun)));
                    // What was opened, not the path: its builder may end and take the name away at any moment.
                    let mut text = String::new();
                    file.read_to_string(&mut text).at("read", &path)?;
                    leased.names.extend(text.lines().map(str::to_owned));
                }
                Err(TryLockError::Error(error)) => return Err(PathError { action: "lock", path, source: error }),
            }
        }
        Ok(leased)
    }

    /// Whether a file of this age may belong to a build under way.
    pub fn may_own(&self, made: SystemTime) -> bool {
        self.since.is_some_and(|since| made >= since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_lasts_as_long_as_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let lease = Lease::take(dir.path()).unwrap();
        lease.note(["one", "two"]).unwrap();
        lease.note(["three"]).unwrap();
        let leased = Leased::read(dir.path()).unwrap();
        assert_eq!(leased.names.iter().map(String::as_str).collect::<Vec<_>>(), ["one", "three", "two"]);
        assert!(leased.may_own(SystemTime::now()));
        assert!(!leased.may_own(SystemTime::UNIX_EPOCH));
        drop(lease);
        assert_eq!(Leased::read(dir.path()).unwrap(), Leased::default());
        // What a killed builder left has no lock any more.
        std::fs::write(dir.path().join("1-dead"), "four\n").unwrap();
        assert_eq!(Leased::read(dir.path()).unwrap(), Leased::default());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    /// Seen in CI: builds that end between the look at the folder and the look into the file.
    #[test]
    fn a_lease_that_ends_while_it_is_read_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..3000 {
                    Lease::take(dir.path()).unwrap().note(["one"]).unwrap();
                }
                done.store(true, std::sync::atomic::Ordering::SeqCst);
            });
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                Leased::read(dir.path()).unwrap();
            }
        });
    }
}
