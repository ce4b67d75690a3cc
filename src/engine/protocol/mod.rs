//! Requests and replies between the builder and its worker: JSON in length-prefixed frames over a socket pair, descriptors
//! beside them by SCM_RIGHTS.

pub mod frame;
pub mod process;
pub mod settings;
pub mod shell;
pub mod trace;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use crate::engine::context::entry::{Entry, EntryKind, Selector};
use crate::engine::event::{LayerStat, Usage};
use crate::engine::oci::{LayerId, Packing};
use crate::engine::reads::ReadSet;
use crate::engine::verdict::TraceRefusal;
use crate::ground::digest::Digest;
pub use crate::language::dockerfile::FileMode;
pub use process::{CacheSharing, MountContent, MountSpec, Network, ProcessSpec};
pub use settings::Ulimit;
pub use shell::{Change, ChangeKind, Changes, Opened, TerminalSize};
pub use trace::TraceBudget;

/// What the worker can be asked to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Makes a layer directory out of a layer blob, applied onto its parents as a container runtime would. Does nothing if
    /// the layer is there. Digest, DiffID and size are verified to the last byte before the layer appears.
    Unpack {
        /// The layer to make.
        layer: LayerId,
        /// Layers below, lowest first; all present.
        parents: Vec<LayerId>,
        /// The blob's file.
        blob: PathBuf,
        /// How it is packed.
        compression: Compression,
        /// Of the blob as it is.
        digest: Digest,
        /// Bytes of the blob.
        size: u64,
        /// Of the uncompressed tar.
        diff_id: Digest,
    },
    /// Runs a process on `parents` and keeps what it wrote as `layer`, when it exits with 0.
    /// Descriptors: standard output, standard error (files or pipes).
    Run {
        /// The layer that becomes of what the process wrote when it fails: somebody may want to look at it.
        #[serde(default)]
        left: Option<LayerId>,
        /// The layer to make.
        layer: LayerId,
        /// Layers below, lowest first.
        parents: Vec<LayerId>,
        /// What to run.
        process: ProcessSpec,
        /// Names this run, so that it can be cancelled.
        token: u64,
        /// Watch what it reads.
        #[serde(default)]
        trace: Option<TraceBudget>,
    },
    /// Runs a process on `parents` for somebody to look around; what it writes is listed and thrown away.
    /// Descriptors: standard input, output and error; for a terminal instead a socket, over which its other end comes back
    /// as [`Opened`].
    Shell {
        /// Layers below, lowest first.
        parents: Vec<LayerId>,
        /// What to run.
        process: ProcessSpec,
        /// A terminal of this size.
        terminal: Option<TerminalSize>,
        /// Names this run, so that it can be cancelled.
        token: u64,
    },
    /// Copies files onto `parents` and keeps the result as `layer`.
    Copy {
        /// The layer to make.
        layer: LayerId,
        /// Layers below, lowest first.
        parents: Vec<LayerId>,
        /// Where the files come from.
        source: CopySource,
        /// What is copied where.
        copy: CopySpec,
        /// The slot's last layer: files that are unchanged in every attribute may be hard-linked from it.
        previous: Option<LayerId>,
    },
    /// `mkdir -p` as WORKDIR does it.
    MakeDirectory {
        /// The layer to make.
        layer: LayerId,
        /// Layers below, lowest first.
        parents: Vec<LayerId>,
        /// Absolute path.
        path: String,
        /// `USER` in force: names are looked up in the image.
        owner: Option<String>,
        /// Modification time for what is made; seconds since 1970.
        timestamp: Option<u64>,
    },
    /// Lists a mounted chain for content hashing and for messages. The reply's entries are those at and below the paths that
    /// the selectors match.
    Scan {
        /// The chain, lowest first.
        layers: Vec<LayerId>,
        /// Paths or patterns.
        selectors: Vec<Selector>,
    },
    /// Compares everything that a step read and wrote on one chain with what another chain has there.
    Compare {
        /// What it stood on, lowest first.
        old: Vec<LayerId>,
        /// What it is to stand on.
        new: Vec<LayerId>,
        /// What it wrote.
        layer: LayerId,
        /// What it read.
        reads: Box<ReadSet>,
        /// Targets of its mounts, which are not looked into.
        mounts: Vec<String>,
        /// As whom it runs, as in [`ProcessSpec::user`].
        user: String,
    },
    /// Streams a layer directory as a tar into the descriptor that comes along.
    WriteLayer {
        /// Which.
        layer: LayerId,
        /// Of the result.
        compression: Compression,
        /// Of the compression; none for its usual one.
        #[serde(default)]
        level: Option<i32>,
        /// Every time later than this is set to this (rewritten timestamps); seconds since 1970.
        clamp_times: Option<u64>,
    },
    /// Streams what a chain shows as one tar, without marks of removal, into the descriptor that comes along.
    WriteTree {
        /// The chain, lowest first.
        layers: Vec<LayerId>,
        /// The time of every entry instead of its own; seconds since 1970.
        times: Option<u64>,
    },
    /// Asks how steps run here. Fails when they cannot run as they should.
    Survey {
        /// What they may use.
        limits: settings::Limits,
        /// Of steps that do not say.
        network: Network,
    },
    /// Stops a run: TERM, a grace of two seconds, KILL.
    Cancel {
        /// The run's token.
        token: u64,
    },
    /// Counts a layer's files anew, whatever was noted when it was made.
    Recount {
        /// Which.
        layer: LayerId,
    },
    /// Lists the folders of cache mounts; of one of them also what takes the space.
    Caches {
        /// The folder's name.
        contents_of: Option<String>,
    },
    /// Removes folders of cache mounts. One that a step has locked stays.
    RemoveCaches {
        /// Their names.
        names: Vec<String>,
    },
    /// Removes layers that no record names any more.
    Remove {
        /// Which.
        layers: Vec<LayerId>,
    },
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// A layer is complete, synced, and in place.
    Layer {
        /// Its size.
        stat: LayerStat,
    },
    /// The process ended.
    Exited {
        /// Exit code, or 128 + signal.
        code: i32,
        /// The layer's size; only when the code is 0.
        stat: Option<LayerStat>,
        /// What it used.
        usage: Usage,
        /// It was cancelled.
        cancelled: bool,
        /// A process was killed because the memory limit was reached.
        #[serde(default)]
        out_of_memory: bool,
        /// What may have been in its way.
        #[serde(default)]
        hint: Option<String>,
        /// The layer `left` is there.
        #[serde(default)]
        left: bool,
        /// What it read, when it was watched and the code is 0.
        #[serde(default)]
        reads: Option<Box<ReadSet>>,
    },
    /// A comparison.
    Compared {
        /// The first difference that matters; none: it would read and find the same.
        refusal: Option<TraceRefusal>,
        /// The layers of the new chain that show the paths, as in `ReadSet::origin`.
        origin: std::collections::BTreeMap<String, u32>,
    },
    /// A shell was left.
    ShellEnded {
        /// Exit code, or 128 + signal.
        code: i32,
        /// It was cancelled.
        cancelled: bool,
        /// What it wrote.
        changes: Changes,
    },
    /// How steps run here.
    Surveyed {
        /// What was asked for and cannot be had, and what is slower or narrower than usual: in words.
        notes: Vec<String>,
    },
    /// The list that was asked for, sorted by path bytes.
    Entries {
        /// All matches with everything below them and the directories above them.
        entries: Vec<Entry>,
        /// For each selector in order, the paths that it matched (without what is below), after following links.
        matches: Vec<Vec<String>>,
    },
    /// A tar was written.
    Written {
        /// Of the uncompressed tar.
        diff_id: Digest,
        /// Of what was written.
        digest: Digest,
        /// Bytes written.
        size: u64,
    },
    /// Folders of cache mounts.
    Caches {
        /// All of them, by name.
        caches: Vec<CacheFolder>,
        /// The largest paths of the one that was asked for, largest first; not more than a thousand.
        contents: Vec<(String, LayerStat)>,
    },
    /// Folders that are gone.
    Removed {
        /// Their names.
        names: Vec<String>,
    },
    /// Done.
    Done,
    /// It failed.
    Failed(Failure),
}

