//! Arguments and subcommands; picks interface or report. The only room that prints.

mod args;
mod build;
mod cache_spec;
mod cache_use;
mod cancellable;
mod ci;
mod context;
mod delivery_spec;
mod demo;
mod heat;
mod history;
mod host;
mod image;
mod import;
mod last;
mod layers;
mod lint;
mod output;
mod output_spec;
mod plan;
mod replay;
mod results;
mod screen;
mod shell;
mod sources;
mod suggest;
mod timeline;
mod upkeep;
mod whatif;
mod why;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::engine::worker::{Snapshots, Worker};
use crate::engine::{Engine, EngineError, ErrorKind};
use crate::front::text;
use crate::ground::config::Config;
use args::{Cli, Command};
use output::Output;

/// Done.
pub const DONE: u8 = 0;
/// The build or check failed.
pub const FAILED: u8 = 1;
/// Wrong usage.
pub const USAGE: u8 = 2;
/// No permission, no space, no image.
pub const ENVIRONMENT: u8 = 3;
/// Cancelled.
pub const CANCELLED: u8 = 130;

/// The command line from end to end: 0 done; 1 the build or check failed; 2 wrong usage; 3 environment; 130 cancelled.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let config = Config::from_environment();
    let context = Context { output: Output::new(&cli, &config), config, cli };
    let ended = match &context.cli.command {
        None => screen::run(&context, &context.cli.project),
        Some(Command::Build(args)) => build::run(&context, args),
        Some(Command::Plan(args)) => plan::run(&context, args),
        Some(Command::Why(args)) => why::run(&context, args),
        Some(Command::Shell(args)) => shell::run(&context, args),
        Some(Command::WhatIf(args)) => whatif::run(&context, args),
        Some(Command::Heat(args)) => heat::run(&context, args),
        Some(Command::Replay(args)) => replay::run(&context, args),
        Some(Command::Ci(args)) => ci::run(&context, args),
        Some(Command::Suggest(args)) => suggest::run(&context, args),
        Some(Command::Lint(args)) => lint::run(&context, args),
        Some(Command::Context(args)) => self::context::run(&context, args),
        Some(Command::Timeline(args)) => timeline::run(&context, args),
        Some(Command::Layers(args)) => layers::run(&context, args),
        Some(Command::Import(args)) => import::run(&context, args),
        Some(Command::History(args)) => history::run(&context, args),
        Some(Command::Image(args)) => image::run(&context, args),
        Some(Command::Du(args)) => upkeep::du(&context, args),
        Some(Command::Prune(args)) => upkeep::prune(&context, args),
        Some(Command::Check(args)) => upkeep::check(&context, args),
        Some(Command::Demo(args)) => demo::run(&context, args),
    };
    ExitCode::from(ended.unwrap_or_else(|error| report(&error)))
}

/// What every subcommand works with.
struct Context {
    cli: Cli,
    config: Config,
    output: Output,
}

impl Context {
    fn snapshots(&self) -> Snapshots {
        if self.config.copies_layers { Snapshots::Copied } else { Snapshots::Best }
    }

    fn store_path(&self) -> Result<PathBuf, EngineError> {
        let given = self.cli.store.clone().or_else(|| self.config.store.clone());
        let hint = "name one with --store, or set HOME to an absolute path".to_owned();
        given.ok_or_else(|| EngineError::environment("there is no folder for the store", Some(hint)))
    }

    /// The store alone: for commands that run nothing.
    fn store(&self) -> Result<crate::engine::store::Store, EngineError> {
        Ok(crate::engine::store::Store::open(&self.store_path()?)?)
    }

    /// The store for commands that only look: one that cannot be written does as well, and where there is none, none is made.
    fn store_to_read(&self) -> Result<crate::engine::store::Store, EngineError> {
        Ok(crate::engine::store::Store::open_to_read(&self.store_path()?)?)
    }

    /// That there is no store, for commands that need no worker to look at nothing.
    fn without_store(&self) -> Result<Option<String>, EngineError> {
        let path = self.store_path()?;
        Ok((!crate::engine::store::is_there(&path)).then(|| nothing_yet(&path)))
    }

    /// Store and worker. Called before any thread exists.
    fn engine(&self) -> Result<Engine, EngineError> {
        let path = self.store_path()?;
        // Made here first, so that a store that cannot be written is one message, not the worker's end.
        drop(crate::engine::store::Store::open(&path)?);
        let snapshots = self.snapshots();
        let sources = self.sources()?;
        Ok(Engine::open(&path, Worker::spawn(&path, snapshots)?)?.with_sources(sources))
    }
}

/// That nothing was built with this store.
fn nothing_yet(store: &std::path::Path) -> String {
    format!("nothing was built here yet: there is no store at `{}`", store.display().to_string().escape_debug())
}

/// Prints an error and returns its exit code.
fn report(error: &EngineError) -> u8 {
    eprintln!("error: {}", text::block(&error.text()).trim_end());
    code(error)
}

fn code(error: &EngineError) -> u8 {
    match error.kind {
        ErrorKind::User => FAILED,
        ErrorKind::Usage => USAGE,
        ErrorKind::Environment => ENVIRONMENT,
        ErrorKind::Cancelled => CANCELLED,
    }
}
