//! `history`: builds on record, one of them, or two side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use serde::Serialize;

use super::{document, table, why};
use crate::engine::cache::Ingredients;
use crate::engine::cache::describe::parts;
use crate::front::text;
use crate::insight::model::{BuildState, Step, headline};

/// A build on record.
#[derive(Debug, Clone, Serialize)]
pub struct BuildRow {
    /// Its unique name.
    pub build: String,
    /// Seconds since 1970.
    pub unix: u64,
    /// Shown path of its context; empty where that was not kept.
    pub context: String,
    /// Shown path.
    pub dockerfile: String,
    /// `--target`.
    pub target: Option<String>,
    /// `done`, `failed`, `cancelled`, `interrupted`.
    pub outcome: String,
    /// It took.
    pub micros: u64,
    /// Steps served from the cache.
    pub hits: u64,
    /// Steps executed.
    pub ran: u64,
}

/// A table, in the given order. Errors: of the writer.
pub fn plain(out: &mut dyn Write, rows: &[BuildRow]) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(out, "no builds yet: `rbuild-tui build` makes one");
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.build.clone(),
                table::moment(row.unix),
                project(&row.context),
                row.dockerfile.clone(),
                row.target.clone().unwrap_or_else(|| "-".to_owned()),
                row.outcome.clone(),
                text::seconds(row.micros),
                row.hits.to_string(),
                row.ran.to_string(),
            ]
        })
        .collect();
    table::write(
        out,
        &["BUILD", "STARTED (UTC)", "CONTEXT", "DOCKERFILE", "TARGET", "RESULT", "TIME", "HITS", "RAN"],
        &cells,
    )
}

/// The last name of a context's path.
fn project(context: &str) -> String {
    context.trim_end_matches('/').rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("-").to_owned()
}

/// `{"schema":1,"builds":[…]}`. Errors: of the writer.
pub fn json(out: &mut dyn Write, rows: &[BuildRow]) -> io::Result<()> {
    document::json(out, &serde_json::json!({"schema": 1, "builds": rows}))
}

/// One build: every step, and the reasons of those that ran. Errors: of the writer.
pub fn show(out: &mut dyn Write, state: &BuildState) -> io::Result<()> {
    writeln!(out, "build {} of {}, {}", text::line(&state.build), text::line(&state.dockerfile), table::moment(state.unix))?;
    why::plain(out, state, None)?;
    writeln!(out, "{}", text::line(&headline(state)))
}

/// A step in two builds.
#[derive(Debug, Clone, Serialize)]
pub struct Compared {
    /// Line in the later build, or in the earlier one where the later has no such step.
    pub line: u32,
    /// The instruction there.
    pub instruction: String,
    /// In the earlier build: word, seconds, bytes.
    pub old: Option<Side>,
    /// In the later one.
    pub new: Option<Side>,
    /// Names of the ingredients of its key that differ; none where one build has no key of it.
    pub key: Option<Vec<String>>,
}

/// A step in one build.
#[derive(Debug, Clone, Serialize)]
pub struct Side {
    /// `cached`, `changed` ...
    pub result: &'static str,
    /// It took; for a hit what the recorded run took.
    pub seconds: f64,
    /// Of its layer.
    pub bytes: Option<u64>,
}

type Of<'a> = (&'a BuildState, &'a BTreeMap<String, Ingredients>);

/// Both builds step by step; steps are the same by their slot.
pub fn compare(old: Of<'_>, new: Of<'_>) -> Vec<Compared> {
    let side = |state: &BuildState, step: &Step| Side {
        result: state.mark(step).word(),
        seconds: step.micros as f64 / 1_000_000.0,
        bytes: step.layer.map(|layer| layer.bytes),
    };
    let row = |now: Option<&Step>, then: Option<&Step>| {
        let shown = now.or(then)?;
        let keys = old.1.get(&shown.slot).zip(new.1.get(&shown.slot));
        Some(Compared {
            line: shown.line,
            instruction: shown.name.clone(),
            old: then.map(|step| side(old.0, step)),
            new: now.map(|step| side(new.0, step)),
            key: keys.map(|(then, now)| differing(then, now)),
        })
    };
    let find = |state: &'_ BuildState, slot: &str| state.steps.iter().position(|step| step.slot == slot);
    let both = new.0.steps.iter().filter_map(|now| row(Some(now), find(old.0, &now.slot).map(|at| &old.0.steps[at])));
    let gone = old.0.steps.iter().filter(|then| find(new.0, &then.slot).is_none()).filter_map(|then| row(None, Some(then)));
    both.chain(gone).collect()
}

/// Names of the ingredients that differ.
fn differing(then: &Ingredients, now: &Ingredients) -> Vec<String> {
    let (old, new) = (parts(then), parts(now));
    let names: BTreeSet<&str> =
        old.iter().chain(&new).filter(|p| !(old.contains(p) && new.contains(p))).map(|p| p.name.as_str()).collect();
    names.into_iter().map(str::to_owned).collect()
}

/// A table. Errors: of the writer.
pub fn compare_plain(out: &mut dyn Write, old: &BuildState, new: &BuildState, rows: &[Compared]) -> io::Result<()> {
    let side = |side: &Option<Side>| match side {
        None => vec!["-".to_owned(), String::new(), String::new()],
        Some(side) => {
            let micros = (side.seconds * 1_000_000.0) as u64;
            vec![side.result.to_owned(), text::seconds(micros), side.bytes.map_or_else(String::new, text::size)]
        }
    };
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let name: String = row.instruction.chars().take(44).collect();
            let key = match &row.key {
                Some(names) if names.is_empty() => "same".to_owned(),
                Some(names) => names.join(", ").chars().take(60).collect(),
                None => String::new(),
            };
            [vec![row.line.to_string(), name], side(&row.old), side(&row.new), vec![key]].concat()
        })
        .collect();
    table::write(out, &["line", "instruction", "old", "time", "layer", "new", "time", "layer", "key"], &cells)?;
    for (word, state) in [("old", old), ("new", new)] {
        let took = state.finish.as_ref().map_or(state.now, |finish| finish.micros);
        let (build, moment) = (text::line(&state.build), table::moment(state.unix));
        writeln!(out, "{word}: {build}, {moment}, {}: {}", text::seconds(took), text::line(&headline(state)))?;
    }
    Ok(())
}

/// The same as one document. Errors: of the writer.
pub fn compare_json(out: &mut dyn Write, old: &BuildState, new: &BuildState, rows: &[Compared]) -> io::Result<()> {
    document::json(out, &serde_json::json!({"schema": 1, "old": old.build, "new": new.build, "steps": rows}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_names_are_safe() {
        let row = BuildRow {
            build: "b\x1b[2J1".into(),
            unix: 1_790_000_000,
            context: "/home/me/shop".into(),
            dockerfile: "Dockerfile".into(),
            target: None,
            outcome: "done".into(),
            micros: 64_000_000,
            hits: 11,
            ran: 4,
        };
        let mut out = Vec::new();
        plain(&mut out, &[row]).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.contains("b\\x1b[2J1  2026-09-21 14:13:20  shop     Dockerfile  -       done    1m 04s  11    4\n"),
            "{text}"
        );
    }
}
