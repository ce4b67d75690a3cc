//! `why`.

use super::args::WhyArgs;
use super::{Context, last};
use crate::engine::{EngineError, Project};
use crate::front::report::why;

pub fn run(context: &Context, args: &WhyArgs) -> Result<u8, EngineError> {
    let mut project = Project::open(&args.context, args.file.as_deref())?;
    project.target.clone_from(&args.target);
    show(context, &project, args.step)
}

/// Explains the last build of a project.
pub fn show(context: &Context, project: &Project, step: Option<u32>) -> Result<u8, EngineError> {
    let state = last::state(&context.store()?, project)?;
    if context.output.json {
        return context.output.write(|out| why::json(out, &state, step));
    }
    context.output.write(|out| why::plain(out, &state, step))
}
