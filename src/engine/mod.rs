//! Builds.

pub mod cache;
pub mod context;
pub mod event;
pub mod graph;
pub mod handle;
pub mod oci;
pub mod sandbox;
pub mod snapshot;
pub mod solver;
pub mod store;
pub mod worker;
