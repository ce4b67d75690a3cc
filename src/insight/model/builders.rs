//! What other builders would have made of the same change: the classic builder, buildah and kaniko, each with everything of the
//! build before in its cache.
//!
//! Source: `reference/cache-semantics.md`, section 10. What the events of a build do not tell is not guessed.

use std::collections::BTreeMap;

use crate::engine::event::{Role, VertexId};
use crate::engine::verdict::{FileAttribute, HitReason, MissReason};

use super::state::BuildState;
use super::step::Step;

/// A builder with rules of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Builder {
    /// `DOCKER_BUILDKIT=0 docker build`.
    Classic,
    /// `buildah build --layers`.
    Buildah,
    /// kaniko with `--cache --cache-copy-layers`.
    Kaniko,
}

impl Builder {
    /// In the order of the table.
    pub const ALL: [Self; 3] = [Self::Classic, Self::Buildah, Self::Kaniko];

    /// The word of reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Buildah => "buildah",
            Self::Kaniko => "kaniko",
        }
    }
}

/// What a builder would do with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It would serve it.
    Hit,
    /// It would run it.
    Miss,
    /// It has no such instruction.
    Unable,
}

impl Answer {
    /// The word of reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Unable => "cannot",
        }
    }
}

/// One cell of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opinion {
    /// Who.
    pub builder: Builder,
    /// What.
    pub answer: Answer,
    /// Why, as a phrase.
    pub why: String,
}

/// One row: a line of the Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The step.
    pub vertex: VertexId,
    /// What this build (BuildKit's rules) did.
    pub ours: Answer,
    /// The others.
    pub others: Vec<Opinion>,
}

/// Where a builder stands in a stage: the line from which on nothing hits.
type Broken = BTreeMap<(Builder, u32), u32>;

/// The table of a build.
pub fn compare(state: &BuildState) -> Vec<Row> {
    let mut broken = Broken::new();
    let mut steps: Vec<&Step> = state.steps.iter().collect();
    steps.sort_by_key(|step| step.vertex);
    steps.into_iter().map(|step| row(state, step, &mut broken)).collect()
}

fn row(state: &BuildState, step: &Step, broken: &mut Broken) -> Row {
    let ours = if state.mark(step).ran() { Answer::Miss } else { Answer::Hit };
    let others = Builder::ALL.map(|builder| {
        let key = (builder, step.stage.index);
        if matches!(step.role, Role::Start) {
            // A stage on a stage goes on where that one ended.
            let below = step.inputs.first().and_then(|id| state.step(*id)).map(|step| step.stage.index);
            if let Some(line) = below.and_then(|stage| broken.get(&(builder, stage)).copied()) {
                broken.insert(key, line);
            }
        }
        let (answer, why) = opinion(state, step, builder, broken.get(&key).copied());
        if answer == Answer::Miss {
            broken.entry(key).or_insert(step.line);
        }
        Opinion { builder, answer, why }
    });
    Row { vertex: step.vertex, ours, others: others.into() }
}

fn opinion(state: &BuildState, step: &Step, builder: Builder, broken: Option<u32>) -> (Answer, String) {
    if let Some(why) = unable(step, builder) {
        return (Answer::Unable, why);
    }
    if let Some(line) = broken {
        let why = match builder {
            Builder::Classic => format!("after the miss in line {line} nothing is looked up"),
            Builder::Buildah => format!("the layer below is another one since line {line}"),
            Builder::Kaniko => format!("after the miss in line {line} the cache is not asked"),
        };
        return (Answer::Miss, why);
    }
    own(state, step, builder)
}

/// What it cannot build at all.
fn unable(step: &Step, builder: Builder) -> Option<String> {
    let flag = |flag: &str| step.name.split_whitespace().any(|word| word.starts_with(flag));
    let found = ["--mount=", "--link", "--parents", "--exclude", "--security="].into_iter().find(|name| flag(name));
    let heredoc = step.name.contains("<<");
    match builder {
        Builder::Classic if heredoc => Some("it knows no heredocs".to_owned()),
        Builder::Classic => found.map(|name| format!("it knows no {}", name.trim_end_matches('='))),
        Builder::Kaniko if flag("--mount=") => Some("it takes no notice of --mount".to_owned()),
        Builder::Buildah | Builder::Kaniko => None,
    }
}

