//! Disk use, collection with its ledger, check and repair, over store, snapshots and cache. The hard rule: nothing that a build
//! under way uses, and nothing that an image needs, is ever taken away; a record goes before what it names.
//!
//! [`inventory`] says what there is, [`selection`] what of it may go, [`collect`] does it; [`check`] looks for damage.

pub mod check;
pub mod collect;
pub mod inventory;
pub mod selection;

pub use check::{Finding, Repair, check};
pub use collect::{Collected, collect};
pub use inventory::{Inventory, Item, ItemKind};
pub use selection::{Filter, FilterError, Limits, Selection, select};

use crate::engine::image::layer::ImageError;
use crate::engine::store::StoreError;
use crate::engine::worker::WorkerError;
use crate::ground::fs::PathError;
use crate::ground::hint::Hint;

/// Why the store cannot be looked after.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    /// The index or a blob.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the store.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The worker, which alone touches layers and caches.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// A layer cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The worker answered something else.
    #[error("unexpected answer of the worker to {0}")]
    Answer(&'static str),
}

impl Hint for UpkeepError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Path(error) => error.hint(),
            Self::Worker(error) => error.hint(),
            Self::Image(error) => error.hint(),
            Self::Answer(_) => None,
        }
    }
}
