//! Where a process stands that looks around at a step: on what the step made, on what it began with, or on what it left when
//! it failed. Everything comes from the cache, found by the very probe that a build makes; nothing runs.

use super::error::SolveError;
use super::execute::HOSTNAME;
use super::record::Left;
use super::{Mode, Solver, guard};
use crate::engine::cache::preimage::operation_digest;
use crate::engine::event::VertexId;
use crate::engine::graph::op::{Mount, MountKind};
use crate::engine::graph::{Operation, Surroundings, Vertex};
use crate::engine::oci::LayerId;
use crate::engine::protocol::ProcessSpec;

/// Which side of a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Side {
    /// What it begins with.
    Before,
    /// What it made, or left when it failed.
    #[default]
    After,
}

/// A place for a process.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The file system, lowest layer first.
    pub layers: Vec<LayerId>,
    /// What the step's process would meet; its arguments are those of the step, or none.
    pub process: ProcessSpec,
    /// SHELL.
    pub shell: Option<Vec<String>>,
    /// It is what a failed run left.
    pub failed: bool,
    /// Ids of the cache mounts.
    pub caches: Vec<String>,
    /// Ids of the secrets that were not given.
    pub missing: Vec<String>,
}

impl Solver<'_> {
    /// The place at a side of a step. Errors: what is needed of it is not in the cache.
    pub fn standing(&self, id: VertexId, side: Side) -> Result<Standing, SolveError> {
        let vertex = self.vertex(id);
        let (layers, failed) = self.file_system(vertex, side)?;
        self.note(vertex, layers.iter().map(LayerId::as_str))?;
        self.unpack(vertex, &layers)?;
        let surroundings = self.surroundings(vertex, side);
        let shell = surroundings.shell.clone();
        let process = match &vertex.operation {
            Some(operation @ Operation::Run { .. }) => self.process(vertex, operation)?,
            _ => self.plain_process(vertex, surroundings),
        };
        let caches = guard(&self.state.mounted).iter().map(|(_, id, _)| id.clone()).collect();
        Ok(Standing { layers, process, shell, failed, caches, missing: self.missing_secrets(vertex) })
    }

    fn missing_secrets(&self, vertex: &Vertex) -> Vec<String> {
        let Some(Operation::Run { mounts, .. }) = &vertex.operation else { return Vec::new() };
        let missing = |mount: &Mount| match &mount.kind {
            MountKind::Secret { id, .. } if !self.secrets.contains_key(id) => Some(id.clone()),
            _ => None,
        };
        mounts.iter().filter_map(missing).collect()
    }

    /// What the instruction before has set, or this one.
    fn surroundings(&self, vertex: &Vertex, side: Side) -> Surroundings {
        let earlier = self.graph.vertices[..vertex.id.0 as usize].iter().rev();
        let previous = earlier.clone().find(|v| v.stage.index == vertex.stage.index && v.line < vertex.line);
        match side {
            Side::Before => previous.map(|v| v.surroundings.clone()).unwrap_or_default(),
            Side::After => vertex.surroundings.clone(),
        }
    }

    fn plain_process(&self, vertex: &Vertex, surroundings: Surroundings) -> ProcessSpec {
        ProcessSpec {
            args: Vec::new(),
            env: surroundings.env,
            cwd: surroundings.cwd,
            user: surroundings.user,
            hostname: HOSTNAME.into(),
            network: self.default_network,
            mounts: Vec::new(),
            hosts: vertex.hosts.clone(),
            ulimits: Vec::new(),
            limits: self.limits.clone(),
            insecure: false,
        }
    }

    /// The layers, and whether a failed run left the last one.
    fn file_system(&self, vertex: &Vertex, side: Side) -> Result<(Vec<LayerId>, bool), SolveError> {
        let below = |vertex: &Vertex| match vertex.parent {
            Some(parent) => self.result(parent).map(|result| result.layers),
            None => Ok(Vec::new()),
        };
        match (&vertex.operation, side) {
            (None, side) => match self.surroundings(vertex, side).head {
                Some(head) => Ok((self.result(head)?.layers, false)),
                None => Ok((Vec::new(), false)),
            },
            (Some(_), Side::Before) => Ok((below(vertex)?, false)),
            (Some(operation), Side::After) => match self.left(vertex, operation)? {
                Some(left) => {
                    let mut layers = left.parents;
                    layers.push(left.layer);
                    Ok((layers, true))
                }
                None => Ok((self.result(vertex.id)?.layers, false)),
            },
        }
    }

    /// What this very step left when it failed last, on the layers that it would run on now.
    fn left(&self, vertex: &Vertex, operation: &Operation) -> Result<Option<Left>, SolveError> {
        let Some(left) = self.previous.and_then(|record| record.left.get(&vertex.slot)) else { return Ok(None) };
        let parents = match vertex.parent {
            Some(parent) => self.result(parent)?.layers,
            None => Vec::new(),
        };
        if left.operation != operation_digest(operation) || left.parents != parents {
            return Ok(None);
        }
        self.note(vertex, [left.layer.as_str()])?;
        Ok(self.store.layout.layer(&left.layer).exists().then(|| left.clone()))
    }

    /// In a solve that runs nothing, a step that would have to run is an error.
    pub(super) fn may_run(&self, vertex: &Vertex) -> Result<(), SolveError> {
        if self.state.mode == Mode::Build {
            return Ok(());
        }
        let failed = self.previous.is_some_and(|record| record.failed.contains(&vertex.slot));
        let (message, hint) = match failed {
            true => (
                "it failed in the last build, and what it left is gone or of another version of it",
                "look at what it begins with by --before, or build again (or add --build)",
            ),
            false => ("it is not in the cache as it stands now", "run `rbuild-tui build` first, or add --build"),
        };
        Err(SolveError::user(&self.speaker.file, vertex, message, Some(hint.into())))
    }

    /// The name for what a run leaves if it fails.
    pub(super) fn left_layer(&self, vertex: &Vertex) -> Result<LayerId, SolveError> {
        let name = format!("{}{}", LayerId::FAILED, crate::ground::random_hex(16));
        self.note(vertex, [name.as_str()])?;
        name.parse().map_err(|error| SolveError::environment(&self.speaker.file, vertex, error, None))
    }

    pub(super) fn note_left(&self, vertex: &Vertex, layer: LayerId, parents: Vec<LayerId>) {
        let Some(operation) = &vertex.operation else { return };
        let left = Left { layer, parents, operation: operation_digest(operation) };
        guard(&self.state.left).insert(vertex.slot.clone(), left);
    }

    /// What the failed runs of this solve left, by slot.
    pub fn lefts(&self) -> std::collections::BTreeMap<String, Left> {
        guard(&self.state.left).clone()
    }
}
