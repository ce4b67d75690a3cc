//! BuildKit's link graph of keys, the ingredients of every key, look-up, and the reasons for a hit or miss. The hard rule:
//! keys are a graph, not one hash, and nothing outside of `preimage` knows how an operation becomes a digest.

pub mod describe;
pub mod explain;
pub mod ingredients;
pub mod links;
pub mod preimage;

pub use ingredients::{Content, Ingredients, Source};
pub use links::{Cache, KeyId, Link, ResultId, StepResult};
