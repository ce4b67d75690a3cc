//! Suggestions for a project as it is: the rules, and what each rewrite saves, by looking the rewritten Dockerfile up with the
//! same touched files and the recorded times.

use std::collections::BTreeMap;

use super::folder::Folder;
use crate::engine::event::{BuildEvent, Stamped, Verdict};
use crate::engine::graph::Operation;
use crate::engine::store::Store;
use crate::engine::verdict::MissReason;
use crate::engine::{EngineError, Loaded, Project, StepReads};
use crate::insight::suggest::rules::copy_what_is_read::{self, Reads, RunReads};
use crate::insight::suggest::{ContextView, Saving, SuggestReport, Suggestion, suggest};
use crate::language::dockerfile::{Arguments, Dockerfile, parse};

/// What the rules say about a project, priced. `last` are the events of its last build.
pub fn advise(project: &Project, store: &Store, last: Option<&[Stamped]>) -> Result<SuggestReport, EngineError> {
    let loaded = project.load()?;
    let view = Folder::open(&project.context, &loaded.ignore)?;
    let mut report = suggest(&loaded.dockerfile, &view);
    let watched = copy_what_is_read::check(&loaded.dockerfile, &view, &watched(project, store, &loaded)?);
    for found in watched.offered {
        // The rule of thumb that comes to the same rewrite has its proof here.
        match report.offered.iter_mut().find(|known| known.after == found.after) {
            Some(known) => {
                known.evidence.extend(found.evidence);
                known.proof = found.proof;
            }
            None => report.offered.push(found),
        }
    }
    report.refused.extend(watched.refused);
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

/// What the steps of the last build read of what each COPY brought.
fn watched(project: &Project, store: &Store, loaded: &Loaded) -> Result<Reads, EngineError> {
    let mut out = Reads::default();
    let Some((_, previous)) = project.last_record(store)? else { return Ok(out) };
    // A base that the store has not got is no reason to say nothing at all.
    let Ok((graph, _)) = project.lower(store, loaded, Some(&previous)) else { return Ok(out) };
    let lines: BTreeMap<&str, u32> = graph.vertices.iter().map(|vertex| (vertex.slot.as_str(), vertex.line)).collect();
    for vertex in &graph.vertices {
        match &vertex.operation {
            Some(Operation::Copy { destination, .. }) => drop(out.destinations.insert(vertex.line, destination.clone())),
            Some(Operation::Run { .. }) => {
                if let Some(StepReads { set, makers }) = project.step_reads(store, &vertex.slot)? {
                    let mut run = RunReads {
                        incomplete: set.summary().why_incomplete(),
                        listed: set.listed.clone(),
                        missing: set.missing.clone(),
                        ..RunReads::default()
                    };
                    for path in set.read.iter().chain(&set.looked) {
                        let maker = set.origin.get(path).and_then(|at| makers.get(at));
                        if let Some(line) = maker.and_then(|slot| lines.get(slot.as_str())) {
                            run.from.entry(*line).or_default().insert(path.clone());
                        }
                    }
                    out.runs.insert(vertex.line, run);
                }
            }
            _ => {}
        }
    }
    Ok(out)
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
