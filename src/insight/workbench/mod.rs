//! Insight that needs hands: it reads contexts, records and histories. Only `verify` executes steps, in a store of its own, and
//! only `rewrite` writes.

pub mod advice;
pub mod budget;
mod difference;
pub mod folder;
pub mod heat;
pub mod history;
mod joined;
pub mod ledger;
pub mod replay;
pub mod rewrite;
pub mod sent;
pub mod verify;
pub mod whatif;
