//! Our engine beside real clients and a real BuildKit.
//!
//! `cargo test --test peers -- --nocapture`, with `RBUILD_LAB` (folder of the lab), `RBUILD_LAB_SCRIPTS` (folder of `lab` and
//! `dk`) and `RBUILD_TUI_CONFORMANCE` set. What is not there is skipped by name. Nothing is installed.

mod board;
mod cache_facts;
mod changes;
#[path = "../builds/compare.rs"]
mod compare;
mod differences;
mod express;
mod forecasts;
mod forty_features;
mod image;
mod lab;
mod matrix;
mod pair;
mod projects;
mod registry;
mod reproducible;
mod seeded;
mod sources;
mod survival;
#[path = "../builds/tree.rs"]
mod tree;
