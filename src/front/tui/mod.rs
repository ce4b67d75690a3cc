//! The interface.

pub mod host;
