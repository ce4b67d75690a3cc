//! The state of a build: a fold of its events.

use std::collections::HashMap;

use crate::engine::event::{BuildEvent, Stamped, VertexId};
use crate::ground::digest::Digest;

use super::step::{Difference, Mark, Progress, Status, Step};

/// A finding in the Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// Ready to show, several lines, as untrusted as the Dockerfile.
    pub text: String,
    /// Whether it ends the build.
    pub error: bool,
    /// Line, from 1.
    pub line: u32,
}

/// An image that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// `oci`, `docker`, `store`.
    pub format: String,
    /// Path or image name.
    pub destination: String,
    /// Manifest digest.
    pub digest: Digest,
    /// Bytes written.
    pub bytes: u64,
}

/// How the build ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    /// The message, when it failed.
    pub error: Option<String>,
    /// It was cancelled.
    pub cancelled: bool,
    /// The image's id.
    pub image: Option<Digest>,
    /// Microseconds in all.
    pub micros: u64,
}

/// Everything known about a build.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BuildState {
    /// Unique name; empty before `BuildStarted`.
    pub build: String,
    /// Shown path of the Dockerfile.
    pub dockerfile: String,
    /// Shown path of the context.
    pub context: String,
    /// `--target`.
    pub target: Option<String>,
    /// Seconds since 1970 of its start.
    pub unix: u64,
    /// In Dockerfile order.
    pub steps: Vec<Step>,
    /// No more steps come.
    pub sealed: bool,
    /// Findings in the Dockerfile.
    pub diagnostics: Vec<Diagnosis>,
    /// What the build as a whole counts at the moment.
    pub progress: Option<Progress>,
    /// Images written.
    pub exports: Vec<Export>,
    /// How it ended.
    pub finish: Option<Finish>,
    /// Time of the latest event, in microseconds of the build.
    pub now: u64,
    /// Events folded.
    pub events: u64,
    /// Events that named an unknown vertex, came twice, or are of a newer version.
    pub unfit: u64,
    index: HashMap<VertexId, usize>,
}

impl BuildState {
    /// Folds a whole log.
    pub fn fold<'a>(events: impl IntoIterator<Item = &'a Stamped>) -> Self {
        let mut state = Self::default();
        for event in events {
            state.apply(event);
        }
        state
    }

    /// The step of a vertex.
    pub fn step(&self, vertex: VertexId) -> Option<&Step> {
        self.index.get(&vertex).and_then(|at| self.steps.get(*at))
    }

    /// The step that stands on a line.
    pub fn at_line(&self, line: u32) -> Option<&Step> {
        self.steps.iter().find(|step| step.line == line)
    }

    /// The word for a step, given how the build as a whole ended: what still waits then was skipped.
    pub fn mark(&self, step: &Step) -> Mark {
        match (step.mark(), &self.finish) {
            (Mark::Waiting | Mark::Running, Some(end)) if end.cancelled => Mark::Cancelled,
            (Mark::Waiting | Mark::Running, Some(_)) => Mark::Skipped,
            (mark, _) => mark,
        }
    }

    /// True between the first and the last event.
    pub fn is_running(&self) -> bool {
        !self.build.is_empty() && self.finish.is_none()
    }

    /// Ends a build whose last event is missing, because its process was killed; does nothing to one that ended or never
    /// began.
    pub fn end_here(&mut self) {
        if self.is_running() {
            let error = Some("The build did not come to its end. Finished steps are kept: build again.".to_owned());
            self.finish = Some(Finish { error, cancelled: false, image: None, micros: self.now });
        }
    }

    /// Takes one event. Never fails; what does not fit is counted in `unfit`.
    pub fn apply(&mut self, stamped: &Stamped) {
        self.events += 1;
        self.now = self.now.max(stamped.at);
        if !self.apply_build(&stamped.event) && !self.apply_step(&stamped.event, stamped.at) {
            self.unfit += 1;
        }
    }

    /// Events of the build as a whole; false when it is none of them, or does not fit.
    fn apply_build(&mut self, event: &BuildEvent) -> bool {
        match event {
            BuildEvent::BuildStarted { build, dockerfile, context, target, unix } if self.build.is_empty() => {
                (self.build, self.dockerfile) = (build.clone(), dockerfile.clone());
                (self.context, self.target, self.unix) = (context.clone(), target.clone(), *unix);
            }
            BuildEvent::Diagnosed { text, error, line } => {
                self.diagnostics.push(Diagnosis { text: text.clone(), error: *error, line: *line });
            }
            BuildEvent::VertexRegistered { .. } => return self.register(event),
            BuildEvent::GraphSealed if !self.sealed => self.sealed = true,
            BuildEvent::Progress { vertex: None, what, done, total } => {
                self.progress = Some(Progress { what: what.clone(), done: *done, total: *total });
            }
            // Of the machine, not of the image: printed, and shown nowhere else yet.
            BuildEvent::CacheImported { .. } | BuildEvent::CacheExported { .. } => {}
            BuildEvent::ExportFinished { format, destination, digest, bytes } => {
                let (format, destination) = (format.clone(), destination.clone());
                self.exports.push(Export { format, destination, digest: *digest, bytes: *bytes });
            }
            BuildEvent::BuildFinished { error, cancelled, environment: _, image, micros } if self.finish.is_none() => {
                let (error, image) = (error.clone(), *image);
                self.finish = Some(Finish { error, cancelled: *cancelled, image, micros: *micros });
                self.progress = None;
            }
            _ => return false,
        }
        true
    }

    /// A new step; false when its vertex is known already.
    fn register(&mut self, event: &BuildEvent) -> bool {
        let BuildEvent::VertexRegistered { vertex, slot, name, line, stage, inputs, role, usual, edited } = event.clone()
        else {
            return false;
        };
        if self.index.contains_key(&vertex) {
            return false;
        }
        self.index.insert(vertex, self.steps.len());
        self.steps.push(Step {
            vertex,
            slot,
            name,
            line,
            stage,
            role,
            inputs,
            usual,
            edited,
            status: Status::Waiting,
            verdict: None,
            started_at: None,
            micros: 0,
            layer: None,
            usage: None,
            reads: None,
            output: Vec::new(),
            progress: None,
            doubts: Vec::new(),
            differences: Vec::new(),
        });
        true
    }

    /// Events of one step; false when the step is not known.
    fn apply_step(&mut self, event: &BuildEvent, at: u64) -> bool {
        let Some(step) = vertex_of(event).and_then(|v| self.index.get(&v)).and_then(|i| self.steps.get_mut(*i)) else {
            return false;
        };
        match event {
            BuildEvent::CacheProbed { verdict, .. } => step.verdict = Some(verdict.clone()),
            BuildEvent::Doubted { doubt, .. } => step.doubts.push(doubt.clone()),
            BuildEvent::Differs { what, lines, note, .. } => {
                let (what, lines, note) = (what.clone(), lines.clone(), note.clone());
                step.differences.push(Difference { what, lines, note });
            }
            BuildEvent::VertexWaiting { pid, .. } => step.status = Status::Blocked { pid: *pid },
            BuildEvent::VertexStarted { .. } => {
                step.status = Status::Running;
                step.started_at = Some(at);
            }
            BuildEvent::Progress { what, done, total, .. } => {
                step.progress = Some(Progress { what: what.clone(), done: *done, total: *total });
            }
            BuildEvent::Output { stream, offset, len, .. } => step.add_output(*stream, *offset, *len),
            BuildEvent::VertexTraced { reads, .. } => step.reads = Some(reads.clone()),
            BuildEvent::VertexFinished { outcome, layer, usage, micros, .. } => {
                step.status = Status::Finished(outcome.clone());
                (step.layer, step.usage, step.micros, step.progress) = (*layer, *usage, *micros, None);
            }
            _ => return false,
        }
        true
    }
}

