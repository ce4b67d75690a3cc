//! What one layer holds.

use super::path::TreePath;
use crate::ground::digest::Digest;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A file with bytes of its own.
    File,
    /// A directory.
    Directory,
    /// To this target, which is as untrusted as the layer.
    Symlink(Vec<u8>),
    /// A further name of a file, as the tar writes it.
    HardLink(Vec<u8>),
    /// Major and minor number.
    CharDevice(u32, u32),
    /// Major and minor number.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
    /// The path is taken away from the layers below: `.wh.NAME`.
    Whiteout,
    /// Everything that the layers below have in this directory is taken away: `.wh..wh..opq`.
    Opaque,
}

/// What was read of a file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Passed over.
    Skipped,
    /// Their digest.
    Hashed(Digest),
}

/// One entry, whose words are as untrusted as the layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where; for a whiteout what it takes away, for an opaque mark the directory.
    pub path: TreePath,
    /// What.
    pub kind: Kind,
    /// `0o7777`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Seconds since 1970.
    pub modified: i64,
    /// Names of extended attributes.
    pub xattrs: Vec<String>,
    /// Of a file.
    pub content: Content,
}

/// The entries of one layer, in the order in which its tar has them: a later one replaces an earlier one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// All.
    pub entries: Vec<Entry>,
    /// Why the list ends before the layer does; such a layer was not verified.
    pub cut: Option<String>,
    /// Members that are not listed because their names cannot be names of files.
    pub left_out: u64,
}

impl Kind {
    /// As `ls -l` begins a line: `-`, `d`, `l` …; `h` for a hard link.
    pub fn letter(&self) -> char {
        match self {
            Self::File => '-',
            Self::Directory => 'd',
            Self::Symlink(_) => 'l',
            Self::HardLink(_) => 'h',
            Self::CharDevice(..) => 'c',
            Self::BlockDevice(..) => 'b',
            Self::Fifo => 'p',
            Self::Whiteout | Self::Opaque => 'w',
        }
    }

    /// The word of JSON documents.
    pub fn word(&self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Symlink(_) => "symlink",
            Self::HardLink(_) => "hardlink",
            Self::CharDevice(..) => "chardev",
            Self::BlockDevice(..) => "blockdev",
            Self::Fifo => "fifo",
            Self::Whiteout => "whiteout",
            Self::Opaque => "opaque",
        }
    }
}
