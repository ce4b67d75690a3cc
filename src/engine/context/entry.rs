//! One file, directory or link of a tree, with everything that counts for its content hash.

use serde::{Deserialize, Serialize};

use crate::ground::digest::{Digest, Digester};

/// Which paths of a tree an operation reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Selector {
    /// Relative to the root, `/`-separated, no leading slash; the root itself is empty.
    pub path: String,
    /// It is a pattern in the sense of Go's `filepath.Match`.
    pub wildcard: bool,
    /// A link at the end of the path is followed.
    pub follow_links: bool,
    /// `COPY --parents`: only what matches one of these patterns, below the path, and the directories above it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// `COPY --exclude`: nothing that matches these patterns, below the path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Must exist, although only a pattern names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<String>,
}

impl Selector {
    /// A path, or a pattern if it has a character that makes it one; links are followed.
    pub fn new(path: impl Into<String>) -> Self {
        let path = path.into();
        Self { wildcard: super::pattern::is_pattern(&path), path, follow_links: true, ..Self::default() }
    }

    /// Whether patterns decide about what is below the path.
    pub fn is_filtered(&self) -> bool {
        !self.include.is_empty() || !self.exclude.is_empty()
    }

    /// What has to be read to know all that it selects: as little as its patterns allow.
    pub fn reach(&self) -> Self {
        let [include] = self.include.as_slice() else { return self.clone() };
        let simple = |part: &&str| !part.contains(['[', '\\', '!']) && !part.contains("**");
        let parts = self.path.split('/').chain(include.split('/').take_while(simple)).filter(|part| !part.is_empty());
        let path = parts.collect::<Vec<_>>().join("/");
        Self { follow_links: self.follow_links, ..Self::new(path) }
    }
}

/// One file, directory or link of a tree, with everything that counts for its content hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Relative to the root, `/`-separated, no leading slash; the root itself is empty.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits with setuid, setgid and sticky: `0o7777`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes; 0 unless it is a file.
    pub size: u64,
    /// Target of a symbolic link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Extended attributes that count (see the content hash), sorted by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub xattrs: Vec<(String, Vec<u8>)>,
    /// Device numbers of a device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<(u32, u32)>,
    /// Modification time: seconds and nanoseconds since 1970. Not part of any hash.
    pub modified: (i64, u32),
    /// BuildKit's file record digest: sha-256 over the header fields and, for a file, its bytes.
    pub digest: Digest,
}

/// Kinds of directory entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum EntryKind {
    File,
    Directory,
    Symlink,
    CharDevice,
    BlockDevice,
    Fifo,
}

impl EntryKind {
    /// The type flag of its tar header.
    fn type_flag(self) -> char {
        match self {
            Self::File => '0',
            Self::Symlink => '2',
            Self::CharDevice => '3',
            Self::BlockDevice => '4',
            Self::Directory => '5',
            Self::Fifo => '6',
        }
    }

    /// The word of messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Symlink => "link",
            Self::CharDevice | Self::BlockDevice => "device",
            Self::Fifo => "fifo",
        }
    }
}

/// Whether an extended attribute counts: `security.capability`, and all that are neither `security.*` nor `system.*`.
pub fn xattr_counts(name: &str) -> bool {
    name == "security.capability" || (!name.is_empty() && !name.starts_with("security.") && !name.starts_with("system."))
}

/// Starts a file record digest: the header fields of `entry` (its `digest` is not read), to which the bytes of a file are
/// added. Owner, mode, size, link and attributes count, times and names do not.
///
/// Source: BuildKit `cache/contenthash/filehash.go` and `tarsum.go` (`reference/cache-semantics.md`, section 2).
pub fn record_digester(entry: &Entry) -> Digester {
    let mode = if entry.kind == EntryKind::Symlink { 0o777 } else { entry.mode };
    let (major, minor) = entry.device.unwrap_or((0, 0));
    let size = if entry.kind == EntryKind::File { entry.size } else { 0 };
    let mut digester = Digester::default();
    digester.update(format!(
        "namemode{mode}uid{}gid{}size{size}typeflag{}linkname{}unamegnamedevmajor{major}devminor{minor}",
        entry.uid,
        entry.gid,
        entry.kind.type_flag(),
        entry.link.as_deref().unwrap_or("")
    ));
    for (name, value) in &entry.xattrs {
        digester.update(name);
        digester.update(value);
    }
    digester
}

/// The record digest of an entry without bytes (anything but a file).
pub fn header_digest(entry: &Entry) -> Digest {
    record_digester(entry).finish()
}

#[cfg(test)]
pub(crate) mod fixtures {
    use super::*;

    pub fn node(path: &str, kind: EntryKind, mode: u32, link: Option<&str>, data: &[u8]) -> Entry {
        let mut entry = Entry {
            path: path.into(),
            kind,
            mode,
            uid: 0,
            gid: 0,
            size: data.len() as u64,
            link: link.map(str::to_owned),
            xattrs: Vec::new(),
            device: None,
            modified: (0, 0),
            digest: Digest::of(b""),
        };
        let mut digester = record_digester(&entry);
        digester.update(data);
        entry.digest = digester.finish();
        entry
    }

    pub fn file(path: &str, data: &str) -> Entry {
        node(path, EntryKind::File, 0o644, None, data.as_bytes())
    }

    pub fn dir(path: &str) -> Entry {
        node(path, EntryKind::Directory, 0o755, None, b"")
    }

    pub fn link(path: &str, target: &str) -> Entry {
        node(path, EntryKind::Symlink, 0o777, Some(target), b"")
    }
}

#[cfg(test)]
mod tests {
    use super::fixtures::*;

    #[test]
    fn golden_file_records() {
        let golden = [
            ("data0", "cd8e75bca50f2d695f220d0cb0997d8ead387e4f926e8669a92d7f104cc9885b"),
            ("data1", "c2b5e234f5f38fc5864da7def04782f82501a40d46192e4207d5b3f0c3c4732b"),
            ("data2", "1c67653c3cf95b12a0014e2c4cd1d776b474b3218aee54155d6ae27b9b999c54"),
        ];
        for (data, want) in golden {
            assert_eq!(file("x", data).digest.hex(), want);
        }
    }
}
