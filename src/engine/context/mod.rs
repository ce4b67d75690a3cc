//! The build context as a filtered, content-hashed tree, with a persistent stat index. The hard rule: what is hashed is what
//! is copied; a file that changes in between fails the step.

pub mod entry;
mod hashing;
pub mod ignore_file;
mod kept;
mod packed;
pub mod pattern;
pub mod stat_index;
pub mod tree;
pub mod walk;
mod watch;

pub use entry::{Entry, EntryKind, Selector};
pub use ignore_file::IgnoreFile;
pub use kept::Kept;
pub use packed::{pack_list, unpack_list};
pub use pattern::PathFilter;
pub use stat_index::StatIndex;
pub use tree::{RootHeader, Tree, content_key};
pub use walk::{Everything, Filter, Listed, Scanned, list, scan};
pub use watch::{Changed, Watch};
