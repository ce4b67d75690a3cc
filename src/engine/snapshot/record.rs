//! BuildKit's file record digest (cache/contenthash/tarsum.go): a tar-like header, then the bytes.

use std::io::{self, Read};

use crate::engine::worker::protocol::{Entry, EntryKind};
use crate::ground::digest::{Digest, Digester};

/// Whether an extended attribute counts: `security.capability`, and all that are neither `security.*` nor `system.*`.
pub fn xattr_counts(name: &str) -> bool {
    name == "security.capability" || !(name.starts_with("security.") || name.starts_with("system."))
}

/// The digest of `entry`'s header fields (its own `digest` is not read), to be fed with the bytes of a file.
pub fn header(entry: &Entry) -> Digester {
    let kind = match entry.kind {
        EntryKind::File => "0",
        EntryKind::Directory => "5",
        EntryKind::Symlink => "2",
        EntryKind::CharDevice => "3",
        EntryKind::BlockDevice => "4",
        EntryKind::Fifo => "6",
    };
    let mode = if entry.kind == EntryKind::Symlink { 0o777 } else { entry.mode & 0o7777 };
    let size = if entry.kind == EntryKind::File { entry.size } else { 0 };
    let (major, minor) = entry.device.unwrap_or((0, 0));
    let link = entry.link.as_deref().unwrap_or("");
    let mut digester = Digester::default();
    digester.update(format!(
        "namemode{mode}uid{}gid{}size{size}typeflag{kind}linkname{link}unamegnamedevmajor{major}devminor{minor}",
        entry.uid, entry.gid
    ));
    // Sorted here too: the digest must not depend on the order in which a file system lists attributes.
    let mut xattrs: Vec<_> = entry.xattrs.iter().filter(|(name, _)| xattr_counts(name)).collect();
    xattrs.sort();
    for (name, value) in xattrs {
        digester.update(name);
        digester.update(value);
    }
    digester
}

/// The record digest of `entry`, whose bytes (of a file) come from `content`.
pub fn record_digest(entry: &Entry, mut content: impl Read) -> io::Result<Digest> {
    let mut digester = header(entry);
    if entry.kind == EntryKind::File {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => digester.update(&buffer[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(digester.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: EntryKind, mode: u32, size: u64) -> Entry {
        let digest = Digest::of(b"");
        let (path, link, xattrs, device) = (String::new(), None, Vec::new(), None);
        Entry { path, kind, mode, uid: 0, gid: 0, size, link, xattrs, device, modified: (0, 0), digest }
    }

    /// Vectors of BuildKit's cache/contenthash/checksum_test.go.
    #[test]
    fn golden_files() {
        for (data, hex) in [
            ("data0", "cd8e75bca50f2d695f220d0cb0997d8ead387e4f926e8669a92d7f104cc9885b"),
            ("data1", "c2b5e234f5f38fc5864da7def04782f82501a40d46192e4207d5b3f0c3c4732b"),
            ("data2", "1c67653c3cf95b12a0014e2c4cd1d776b474b3218aee54155d6ae27b9b999c54"),
        ] {
            assert_eq!(record_digest(&entry(EntryKind::File, 0o644, 5), data.as_bytes()).unwrap().hex(), hex, "{data}");
        }
    }

    /// Directory D of the same test, put together from the records of its parts.
    #[test]
    fn golden_directory() {
        let data0 = record_digest(&entry(EntryKind::File, 0o644, 5), &b"data0"[..]).unwrap();
        let mut link = entry(EntryKind::Symlink, 0, 0);
        link.link = Some("abc".into());
        let link = record_digest(&link, io::empty()).unwrap();
        let head = record_digest(&entry(EntryKind::Directory, 0o755, 0), io::empty()).unwrap();
        let mut all = Digester::default();
        for (name, digest) in [("", head), ("abc", data0), ("def", link)] {
            all.update(format!("\0{name}{digest}"));
        }
        assert_eq!(all.finish().hex(), "555ffa3028630d97ba37832b749eda85ab676fd64ffb629fbf0f4ec8c1e3bff1");
    }

    #[test]
    fn attributes_that_count() {
        for (name, counts) in [
            ("security.capability", true),
            ("security.selinux", false),
            ("system.posix_acl_access", false),
            ("user.x", true),
            ("trusted.x", true),
        ] {
            assert_eq!(xattr_counts(name), counts, "{name}");
        }
    }
}
