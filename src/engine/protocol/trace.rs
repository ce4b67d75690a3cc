//! How much of a step is watched.

use serde::{Deserialize, Serialize};

/// How much of a step is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceBudget {
    /// System calls that are looked at; the step goes on unwatched after that.
    pub events: u64,
    /// Bytes of paths that are remembered.
    pub bytes: u64,
}

impl Default for TraceBudget {
    /// So many calls cost some five seconds on a busy machine; what makes more scans files, and reads everything anyway.
    fn default() -> Self {
        Self { events: 250_000, bytes: 64 << 20 }
    }
}
