//! The program from outside, without network, images or a daemon: builds on scratch, exit codes, messages. What needs root, or
//! the lab's busybox, is skipped by name.

mod confinement;
mod contexts;
mod credentials;
mod elsewhere;
mod errors;
mod git;
mod git_ssh;
mod heat;
mod hits;
mod hostile_text;
mod ignored;
mod ignored_table;
mod import;
mod inside;
mod layers;
mod order;
mod outputs;
mod podman;
mod private;
mod program;
mod proof;
mod registry;
mod replay;
mod repository;
mod rootless;
mod secrets;
mod shell;
mod stores;
mod suggest;
mod surroundings;
mod traced;
mod upkeep;
mod verdicts;
mod web;
mod whatif;
