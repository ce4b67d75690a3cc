//! Layered root file systems: unpack, prepare, mount, commit, diff, remove. The hard rule: a layer appears under its name by
//! rename, complete and synced, and is never written again.

pub mod archive;
pub mod changes;
pub mod compare;
pub mod copy;
pub mod failure;
pub mod form;
pub mod ids;
pub mod layers;
pub mod make_directory;
pub mod metadata;
pub mod mount;
pub mod origin;
pub mod owner;
pub mod packing;
mod plain;
pub mod record;
pub mod replaced;
pub mod scan;
pub mod stat;
pub mod tar_reader;
pub mod tar_writer;
pub mod unpack;
pub mod write_layer;

pub use layers::{Layers, Snapshotter};
pub use mount::View;
