//! Insight that needs hands: it reads contexts, records and histories, and executes nothing. Only `rewrite` writes.

pub mod advice;
pub mod budget;
pub mod folder;
pub mod heat;
pub mod history;
pub mod replay;
pub mod rewrite;
pub mod whatif;
