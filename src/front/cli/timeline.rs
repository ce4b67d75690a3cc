//! `timeline`.

use std::path::PathBuf;

use clap::Args;

use super::{Context, last};
use crate::engine::{EngineError, Project};
use crate::front::report::timeline;

/// `timeline [PATH]`.
#[derive(Debug, Args)]
pub struct TimelineArgs {
    /// The build context.
    #[arg(default_value = ".", value_name = "PATH")]
    pub path: PathBuf,
    /// The Dockerfile [default: PATH/Dockerfile].
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The stage that was built.
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    /// Another build than the last one: a name of `history ls`.
    #[arg(long, value_name = "BUILD")]
    pub build: Option<String>,
    /// Write a trace that Chrome's viewer (chrome://tracing) and Perfetto open.
    #[arg(long)]
    pub chrome: bool,
}

pub fn run(context: &Context, args: &TimelineArgs) -> Result<u8, EngineError> {
    let store = context.store_to_read()?;
    let state = match &args.build {
        Some(name) => last::named(&store, name)?.1,
        None => {
            let mut project = Project::open(&args.path, args.file.as_deref())?;
            project.target.clone_from(&args.target);
            last::state(&store, &project)?
        }
    };
    context.output.write(|out| match (args.chrome, context.output.json) {
        (true, _) => timeline::chrome(out, &state),
        (false, true) => timeline::json(out, &state),
        (false, false) => timeline::plain(out, &state),
    })
}