fn vertex_of(event: &BuildEvent) -> Option<VertexId> {
    match event {
        BuildEvent::CacheProbed { vertex, .. }
        | BuildEvent::Doubted { vertex, .. }
        | BuildEvent::Differs { vertex, .. }
        | BuildEvent::VertexWaiting { vertex, .. }
        | BuildEvent::VertexStarted { vertex }
        | BuildEvent::Output { vertex, .. }
        | BuildEvent::VertexTraced { vertex, .. }
        | BuildEvent::VertexFinished { vertex, .. } => Some(*vertex),
        BuildEvent::Progress { vertex, .. } => *vertex,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn any_prefix_in_any_order_folds() {
        let log = fixture::second_build();
        for end in 0..=log.len() {
            let state = BuildState::fold(&log[..end]);
            assert_eq!(state.events, end as u64);
            let reversed = BuildState::fold(log[..end].iter().rev());
            assert!(reversed.unfit <= end as u64);
        }
    }

    #[test]
    fn a_log_read_back_folds_to_the_live_state() {
        let log = fixture::second_build();
        let live = BuildState::fold(&log);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("build.jsonl");
        let mut file = crate::engine::event::log::EventLog::create(&path).unwrap();
        for event in &log {
            file.append(event).unwrap();
        }
        let read = crate::engine::event::log::read(&path).unwrap();
        assert_eq!(read.events, log, "decode(encode(e)) == e");
        assert_eq!(read.skipped, 0);
        assert_eq!(BuildState::fold(&read.events), live);
        assert_eq!(live.unfit, 0);
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let mut state = BuildState::default();
        let newer: Stamped = serde_json::from_str(r#"{"seq":0,"at":1,"event":{"kind":"from_the_future"}}"#).unwrap();
        state.apply(&newer);
        state.apply(&Stamped { seq: 1, at: 2, event: BuildEvent::VertexStarted { vertex: VertexId(77) } });
        assert_eq!((state.events, state.unfit), (2, 2));
        let log = fixture::second_build();
        let mut state = BuildState::fold(&log);
        state.apply(&log[0]);
        assert_eq!(state.unfit, 1, "a second BuildStarted does not fit");
    }

    #[test]
    fn marks_separate_own_changes_from_followers() {
        let state = BuildState::fold(&fixture::second_build());
        let mark = |line| state.at_line(line).map(|s| state.mark(s));
        assert_eq!(mark(1), Some(Mark::Cached));
        assert_eq!(mark(3), Some(Mark::Changed));
        assert_eq!(mark(4), Some(Mark::Reran));
        assert_eq!(mark(5), Some(Mark::Config));
        assert_eq!(BuildState::fold(&fixture::first_build()).at_line(4).map(Step::mark), Some(Mark::New));
    }

    #[test]
    fn a_killed_build_is_ended_by_its_reader() {
        let mut state = BuildState::fold(&fixture::second_build()[..20]);
        state.end_here();
        assert!(!state.is_running());
        assert!(state.steps.iter().all(|s| !matches!(state.mark(s), Mark::Waiting | Mark::Running)));
        let mut never = BuildState::default();
        never.end_here();
        assert_eq!(never, BuildState::default());
    }

    #[test]
    fn a_build_that_ended_leaves_nobody_waiting() {
        let mut log = fixture::second_build();
        log.truncate(20);
        let end = BuildEvent::BuildFinished { error: None, cancelled: true, environment: false, image: None, micros: 1 };
        log.push(Stamped { seq: 20, at: 9, event: end });
        let state = BuildState::fold(&log);
        assert!(state.steps.iter().all(|s| !matches!(state.mark(s), Mark::Waiting | Mark::Running)));
    }
}
