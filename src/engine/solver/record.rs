//! What is remembered of a build, so that the next one can be compared with it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::engine::cache::{Ingredients, ResultId};
use crate::engine::context::IgnoreFile;
use crate::engine::graph::slots::SlotRecord;
use crate::engine::oci::LayerId;
use crate::ground::digest::Digest;

/// The memory of one build.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BuildRecord {
    /// Shown path of the Dockerfile.
    pub dockerfile: String,
    /// `--target`.
    pub target: Option<String>,
    /// None when it succeeded.
    pub error: Option<String>,
    /// It was cancelled.
    pub cancelled: bool,
    /// The image's id.
    pub image: Option<Digest>,
    /// Microseconds.
    pub micros: u64,
    /// Steps served.
    pub hits: u64,
    /// Steps that ran.
    pub ran: u64,
    /// All steps that are known, those of earlier builds that this one did not reach among them.
    pub slots: Vec<SlotRecord>,
    /// By slot.
    pub ingredients: BTreeMap<String, Ingredients>,
    /// Microseconds that the last run of each slot took.
    pub times: BTreeMap<String, u64>,
    /// Slots whose last run failed.
    #[serde(default)]
    pub failed: BTreeSet<String>,
    /// What the failed runs left, by slot: those of this build, and of slots that it did not reach.
    #[serde(default)]
    pub left: BTreeMap<String, Left>,
    /// The layer that each slot made last.
    pub layers: BTreeMap<String, LayerId>,
    /// The result that each slot had last, by which its read set is found.
    #[serde(default)]
    pub results: BTreeMap<String, ResultId>,
    /// Slots that were traced hits, or stood on one.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub traced: BTreeSet<String>,
    /// The rules in force.
    pub ignore: IgnoreFile,
}

/// What a failed run left, for who wants to look around in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// What it had written.
    pub layer: LayerId,
    /// What it ran on, lowest first.
    pub parents: Vec<LayerId>,
    /// Digest of the operation.
    pub operation: Digest,
}
