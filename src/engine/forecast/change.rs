//! Which steps a change runs again, why, and how certain that is.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::reach::Reach;
use crate::engine::cache::preimage::operation_digest;
use crate::engine::event::VertexId;
use crate::engine::graph::op::{Operation, Variable};
use crate::engine::graph::{BuildGraph, Counts, Edge, Vertex};
use crate::engine::oci::Reference;

/// A change that is only thought of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Paths, relative to the context, that are taken as changed.
    pub files: Vec<String>,
    /// Build arguments with their new values.
    pub args: BTreeMap<String, String>,
    /// Images whose tag leads to other layers, as FROM writes them.
    pub bases: Vec<String>,
}

/// Why a step runs again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum Cause {
    /// It copies, or binds, something that changed.
    Reads {
        /// The first path.
        path: String,
        /// Further ones.
        more: usize,
    },
    /// A build argument enters its key.
    Argument {
        /// Which.
        name: String,
        /// How.
        how: ArgumentUse,
    },
    /// The image that it is has other layers.
    BaseMoved {
        /// As written.
        image: String,
    },
    /// The step that it stands on runs again.
    Above {
        /// Its line.
        line: u32,
        /// It runs in any case.
        certain: bool,
    },
    /// It copies from a step that may give another result.
    Output {
        /// Its line.
        line: u32,
    },
}

/// How a build argument enters a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum ArgumentUse {
    /// The command names the variable.
    Named,
    /// It is in the environment of the command, which does not name it.
    Unnamed,
    /// The instruction is expanded with it.
    Expanded,
    /// An ENV takes its value.
    Variable {
        /// The variable.
        name: String,
    },
}

/// A step that a change concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concern {
    /// Which.
    pub vertex: VertexId,
    /// At least one, its own before those of others.
    pub causes: Vec<Cause>,
    /// Lines whose output decides whether it runs; empty when it runs in any case.
    pub depends_on: Vec<u32>,
}

/// What of a graph differs by itself, before anything follows.
pub type Roots = BTreeMap<VertexId, Vec<Cause>>;

/// The steps that copy one of these files of the main context.
pub fn roots_of_files<'p>(graph: &BuildGraph, files: impl Iterator<Item = &'p str> + Clone) -> Roots {
    let mut out = Roots::new();
    for vertex in graph.vertices.iter().filter(|v| v.operation.is_some()) {
        let reaches: Vec<Reach> = counted(vertex).filter_map(Reach::of).collect();
        let mut read = files.clone().filter(|path| reaches.iter().any(|reach| reach.reads(path)));
        if let Some(path) = read.next() {
            out.insert(vertex.id, vec![Cause::Reads { path: path.to_owned(), more: read.count() }]);
        }
    }
    out
}

fn counted(vertex: &Vertex) -> impl Iterator<Item = &Edge> {
    vertex.edges.iter().filter(|edge| edge.counts == Counts::Content)
}

/// The images of this name, in any notation.
pub fn roots_of_base(graph: &BuildGraph, image: &str) -> Roots {
    let full = |name: &str| Reference::parse(name).map(|reference| reference.to_string()).ok();
    let is_it = |known: &str| known == image || (full(known).is_some() && full(known) == full(image));
    let mut out = Roots::new();
    for vertex in &graph.vertices {
        if let Some(Operation::Base { image, .. }) = &vertex.operation
            && is_it(image)
        {
            out.insert(vertex.id, vec![Cause::BaseMoved { image: image.clone() }]);
        }
    }
    out
}

/// What another value of build arguments does: `graph` is the build with the new values, `before` that with the present ones.
pub fn roots_of_arguments(graph: &BuildGraph, before: &BuildGraph, args: &BTreeMap<String, String>) -> Roots {
    let mut out = Roots::new();
    for vertex in &graph.vertices {
        let Some(now) = &vertex.operation else { continue };
        // The text is the same: a step is who it was, unless another stage is needed now.
        let same_place = |v: &&Vertex| v.line == vertex.line && v.name == vertex.name && v.role == vertex.role;
        let then = before.vertices.iter().find(same_place);
        let causes = match then.and_then(|then| Some((then, then.operation.as_ref()?))) {
            Some((then, operation)) if operation_digest(operation) == operation_digest(now) => {
                if same_selectors(vertex, then) { Vec::new() } else { expanded(vertex, args) }
            }
            Some((_, Operation::Run { env, args: words, .. })) => match now {
                Operation::Run { env: new, args: new_words, .. } if words == new_words => variables(vertex, env, new, args),
                _ => expanded(vertex, args),
            },
            _ => expanded(vertex, args),
        };
        if !causes.is_empty() {
            out.insert(vertex.id, causes);
        }
    }
    out
}

