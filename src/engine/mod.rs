//! Builds: its rooms, from the ground up as in `tests/layering.rs`, and the [`door`] for front ends.

pub mod cache;
pub mod context;
pub mod door;
pub mod event;
pub mod exchange;
pub mod fetch;
pub mod forecast;
pub mod graph;
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

pub use context::IgnoreFile;
pub use door::{
    Adopted, BuildOutcome, BuildRequest, Chosen, Engine, EngineError, ErrorKind, ExportKind, ExportTo, ImageAt, Layered,
    Loaded, NamedContext, PlanMemory, Project, PushTo, Remote, Scratch, ShellEnd, ShellRequest, ShellSession, ShellStreams,
    Sources, SshSource, StepReads, ToPush, Told, ToldStep, handle, registrations,
};
pub use forecast::Price;
pub use solver::Side;
