//! Our engine beside real clients and a real BuildKit.
//!
//! `cargo test --test peers -- --nocapture`, with `RBUILD_LAB` (folder of the lab), `RBUILD_LAB_SCRIPTS` (folder of `lab` and
//! `dk`) and `RBUILD_TUI_CONFORMANCE` set. What is not there is skipped by name. Nothing is installed.

mod cache_facts;
mod changes;
mod express;
mod image;
mod lab;
mod pair;
mod registry;
mod reproducible;
mod seeded;
mod survival;
