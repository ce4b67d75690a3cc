//! The one door for front ends: open a project and a store, plan, build, look at what is there.
//!
//! Hard rule: a build and a plan go the same way, [`Project`] to graph to solver; only the build has a worker.
//! Read on in `project` (what is built), `plan` and `build` (what is done with it), `bases`, `contexts` and `sources` (where
//! things come from), `delivery` (where they go).

mod adopt;
mod agent;
pub(in crate::engine) mod bases;
mod build;
mod caches;
mod contexts;
mod daemon;
mod delivery;
mod elsewhere;
pub(in crate::engine) mod error;
mod fetching;
pub mod handle;
mod housekeeping;
mod layers;
mod plan;
pub(in crate::engine) mod project;
mod reading;
mod scratch;
mod shell;
mod sources;

pub use adopt::{Adopted, Told, ToldStep};
pub use agent::SshSource;
pub use bases::NamedContext;
pub use build::{BuildOutcome, BuildRequest, registrations};
pub use delivery::{ExportKind, ExportTo, PushTo};
pub use error::{EngineError, ErrorKind};
pub use layers::{ImageAt, Layered};
pub use plan::PlanMemory;
pub use project::{Loaded, Project};
pub use reading::StepReads;
pub use scratch::Scratch;
pub use shell::{Chosen, ShellEnd, ShellRequest, ShellSession, ShellStreams};
pub use sources::{Remote, Sources, ToPush};

use std::path::Path;
use std::sync::Arc;

use crate::engine::store::Store;
use crate::engine::worker::Worker;

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
