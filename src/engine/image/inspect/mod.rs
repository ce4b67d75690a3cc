//! Opens any image or step as what its layers hold: each layer a list of entries, all of them as one tree, what they waste, and
//! how two images differ. The hard rule: a layer is read from its tar, wherever that comes from, and to its end, so that what is
//! shown is what its digest names. Start with [`read`], then [`stack`].

pub mod compare;
pub mod entry;
pub mod path;
pub mod preview;
pub mod read;
pub mod source;
pub mod stack;
pub mod tree;
pub mod waste;

#[cfg(test)]
pub(crate) mod fixture;

pub use compare::{Comparison, Difference, compare};
pub use entry::{Content, Entry, Kind, Listing};
pub use path::TreePath;
pub use preview::{Preview, preview};
pub use read::{InspectError, Limits, list, read_all};
pub use source::{LayerSource, Tar};
pub use stack::{Change, How, Mark, Node, Place, Stack, Version};
pub use tree::{Row, changed_bytes, changed_rows, merged_rows};
pub use waste::{Efficiency, Waste, WasteGroup, efficiency, wasted, wasted_by_layer};
