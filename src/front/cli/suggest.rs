//! `suggest`.

use super::args::SuggestArgs;
use super::{Context, build, host};
use crate::engine::{BuildRequest, EngineError};
use crate::front::report::suggest;
use crate::insight::workbench::advice::advise;

pub fn run(context: &Context, args: &SuggestArgs) -> Result<u8, EngineError> {
    let project = build::project(context, &args.project)?;
    project.require_folder()?;
    let store = context.store()?;
    let last = host::last_events(&store, &project.id());
    let report = advise(&project, &store, last.as_deref())?;
    if !args.apply {
        if context.output.json {
            return context.output.write(|out| suggest::json(out, &report));
        }
        return context.output.write(|out| suggest::plain(out, &report));
    }
    let Some(first) = report.offered.first() else {
        context.output.write(|out| suggest::plain(out, &report))?;
        return Err(EngineError::user("there is nothing to apply", None));
    };
    let file = project.file_name();
    let backup = host::apply(&BuildRequest { project, ..BuildRequest::default() }, first)?;
    context.output.write(|out| {
        writeln!(out, "{}", suggest::unified_diff(first).trim_end())?;
        let backup = backup.display().to_string().escape_debug().to_string();
        writeln!(out, "wrote {file} ({}); the file as it was is {backup}", suggest::proof(first.proof))
    })
}
