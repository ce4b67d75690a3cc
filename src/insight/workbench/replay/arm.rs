//! One Dockerfile on its way through the history: that of each commit, or a proposed one.

use std::collections::HashMap;
use std::rc::Rc;

use super::cache::{Cache, Outcome, Own};
use super::checkout::{Checkout, Moved};
use super::selection::Selection;
use super::{Blame, BuildRow};
use crate::engine::context::IgnoreFile;
use crate::engine::event::VertexId;
use crate::engine::forecast::{Reach, Times};
use crate::engine::graph::{BuildGraph, Edge, Vertex};
use crate::engine::solver::record::BuildRecord;
use crate::engine::store::Store;
use crate::engine::{EngineError, Project};
use crate::ground::digest::Digest;
use crate::insight::workbench::history::{Blobs, Object};

/// A Dockerfile, lowered.
pub struct Lowered {
    graph: BuildGraph,
    /// By step and edge, where it reads the context.
    reaches: HashMap<(VertexId, usize), Reach>,
    /// Base images that are not in the store.
    pub missing: Vec<String>,
}

/// One side of the comparison.
pub struct Arm {
    /// The context, commit by commit.
    pub checkout: Checkout,
    cache: Cache,
    /// Every text that was met.
    texts: HashMap<Digest, Result<Rc<Lowered>, String>>,
    current: Option<Digest>,
    /// What edges of the current text select.
    selections: HashMap<(VertexId, usize), Selection>,
    /// The history has links.
    links: bool,
}

impl Arm {
    /// Nothing was built yet. `links`: there are links somewhere in the history.
    pub fn new(checkout: Checkout, links: bool) -> Self {
        let (texts, selections) = (HashMap::new(), HashMap::new());
        Self { checkout, cache: Cache::default(), texts, current: None, selections, links }
    }

    /// Moves the context on. Returns what of it moved.
    pub fn apply(&mut self, changes: &[(String, Option<Object>)], blobs: &mut Blobs) -> Result<Vec<Moved>, EngineError> {
        let moved = self.checkout.apply(changes, blobs)?;
        let Some(lowered) = self.lowered() else { return Ok(moved) };
        for (key, selection) in &mut self.selections {
            let edge = lowered.graph.vertex(key.0).and_then(|vertex| vertex.edges.get(key.1));
            if let (Some(edge), Some(reach)) = (edge, lowered.reaches.get(key)) {
                selection.change(reach, edge, self.checkout.tree(), &moved);
            }
        }
        Ok(moved)
    }

    /// Another ignore file may be in force.
    pub fn set_ignore(&mut self, ignore: IgnoreFile) {
        if self.checkout.set_ignore(ignore) {
            self.selections.clear();
        }
    }

    /// Takes a Dockerfile. Returns what is wrong with it.
    pub fn set_text(&mut self, project: &Project, store: &Store, record: &BuildRecord, text: &str) -> Result<(), String> {
        let digest = Digest::of(text);
        if self.current != Some(digest) {
            self.selections.clear();
            self.current = Some(digest);
        }
        let lowered = self.texts.entry(digest).or_insert_with(|| lower(project, store, record, text).map(Rc::new));
        lowered.as_ref().map(|_| ()).map_err(Clone::clone)
    }

    /// The current Dockerfile, if nothing is wrong with it.
    pub fn lowered(&self) -> Option<Rc<Lowered>> {
        self.texts.get(&self.current?)?.as_ref().ok().cloned()
    }

    /// All Dockerfiles that were built.
    pub fn all_lowered(&self) -> impl Iterator<Item = &Rc<Lowered>> {
        self.texts.values().filter_map(|lowered| lowered.as_ref().ok())
    }

