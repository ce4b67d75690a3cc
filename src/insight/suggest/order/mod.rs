//! The order of steps that costs least over a history. Pure arithmetic: what a step is, and what of it may move, is for those to
//! say who ask.
//!
//! A build runs the first step whose files changed, and everything below it. So what a step costs over a history depends only on
//! which steps stand above it, never on their order: its time, once for every commit that changed something of it or of any of
//! them. The cheapest order is a cheapest way through the sets of steps that can stand at the top.

mod bits;
mod search;
#[cfg(test)]
mod tests;

pub use bits::Bits;
pub use search::{Found, Limits, Quality, Step, Task, search};
