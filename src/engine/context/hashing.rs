//! Reads what counts of the files that a scan found, on all cores, and nothing twice that the index knows.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::entry::{Entry, EntryKind, header_digest, record_digester, xattr_counts};
use super::stat_index::{Known, StatIndex};
use super::walk::Found;
use crate::ground::cancel::CancelToken;
use crate::ground::digest::Digest;
use crate::ground::fs::{PathError, PathResultExt};

/// Fills in extended attributes and the digests of files: from the index where `stat` agrees, else by reading, on all cores.
/// A file's new attribute moves its ctime, so that the index is asked for them too. Large files take long: it ends early, with an
/// error, when that is wished.
pub(super) fn hash(
    root: &Path,
    found: &mut [Found],
    known: &StatIndex,
    began: i64,
    cancel: &CancelToken,
) -> Result<(StatIndex, u64), PathError> {
    let mut index = StatIndex::default();
    let mut todo = Vec::new();
    for (at, item) in found.iter_mut().enumerate() {
        let path = root.join(&item.entry.path);
        if item.entry.path.is_empty() {
            // The root of a context has a constant header.
            continue;
        }
        if item.entry.kind != EntryKind::File {
            item.entry.xattrs = xattrs(&path);
            if !item.entry.xattrs.is_empty() {
                item.entry.digest = header_digest(&item.entry);
            }
            continue;
        }
        match known.get(&item.stat) {
            Some(known) => {
                item.entry.digest = known.digest;
                if known.has_xattrs {
                    item.entry.xattrs = xattrs(&path);
                }
                index.put(&item.stat, known, began);
            }
            None => {
                item.entry.xattrs = xattrs(&path);
                todo.push(at);
            }
        }
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(todo.len().max(1));
    let shared: &[Found] = found;
    let results: Vec<Result<Vec<(usize, Digest)>, PathError>> = std::thread::scope(|scope| {
        let work = || {
            let mut out = Vec::new();
            let mut buffer = vec![0; 128 << 10];
            while let Some(&at) = todo.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                let entry = &shared[at].entry;
                out.push((at, hash_file(&root.join(&entry.path), entry, &mut buffer, cancel)?));
            }
            Ok(out)
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|w| w.join().unwrap_or_else(|_| Ok(Vec::new()))).collect()
    });
    for result in results {
        for (at, digest) in result? {
            found[at].entry.digest = digest;
            index.put(&found[at].stat, Known { digest, has_xattrs: !found[at].entry.xattrs.is_empty() }, began);
        }
    }
    Ok((index, todo.len() as u64))
}

fn hash_file(path: &PathBuf, entry: &Entry, buffer: &mut [u8], cancel: &CancelToken) -> Result<Digest, PathError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::empty()).at("read", path)?);
    let mut digester = record_digester(entry);
    let mut total = 0;
    loop {
        let n = file.read(buffer).at("read", path)?;
        if n == 0 {
            break;
        }
        total += n as u64;
        digester.update(&buffer[..n]);
        if cancel.is_cancelled() {
            return Err(std::io::Error::other("cancelled")).at("read", path);
        }
    }
    if total != entry.size {
        let cause = std::io::Error::other("it changed while it was read; run the same command again");
        return Err(cause).at("read", path);
    }
    Ok(digester.finish())
}

/// The extended attributes that count, sorted. What cannot be read does not count, as for BuildKit's client.
fn xattrs(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names = [0u8; 4096];
    let Ok(len) = rustix::fs::llistxattr(path, &mut names[..]) else { return Vec::new() };
    let mut out = Vec::new();
    for name in names[..len].split(|b| *b == 0).filter_map(|name| std::str::from_utf8(name).ok()) {
        let mut value = vec![0u8; 64 << 10];
        if xattr_counts(name)
            && !name.starts_with("com.apple.")
            && let Ok(len) = rustix::fs::lgetxattr(path, name, &mut value[..])
        {
            value.truncate(len);
            out.push((name.to_owned(), value));
        }
    }
    out.sort();
    out
}