/// The folder of a cache mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheFolder {
    /// Its name: hex digits, with a number behind a dot where several steps use a private one.
    pub name: String,
    /// What it holds.
    pub stat: LayerStat,
    /// When it was changed last, in microseconds since 1970.
    pub changed: u64,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Whose fault it is, for the exit code.
    pub kind: FailureKind,
    /// Lower case, no full stop, names the object, ends with the errno's name in parentheses where there is one.
    pub message: String,
    /// The next step.
    pub hint: Option<String>,
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The Dockerfile's, the context's or the image's.
    User,
    /// The machine's: space, permission, limits.
    Environment,
    /// Ours.
    Internal,
}

/// How a tar is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

impl From<Packing> for Compression {
    fn from(packing: Packing) -> Self {
        match packing {
            Packing::Plain => Self::None,
            Packing::Gzip => Self::Gzip,
            Packing::Zstd => Self::Zstd,
        }
    }
}

/// Where copied files come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum CopySource {
    /// A directory of the user: what is copied is exactly what the entries name; anything else in it does not exist. A file
    /// whose digest differs from its entry fails the request. Owners count as 0:0.
    Directory {
        /// Its path.
        root: PathBuf,
        /// All entries that concern the copy with the directories above them, sorted by path bytes.
        entries: Vec<Entry>,
    },
    /// A stage or an image: everything that the mounted chain shows.
    Layers {
        /// The chain, lowest first.
        layers: Vec<LayerId>,
    },
    /// Several of these: the paths of the first begin with `0/`, those of the second with `1/`, and so on.
    Joined {
        /// In order.
        parts: Vec<CopySource>,
    },
    /// Files given by their text (heredocs): mode 0644, owner 0:0.
    Inline {
        /// Name and text.
        files: Vec<(String, String)>,
    },
}

/// A COPY, with its patterns already resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopySpec {
    /// Paths relative to the source's root, `/`-separated, no leading slash; the root itself is empty. A directory stands for
    /// its contents.
    pub sources: Vec<String>,
    /// For each source the name that it gets in a destination directory: a link that was followed lends its own. Empty: the
    /// base names of the sources.
    #[serde(default)]
    pub names: Vec<String>,
    /// For each source the selector that it came from, whose patterns decide about what is below it. Empty: nothing is left
    /// out.
    #[serde(default)]
    pub selectors: Vec<Selector>,
    /// Files given by their text that are copied after the sources: name and text.
    #[serde(default)]
    pub inline: Vec<(String, String)>,
    /// Absolute path inside; a trailing slash says that it is a directory.
    pub destination: String,
    /// `--chown` as given (expanded), names looked up in the destination's image; none keeps the source's owner.
    pub chown: Option<String>,
    /// `--chmod`.
    pub chmod: Option<FileMode>,
    /// ADD: a source that is a tar archive (plain or gzip) is unpacked.
    pub unpack: bool,
    /// Numbers of the sources that are copied as they are, whatever `unpack` says.
    #[serde(default)]
    pub kept: Vec<usize>,
}
