//! `why --reads [STEP]`: what steps read while they ran.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};

use super::document;
use crate::engine::StepReads;
use crate::engine::reads::{Incomplete, ReadSet, ReadSummary};
use crate::front::text;
use crate::insight::model::{BuildState, Step};

/// So many paths of a group are listed; all of them are in the JSON twin.
const LISTED: usize = 40;

/// How much a step read, for scripts.
#[derive(Debug, Clone, Serialize)]
pub struct ReadsDocument {
    /// Files whose content counts.
    pub files: u64,
    /// Paths looked at that are there.
    pub looked: u64,
    /// Paths looked for that are not there.
    pub missing: u64,
    /// Directories listed.
    pub listed: u64,
    /// Programs executed.
    pub programs: u64,
    /// It used the network.
    pub network: bool,
    /// It is all that it read.
    pub complete: bool,
    /// Why it may not be.
    pub incomplete: Vec<IncompleteDocument>,
    /// System calls that were looked at, or openings where only those are seen.
    pub calls: u64,
    /// Time that the looking took.
    pub seconds: f64,
}

/// Why a set may lack something.
#[derive(Debug, Clone, Serialize)]
pub struct IncompleteDocument {
    /// `budget`, `foreign-architecture`, `second-listener` ...
    pub code: &'static str,
    /// The sentence.
    pub text: String,
}

fn incomplete(reasons: &BTreeSet<Incomplete>) -> Vec<IncompleteDocument> {
    reasons.iter().map(|why| IncompleteDocument { code: why.code(), text: why.to_string() }).collect()
}

impl From<&ReadSummary> for ReadsDocument {
    fn from(reads: &ReadSummary) -> Self {
        Self {
            files: reads.read,
            looked: reads.looked,
            missing: reads.missing,
            listed: reads.listed,
            programs: reads.executed,
            network: reads.network,
            complete: reads.is_complete(),
            incomplete: incomplete(&reads.incomplete),
            calls: reads.events,
            seconds: reads.micros as f64 / 1e6,
        }
    }
}

fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// `read 214 files (4567 calls looked at in 31 ms)`, with a word when that is not all.
pub fn short(reads: &ReadSummary) -> String {
    let missing = if reads.is_complete() { "" } else { ", perhaps more" };
    format!("read {}{missing} ({})", count(reads.read, "file", "files"), cost(reads))
}

fn cost(reads: &ReadSummary) -> String {
    let events = match reads.incomplete.contains(&Incomplete::OpensOnly) {
        true => count(reads.events, "opening", "openings"),
        false => count(reads.events, "call", "calls"),
    };
    format!("{events} looked at in {}", millis(reads.micros))
}

fn millis(micros: u64) -> String {
    if micros < 1_000_000 { format!("{} ms", micros.div_ceil(1000)) } else { text::seconds(micros) }
}

/// One sentence about how much it read and whether that is all.
pub fn sentence(reads: &ReadSummary) -> String {
    let whole = match reads.why_incomplete() {
        None => "complete".to_owned(),
        Some(why) => format!("incomplete: {why}"),
    };
    let parts = [
        format!("it read {}", count(reads.read, "file", "files")),
        format!("listed {}", count(reads.listed, "folder", "folders")),
        format!("looked at {}", count(reads.looked, "more path", "more paths")),
        format!("did not find {}", reads.missing),
        format!("ran {}", count(reads.executed, "program", "programs")),
    ];
    let network = if reads.network { " and used the network" } else { "" };
    format!("{}{network}; {whole}", parts.join(", "))
}

/// Each step with its read set, grouped by who provided the files. Errors: of the writer.
pub fn plain(out: &mut dyn Write, state: &BuildState, known: &[(&Step, StepReads)]) -> io::Result<()> {
    for (step, reads) in known {
        let summary = reads.set.summary();
        writeln!(out, "line {}: {}", step.line, text::line(&step.name))?;
        writeln!(out, "  {}", text::line(&sentence(&summary)))?;
        writeln!(out, "  watching it: {}", cost(&summary))?;
        for (provider, paths) in groups(state, reads) {
            group(out, &format!("files {provider}"), paths)?;
        }
        let set = &reads.set;
        group(out, "folders listed", set.listed.iter())?;
        group(out, "looked for and not there", set.missing.iter())?;
        group(out, "programs", set.executed.iter())?;
        let links: Vec<String> = set.links.iter().map(|(link, target)| format!("{link} -> {target}")).collect();
        group(out, "links followed", links.iter())?;
        group(out, "changed by it", set.changed.iter())?;
    }
    Ok(())
}

