//! Suggestions for a project as it is: the rules, and what each rewrite saves, by looking the rewritten Dockerfile up with the
//! same touched files and the recorded times.

use std::collections::BTreeMap;

use super::folder::Folder;
use super::heat::{changes, rates};
use super::joined::join;
use super::ledger::ledger;
use super::replay::{ReplayRequest, replay};
use super::rewrite::ignore_file;
use crate::engine::event::{BuildEvent, Stamped, Verdict};
use crate::engine::fetch::GitSettings;
use crate::engine::forecast::Change;
use crate::engine::graph::Operation;
use crate::engine::store::Store;
use crate::engine::verdict::MissReason;
use crate::engine::{EngineError, Loaded, Project, StepReads};
use crate::insight::suggest::rules::best_order::{self, Ledger};
use crate::insight::suggest::rules::copy_what_is_read::{self, Reads, RunReads};
use crate::insight::suggest::{
    ContextView, Refusal, Replayed, Rewritten, Saving, SuggestReport, Suggestion, Trigger, suggest,
};
use crate::language::dockerfile::{Arguments, Dockerfile, IgnoreRules, parse};

/// Savings below this are none: they would be shown as 0.0s.
const NIL_MICROS: u64 = 50_000;

/// What the rules say about a project, priced. `last` are the events of its last build. What would save nothing and gains
/// nothing else is not offered, but among the refused ones.
pub fn advise(project: &Project, store: &Store, last: Option<&[Stamped]>) -> Result<SuggestReport, EngineError> {
    advise_with_history(project, store, last, None)
}

/// How many commits say how often something changes.
const COMMITS: usize = 500;

/// The same with the history of the context, which `git` reads.
pub fn advise_with_history(
    project: &Project,
    store: &Store,
    last: Option<&[Stamped]>,
    git: Option<&GitSettings>,
) -> Result<SuggestReport, EngineError> {
    let loaded = project.load()?;
    let ignore_text = std::fs::read_to_string(ignore_file(project)).unwrap_or_default();
    let history = git.and_then(|git| changes(project, git, COMMITS).ok().flatten()).unwrap_or_default();
    let rates = rates(&history);
    let view = Folder::open(&project.context, &loaded.ignore)?.with_ignore_text(ignore_text).with_rates(rates);
    let mut report = suggest(&loaded.dockerfile, &view);
    let (reads, ledger) = watched(project, store, &loaded, &history)?;
    join(&mut report, copy_what_is_read::check(&loaded.dockerfile, &view, &reads), &view);
    join(&mut report, best_order::check(&loaded.dockerfile, &view, &reads, &ledger), &view);
    let changed = last.map(changed_files).unwrap_or_default();
    if last.is_some() {
        let pricing = Pricing { project, store, changed: changed.clone(), view: &view };
        let mut offered = Vec::new();
        for mut suggestion in std::mem::take(&mut report.offered) {
            // A rewrite that cannot be built is no reason to keep the others back.
            match pricing.saving(&suggestion) {
                Ok(saving) => suggestion.saving = saving,
                Err(error) => {
                    let reason = format!("\u{201c}{}\u{201d} cannot be built: {error}", suggestion.title);
                    report.refused.push(Refusal { rule: suggestion.rule, line: suggestion.line, reason });
                    continue;
                }
            }
            match &suggestion.saving {
                // What the whole history pays for need not pay for the last change.
                Some(saving) if saved(saving) < NIL_MICROS && suggestion.expected.is_none() => {
                    report.refused.push(Refusal {
                        rule: suggestion.rule.clone(),
                        line: suggestion.line,
                        reason: format!("\u{201c}{}\u{201d} would save nothing, by the times on record", suggestion.title),
                    });
                }
                _ => offered.push(suggestion),
            }
        }
        report.offered = offered;
    }
    // What is priced for a change that happened comes before what is priced for one that could: an ignore file that nobody
    // edits would otherwise outrank the sources that are edited all day. What a whole history priced is best known.
    report.offered.sort_by_key(|suggestion| {
        let happens = suggestion.saving.as_ref().is_some_and(|saving| {
            suggestion.trigger == Trigger::Sources || saving.touched.iter().any(|path| changed.contains(path))
        });
        let priced = suggestion.expected.is_some();
        std::cmp::Reverse((happens || priced, priced, suggestion.saving.as_ref().map_or(0, saved)))
    });
    Ok(report)
}

/// What the steps of the last build read of what each COPY brought and what they wrote, and what orders are priced with.
fn watched(
    project: &Project,
    store: &Store,
    loaded: &Loaded,
    history: &[Vec<String>],
) -> Result<(Reads, Ledger), EngineError> {
    let (mut out, nothing) = (Reads::default(), Ledger::default());
    let Some((_, previous)) = project.last_record(store)? else { return Ok((out, nothing)) };
    // A base that the store has not got is no reason to say nothing at all.
    let Ok((graph, _)) = project.lower(store, loaded, Some(&previous)) else { return Ok((out, nothing)) };
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
                        seen: set.read.iter().chain(&set.looked).chain(set.links.keys()).cloned().collect(),
                        links: set.links.keys().cloned().collect(),
                        wrote: &set.changed | &set.added,
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
    Ok((out, ledger(&graph, &previous, history, loaded.ignore.rules())))
}

