//! `why`.

use std::path::PathBuf;

use super::args::WhyArgs;
use super::{Context, last};
use crate::engine::solver::record::BuildRecord;
use crate::engine::store::BuildRow;
use crate::engine::{EngineError, Project};
use crate::front::report::key::{self as report_key, KeyView};
use crate::front::report::{builders, reads as report_reads, why};

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
    if args.builders {
        let state = last::state(&context.store_to_read()?, &project)?;
        return context.output.write(|out| match context.output.json {
            true => builders::json(out, &state),
            false => builders::plain(out, &state),
        });
    }
    if args.key {
        return key(context, &project, line, args.against.as_deref());
    }
    show(context, &project, line)
}

/// What a step read; without a line, every step that was watched.
fn reads(context: &Context, project: &Project, line: Option<u32>) -> Result<u8, EngineError> {
    let store = context.store_to_read()?;
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

/// What the key of a step was made of in the last build, beside another build's.
fn key(context: &Context, project: &Project, line: Option<u32>, against: Option<&str>) -> Result<u8, EngineError> {
    let store = context.store_to_read()?;
    let state = last::state(&store, project)?;
    let known = || state.steps.iter().map(|step| step.line.to_string()).collect::<Vec<_>>().join(", ");
    let hint = || Some(format!("steps stand on lines {}", known()));
    let Some(line) = line else { return Err(EngineError::usage("--key needs the line of a step", hint())) };
    let Some(step) = state.steps.iter().rfind(|step| step.line == line) else {
        return Err(EngineError::user(format!("no step stands on line {line}"), hint()));
    };
    let builds = store.index.builds_of(&project.id(), 2)?;
    let other = match against {
        None => None,
        Some("previous") => match builds.get(1) {
            Some(row) => Some(row.clone()),
            None => return Err(EngineError::user("there is one build on record, and none before it", None)),
        },
        Some(name) => match store.index.build(name)? {
            Some(row) => Some(row),
            None => {
                let hint = "`rbuild-tui history ls` lists the builds".to_owned();
                return Err(EngineError::user(format!("there is no build `{}`", name.escape_debug()), Some(hint)));
            }
        },
    };
    let record = |row: &BuildRow| serde_json::from_str::<BuildRecord>(&row.record).unwrap_or_default();
    let now = builds.first().map(record).unwrap_or_default();
    let then = other.as_ref().map(record);
    let Some(ingredients) = now.ingredients.get(&step.slot) else {
        let hint = "instructions that only configure have no key; neither has a step that was not reached".to_owned();
        return Err(EngineError::user(format!("line {line} has no key in the last build"), Some(hint)));
    };
    let view = KeyView {
        line,
        instruction: &step.name,
        build: &state.build,
        now: ingredients,
        then: other.as_ref().zip(then.as_ref()).map(|(row, record)| (row.id.as_str(), record.ingredients.get(&step.slot))),
    };
    context
        .output
        .write(|out| if context.output.json { report_key::json(out, &view) } else { report_key::plain(out, &view) })
}

/// Explains the last build of a project.
pub fn show(context: &Context, project: &Project, step: Option<u32>) -> Result<u8, EngineError> {
    let state = last::state(&context.store_to_read()?, project)?;
    if context.output.json {
        return context.output.write(|out| why::json(out, &state, step));
    }
    context.output.write(|out| why::plain(out, &state, step))
}