fn same_selectors(a: &Vertex, b: &Vertex) -> bool {
    a.edges.iter().map(|edge| &edge.selectors).eq(b.edges.iter().map(|edge| &edge.selectors))
}

/// Arguments that the text of an instruction names; all when it names none of them, as when an ENV stands between.
fn expanded(vertex: &Vertex, args: &BTreeMap<String, String>) -> Vec<Cause> {
    let named: Vec<&String> = args.keys().filter(|name| names_variable(&vertex.name, name)).collect();
    let names = if named.is_empty() { args.keys().collect() } else { named };
    let cause = |name: &String| Cause::Argument { name: name.clone(), how: ArgumentUse::Expanded };
    names.into_iter().map(cause).collect()
}

/// The variables of a RUN that differ.
fn variables(vertex: &Vertex, then: &[Variable], now: &[Variable], args: &BTreeMap<String, String>) -> Vec<Cause> {
    let value = |list: &[Variable], name: &str| list.iter().rev().find(|v| v.name == name).map(|v| v.value.clone());
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for variable in now.iter().chain(then).filter(|variable| seen.insert(variable.name.clone())) {
        let name = &variable.name;
        if value(then, name) == value(now, name) {
            continue;
        }
        let named = names_variable(&vertex.name, name);
        match args.keys().find(|arg| *arg == name) {
            Some(arg) if named => out.push(Cause::Argument { name: arg.clone(), how: ArgumentUse::Named }),
            Some(arg) => out.push(Cause::Argument { name: arg.clone(), how: ArgumentUse::Unnamed }),
            None => {
                let how = ArgumentUse::Variable { name: name.clone() };
                out.extend(args.keys().map(|arg| Cause::Argument { name: arg.clone(), how: how.clone() }));
            }
        }
    }
    out
}

/// Whether a text has `$NAME` or `${NAME`.
pub fn names_variable(text: &str, name: &str) -> bool {
    text.match_indices('$').any(|(at, _)| {
        let rest = text[at + 1..].trim_start_matches('{');
        let after = rest.strip_prefix(name);
        after.is_some_and(|after| !after.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

/// Everything that runs: the roots, and what follows from them. A step that only copies from one that runs depends on what
/// that one will give; nobody knows before it ran.
pub fn concerned(graph: &BuildGraph, roots: &Roots) -> Vec<Concern> {
    let mut found: BTreeMap<VertexId, Concern> = BTreeMap::new();
    loop {
        let mut changed = false;
        for vertex in graph.vertices.iter().filter(|v| v.operation.is_some()) {
            let Some(concern) = concern(graph, vertex, roots, &found) else { continue };
            if found.get(&vertex.id) != Some(&concern) {
                found.insert(vertex.id, concern);
                changed = true;
            }
        }
        // Stages may stand before those that they need.
        if !changed {
            return found.into_values().collect();
        }
    }
}

fn concern(graph: &BuildGraph, vertex: &Vertex, roots: &Roots, known: &BTreeMap<VertexId, Concern>) -> Option<Concern> {
    let mut causes = roots.get(&vertex.id).cloned().unwrap_or_default();
    let mut certain = !causes.is_empty();
    let mut depends_on = BTreeSet::new();
    let line = |id: VertexId| graph.vertex(id).map_or(0, |v| v.line);
    let definitions = vertex.edges.iter().filter(|edge| edge.counts == Counts::Definition).filter_map(Edge::vertex);
    for id in vertex.parent.into_iter().chain(definitions) {
        if let Some(above) = known.get(&id) {
            let runs = above.depends_on.is_empty();
            certain |= runs;
            depends_on.extend(&above.depends_on);
            causes.push(Cause::Above { line: line(id), certain: runs });
        }
    }
    for id in counted(vertex).filter_map(Edge::vertex).filter(|id| known.contains_key(id)) {
        depends_on.insert(line(id));
        causes.push(Cause::Output { line: line(id) });
    }
    if causes.is_empty() {
        return None;
    }
    let depends_on = if certain { Vec::new() } else { depends_on.into_iter().collect() };
    Some(Concern { vertex: vertex.id, causes, depends_on })
}
