//! Caches that go from one store to another: `--cache-to` writes one, `--cache-from` takes one in. The hard rule: nothing that a
//! folder says is believed before it was verified, and a folder that cannot be used is a warning, never a failed build.
//!
//! A cache lies in a folder, as an OCI image layout, or in a registry: one manifest a tag, whose configuration says which steps are known, by which links, and which
//! layers their results have. Keys have no names in it: whoever reads it names them by what they are made of, so that no
//! document can speak of a key of the store it is read into. A result enters that store when it is needed, and not before:
//! until then `du`, `check` and `prune` know nothing of it.
//!
//! Source of names and meanings: the `local` and `registry` caches of BuildKit (`client/solve.go`, `parseCacheOptions`; `solver/exporter.go`;
//! `cache/remotecache/v1`). The documents are our own, as keys are.

pub mod export;
mod folder;
pub mod format;
pub mod import;
mod source;

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use export::{Packed, Step, StepInput, StepLayers};
pub use import::{Import, ImportedLayer, ImportedResult, Imports, Lack, Offered};
pub use source::Source;

use super::image::layer::ImageError;
use super::oci::Reference;
use super::store::StoreError;
use crate::ground::fs::PathError;
use crate::ground::hint::Hint;

/// What an error says that may quote what others wrote, however long that is: on one line.
fn in_short(error: &dyn fmt::Display) -> String {
    error.to_string().chars().take(300).collect::<String>().escape_debug().to_string()
}

/// How much is exported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheMode {
    /// The results of the steps whose layers are in the final image; of all others what they are known by.
    #[default]
    Min,
    /// The results of all steps of all stages that the build used.
    Max,
}

impl CacheMode {
    /// The word of flags and reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Min => "min",
            Self::Max => "max",
        }
    }
}

/// The tag of a cache that nobody gave one.
pub const DEFAULT_TAG: &str = "latest";

/// Where a cache lies: one `--cache-from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CachePlace {
    /// `type=local`.
    Folder {
        /// `src=` or `dest=`.
        path: PathBuf,
        /// `tag=`.
        tag: String,
    },
    /// `type=registry`: `ref=`.
    Registry(Reference),
}

impl fmt::Display for CachePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder { path, .. } => path.display().fmt(f),
            Self::Registry(reference) => f.write_str(&reference.familiar()),
        }
    }
}

/// One `--cache-to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheTo {
    /// Where.
    pub place: CachePlace,
    /// `mode=`.
    pub mode: CacheMode,
    /// `ignore-error=true`: a cache that cannot be written is a warning.
    pub ignore_error: bool,
}

/// Why a cache cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// A file operation.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A layer cannot be packed.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder holds something that would be lost.
    #[error("the folder `{}` {why}", .folder.display().to_string().escape_debug())]
    Occupied {
        /// Which.
        folder: PathBuf,
        /// What it holds.
        why: String,
    },
}

impl Hint for ExchangeError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Path(error) => error.hint(),
            Self::Image(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Occupied { .. } => Some("name a folder of its own with dest=, or another tag with tag=".into()),
        }
    }
}
