//! `why [STEP]`: the facts about a step, shared with the Explain view so that the two cannot drift.

use std::io::{self, Write};

use super::document;
use crate::engine::event::Role;
use crate::engine::verdict::{HitReason, MissReason};
use crate::front::text;
use crate::insight::model::cascade::root_of;
use crate::insight::model::{BuildState, Cascade, Difference, Mark, Status, Step};
use crate::language::shell::mentions_variable;

/// What kind of fact a sentence is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactKind {
    /// Hit, miss or neither, in one sentence; the first fact.
    Verdict,
    /// A reason of this step; its code.
    Reason(&'static str),
    /// The step where the cascade began.
    Root,
    /// A reason of that step; its code.
    RootReason(&'static str),
    /// Seconds.
    Cost,
    /// What to do about the fact before it.
    Action,
    /// What a result depends on beside its key; its code.
    Doubt(&'static str),
    /// What is inside of a change; several lines, the first says of what.
    Difference,
    /// Size and use.
    Detail,
    /// The message of a failure; several lines.
    Failure,
}

/// One safe sentence about a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What kind.
    pub kind: FactKind,
    /// Safe text.
    pub text: String,
}

/// Everything known about why a step ran or did not, most important first.
pub fn facts(state: &BuildState, step: &Step) -> Vec<Fact> {
    let cascade = Cascade::of(state);
    let mark = state.mark(step);
    let mut facts = vec![fact(FactKind::Verdict, verdict(step, mark))];
    if let Some(message) = step.failure() {
        facts.push(Fact { kind: FactKind::Failure, text: text::block(message) });
    }
    let redundant = matches!(mark, Mark::New);
    let mut actions: Vec<&str> = Vec::new();
    for reason in step.reasons().iter().filter(|r| !redundant || **r != MissReason::FirstTime) {
        facts.push(fact(FactKind::Reason(reason.code()), reason_words(state, step, reason)));
        // Of a follower the root cause says what to do.
        if reason.is_own() && !actions.contains(&reason.action()) {
            actions.push(reason.action());
        }
    }
    facts.extend(step.differences.iter().map(difference));
    facts.extend(actions.into_iter().chain(step.hit().map(|how| how.action())).map(|words| fact(FactKind::Action, words)));
    for doubt in &step.doubts {
        facts.push(fact(FactKind::Doubt(doubt.code()), doubt.to_string()));
        facts.push(fact(FactKind::Action, doubt.action()));
    }
    root_facts(state, step, &mut facts);
    cutoff_facts(state, &cascade, step, &mut facts);
    cost_facts(state, &cascade, step, mark, &mut facts);
    detail_facts(step, &mut facts);
    facts
}

fn fact(kind: FactKind, words: impl AsRef<str>) -> Fact {
    Fact { kind, text: text::line(words.as_ref()) }
}

/// A reason with what only the other steps tell.
fn reason_words(state: &BuildState, step: &Step, reason: &MissReason) -> String {
    match reason {
        MissReason::VariableChanged { name, mentioned: false, .. } => {
            let reads = |other: &&Step| {
                other.stage.index == step.stage.index && other.line != step.line && mentions_variable(&other.name, name)
            };
            let lines: Vec<String> = state.steps.iter().filter(reads).map(|other| other.line.to_string()).collect();
            match lines.as_slice() {
                [] => format!("{reason}; no line of this stage mentions it"),
                [one] => format!("{reason}; line {one} mentions it"),
                many => format!("{reason}; lines {} mention it", many.join(", ")),
            }
        }
        MissReason::CommandChanged { old, new, whitespace_only: false } => {
            format!("the command changed: {}", super::word_diff::marked(old, new))
        }
        other => other.to_string(),
    }
}

fn difference(of: &Difference) -> Fact {
    let head = match &of.note {
        Some(note) => format!("{}: {note}", of.what),
        None => of.what.clone(),
    };
    let lines: Vec<String> = std::iter::once(&head).chain(&of.lines).map(|line| text::line(line)).collect();
    Fact { kind: FactKind::Difference, text: lines.join("\n") }
}

/// Whose cascade ended here, and what that spared.
fn cutoff_facts(state: &BuildState, cascade: &Cascade, step: &Step, facts: &mut Vec<Fact>) {
    let Some(cutoff) = cascade.cutoff(step.vertex) else { return };
    let source = state.step(cutoff.source).map_or(0, |source| source.line);
    let more = match cutoff.spared.len().saturating_sub(1) {
        0 => "it was".to_owned(),
        1 => "it and 1 step that stands on it were".to_owned(),
        n => format!("it and {n} steps that stand on it were"),
    };
    let words = format!(
        "the step it copies from (line {source}) ran again and gave the same content: {more} spared, {}",
        text::seconds(cutoff.micros)
    );
    facts.push(fact(FactKind::Reason("C3"), words));
}

fn verdict(step: &Step, mark: Mark) -> String {
    match (mark, &step.role) {
        (Mark::Config, Role::Config { effect, .. }) => format!("nothing to run: it {effect}"),
        (Mark::Config, _) => "nothing to run: it opens a stage".to_owned(),
        (Mark::Cached, _) => match step.hit() {
            Some(HitReason::Traced) => {
                let time = text::seconds(step.micros);
                format!("served from the cache: {}; BuildKit would have run this: {time}", HitReason::Traced)
            }
            Some(how) => format!("served from the cache: {}", how.sentence(step.hit_from())),
            None => "not needed: a step below it was served from the cache".to_owned(),
        },
        (Mark::New, _) => "it ran for the first time: there is no earlier build to compare with".to_owned(),
        (Mark::Changed, _) if step.reasons().is_empty() => "it ran".to_owned(),
        (Mark::Changed, _) if matches!(step.ran_unchanged(), Some(MissReason::NotImported { .. })) => {
            "it ran because its result did not come with the cache".to_owned()
        }
        (Mark::Changed, _) if step.ran_unchanged().is_some() => "it ran again although nothing of it changed".to_owned(),
        (Mark::Changed, _) => "it ran again because something of its own changed".to_owned(),
        (Mark::Reran, _) => "it ran again only because a step before it ran".to_owned(),
        (Mark::Running, _) => "it runs now".to_owned(),
        (Mark::Failed, _) => "it ran and failed".to_owned(),
        (Mark::Skipped, _) => "it was not tried, because the build ended before".to_owned(),
        (Mark::Cancelled, _) => "the build was cancelled before it ended".to_owned(),
        (Mark::Waiting, _) => match step.status {
            Status::Blocked { pid } => format!("process {pid} runs the same step: its result will be taken"),
            _ => "not built yet".to_owned(),
        },
    }
}

fn root_facts(state: &BuildState, step: &Step, facts: &mut Vec<Fact>) {
    let Some(root) = root_of(state, step).filter(|v| *v != step.vertex).and_then(|v| state.step(v)) else { return };
    facts.push(fact(FactKind::Root, format!("root cause: line {}: {}", root.line, root.name)));
    for reason in root.reasons() {
        facts.push(fact(FactKind::RootReason(reason.code()), reason_words(state, root, reason)));
    }
    if let Some(first) = root.reasons().first() {
        facts.push(fact(FactKind::Action, first.action()));
    }
}

fn cost_facts(state: &BuildState, cascade: &Cascade, step: &Step, mark: Mark, facts: &mut Vec<Fact>) {
    let own = text::seconds(step.micros);
    let words = match mark {
        Mark::Cached if step.micros >= 50_000 => format!("the cache saved {own}"),
        Mark::New | Mark::Changed | Mark::Failed => match cascade.root(step.vertex) {
            Some(root) if !root.followers.is_empty() => {
                let lines: Vec<String> =
                    root.followers.iter().filter_map(|v| state.step(*v)).map(|s| s.line.to_string()).collect();
                let noun = if lines.len() == 1 { "step that followed (line" } else { "steps that followed (lines" };
                let all = text::seconds(root.micros);
                format!("cost: {own} itself, {all} with the {} {noun} {})", lines.len(), lines.join(", "))
            }
            _ => format!("cost: {own}"),
        },
        Mark::Reran => match root_of(state, step).and_then(|v| cascade.root(v)) {
            Some(root) => format!("cost: {own} of the {} that this change cost in all", text::seconds(root.micros)),
            None => format!("cost: {own}"),
        },
        _ => return,
    };
    facts.push(fact(FactKind::Cost, words));
}

fn detail_facts(step: &Step, facts: &mut Vec<Fact>) {
    if let Role::Config { enters, .. } = &step.role {
        let lines: Vec<String> = enters.iter().map(u32::to_string).collect();
        facts.push(fact(
            FactKind::Detail,
            match lines.as_slice() {
                [] => "it enters no key: changing it makes no step run again".to_owned(),
                [one] => format!("it enters the key of line {one}: changing it makes that step run again"),
                many => format!("it enters the keys of lines {}: changing it makes them run again", many.join(", ")),
            },
        ));
    }
    if let Some(usual) = step.usual {
        facts.push(fact(FactKind::Detail, format!("it usually takes {}", text::seconds(usual))));
    }
    if let Some(layer) = step.layer {
        let removed = if layer.removed > 0 { format!(", {} removed", layer.removed) } else { String::new() };
        let size = text::size(layer.bytes);
        facts.push(fact(FactKind::Detail, format!("layer: {size}, {} files and folders{removed}", layer.entries)));
    }
    if let Some(reads) = &step.reads {
        facts.push(fact(FactKind::Detail, super::reads::sentence(reads)));
    }
    if let Some(usage) = step.usage {
        facts.push(fact(FactKind::Detail, format!("used: {}", super::used::long(&usage))));
    }
}

/// Explains one line, or without `line` every step that ran, with the rest in short.
///
/// Errors: of the writer; `InvalidInput`, with a message for the user, when no step stands on that line.
pub fn plain(out: &mut dyn Write, state: &BuildState, line: Option<u32>) -> io::Result<()> {
    if let Some(line) = line {
        return explain(out, state, find(state, line)?);
    }
    let mut steps: Vec<&Step> = state.steps.iter().collect();
    steps.sort_by_key(|step| step.line);
    for step in steps {
        let mark = state.mark(step);
        if mark.ran() || matches!(mark, Mark::Failed | Mark::Running) {
            explain(out, state, step)?;
        } else {
            let first = facts(state, step).into_iter().next().map_or_else(String::new, |f| f.text);
            writeln!(out, "line {}: {}: {}: {first}", step.line, text::line(&step.name), mark.word())?;
        }
    }
    Ok(())
}

fn find(state: &BuildState, line: u32) -> io::Result<&Step> {
    state.at_line(line).ok_or_else(|| {
        let known: Vec<String> = state.steps.iter().map(|s| s.line.to_string()).collect();
        let message = format!("no step stands on line {line}; steps stand on lines {}", known.join(", "));
        io::Error::new(io::ErrorKind::InvalidInput, message)
    })
}

/// One step with all its facts, indented below its name.
pub(super) fn explain(out: &mut dyn Write, state: &BuildState, step: &Step) -> io::Result<()> {
    explain_facts(out, state, step, |_| true)
}

/// The same without what to do and what is inside of changes: for the end of a build.
pub(super) fn explain_in_short(out: &mut dyn Write, state: &BuildState, step: &Step) -> io::Result<()> {
    explain_facts(out, state, step, |kind| !matches!(kind, FactKind::Action | FactKind::Difference))
}

fn explain_facts(out: &mut dyn Write, state: &BuildState, step: &Step, shown: impl Fn(FactKind) -> bool) -> io::Result<()> {
    writeln!(out, "line {}: {}: {}", step.line, text::line(&step.name), state.mark(step).word())?;
    for fact in facts(state, step).into_iter().filter(|fact| shown(fact.kind)) {
        for line in fact.text.lines() {
            match fact.kind {
                FactKind::Reason(code) => writeln!(out, "  {code}: {line}")?,
                FactKind::RootReason(code) => writeln!(out, "    {code}: {line}")?,
                FactKind::Doubt(code) => writeln!(out, "  doubt {code}: {line}")?,
                FactKind::Action => writeln!(out, "    > {line}")?,
                FactKind::Difference => writeln!(out, "    {line}")?,
                _ => writeln!(out, "  {line}")?,
            }
        }
    }
    Ok(())
}

/// `{"schema":1,"build":…,"steps":[…]}` with the steps of the final document; all of them, or that on `line`.
///
/// Errors: as [`plain`].
pub fn json(out: &mut dyn Write, state: &BuildState, line: Option<u32>) -> io::Result<()> {
    let mut steps = document::steps(state);
    if let Some(line) = line {
        find(state, line)?;
        steps.retain(|step| step.line == line);
    }
    document::json(out, &serde_json::json!({"schema": 1, "build": state.build, "steps": steps}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insight::model::fixture;

    fn why(line: Option<u32>) -> String {
        let mut out = Vec::new();
        plain(&mut out, &BuildState::fold(&fixture::second_build()), line).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_follower_names_root_file_and_cost() {
        assert_eq!(
            why(Some(4)),
            "line 4: RUN npm install --no-audit && npm cache clean --force: reran\n\
             \x20 it ran again only because a step before it ran\n\
             \x20 C1: nothing of its own changed; it ran because the step above it (line 3) ran again\n\
             \x20 root cause: line 3: COPY . .\n\
             \x20   M2: the content of `src/routes/cart.ts` changed\n\
             \x20   > copy only what the steps below read, or copy it below the steps that do not need it\n\
             \x20 cost: 41.2s of the 1m 01s that this change cost in all\n\
             \x20 it usually takes 38.9s\n\
             \x20 layer: 276 MB, 10 files and folders\n"
        );
    }

    #[test]
    fn hits_say_how_and_configuration_says_whose_key() {
        assert!(why(Some(12)).contains("the copied files have the same content"));
        assert!(why(Some(11)).contains("the cache saved 12.0s"));
        assert!(why(Some(5)).contains("it enters the key of line 8"));
        assert!(why(None).lines().count() > 11);
    }

    #[test]
    fn an_unknown_line_is_an_error_that_names_the_known() {
        let error = plain(&mut Vec::new(), &BuildState::fold(&fixture::second_build()), Some(99)).unwrap_err();
        assert!(error.to_string().contains("1, 2, 3, 4"));
    }

    #[test]
    fn the_json_twin_has_the_same_step() {
        let mut out = Vec::new();
        json(&mut out, &BuildState::fold(&fixture::second_build()), Some(4)).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["steps"].as_array().unwrap().len(), 1);
        assert_eq!(value["steps"][0]["reasons"][0]["code"], "C1");
    }
}
