//! rbuild-tui: a builder for Dockerfiles that explains its cache.

pub mod engine;
pub mod front;
pub mod ground;
pub mod insight;
pub mod language;
