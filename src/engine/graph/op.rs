//! What a vertex does, with every field that enters its key.

use serde::{Deserialize, Serialize};

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
