//! `plan`.

use clap::Args;

use super::args::ProjectArgs;
use super::{Context, build};
use crate::engine::{EngineError, PlanMemory};
use crate::front::report::plan;
use crate::insight::model::BuildState;

/// `plan [PATH]`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pub project: ProjectArgs,
}

pub fn run(context: &Context, args: &PlanArgs) -> Result<u8, EngineError> {
    let project = build::project(context, &args.project)?;
    let events = project.plan(&context.store()?, &mut PlanMemory::default())?;
    let state = BuildState::fold(&events);
    context.output.write(|out| if context.output.json { plan::json(out, &state) } else { plan::plain(out, &state) })
}