    /// Builds the current Dockerfile on the current context. `changed` are the paths that this commit changed.
    pub fn build(&mut self, times: &Times<'_>, changed: &[String], file: &str) -> BuildRow {
        let Some(lowered) = self.lowered() else { return BuildRow::default() };
        let (selections, tree, links) = (&mut self.selections, self.checkout.tree(), self.links);
        let mut contents = |vertex: &Vertex, at: usize, edge: &Edge| {
            let selection = selections.entry((vertex.id, at)).or_insert_with(|| Selection::new(edge, tree, links));
            selection.name(edge, tree)
        };
        let outcomes = self.cache.build(&lowered.graph, &mut contents);
        let mut row = BuildRow::default();
        // Files that the roots copied; followers are on the bill of the root above them.
        let mut bill = Bill { changed, file, to: HashMap::new() };
        for (id, outcome) in outcomes {
            let Some(vertex) = lowered.graph.vertex(id) else { continue };
            row.lines.push((vertex.line, outcome_word(&outcome)));
            match outcome {
                Outcome::Hit => row.hits += 1,
                Outcome::Failed | Outcome::NotReached => row.failed += 1,
                Outcome::Ran { depends_on_output, own } => {
                    row.ran += 1;
                    let micros = times.of(vertex);
                    row.micros += micros.unwrap_or(0);
                    row.untimed += usize::from(micros.is_none());
                    if depends_on_output {
                        row.possible += 1;
                        row.possible_micros += micros.unwrap_or(0);
                    }
                    bill.add(&lowered, vertex, own, micros.unwrap_or(0));
                }
            }
        }
        row.blame = bill.into_blame();
        row
    }
}

fn outcome_word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Hit => "hit",
        Outcome::Ran { depends_on_output: false, .. } => "ran",
        Outcome::Ran { depends_on_output: true, .. } => "unknown",
        Outcome::Failed => "failed",
        Outcome::NotReached => "skipped",
    }
}

/// Who pays for a build.
struct Bill<'a> {
    changed: &'a [String],
    file: &'a str,
    /// By step: which files its being run is on account of.
    to: HashMap<VertexId, (Vec<String>, u64)>,
}

impl Bill<'_> {
    /// A step that changed itself pays for itself; one that only follows is paid for by what it follows.
    fn add(&mut self, lowered: &Lowered, vertex: &Vertex, own: Option<Own>, micros: u64) {
        let above =
            || lowered.graph.inputs(vertex).into_iter().find_map(|id| self.to.get(&id)).map(|(files, _)| files.clone());
        let files = match (own, above()) {
            (None, Some(files)) => files,
            (Some(Own::Files), _) => {
                let reaches: Vec<&Reach> =
                    (0..vertex.edges.len()).filter_map(|at| lowered.reaches.get(&(vertex.id, at))).collect();
                let read = self.changed.iter().filter(|path| reaches.iter().any(|reach| reach.reads(path)));
                read.cloned().collect()
            }
            _ => vec![self.file.to_owned()],
        };
        self.to.insert(vertex.id, (files, micros));
    }

    /// A step's time is split evenly among the files that it runs on account of.
    fn into_blame(self) -> Blame {
        let mut out = Blame::new();
        for (files, micros) in self.to.into_values() {
            for file in &files {
                let share = out.entry(file.clone()).or_default();
                share.builds = 1;
                share.micros += micros / files.len() as u64;
            }
        }
        out
    }
}

fn lower(project: &Project, store: &Store, record: &BuildRecord, text: &str) -> Result<Lowered, String> {
    let loaded = project.load_text(text).map_err(|error| error.message)?;
    let foreseen = project.foresee(store, &loaded, record).map_err(|error| error.message)?;
    let graph = foreseen.graph;
    let mut reaches = HashMap::new();
    for vertex in &graph.vertices {
        for (at, edge) in vertex.edges.iter().enumerate() {
            if let Some(reach) = Reach::of(edge) {
                reaches.insert((vertex.id, at), reach);
            }
        }
    }
    Ok(Lowered { graph, reaches, missing: foreseen.missing })
}
