//! What is remembered of a build, so that the next one can be compared with it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::engine::cache::{Ingredients, ResultId};
use crate::engine::context::IgnoreFile;
use crate::engine::graph::slots::SlotRecord;
use crate::engine::oci::{LayerId, RunConfig};
use crate::ground::digest::Digest;

/// The memory of one build.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BuildRecord {
    /// Shown path of the Dockerfile.
    pub dockerfile: String,
    /// Shown path of the context; empty in records from before it was kept.
    #[serde(default)]
    pub context: String,
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
    /// The base images, by slot.
    #[serde(default)]
    pub bases: BTreeMap<String, BaseFacts>,
    /// Marks of the secrets that the last run of each slot had, by slot and id: sixteen bits of a keyed digest.
    #[serde(default)]
    pub secret_marks: BTreeMap<String, BTreeMap<String, u16>>,
    /// The result that each slot had last, by which its read set is found.
    #[serde(default)]
    pub results: BTreeMap<String, ResultId>,
    /// Slots that were traced hits, or stood on one.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub traced: BTreeSet<String>,
    /// The rules in force.
    pub ignore: IgnoreFile,
}

/// What is remembered of a base image, to say how another one differs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BaseFacts {
    /// RFC 3339.
    pub created: Option<String>,
    /// DiffIDs, lowest first.
    pub layers: Vec<Digest>,
    /// What steps and containers begin with.
    pub config: RunConfig,
}

impl BaseFacts {
    /// How this image differs from an earlier one, a fact a line.
    pub fn against(&self, then: &Self) -> Vec<String> {
        let mut out = Vec::new();
        let same = self.layers.iter().zip(&then.layers).take_while(|(a, b)| a == b).count();
        out.push(match (self.layers.len(), then.layers.len()) {
            (now, old) if now == old && same == now => {
                format!("all {now} layers are the same: only its configuration differs")
            }
            (now, old) => {
                format!("the first {same} layers are the same; {} were there, {} are there now", old - same, now - same)
            }
        });
        if let (true, Some(old), Some(now)) = (self.created != then.created, &then.created, &self.created) {
            out.push(format!("made {now}, the former one {old}"));
        }
        let mut set = |name: &str, old: Vec<String>, now: Vec<String>| {
            out.extend(old.iter().filter(|line| !now.contains(line)).map(|line| format!("- {name} {line}")));
            out.extend(now.iter().filter(|line| !old.contains(line)).map(|line| format!("+ {name} {line}")));
        };
        let RunConfig { user, env, entrypoint, cmd, working_dir, on_build, .. } = &self.config;
        let one = |text: &String| if text.is_empty() { Vec::new() } else { vec![text.clone()] };
        let words = |list: &Option<Vec<String>>| list.iter().map(|words| format!("{words:?}")).collect::<Vec<_>>();
        set("ENV", then.config.env.clone(), env.clone());
        set("USER", one(&then.config.user), one(user));
        set("WORKDIR", one(&then.config.working_dir), one(working_dir));
        set("ENTRYPOINT", words(&then.config.entrypoint), words(entrypoint));
        set("CMD", words(&then.config.cmd), words(cmd));
        set("ONBUILD", then.config.on_build.clone(), on_build.clone());
        out
    }
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
