//! One step of a build and the word for where it stands.

use crate::engine::event::{LayerStat, Outcome, Role, StageName, Stream, Usage, Verdict, VertexId};
use crate::engine::reads::ReadSummary;
use crate::engine::verdict::{Doubt, HitReason, MissReason};

/// Where a step stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Status {
    /// Its turn has not come.
    #[default]
    Waiting,
    /// Another process runs the same step.
    Blocked {
        /// Process id of the other builder.
        pid: u32,
    },
    /// It runs.
    Running,
    /// It ended.
    Finished(Outcome),
}

/// The one word for a step on every screen and in every report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mark {
    /// Served from the cache.
    Cached,
    /// It ran for the first time: there is nothing to compare with.
    New,
    /// It ran because something of its own changed.
    Changed,
    /// It ran only because a step before it ran.
    Reran,
    /// It runs now.
    Running,
    /// Its turn has not come, or it was never built.
    Waiting,
    /// It failed.
    Failed,
    /// It was not tried.
    Skipped,
    /// The build was cancelled before it ended.
    Cancelled,
    /// Nothing to run: it changes the configuration, or opens a stage.
    Config,
}

impl Mark {
    /// The word that stands beside the glyph.
    pub fn word(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::New => "new",
            Self::Changed => "changed",
            Self::Reran => "reran",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
            Self::Config => "config",
        }
    }

    /// Whether the step was executed to its end.
    pub fn ran(self) -> bool {
        matches!(self, Self::New | Self::Changed | Self::Reran)
    }
}

/// A stretch of a step's output file written by one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputRange {
    /// Which stream.
    pub stream: Stream,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
}

/// How far something countable is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// `reading context`, `exporting layers` ...
    pub what: String,
    /// So far.
    pub done: u64,
    /// In all, when known.
    pub total: Option<u64>,
}

/// One line of the Dockerfile in this build.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its number in this build.
    pub vertex: VertexId,
    /// Who it was in earlier builds.
    pub slot: String,
    /// The instruction on one line, as untrusted as the Dockerfile.
    pub name: String,
    /// Line, from 1.
    pub line: u32,
    /// Its stage.
    pub stage: StageName,
    /// What kind of line it is.
    pub role: Role,
    /// What it needs.
    pub inputs: Vec<VertexId>,
    /// Microseconds it usually takes.
    pub usual: Option<u64>,
    /// Its text is new or another one than in the last build.
    pub edited: bool,
    /// Where it stands.
    pub status: Status,
    /// The cache's answer.
    pub verdict: Option<Verdict>,
    /// When it began to run, in microseconds of the build.
    pub started_at: Option<u64>,
    /// Microseconds it took; for a hit the time saved.
    pub micros: u64,
    /// Its layer.
    pub layer: Option<LayerStat>,
    /// What its process used.
    pub usage: Option<Usage>,
    /// How much it read, when it was watched.
    pub reads: Option<ReadSummary>,
    /// Its output, in order; neighbours of one stream are one range.
    pub output: Vec<OutputRange>,
    /// The last thing it counted.
    pub progress: Option<Progress>,
    /// What its result depends on beside its key.
    pub doubts: Vec<Doubt>,
    /// What is inside of its changes.
    pub differences: Vec<Difference>,
}

/// What is inside of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The file, or the base image.
    pub what: String,
    /// A unified diff, or facts; untrusted.
    pub lines: Vec<String>,
    /// Why there are none.
    pub note: Option<String>,
}

impl Step {
    /// The word for it.
    pub fn mark(&self) -> Mark {
        match (&self.status, &self.role) {
            (Status::Finished(Outcome::Failed { .. }), _) => Mark::Failed,
            (Status::Finished(Outcome::Cancelled), Role::Base | Role::Step) => Mark::Cancelled,
            (Status::Finished(Outcome::Skipped), Role::Base | Role::Step) => Mark::Skipped,
            (_, Role::Config { .. } | Role::Start) | (Status::Finished(Outcome::Config), _) => Mark::Config,
            (Status::Finished(Outcome::Cached), _) => Mark::Cached,
            (Status::Finished(Outcome::Ran), _) => self.ran_mark(),
            (Status::Running, _) => Mark::Running,
            (Status::Waiting | Status::Blocked { .. }, _) => match self.verdict {
                Some(Verdict::Hit { .. }) => Mark::Cached,
                _ => Mark::Waiting,
            },
        }
    }

    fn ran_mark(&self) -> Mark {
        let reasons = self.reasons();
        if reasons.is_empty() || reasons.iter().any(|r| r.is_own() && *r != MissReason::FirstTime) {
            Mark::Changed
        } else if reasons.iter().any(|r| !r.is_own()) {
            Mark::Reran
        } else {
            Mark::New
        }
    }

    /// Why it was not served; empty for hits and unprobed steps.
    pub fn reasons(&self) -> &[MissReason] {
        match &self.verdict {
            Some(Verdict::Miss { reasons, .. }) => reasons,
            _ => &[],
        }
    }

    /// The reason when it ran although nothing changed: `--no-cache`, a lost result, one that a cache lacks, another key format,
    /// a traced hit before.
    pub fn ran_unchanged(&self) -> Option<&MissReason> {
        let none = |r: &&MissReason| {
            use MissReason::{EngineChanged, NoCache, NotImported, ResultGone, TracedBefore};
            matches!(r, NoCache | ResultGone { .. } | NotImported { .. } | EngineChanged | TracedBefore)
        };
        let own = || self.reasons().iter().filter(|reason| reason.is_own());
        own().next().filter(|_| own().all(|reason| none(&reason)))
    }

    /// How it was served, for a hit.
    pub fn hit(&self) -> Option<HitReason> {
        match &self.verdict {
            Some(Verdict::Hit { how, .. }) => Some(*how),
            _ => None,
        }
    }

    /// The cache that gave it, for a hit of one that was brought in.
    pub fn hit_from(&self) -> Option<&str> {
        match &self.verdict {
            Some(Verdict::Hit { from, .. }) => from.as_deref(),
            _ => None,
        }
    }

    /// The vertex where its cascade began, for a miss.
    pub fn cause(&self) -> Option<VertexId> {
        match &self.verdict {
            Some(Verdict::Miss { cause, .. }) => Some(*cause),
            _ => None,
        }
    }

    /// Bytes of output so far.
    pub fn output_len(&self) -> u64 {
        self.output.iter().map(|r| r.offset.saturating_add(r.len)).max().unwrap_or(0)
    }

    /// Microseconds to show at the moment `now` of the build: live for a running step.
    pub fn elapsed(&self, now: u64) -> u64 {
        match (&self.status, self.started_at) {
            (Status::Running, Some(start)) => now.saturating_sub(start),
            _ => self.micros,
        }
    }

    /// The message of its failure.
    pub fn failure(&self) -> Option<&str> {
        match &self.status {
            Status::Finished(Outcome::Failed { message }) => Some(message),
            _ => None,
        }
    }

    /// Adds a stretch of output; joins it to the last one where they touch.
    pub(super) fn add_output(&mut self, stream: Stream, offset: u64, len: u64) {
        match self.output.last_mut() {
            Some(last) if last.stream == stream && last.offset.checked_add(last.len) == Some(offset) => {
                last.len = last.len.saturating_add(len);
            }
            _ => self.output.push(OutputRange { stream, offset, len }),
        }
    }
}
