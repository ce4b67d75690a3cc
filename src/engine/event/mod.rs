//! What the engine says, its log on disk, its reader. The interface and the printers learn about a build through
//! [`BuildEvent`] alone; what they cannot show is a missing event.

pub mod log;

use serde::{Deserialize, Serialize};

use super::reads::ReadSummary;
use super::verdict::{Doubt, HitReason, MissReason};
use crate::ground::digest::Digest;

/// An event with its place in the build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stamped {
    /// 0, 1, 2 ... without gaps.
    pub seq: u64,
    /// Microseconds since the build began.
    pub at: u64,
    /// What happened.
    pub event: BuildEvent,
}

/// Number of a vertex within its build, in order of registration (which is Dockerfile order).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VertexId(pub u32);

/// The stage a step stands in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageName {
    /// Position in the Dockerfile, from 0.
    pub index: u32,
    /// `AS name`.
    pub name: Option<String>,
}

/// What kind of line a vertex stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Role {
    /// FROM an image.
    Base,
    /// FROM another stage, or FROM scratch: nothing is done.
    Start,
    /// An operation with a layer: RUN, COPY, ADD, WORKDIR.
    Step,
    /// No operation: it changes the configuration, and perhaps keys of others.
    Config {
        /// `sets ENV A`; what it changes.
        effect: String,
        /// Lines of the steps whose key it enters.
        enters: Vec<u32>,
    },
}

/// The cache's answer for one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// Served.
    Hit {
        /// How.
        how: HitReason,
        /// The cache that gave it, for one that was brought in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
    },
    /// Not served.
    Miss {
        /// At least one.
        reasons: Vec<MissReason>,
        /// The vertex where the cascade began; the step itself when the reason is its own.
        cause: VertexId,
    },
    /// In a plan: it cannot be said before something else was done.
    Unknown {
        /// What decides.
        on: Dependence,
    },
}

/// What an undecided step of a plan depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decides", rename_all = "snake_case")]
pub enum Dependence {
    /// What a step gives that will run, or that is undecided itself.
    Output {
        /// That step.
        vertex: VertexId,
    },
    /// What lies in a result of the store that nobody has looked at in this way yet.
    Unseen {
        /// The step that made it.
        vertex: VertexId,
    },
    /// Whether a recorded run can stand in for it (`--cache=traced`), which takes what a step above it gives.
    Reads {
        /// That step.
        vertex: VertexId,
        /// The path that it decides, where it is one.
        path: Option<String>,
    },
    /// What a server or a repository has now: a plan asks nobody.
    Server {
        /// Its address, without credentials.
        address: String,
    },
}

/// Standard output or standard error of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Its result came from the cache (or was not needed, because something below it did).
    Cached,
    /// It ran.
    Ran,
    /// It changed the configuration only.
    Config,
    /// It failed.
    Failed {
        /// The whole message with its place in the Dockerfile.
        message: String,
    },
    /// It was not tried, because something else failed.
    Skipped,
    /// The build was cancelled while it ran or waited.
    Cancelled,
}

/// Size of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LayerStat {
    /// Bytes of regular files.
    pub bytes: u64,
    /// Files, links and directories added or changed.
    pub entries: u64,
    /// Paths removed.
    pub removed: u64,
}

/// What a process used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time in microseconds, user and system.
    pub cpu_micros: u64,
    /// Largest resident set of a single process, in bytes.
    pub peak_memory: u64,
    /// Blocks written, in bytes.
    pub written: u64,
    /// Blocks read, in bytes.
    #[serde(default)]
    pub read: u64,
    /// Most memory of all processes together, file cache included, in bytes; where a control group measured it.
    #[serde(default)]
    pub peak_together: Option<u64>,
}

