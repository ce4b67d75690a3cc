//! The worker from outside: the real program, a store in a temporary folder, hand-made layers. Names of tests are rows of
//! `reliability.md`. As root or as a user with ranges in /etc/subuid; says by name what it skips.

#[path = "worker/bench.rs"]
mod bench;
#[path = "worker/confinement.rs"]
mod confinement;
#[path = "worker/copies.rs"]
mod copies;
#[path = "worker/lab.rs"]
mod lab;
#[path = "worker/layers.rs"]
mod layers;
#[path = "worker/mounts.rs"]
mod mounts;
#[path = "worker/plain.rs"]
mod plain;
#[path = "worker/reads.rs"]
mod reads;
#[path = "worker/rootless.rs"]
mod rootless;
#[path = "worker/runs.rs"]
mod runs;
#[path = "worker/unseen.rs"]
mod unseen;
