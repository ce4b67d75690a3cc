//! What building both Dockerfiles showed.

use serde::Serialize;

/// The outcome of a verification.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verification {
    /// Both images are equal in everything that the original itself reproduces, and the saving was measured.
    pub proven: bool,
    /// Why not, in one sentence; none when it is proven.
    pub why: Option<String>,
    /// Paths (or settings) that differ between both images, with what differs.
    pub differing: Vec<String>,
    /// Paths that two builds of the original do not have in common, left out of the comparison.
    pub unreproducible: Vec<String>,
    /// Paths compared.
    pub compared: usize,
    /// What a change really cost with both.
    pub measured: Option<Measured>,
}

/// The same change, built with both Dockerfiles.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// The files that were changed.
    pub touched: Vec<String>,
    /// Microseconds with the original.
    pub now_micros: u64,
    /// Microseconds with the rewrite.
    pub after_micros: u64,
}
