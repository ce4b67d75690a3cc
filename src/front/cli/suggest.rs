//! `suggest`.

use std::path::Path;

use clap::Args;

use super::args::ProjectArgs;
use super::{Context, build, cancellable, host};
use crate::engine::store::Store;
use crate::engine::{BuildRequest, EngineError, Project};
use crate::front::report::suggest;
use crate::front::text;
use crate::insight::suggest::{Rewritten, SuggestReport, Suggestion, find_page, pages};
use crate::insight::workbench::advice::{advise_with_history, replay_offers};
use crate::insight::workbench::rewrite;
use crate::insight::workbench::verify::{self, Bench};
use crate::language::dockerfile::nearest;

/// `suggest`.
#[derive(Debug, Args)]
pub struct SuggestArgs {
    #[command(flatten)]
    pub project: ProjectArgs,
    /// Only what this rule offers; `lint --explain RULE` is its page.
    #[arg(long, value_name = "RULE")]
    pub rule: Option<String>,
    /// Also replay this many commits of the git history with each rewrite; the one that would have saved most comes first.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub commits: Option<u32>,
    /// Build the original twice and the first rewrite once in a scratch store, compare the images, and measure the saving.
    #[arg(long, conflicts_with = "undo")]
    pub verify: bool,
    /// Write the first suggestion; what it replaces is kept in the store. With --verify only if it is proven.
    #[arg(long, conflicts_with = "undo")]
    pub apply: bool,
    /// Put back what the last --apply replaced.
    #[arg(long)]
    pub undo: bool,
}

pub fn run(context: &Context, args: &SuggestArgs) -> Result<u8, EngineError> {
    let project = build::project(context, &args.project)?;
    project.require_folder()?;
    // Only a rewrite is written down.
    let store = if args.apply || args.undo { context.store()? } else { context.store_to_read()? };
    if args.undo {
        let done = rewrite::undo(&project, &store)?;
        return context.output.write(|out| writeln!(out, "{} is what it was before the last --apply", shown(&done.path)));
    }
    let last = host::last_events(&store, &project.id());
    let git = context.sources()?.git;
    let mut report = advise_with_history(&project, &store, last.as_deref(), Some(&git))?;
    if let Some(name) = &args.rule {
        keep_rule(&mut report, name)?;
    }
    if let Some(commits) = args.commits {
        replay_offers(&project, &store, &git, usize::try_from(commits).unwrap_or(usize::MAX), &mut report)?;
    }
    if args.verify {
        verify(context, &project, &mut report)?;
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
    let names = pages().map(|page| page.name);
    let Some(page) = find_page(name) else {
        let hint = match nearest(name, names.clone()) {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("there is {}", names.collect::<Vec<_>>().join(", ")),
        };
        return Err(EngineError::usage(format!("there is no rule `{}`", name.escape_debug()), Some(hint)));
    };
    report.offered.retain(|found| found.rule == page.name || found.joined.iter().any(|rule| rule == page.name));
    report.refused.retain(|refusal| refusal.rule == page.name);
    Ok(())
}

/// The first one that is more than advice.
fn apply(context: &Context, project: &Project, store: &Store, report: &SuggestReport) -> Result<u8, EngineError> {
    let Some(first) = report.offered.iter().find(|suggestion| !suggestion.is_advice()) else {
        context.output.write(|out| suggest::plain(out, report))?;
        return Err(EngineError::user("there is nothing to apply", None));
    };
    if first.verified.as_ref().is_some_and(|found| !found.proven) {
        context.output.write(|out| suggest::plain(out, report))?;
        let hint = "leave out --verify to write it all the same".to_owned();
        return Err(EngineError::user("it is not proven, so nothing was written", Some(hint)));
    }
    let done = rewrite::apply(project, store, first)?;
    context.output.write(|out| {
        writeln!(out, "{}", suggest::unified_diff(first).trim_end())?;
        let backup = done.backup.as_deref().map(shown).unwrap_or_default();
        let file = shown(&done.path);
        writeln!(out, "wrote {file} ({}); --undo puts back what it was, which is {backup}", suggest::proof(first))
    })
}

fn shown(path: &Path) -> String {
    path.display().to_string().escape_debug().to_string()
}

/// Builds the original and the first rewrite, compares, and measures.
fn verify(context: &Context, project: &Project, report: &mut SuggestReport) -> Result<(), EngineError> {
    let buildable = |suggestion: &&mut Suggestion| suggestion.file == Rewritten::Dockerfile && !suggestion.is_advice();
    let Some(first) = report.offered.iter_mut().find(buildable) else { return Ok(()) };
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