/// Everything a build says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum BuildEvent {
    /// First event.
    BuildStarted {
        /// Unique name of the build; its log is kept under it.
        build: String,
        /// Shown path of the Dockerfile.
        dockerfile: String,
        /// Shown path of the context.
        context: String,
        /// `--target`.
        target: Option<String>,
        /// Seconds since 1970.
        unix: u64,
    },
    /// A finding in the Dockerfile.
    Diagnosed {
        /// `file:line:column: message`, with line and caret below, ready to show.
        text: String,
        /// Whether it ends the build.
        error: bool,
        /// Line, from 1.
        line: u32,
    },
    /// A line of the Dockerfile that is part of this build.
    VertexRegistered {
        /// Its number.
        vertex: VertexId,
        /// Who it was in earlier builds.
        slot: String,
        /// The instruction on one line.
        name: String,
        /// Line, from 1.
        line: u32,
        /// Its stage.
        stage: StageName,
        /// What it needs.
        inputs: Vec<VertexId>,
        /// What kind.
        role: Role,
        /// Microseconds it usually takes; from the record of the same slot.
        usual: Option<u64>,
        /// Its text is new or another one than in the last build; false in the first build.
        #[serde(default)]
        edited: bool,
    },
    /// No more vertices come.
    GraphSealed,
    /// The cache was asked.
    CacheProbed {
        /// For which step.
        vertex: VertexId,
        /// Its answer.
        verdict: Verdict,
    },
    /// A result depends on something that is no part of its key.
    Doubted {
        /// Of which step.
        vertex: VertexId,
        /// On what.
        doubt: Doubt,
    },
    /// What is inside of a change that made a step miss.
    Differs {
        /// Which step.
        vertex: VertexId,
        /// The file, or the base image, as its reason names it.
        what: String,
        /// A unified diff of a text, or facts about an image; as untrusted as the file.
        lines: Vec<String>,
        /// Why there are none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// It waits for another process that runs the same step.
    VertexWaiting {
        /// Which.
        vertex: VertexId,
        /// Process id of the other builder.
        pid: u32,
    },
    /// It runs now.
    VertexStarted {
        /// Which.
        vertex: VertexId,
    },
    /// Something countable goes on.
    Progress {
        /// For which step; none for the build as a whole.
        vertex: Option<VertexId>,
        /// `reading context`, `unpacking base`, `exporting layers` ...
        what: String,
        /// So far.
        done: u64,
        /// In all, when known.
        total: Option<u64>,
    },
    /// A piece of output lies in the step's own file.
    Output {
        /// Of which step.
        vertex: VertexId,
        /// Which stream.
        stream: Stream,
        /// Where it starts in the file.
        offset: u64,
        /// Bytes.
        len: u64,
    },
    /// What it read is known: it was watched while it ran, now or when its result was made.
    VertexTraced {
        /// Which.
        vertex: VertexId,
        /// How much it read, whether that is all, and what the watching cost.
        reads: ReadSummary,
    },
    /// It ended.
    VertexFinished {
        /// Which.
        vertex: VertexId,
        /// How.
        outcome: Outcome,
        /// Its layer, when it has one and its size is known.
        layer: Option<LayerStat>,
        /// What its process used.
        usage: Option<Usage>,
        /// Microseconds it took when it ran; for a hit, what the recorded run took (the time saved).
        micros: u64,
    },
    /// A cache was brought in: `--cache-from`.
    CacheImported {
        /// As it was named.
        from: String,
        /// `min` or `max`.
        mode: String,
        /// So many steps it knows.
        steps: u64,
        /// Of so many it has the results.
        results: u64,
    },
    /// A cache was written: `--cache-to`.
    CacheExported {
        /// As it was named.
        to: String,
        /// `min` or `max`.
        mode: String,
        /// So many steps it knows.
        steps: u64,
        /// Of so many it has the results.
        results: u64,
        /// Bytes of all its layers.
        bytes: u64,
    },
    /// An image was written somewhere.
    ExportFinished {
        /// `oci`, `docker`, `store`, `registry`, `daemon`.
        format: String,
        /// Path, image name or socket.
        destination: String,
        /// Manifest digest.
        digest: Digest,
        /// Bytes written.
        bytes: u64,
    },
    /// Last event.
    BuildFinished {
        /// None when it succeeded; else the message shown to the user.
        error: Option<String>,
        /// It was cancelled.
        cancelled: bool,
        /// The machine is at fault (no permission, no space, no image), not what was built.
        #[serde(default)]
        environment: bool,
        /// The image's id (digest of its configuration); none when no name and no output asked for an image.
        image: Option<Digest>,
        /// Microseconds in all.
        micros: u64,
    },
    /// An event of a newer version: skipped and counted.
    #[serde(other)]
    Unknown,
}