/// Replays the history with every rewrite of the Dockerfile on offer, and puts first what would have saved most. Errors: as
/// [`replay`].
pub fn replay_offers(
    project: &Project,
    store: &Store,
    git: &GitSettings,
    commits: usize,
    report: &mut SuggestReport,
) -> Result<(), EngineError> {
    let rewrites = |suggestion: &&mut Suggestion| suggestion.file == Rewritten::Dockerfile && !suggestion.is_advice();
    for suggestion in report.offered.iter_mut().filter(rewrites) {
        let request = ReplayRequest { commits, proposed: Some(suggestion.after.clone()) };
        let done = replay(project, store, git, &request)?;
        let Some(proposed) = done.proposed else { continue };
        suggestion.replayed = Some(Replayed {
            builds: done.present.builds,
            now_micros: done.present.micros,
            after_micros: proposed.micros,
            untimed: (done.present.untimed, proposed.untimed),
        });
    }
    let gain = |suggestion: &Suggestion| {
        suggestion.replayed.as_ref().map_or(0, |found| found.now_micros.saturating_sub(found.after_micros))
    };
    report.offered.sort_by_key(|suggestion| std::cmp::Reverse(gain(suggestion)));
    Ok(())
}

fn saved(saving: &Saving) -> u64 {
    saving.now_micros.saturating_sub(saving.after_micros)
}

/// What prices are made of.
struct Pricing<'a> {
    project: &'a Project,
    store: &'a Store,
    /// Files whose change the last build saw.
    changed: Vec<String>,
    view: &'a Folder,
}

impl Pricing<'_> {
    /// The price of one change with both files. Which change is a matter of the suggestion; where it is one of files, it is the
    /// one that the last build saw, as far as it concerns them, else that of the file that was edited last.
    fn saving(&self, suggestion: &Suggestion) -> Result<Option<Saving>, EngineError> {
        match &suggestion.trigger {
            Trigger::None => Ok(None),
            Trigger::Sources => {
                // What happened counts first, whichever of its parts the rewrite names early.
                if !self.changed.is_empty()
                    && let Some(happened) = self.of_files(suggestion, &|path| self.changed.contains(path))?
                    && saved(&happened) >= NIL_MICROS
                {
                    return Ok(Some(happened));
                }
                let manifests = named_early(&parse(&suggestion.before), &parse(&suggestion.after));
                let beside = |path: &String| !manifests.iter().any(|m| path == m || path.starts_with(&format!("{m}/")));
                self.of_files(suggestion, &beside)
            }
            Trigger::Files { paths } => {
                let meant = |path: &String| {
                    paths.iter().any(|known| known.is_empty() || path == known || path.starts_with(&format!("{known}/")))
                };
                self.of_files(suggestion, &meant)
            }
            Trigger::Argument { name } => {
                // Any value that it does not have will do.
                let args = BTreeMap::from([(name.clone(), "another value".to_owned())]);
                let change = Change { args, ..Change::default() };
                self.compare(suggestion, Vec::new(), &change, &change).map(Some)
            }
            Trigger::Base { image } => {
                let change = Change { bases: vec![image.clone()], ..Change::default() };
                self.compare(suggestion, Vec::new(), &change, &change).map(Some)
            }
        }
    }

    fn of_files(&self, suggestion: &Suggestion, meant: &dyn Fn(&String) -> bool) -> Result<Option<Saving>, EngineError> {
        let mut touched: Vec<String> =
            self.changed.iter().filter(|path| meant(path) && self.view.exists(path)).cloned().collect();
        if touched.is_empty() {
            // A suggestion is about the other files: editing the Dockerfile is what it is for.
            let recipes = [self.project.dockerfile.clone(), ignore_file(self.project)];
            let beside = |path: &String| meant(path) && !recipes.contains(&self.project.context.join(path));
            touched.extend(self.view.newest(&beside).or_else(|| self.view.newest(meant)));
        }
        if touched.is_empty() {
            return Ok(None);
        }
        let now = Change { files: touched.clone(), ..Change::default() };
        let mut after = now.clone();
        if suggestion.file == Rewritten::IgnoreFile {
            let rules = IgnoreRules::parse(&suggestion.after).unwrap_or_default();
            after.files.retain(|path| !rules.is_ignored(path));
        }
        self.compare(suggestion, touched, &now, &after).map(Some)
    }

    fn compare(
        &self,
        suggestion: &Suggestion,
        touched: Vec<String>,
        now: &Change,
        after: &Change,
    ) -> Result<Saving, EngineError> {
        let present = self.project.read_dockerfile()?;
        let rewritten = match suggestion.file {
            Rewritten::Dockerfile => suggestion.after.as_str(),
            Rewritten::IgnoreFile => present.as_str(),
        };
        let now = self.project.price(self.store, &present, now)?;
        let after = self.project.price(self.store, rewritten, after)?;
        let spared = now.names.iter().zip(&now.lines).filter(|(name, _)| !after.names.contains(name)).map(|(_, line)| *line);
        Ok(Saving {
            touched,
            now_micros: now.micros + now.possible_micros,
            after_micros: after.micros + after.possible_micros,
            spared_lines: spared.collect(),
        })
    }
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
