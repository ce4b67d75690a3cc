//! Layers without overlayfs, where it cannot be mounted: a chain is put together as a plain tree, and what a step changed in it is
//! found by comparing inode numbers and change times with those from before. The result is the layer directory that overlayfs
//! would have left: the same removals, the same marks, so stores and digests do not tell the two apart.
//!
//! Two things differ, and cannot be helped: a file that was opened for writing and not written to is not in the layer, and names
//! of one file in lower layers are separate files in the tree (as writing to one of them makes them in overlayfs, too).

mod assemble;
mod changes;

pub use assemble::{Files, assemble};
pub use changes::Baseline;
