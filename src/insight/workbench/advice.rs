//! Suggestions for a project as it is: the rules, and what each rewrite saves, by looking the rewritten Dockerfile up with the
//! same touched files and the recorded times.

use super::folder::Folder;
use crate::engine::event::{BuildEvent, Stamped, Verdict};
use crate::engine::store::Store;
use crate::engine::verdict::MissReason;
use crate::engine::{EngineError, Project};
use crate::insight::suggest::{ContextView, Saving, SuggestReport, Suggestion, suggest};
use crate::language::dockerfile::{Arguments, Dockerfile, parse};

/// What the rules say about a project, priced. `last` are the events of its last build.
pub fn advise(project: &Project, store: &Store, last: Option<&[Stamped]>) -> Result<SuggestReport, EngineError> {
    let loaded = project.load()?;
    let view = Folder::open(&project.context, &loaded.ignore)?;
    let mut report = suggest(&loaded.dockerfile, &view);
    if last.is_some() {
        let changed = last.map(changed_files).unwrap_or_default();
        for suggestion in &mut report.offered {
            suggestion.saving = saving(project, store, suggestion, &changed, &view)?;
        }
    }
    let worth = |s: &Suggestion| s.saving.as_ref().map_or(0, |s| s.now_micros.saturating_sub(s.after_micros));
    report.offered.sort_by_key(|suggestion| std::cmp::Reverse(worth(suggestion)));
    Ok(report)
}

/// The price of one change with both Dockerfiles. The change is the one that the last build saw, as far as it concerns files
/// that are no manifests; else that of the file that was edited last.
fn saving(
    project: &Project,
    store: &Store,
    suggestion: &Suggestion,
    changed: &[String],
    view: &Folder,
) -> Result<Option<Saving>, EngineError> {
    let manifests = named_early(&parse(&suggestion.before), &parse(&suggestion.after));
    let is_source =
        |path: &String| !manifests.iter().any(|m| path == m || path.starts_with(&format!("{m}/"))) && view.exists(path);
    let mut touched: Vec<String> = changed.iter().filter(|path| is_source(path)).cloned().collect();
    if touched.is_empty() {
        touched.extend(view.newest(&is_source));
    }
    if touched.is_empty() {
        return Ok(None);
    }
    let now = project.price(store, &suggestion.before, &touched)?;
    let after = project.price(store, &suggestion.after, &touched)?;
    let spared = now.names.iter().zip(&now.lines).filter(|(name, _)| !after.names.contains(name)).map(|(_, line)| *line);
    Ok(Some(Saving { touched, now_micros: now.micros, after_micros: after.micros, spared_lines: spared.collect() }))
}

/// Sources of COPY lines that only the rewritten file has.
fn named_early(before: &Dockerfile, after: &Dockerfile) -> Vec<String> {
    let lines: Vec<String> = before.instructions.iter().map(|i| i.one_line()).collect();
    let mut out = Vec::new();
    for instruction in after.instructions.iter().filter(|i| !lines.contains(&i.one_line())) {
        if let Arguments::Copy { sources, .. } = &instruction.arguments {
            out.extend(sources.iter().map(|word| word.text.trim_start_matches("./").trim_end_matches('/').to_owned()));
        }
    }
    out
}

/// Files whose change the last build saw.
fn changed_files(events: &[Stamped]) -> Vec<String> {
    let mut out = Vec::new();
    for stamped in events {
        if let BuildEvent::CacheProbed { verdict: Verdict::Miss { reasons, .. }, .. } = &stamped.event {
            for reason in reasons {
                if let MissReason::FileChanged { path, .. } = reason
                    && !out.contains(path)
                {
                    out.push(path.clone());
                }
            }
        }
    }
    out
}
