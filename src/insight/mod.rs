//! Understands builds: state as a fold of events, what is derived from it, suggestions. No clock, no I/O.

pub mod bridge;
pub mod model;
pub mod suggest;
pub mod workbench;
