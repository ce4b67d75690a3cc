//! `context`.

use clap::Args;

use super::args::ProjectArgs;
use super::{Context, build};
use crate::engine::EngineError;
use crate::front::report::context;
use crate::insight::workbench::sent;

/// `context [PATH]`.
#[derive(Debug, Args)]
pub struct ContextArgs {
    #[command(flatten)]
    pub project: ProjectArgs,
    /// Every file, not just what lies at the top.
    #[arg(long)]
    pub all: bool,
}

pub fn run(context: &Context, args: &ContextArgs) -> Result<u8, EngineError> {
    let project = build::project(context, &args.project)?;
    let sent = sent::look(&project, &context.store_to_read()?)?;
    context
        .output
        .write(|out| if context.output.json { context::json(out, &sent) } else { context::plain(out, &sent, args.all) })
}
