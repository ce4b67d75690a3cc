//! `replay`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::args::ProjectArgs;
use super::{Context, build};
use crate::engine::EngineError;
use crate::front::report::replay as report;
use crate::insight::workbench::replay::{ReplayRequest, replay};
use crate::language::dockerfile::encoding;

/// `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    #[command(flatten)]
    pub project: ProjectArgs,
    /// How many commits of HEAD's first parents.
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub commits: u32,
    /// Another Dockerfile, which every commit is built with too.
    #[arg(long, value_name = "FILE")]
    pub dockerfile: Option<PathBuf>,
    /// Show every commit.
    #[arg(long)]
    pub each: bool,
}

pub fn run(context: &Context, args: &ReplayArgs) -> Result<u8, EngineError> {
    let project = build::project(context, &args.project)?;
    project.require_folder()?;
    let proposed = args.dockerfile.as_deref().map(read).transpose()?;
    let request = ReplayRequest { commits: usize::try_from(args.commits).unwrap_or(usize::MAX), proposed };
    let git = context.sources()?.git;
    let done = replay(&project, &context.store_to_read()?, &git, &request)?;
    if context.output.json {
        return context.output.write(|out| report::json(out, &done));
    }
    context.output.write(|out| report::plain(out, &done, args.each))
}

/// A Dockerfile larger than this is none.
const LIMIT: u64 = 10 << 20;

fn read(path: &Path) -> Result<String, EngineError> {
    let shown = path.display().to_string().escape_debug().to_string();
    let fail = |why: String| EngineError::user(format!("cannot read the proposed Dockerfile `{shown}`: {why}"), None);
    let cause = |error: std::io::Error| fail(crate::ground::fs::error::describe(&error));
    if std::fs::metadata(path).map_err(cause)?.len() > LIMIT {
        return Err(fail("it is larger than 10 MiB".into()));
    }
    encoding::decode(std::fs::read(path).map_err(cause)?).map_err(|error| fail(error.to_string()))
}
