//! Vertices and edges.

use super::base::ResolvedBase;
use super::op::Operation;
use crate::engine::context::Selector;
use crate::engine::event::{Role, StageName, VertexId};
use crate::engine::oci::ImageConfig;
use crate::language::dockerfile::Keyword;

/// One instruction of the build.
#[derive(Debug, Clone)]
pub struct Vertex {
    /// Its number: its place in `BuildGraph::vertices`.
    pub id: VertexId,
    /// Who it is across builds.
    pub slot: String,
    /// The instruction on one line.
    pub name: String,
    /// Which instruction.
    pub keyword: Keyword,
    /// First line, from 1.
    pub line: u32,
    /// Its stage.
    pub stage: StageName,
    /// How it is shown.
    pub role: Role,
    /// What it does; none when it changes only the configuration.
    pub operation: Option<Operation>,
    /// The operation whose result it changes; none on scratch.
    pub parent: Option<VertexId>,
    /// What it reads beside its parent, in the order of its flags and arguments.
    pub edges: Vec<Edge>,
    /// Number of the base in `BuildGraph::bases`.
    pub base: Option<usize>,
    /// `--no-cache` concerns it.
    pub ignore_cache: bool,
    /// Variables that its process sees although they are not in its key (proxies).
    pub hidden_env: Vec<String>,
    /// `--add-host`: names, which are part of the key, and addresses, which are not.
    pub hosts: Vec<(String, String)>,
    /// What a command would meet after it.
    pub surroundings: Surroundings,
}

/// What instructions before a command have set for it. Not part of any key by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The operation whose result is the file system; none when it is empty.
    pub head: Option<VertexId>,
    /// `NAME=value`, arguments in scope too.
    pub env: Vec<String>,
    /// WORKDIR.
    pub cwd: String,
    /// USER.
    pub user: String,
    /// SHELL, where it was set.
    pub shell: Option<Vec<String>>,
}

/// Something that a step reads beside its parent: the source of a COPY, a bind mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// Where from.
    pub source: SourceRef,
    /// How it enters the key.
    pub counts: Counts,
    /// Which paths, as written.
    pub selectors: Vec<Selector>,
}

/// Where files come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SourceRef {
    /// The main context (empty name) or a named one that is a directory.
    Context(String),
    /// A stage's or image's file system; none for an empty one.
    Vertex(Option<VertexId>),
}

/// How an edge enters the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// By definition, and by the content of what is selected.
    Content,
    /// By definition alone.
    Definition,
}

impl Edge {
    /// The step that it reads from.
    pub fn vertex(&self) -> Option<VertexId> {
        match self.source {
            SourceRef::Vertex(id) => id,
            SourceRef::Context(_) => None,
        }
    }
}

/// The build.
#[derive(Debug, Clone, Default)]
pub struct BuildGraph {
    /// In Dockerfile order.
    pub vertices: Vec<Vertex>,
    /// The base images.
    pub bases: Vec<ResolvedBase>,
    /// The operation whose result is the image's file system; none when it is empty.
    pub target: Option<VertexId>,
    /// Configuration of the image, without DiffIDs and history of this build.
    pub config: Option<ImageConfig>,
    /// The target's base (its history comes first), as a place in `bases`.
    pub target_base: Option<usize>,
    /// History of the target's chain, lowest first.
    pub history: Vec<HistoryStep>,
    /// SOURCE_DATE_EPOCH: of the command line, else the default that the Dockerfile gives.
    pub epoch: Option<u64>,
}

/// An entry of the history to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryStep {
    /// `created_by`.
    pub created_by: String,
    /// The vertex whose layer it is; none for a step without layer.
    pub vertex: Option<VertexId>,
}

impl BuildGraph {
    /// A vertex by its number.
    pub fn vertex(&self, id: VertexId) -> Option<&Vertex> {
        self.vertices.get(id.0 as usize)
    }

    /// Everything it needs directly.
    pub fn inputs(&self, vertex: &Vertex) -> Vec<VertexId> {
        let mut out: Vec<VertexId> = vertex.parent.into_iter().collect();
        out.extend(vertex.edges.iter().filter_map(Edge::vertex));
        out.dedup();
        out
    }
}
