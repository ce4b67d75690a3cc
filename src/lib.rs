//! rbuild-tui: a terminal build explorer and cache debugger for Dockerfiles, driven by a builder engine of its own.
//!
//! A build does not build an application, it stacks immutable, content-addressed file system snapshots. A changed layer
//! invalidates itself and everything below it, so the order of a Dockerfile is a performance blueprint. BuildKit knows all
//! this and tells nobody; this program tells.
//!
//! # The house
//! Five wings, from the ground up; a room imports only rooms that stand earlier in the table of `tests/layering.rs`.
//!
//! - [`ground`]: what all stand on. Digests, files, hints, configuration, the wish to stop.
//! - [`language`]: text. Dockerfiles as lossless trees, and the shell as far as analysis needs it.
//! - [`engine`]: builds. `oci`, `context`, `verdict` (the words for hits and misses), `reads` (what a RUN read), `event`,
//!   `protocol` (what the worker can be asked), `http`, `graph`, `store`, `registry`, `fetch` (what ADD takes from servers and
//!   repositories), `snapshot`, `sandbox`, `worker`, `cache`, `image`, `exchange` (caches that go from one store to another),
//!   `upkeep` (disk use, collection, check), `solver`, `door` (the one way in for front ends), and `forecast` (what a change
//!   would make run).
//! - [`insight`]: understands builds. `model` folds events, `suggest` knows rules, `workbench` has hands, `bridge` reads builds
//!   that others made.
//! - [`front`]: people and scripts. `text`, `report`, `tui`, `cli`.
//!
//! # How a build walks
//! `main → cli → door::build → language::parse → bases → graph::lower → context::scan → solver (probe, cache::links,
//! content, execute through worker) → image::assemble → image::export`. Every step speaks in `engine::event`,
//! `insight::model` folds it, `tui` or `report` draws it.
//!
//! # How a plan walks
//! The same way, without the worker: `door::plan` lowers and scans as a build does, `solver::foresee` asks the cache by the very
//! probe and says *will run* or *unknown* where a build would execute. `model::forecast` reads the same events.
//!
//! # Two processes
//! Before any thread exists, the program starts itself once more as a worker, which owns a private mount namespace (without
//! root: a user namespace too, in which the user is root): it alone
//! mounts, unpacks, copies, scans and executes, and takes everything with it when its socket closes. Each RUN is a further,
//! single-threaded process. Only `engine::sandbox` has `unsafe`.
//!
//! # Invariants
//! 1. Only `front::cli` prints, only `ground::config` reads the environment.
//! 2. The interface and the printers learn about a build through `BuildEvent` alone.
//! 3. Folding is total: `BuildState::apply` takes any event in any state. No clock and no I/O in `model` and `suggest`.
//! 4. A miss always has a reason: `cache::explain` destructures the ingredients of a key without `..`.
//! 5. Nothing half-done looks done: blobs, layers and records appear by rename or transaction after sync; a record is last.
//! 6. Untrusted bytes never reach the terminal, a path or a command line unescaped.

pub mod engine;
pub mod front;
pub mod ground;
pub mod insight;
pub mod language;
