//! Runs one process on a mounted root: namespaces, mounts, users, network, terminal. Each RUN is a further re-executed,
//! single-threaded process. The only `unsafe` of the house lives here, in [`sys`].
//!
//! The worker's half is [`run`]: it mounts the layers, starts the helper and makes a layer of what was written. The helper
//! ([`run_main`]) makes the namespaces and forks; its child enters the root, gives up its rights and executes the command as
//! process 1. If anything of that is refused, the run fails: nothing ever runs unconfined.

pub mod caches;
mod capabilities;
mod cgroup;
mod child;
mod files;
mod helper;
mod mounts;
mod network;
mod process;
mod program;
mod seccomp;
mod socket;
mod sys;
mod syscalls;
mod terminal;
mod trace;
mod volumes;

pub use cgroup::Cgroups;
pub use helper::{RUN_ARGUMENT, run_main};
pub use process::{Asked, Cancelled, Machine, Program, Streams, run, shell, survey};
pub use sys::{drop_groups, ignore_file_size_signal, private_mounts, take_standard_input, user_namespace};