fn own(state: &BuildState, step: &Step, builder: Builder) -> (Answer, String) {
    if let Role::Config { .. } | Role::Start = step.role {
        return config(step, builder);
    }
    let reasons: Vec<&MissReason> = step.reasons().iter().filter(|reason| reason.is_own()).collect();
    if step.hit() == Some(HitReason::ChainId) {
        return (Answer::Miss, "it goes by the image, not by its layers".to_owned());
    }
    if let (Builder::Kaniko, false) = (builder, reasons.is_empty()) {
        if reasons.iter().all(|reason| is_file(reason, FileAttribute::Renamed)) {
            return (Answer::Hit, "wrongly: names of files are not in its key, if their order stays the same".to_owned());
        }
        if reasons.iter().all(|reason| is_file(reason, FileAttribute::Xattr)) {
            return (Answer::Hit, "wrongly: extended attributes are not in its key".to_owned());
        }
    }
    if let Some(first) = reasons.first() {
        use MissReason::{EngineChanged, NotImported, ResultGone};
        return match matches!(first, ResultGone { .. } | EngineChanged | NotImported { .. }) {
            true => (Answer::Hit, "the loss is this store's, not its own".to_owned()),
            false => (Answer::Miss, format!("{}: it sees this, too", first.code())),
        };
    }
    let source_ran = step.inputs.iter().filter_map(|id| state.step(*id)).any(|input| state.mark(input).ran());
    match (builder, step.edited) {
        (Builder::Kaniko, true) => (Answer::Miss, "the text of the line is in its key".to_owned()),
        (Builder::Buildah, true) if step.name.contains("--mount=") => {
            (Answer::Miss, "the flags of RUN are in its key, ids of cache mounts too".to_owned())
        }
        _ if source_ran && step.name.contains("--from=") => (Answer::Hit, "the copied files are the same".to_owned()),
        _ => (Answer::Hit, String::new()),
    }
}

fn is_file(reason: &MissReason, wanted: FileAttribute) -> bool {
    matches!(reason, MissReason::FileChanged { attribute, .. } if *attribute == wanted)
}

/// Lines without an operation: no part of BuildKit's keys, but of all others'.
fn config(step: &Step, builder: Builder) -> (Answer, String) {
    if !step.edited || matches!(step.role, Role::Start) {
        return (Answer::Hit, String::new());
    }
    let why = match builder {
        Builder::Classic => "an edited line of any kind makes a new image, and everything below it runs",
        Builder::Buildah => "the history differs from here on",
        Builder::Kaniko => "the text of the line is in the key of all below",
    };
    (Answer::Miss, why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    fn answers(state: &BuildState, line: u32) -> Vec<Answer> {
        let rows = compare(state);
        let id = state.at_line(line).unwrap().vertex;
        rows.iter().find(|row| row.vertex == id).unwrap().others.iter().map(|o| o.answer).collect()
    }

    #[test]
    fn an_edited_label_breaks_all_but_buildkit() {
        let mut state = BuildState::fold(&fixture::second_build());
        for step in &mut state.steps {
            step.verdict = None;
            step.status = super::super::Status::Finished(crate::engine::event::Outcome::Cached);
            step.edited = step.line == 5;
        }
        assert_eq!(answers(&state, 4), [Answer::Hit; 3]);
        assert_eq!(answers(&state, 5), [Answer::Miss; 3]);
        assert_eq!(answers(&state, 8), [Answer::Miss; 3]);
        assert_eq!(answers(&state, 11), [Answer::Hit; 3], "another stage");
    }

    #[test]
    fn kaniko_hits_wrongly_on_a_renamed_file_and_nobody_else() {
        let mut state = BuildState::fold(&fixture::second_build());
        if let Some(crate::engine::event::Verdict::Miss { reasons, .. }) = &mut state.steps[2].verdict
            && let MissReason::FileChanged { attribute, .. } = &mut reasons[0]
        {
            *attribute = FileAttribute::Renamed;
        }
        assert_eq!(answers(&state, 3), [Answer::Miss, Answer::Miss, Answer::Hit]);
    }
}
