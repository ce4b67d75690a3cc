//! `suggest`.

use std::path::Path;

use clap::Args;

use super::args::ProjectArgs;
use super::{Context, build, host};
use crate::engine::EngineError;
use crate::engine::store::Store;
use crate::front::report::suggest;
use crate::insight::suggest::{SuggestReport, find_page, rules};
use crate::insight::workbench::advice::advise;
use crate::insight::workbench::rewrite;
use crate::language::dockerfile::nearest;

/// `suggest`.
#[derive(Debug, Args)]
pub struct SuggestArgs {
    #[command(flatten)]
    pub project: ProjectArgs,
    /// Only what this rule offers; `lint --explain RULE` is its page.
    #[arg(long, value_name = "RULE")]
    pub rule: Option<String>,
    /// Write the first suggestion; what it replaces is kept in the store.
    #[arg(long, conflicts_with = "undo")]
    pub apply: bool,
    /// Put back what the last --apply replaced.
    #[arg(long)]
    pub undo: bool,
}

pub fn run(context: &Context, args: &SuggestArgs) -> Result<u8, EngineError> {
    let project = build::project(context, &args.project)?;
    project.require_folder()?;
    let store = context.store()?;
    if args.undo {
        let done = rewrite::undo(&project, &store)?;
        return context.output.write(|out| writeln!(out, "{} is what it was before the last --apply", shown(&done.path)));
    }
    let last = host::last_events(&store, &project.id());
    let mut report = advise(&project, &store, last.as_deref())?;
    if let Some(name) = &args.rule {
        keep_rule(&mut report, name)?;
    }
    if args.apply {
        return apply(context, &project, &store, &report);
    }
    if context.output.json {
        return context.output.write(|out| suggest::json(out, &report));
    }
    context.output.write(|out| suggest::plain(out, &report))
}

fn keep_rule(report: &mut SuggestReport, name: &str) -> Result<(), EngineError> {
    let names = rules::ALL.iter().map(|rule| rule.name());
    let Some(page) = find_page(name) else {
        let hint = match nearest(name, names.clone()) {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("there is {}", names.collect::<Vec<_>>().join(", ")),
        };
        return Err(EngineError::usage(format!("there is no rule `{}`", name.escape_debug()), Some(hint)));
    };
    report.offered.retain(|suggestion| suggestion.rule == page.name);
    report.refused.retain(|refusal| refusal.rule == page.name);
    Ok(())
}

/// The first one that is more than advice.
fn apply(
    context: &Context,
    project: &crate::engine::Project,
    store: &Store,
    report: &SuggestReport,
) -> Result<u8, EngineError> {
    let Some(first) = report.offered.iter().find(|suggestion| !suggestion.is_advice()) else {
        context.output.write(|out| suggest::plain(out, report))?;
        return Err(EngineError::user("there is nothing to apply", None));
    };
    let done = rewrite::apply(project, store, first)?;
    context.output.write(|out| {
        writeln!(out, "{}", suggest::unified_diff(first).trim_end())?;
        let backup = done.backup.as_deref().map(shown).unwrap_or_default();
        let file = shown(&done.path);
        writeln!(out, "wrote {file} ({}); --undo puts back what it was, which is {backup}", suggest::proof(first.proof))
    })
}

fn shown(path: &Path) -> String {
    path.display().to_string().escape_debug().to_string()
}
