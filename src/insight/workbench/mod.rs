//! Insight that needs hands: it reads contexts, records and histories. Nothing here executes a step or writes.

pub mod advice;
pub mod budget;
pub mod folder;
pub mod heat;
pub mod history;
pub mod replay;
pub mod whatif;
