//! What is said of a shell: its terminal, and what it changed.

use serde::{Deserialize, Serialize};

/// The size of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Cells in a row.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

/// What comes over the socket of a shell's terminal, with the descriptor of the terminal's outer end.
#[derive(Debug, Serialize, Deserialize)]
pub struct Opened;

/// What differs from a chain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Sorted by path; not more than [`Changes::LISTED`].
    pub listed: Vec<Change>,
    /// All added paths.
    pub added: u64,
    /// All changed paths.
    pub changed: u64,
    /// All deleted paths; what was in a deleted directory is not counted.
    pub deleted: u64,
}

impl Changes {
    /// So many are listed.
    pub const LISTED: usize = 10_000;

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.added + self.changed + self.deleted
    }
}

/// One path that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Absolute; bytes that are no UTF-8 are replaced.
    pub path: String,
    /// How.
    pub kind: ChangeKind,
    /// It is (or was) a directory.
    pub directory: bool,
    /// Bytes before: of a file, or of all files in a deleted directory.
    pub before: Option<u64>,
    /// Bytes now.
    pub after: Option<u64>,
}

/// How a path differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// Content, kind, owner, mode or time differ.
    Changed,
    /// It is gone.
    Deleted,
}
