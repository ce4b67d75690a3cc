//! Insight that needs hands: it reads contexts and records.

pub mod advice;
pub mod verify;
