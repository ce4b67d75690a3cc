//! Builds. This is the one door for front ends: open, build, suggest, inspect.

pub mod cache;
pub mod context;
pub mod event;
pub mod exchange;
pub mod fetch;
pub mod graph;
pub mod handle;
pub mod http;
pub mod image;
pub mod oci;
pub mod protocol;
pub mod reads;
pub mod registry;
pub mod sandbox;
pub mod snapshot;
pub mod solver;
pub mod store;
pub mod upkeep;
pub mod verdict;
pub mod worker;

mod adopt;
mod agent;
mod bases;
mod build;
mod caches;
mod contexts;
mod daemon;
mod delivery;
mod elsewhere;
mod error;
mod fetching;
pub mod forecast;
mod housekeeping;
mod layers;
mod plan;
mod project;
mod reading;
mod scratch;
mod shell;
mod sources;

pub use adopt::{Adopted, Told, ToldStep};
pub use agent::SshSource;
pub use bases::NamedContext;
pub use build::{BuildOutcome, BuildRequest, registrations};
pub use context::IgnoreFile;
pub use delivery::{ExportKind, ExportTo, PushTo};
pub use error::{EngineError, ErrorKind};
pub use forecast::Price;
pub use layers::{ImageAt, Layered};
pub use plan::PlanMemory;
pub use project::{Loaded, Project};
pub use reading::StepReads;
pub use scratch::Scratch;
pub use shell::{Chosen, ShellEnd, ShellRequest, ShellSession, ShellStreams};
pub use solver::Side;
pub use sources::{Remote, Sources, ToPush};

use std::path::Path;
use std::sync::Arc;

use store::Store;
use worker::Worker;

/// A store and a worker: all that builds need. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    /// The store.
    pub store: Arc<Store>,
    /// The worker.
    pub worker: Arc<Worker>,
    /// Registries and daemons.
    pub sources: Arc<Sources>,
}

impl Engine {
    /// Opens a store (made if it is missing) for a worker that was spawned before any thread existed.
    pub fn open(store: &Path, worker: Worker) -> Result<Self, EngineError> {
        Ok(Self { store: Arc::new(Store::open(store)?), worker: Arc::new(worker), sources: Arc::default() })
    }

    /// With what is known about registries and daemons.
    #[must_use]
    pub fn with_sources(self, sources: Sources) -> Self {
        Self { sources: Arc::new(sources), ..self }
    }
}
