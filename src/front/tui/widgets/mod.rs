//! Parts that views share.

pub mod diff;
pub mod footer;
pub mod header;
pub mod pane;
pub mod shell;
pub mod steps;
