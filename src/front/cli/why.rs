//! `why`.

use std::path::PathBuf;

use super::args::WhyArgs;
use super::{Context, last};
use crate::engine::{EngineError, Project};
use crate::front::report::{reads as report_reads, why};

pub fn run(context: &Context, args: &WhyArgs) -> Result<u8, EngineError> {
    // `why 7` asks for a line, `why PATH` for a project, as in the other commands.
    let line = args.step.as_deref().and_then(|text| text.parse().ok());
    let path = args.step.as_ref().filter(|_| line.is_none()).map(PathBuf::from);
    let folder = args.context.clone().or(path).unwrap_or_else(|| PathBuf::from("."));
    let mut project = Project::open(&folder, args.file.as_deref())?;
    project.target.clone_from(&args.target);
    if args.reads {
        return reads(context, &project, line);
    }
    show(context, &project, line)
}

/// What a step read; without a line, every step that was watched.
fn reads(context: &Context, project: &Project, line: Option<u32>) -> Result<u8, EngineError> {
    let store = context.store()?;
    let state = last::state(&store, project)?;
    if let Some(line) = line.filter(|line| state.at_line(*line).is_none()) {
        let hint = "lines of steps are those of `rbuild-tui why`".to_owned();
        return Err(EngineError::user(format!("no step stands on line {line}"), Some(hint)));
    }
    let mut known = Vec::new();
    for step in state.steps.iter().filter(|step| line.is_none_or(|line| step.line == line)) {
        if let Some(found) = project.step_reads(&store, &step.slot)? {
            known.push((step, found));
        }
    }
    if known.is_empty() {
        let hint = "`rbuild-tui build --trace=always` watches every RUN that runs; with --trace=auto those below a COPY from \
                    the build context are watched";
        let what = line.map_or_else(|| "no step was watched".to_owned(), |line| format!("line {line} was not watched"));
        return Err(EngineError::user(format!("{what}, so it is not known what it read"), Some(hint.into())));
    }
    if context.output.json {
        return context.output.write(|out| report_reads::json(out, &state, &known));
    }
    context.output.write(|out| report_reads::plain(out, &state, &known))
}

/// Explains the last build of a project.
pub fn show(context: &Context, project: &Project, step: Option<u32>) -> Result<u8, EngineError> {
    let state = last::state(&context.store()?, project)?;
    if context.output.json {
        return context.output.write(|out| why::json(out, &state, step));
    }
    context.output.write(|out| why::plain(out, &state, step))
}
