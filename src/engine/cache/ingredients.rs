//! Everything that enters a step's key, by name: what two builds are compared by when a step has to run.

use serde::{Deserialize, Serialize};

use crate::engine::graph::op::Operation;
use crate::ground::digest::Digest;

/// Version of the key format; part of every operation's digest.
pub const KEY_FORMAT: u32 = 1;

/// What the key of one step is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingredients {
    /// [`KEY_FORMAT`] when the record was made.
    pub format: u32,
    /// What it does.
    pub operation: Operation,
    /// The step whose result it changes: slot and text. None for a base and for steps on `scratch`.
    pub parent: Option<Source>,
    /// What it copies from.
    pub sources: Vec<Source>,
}

/// Another step as an ingredient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its slot.
    pub slot: String,
    /// Its text, for messages.
    pub name: String,
    /// Content that was read from it, when it counts by content.
    pub content: Option<Content>,
    /// Which commit of a git repository, which digest of a download it was; none for anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}

/// What was read from a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// BuildKit's digest of the selected paths: the key.
    pub digest: Digest,
    /// The list of the selected files, kept in the store under this digest: the evidence.
    pub tree: Digest,
}
