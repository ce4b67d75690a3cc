//! File operations that carry the path in their errors, and safe path resolution inside a root.

pub mod atomic;
pub mod error;
pub mod root;

pub use atomic::AtomicFile;
pub use error::{PathError, PathResultExt};
pub use root::{Missing, RealPath, RootDir};
