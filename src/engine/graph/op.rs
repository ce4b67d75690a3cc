//! What a vertex does, with every field that enters its key.

use serde::{Deserialize, Serialize};

use crate::engine::protocol::settings::Ulimit;
use crate::ground::digest::Digest;

/// An operation with every field that BuildKit puts into its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case")]
pub enum Operation {
    /// FROM an image.
    Base {
        /// As written.
        image: String,
        /// Digest of the manifest.
        manifest: Digest,
        /// ChainID of all layers; none for an image without layers.
        chain: Option<Digest>,
        /// `linux/amd64`.
        platform: String,
    },
    /// RUN.
    Run {
        /// The words given to the kernel.
        args: Vec<String>,
        /// In order.
        env: Vec<Variable>,
        /// WORKDIR.
        cwd: String,
        /// USER.
        user: String,
        /// `--network`; none when it is not set.
        network: Option<String>,
        /// `--security`; none when it is not set.
        security: Option<String>,
        /// `--mount`, sorted by target.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        mounts: Vec<Mount>,
        /// `--mount=type=secret,env=`: variables whose values do not count.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        secrets: Vec<SecretVariable>,
        /// Names of `--add-host`, in order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        hosts: Vec<String>,
        /// `--ulimit`, in order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ulimits: Vec<Ulimit>,
        /// `linux/amd64`.
        platform: String,
    },
    /// COPY and ADD.
    Copy {
        /// `COPY` or `ADD`.
        instruction: String,
        /// Base names of the sources, in order.
        sources: Vec<String>,
        /// Absolute.
        destination: String,
        /// `--chown`.
        chown: Option<String>,
        /// `--chmod`.
        chmod: Option<String>,
        /// Files given by their text: name and text.
        inline: Vec<(String, String)>,
        /// `--exclude`, in order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        exclude: Vec<String>,
        /// `--parents`: of each source the pattern behind `/./`, and the path that must exist when it has no wildcard.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        parents: Vec<(String, Option<String>)>,
        /// `--unpack`; none where it is not given: then ADD unpacks, and COPY does not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unpack: Option<bool>,
        /// `linux/amd64`.
        platform: String,
    },
    /// COPY --link: what was copied onto nothing is laid over the step above.
    Merge {
        /// `linux/amd64`.
        platform: String,
    },
    /// WORKDIR's directory.
    MakeDirectory {
        /// Absolute.
        path: String,
        /// USER at that place.
        owner: Option<String>,
        /// SOURCE_DATE_EPOCH.
        timestamp: Option<u64>,
        /// `linux/amd64`.
        platform: String,
    },
}

/// Whether a source that is an archive is unpacked.
///
/// Source: BuildKit `dispatchCopy`, `AttemptUnpack`: nothing else tells ADD of local files from COPY.
pub fn unpacks(instruction: &str, unpack: Option<bool>) -> bool {
    unpack.unwrap_or(instruction == "ADD")
}

/// `RUN --mount=...`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute.
    pub target: String,
    /// What a step writes is lost, or refused.
    pub read_only: bool,
    /// What is there.
    pub kind: MountKind,
}

/// A secret in a variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretVariable {
    /// The variable.
    pub name: String,
    /// Which secret.
    pub id: String,
    /// The step fails without it.
    pub required: bool,
}

/// What a mount shows. Edges are numbers in `Vertex::edges`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum MountKind {
    /// A path of a stage, an image or a context: its content counts.
    Bind {
        /// Where from.
        edge: usize,
    },
    /// A folder that outlives the build: its content does not count.
    Cache {
        /// Name of the folder.
        id: String,
        /// `sharing=`: `shared`, `private`, `locked`.
        sharing: String,
        /// What it holds at first.
        seed: Option<usize>,
        /// `source=` without a `from=`: what of the folder is shown. Empty: all of it.
        path: String,
        /// Owner of a new folder.
        uid: u32,
        /// Group of a new folder.
        gid: u32,
        /// Mode of a new folder.
        mode: u32,
    },
    /// Memory.
    Tmpfs {
        /// Bytes; none for no limit of its own.
        size: Option<u64>,
    },
    /// A file that only this step sees: its content does not count.
    Secret {
        /// Which.
        id: String,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Mode.
        mode: u32,
        /// The step fails without it.
        required: bool,
    },
    /// The socket of an agent that has ssh keys: which keys does not count.
    Ssh {
        /// Which agent.
        id: String,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Mode.
        mode: u32,
        /// The step fails without it.
        required: bool,
    },
    /// A program given by its text, at its path: a heredoc of RUN that begins with `#!`.
    Script {
        /// The text, which counts.
        text: String,
    },
}

impl MountKind {
    /// The word of `type=`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Bind { .. } => "bind",
            Self::Cache { .. } => "cache",
            Self::Tmpfs { .. } => "tmpfs",
            Self::Secret { .. } => "secret",
            Self::Ssh { .. } => "ssh",
            Self::Script { .. } => "script",
        }
    }
}

/// An environment variable of a RUN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
    /// Where it was set.
    pub origin: VariableOrigin,
}

/// Where a variable was set. Not part of the key: only messages use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariableOrigin {
    /// ENV of this build.
    Env,
    /// ARG.
    Arg,
    /// The base image.
    Base,
}

impl VariableOrigin {
    /// As messages say it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Env => "ENV",
            Self::Arg => "ARG",
            Self::Base => "base image variable",
        }
    }
}