fn group<'p>(out: &mut dyn Write, what: &str, paths: impl ExactSizeIterator<Item = &'p String>) -> io::Result<()> {
    let (number, listed) = (paths.len(), LISTED.max(1));
    if number == 0 {
        return Ok(());
    }
    writeln!(out, "  {} ({number}):", text::line(what))?;
    for path in paths.take(listed) {
        writeln!(out, "    {}", text::line(if path.is_empty() { "." } else { path }))?;
    }
    match number.saturating_sub(listed) {
        0 => Ok(()),
        more => writeln!(out, "    and {more} more (--json has them all)"),
    }
}

/// The files that were read, by who provided them: steps of the build by their line first, then the base image.
fn groups<'r>(state: &BuildState, reads: &'r StepReads) -> Vec<(String, std::vec::IntoIter<&'r String>)> {
    let mut groups: BTreeMap<(u32, String), Vec<&String>> = BTreeMap::new();
    for path in &reads.set.read {
        groups.entry(provider(state, reads, path)).or_default().push(path);
    }
    groups.into_iter().map(|((_, words), paths)| (words, paths.into_iter())).collect()
}

/// Its place in the order, and how it is named.
fn provider(state: &BuildState, reads: &StepReads, path: &str) -> (u32, String) {
    let Some(place) = reads.set.origin.get(path) else { return (u32::MAX, "of the base image or of mounts".into()) };
    match maker(state, reads, *place) {
        Some(step) => (step.line, format!("from line {} ({})", step.line, step.name)),
        None => (u32::MAX - 1, "of steps that are not in the last build".into()),
    }
}

fn maker<'s>(state: &'s BuildState, reads: &StepReads, place: u32) -> Option<&'s Step> {
    let slot = reads.makers.get(&place)?;
    state.steps.iter().find(|step| step.slot == *slot)
}

/// `{"schema":1,"build":…,"steps":[…]}`, with every path. Errors: of the writer.
pub fn json(out: &mut dyn Write, state: &BuildState, known: &[(&Step, StepReads)]) -> io::Result<()> {
    let steps: Vec<Value> = known.iter().map(|(step, reads)| step_json(state, step, reads)).collect();
    document::json(out, &json!({"schema": 1, "build": state.build, "steps": steps}))
}

fn step_json(state: &BuildState, step: &Step, reads: &StepReads) -> Value {
    let ReadSet { read, looked, missing, listed, executed, links, changed, added, origin, .. } = &reads.set;
    let lines: BTreeMap<&String, Option<u32>> =
        origin.iter().map(|(path, place)| (path, maker(state, reads, *place).map(|step| step.line))).collect();
    json!({
        "line": step.line,
        "instruction": step.name,
        "summary": ReadsDocument::from(&reads.set.summary()),
        "read": read,
        "looked": looked,
        "missing": missing,
        "listed": listed,
        "programs": executed,
        "links": links,
        "changed": changed,
        "added": added,
        "from_line": lines,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_says_whether_that_is_all() {
        let mut reads = ReadSummary { read: 1, listed: 2, events: 10, micros: 1500, ..ReadSummary::default() };
        let words = "it read 1 file, listed 2 folders, looked at 0 more paths, did not find 0, ran 0 programs";
        assert_eq!(sentence(&reads), format!("{words}; complete"));
        assert_eq!(short(&reads), "read 1 file (10 calls looked at in 2 ms)");
        reads.incomplete.insert(Incomplete::Budget);
        reads.network = true;
        let why = "it made more system calls than are looked at";
        assert_eq!(sentence(&reads), format!("{words} and used the network; incomplete: {why}"));
        assert_eq!(short(&reads), "read 1 file, perhaps more (10 calls looked at in 2 ms)");
        reads.incomplete = [Incomplete::Insecure, Incomplete::OpensOnly].into();
        assert_eq!(short(&reads), "read 1 file, perhaps more (10 openings looked at in 2 ms)");
    }
}
