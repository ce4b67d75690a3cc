//! `why`.

use std::path::PathBuf;

use super::args::WhyArgs;
use super::{Context, last};
use crate::engine::{EngineError, Project};
use crate::front::report::why;

pub fn run(context: &Context, args: &WhyArgs) -> Result<u8, EngineError> {
    // `why 7` asks for a line, `why PATH` for a project, as in the other commands.
    let line = args.step.as_deref().and_then(|text| text.parse().ok());
    let path = args.step.as_ref().filter(|_| line.is_none()).map(PathBuf::from);
    let folder = args.context.clone().or(path).unwrap_or_else(|| PathBuf::from("."));
    let mut project = Project::open(&folder, args.file.as_deref())?;
    project.target.clone_from(&args.target);
    show(context, &project, line)
}

/// Explains the last build of a project.
pub fn show(context: &Context, project: &Project, step: Option<u32>) -> Result<u8, EngineError> {
    let state = last::state(&context.store_to_read()?, project)?;
    if context.output.json {
        return context.output.write(|out| why::json(out, &state, step));
    }
    context.output.write(|out| why::plain(out, &state, step))
}
