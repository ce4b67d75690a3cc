//! Remembers digests of files by what `stat` says, so that an unchanged file is not read again.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use rustix::fs::Stat;

use crate::ground::digest::Digest;
use crate::ground::fs::{AtomicFile, PathError};

const MAGIC: &[u8; 8] = b"rbstat02";
const RECORD: usize = 8 * 6 + 32;
/// Beside the mode, which has 32 bits.
const HAS_XATTRS: u64 = 1 << 32;

/// Digests by device and inode; valid while size, times and mode stay the same.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct StatIndex {
    files: HashMap<(u64, u64), (Signature, Known)>,
}

/// What is remembered of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its record digest.
    pub digest: Digest,
    /// Whether it has extended attributes that count.
    pub has_xattrs: bool,
}

/// What must be unchanged: size, mtime, ctime, mode. ctime cannot be set by programs, so that a file with a forged mtime is
/// still read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Signature {
    size: u64,
    modified: i64,
    changed: i64,
    mode: u32,
}

fn nanos(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}

fn signature(stat: &Stat) -> Signature {
    Signature {
        size: stat.st_size as u64,
        modified: nanos(stat.st_mtime, stat.st_mtime_nsec as i64),
        changed: nanos(stat.st_ctime, stat.st_ctime_nsec as i64),
        mode: stat.st_mode,
    }
}

impl StatIndex {
    /// The remembered digest of a file, if nothing that `stat` sees has changed.
    pub fn get(&self, stat: &Stat) -> Option<Known> {
        let (seen, known) = self.files.get(&(stat.st_dev, stat.st_ino))?;
        (*seen == signature(stat)).then_some(*known)
    }

    /// Remembers a digest. A file changed at or after `scan_began` (nanoseconds since 1970) is left out: it could change once
    /// more within the same tick of the clock without `stat` showing it.
    pub fn put(&mut self, stat: &Stat, known: Known, scan_began: i64) {
        const TICK: i64 = 20_000_000;
        let signature = signature(stat);
        if signature.changed < scan_began - TICK && signature.modified < scan_began - TICK {
            self.files.insert((stat.st_dev, stat.st_ino), (signature, known));
        }
    }

    /// Takes over what another index knows; it is the newer one.
    pub fn extend(&mut self, newer: Self) {
        self.files.extend(newer.files);
    }

    /// Reads an index. A missing, torn or foreign file is an empty index: it only saves work.
    pub fn load(path: &Path) -> Self {
        let Ok(bytes) = std::fs::read(path) else { return Self::default() };
        let Some(body) = bytes.strip_prefix(MAGIC) else { return Self::default() };
        let mut files = HashMap::with_capacity(body.len() / RECORD);
        for record in body.chunks_exact(RECORD) {
            let word = |at: usize| u64::from_le_bytes(record[at * 8..at * 8 + 8].try_into().unwrap_or_default());
            let signature =
                Signature { size: word(2), modified: word(3) as i64, changed: word(4) as i64, mode: word(5) as u32 };
            let digest = Digest::from_bytes(record[48..].try_into().unwrap_or_default());
            let known = Known { digest, has_xattrs: word(5) & HAS_XATTRS != 0 };
            files.insert((word(0), word(1)), (signature, known));
        }
        Self { files }
    }

    /// Writes the index.
    pub fn save(&self, path: &Path) -> Result<(), PathError> {
        let mut out = Vec::with_capacity(8 + self.files.len() * RECORD);
        out.extend_from_slice(MAGIC);
        for ((device, inode), (signature, known)) in &self.files {
            for word in [
                *device,
                *inode,
                signature.size,
                signature.modified as u64,
                signature.changed as u64,
                u64::from(signature.mode) | if known.has_xattrs { HAS_XATTRS } else { 0 },
            ] {
                out.extend_from_slice(&word.to_le_bytes());
            }
            out.extend_from_slice(known.digest.as_bytes());
        }
        let mut file = AtomicFile::create(path)?;
        file.write_all(&out).map_err(|source| PathError { action: "write", path: path.to_owned(), source })?;
        // No sync: losing this file costs time, not correctness.
        file.commit_unsynced()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_a_round_trip_and_distrusts_young_and_changed_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "1").unwrap();
        let stat = rustix::fs::stat(&path).unwrap();
        let known = Known { digest: Digest::of("1"), has_xattrs: true };
        let mut index = StatIndex::default();
        index.put(&stat, known, signature(&stat).changed);
        assert_eq!(index.get(&stat), None, "too young");
        index.put(&stat, known, signature(&stat).changed + 1_000_000_000);
        let file = dir.path().join("index");
        index.save(&file).unwrap();
        let loaded = StatIndex::load(&file);
        assert_eq!(loaded.get(&stat), Some(known));
        std::fs::write(&path, "22").unwrap();
        assert_eq!(loaded.get(&rustix::fs::stat(&path).unwrap()), None);
    }
}
