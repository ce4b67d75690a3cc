//! `heat`.

use clap::Args;

use super::args::ProjectArgs;
use super::{Context, build};
use crate::engine::EngineError;
use crate::front::report::heat as report;
use crate::insight::workbench::heat::heat;

/// `heat`.
#[derive(Debug, Args)]
pub struct HeatArgs {
    #[command(flatten)]
    pub project: ProjectArgs,
    /// How many commits say how often a path changes.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub commits: u32,
    /// How many paths are shown.
    #[arg(long, value_name = "N", default_value = "25")]
    pub top: usize,
}

pub fn run(context: &Context, args: &HeatArgs) -> Result<u8, EngineError> {
    let project = build::project(context, &args.project)?;
    project.require_folder()?;
    let commits = usize::try_from(args.commits).unwrap_or(usize::MAX);
    let found = heat(&project, &context.store_to_read()?, &context.sources()?.git, commits, args.top)?;
    if context.output.json {
        return context.output.write(|out| report::json(out, &found));
    }
    context.output.write(|out| report::plain(out, &found))
}
