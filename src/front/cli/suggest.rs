//! `suggest`.

use super::args::SuggestArgs;
use super::{Context, build, cancellable, host};
use crate::engine::{BuildRequest, EngineError, Project};
use crate::front::report::suggest;
use crate::front::text;
use crate::insight::suggest::SuggestReport;
use crate::insight::workbench::advice::advise;
use crate::insight::workbench::verify::{self, Bench};

pub fn run(context: &Context, args: &SuggestArgs) -> Result<u8, EngineError> {
    let project = build::project(context, &args.project)?;
    project.require_folder()?;
    let store = context.store()?;
    let last = host::last_events(&store, &project.id());
    let mut report = advise(&project, &store, last.as_deref())?;
    if args.verify {
        verify(context, &project, &mut report)?;
    }
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
    if first.verified.as_ref().is_some_and(|found| !found.proven) {
        context.output.write(|out| suggest::plain(out, &report))?;
        return Err(EngineError::user(
            "it is not proven, so nothing was written",
            Some("leave out --verify to write it all the same".into()),
        ));
    }
    let file = project.file_name();
    let backup = host::apply(&BuildRequest { project, ..BuildRequest::default() }, first)?;
    context.output.write(|out| {
        writeln!(out, "{}", suggest::unified_diff(first).trim_end())?;
        let backup = backup.display().to_string().escape_debug().to_string();
        writeln!(out, "wrote {file} ({}); the file as it was is {backup}", suggest::proof(first))
    })
}

/// Builds the original and the first rewrite, compares, and measures.
fn verify(context: &Context, project: &Project, report: &mut SuggestReport) -> Result<(), EngineError> {
    let Some(first) = report.offered.first_mut() else { return Ok(()) };
    let engine = context.engine()?;
    let quiet = context.output.json;
    let snapshots = context.snapshots();
    let found = cancellable::run(|cancel| {
        let say = |words: &str| {
            if !quiet {
                eprintln!("{}", text::line(words));
            }
        };
        let request = BuildRequest::default();
        let bench = Bench { engine: &engine, snapshots, request: &request, say: &say, cancel };
        verify::verify(&bench, project, first)
    })?;
    first.verified = Some(found);
    Ok(())
}
