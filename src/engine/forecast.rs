//! What a change of files costs, with one Dockerfile or another: the graph is lowered as for a build, but only looked at.

use std::collections::{BTreeMap, BTreeSet};

use super::context::{Selector, pattern};
use super::error::EngineError;
use super::event::VertexId;
use super::graph::{BuildGraph, Edge, SourceRef, slots};
use super::project::Project;
use super::store::Store;

/// Paths, relative to the context, that are taken as changed.
pub type Touched = [String];

/// Steps that a change runs again, and what they cost.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Price {
    /// Lines of the steps that run again.
    pub lines: Vec<u32>,
    /// Their instructions.
    pub names: Vec<String>,
    /// Microseconds, from the last run of each.
    pub micros: u64,
    /// Steps that no record has a time for.
    pub untimed: Vec<u32>,
}

impl Project {
    /// The price of a change with a Dockerfile of this text, once it was built. Times are those recorded for the same step
    /// in the last build of the project.
    pub fn price(&self, store: &Store, text: &str, touched: &Touched) -> Result<Price, EngineError> {
        let loaded = self.load_text(text)?;
        let previous = self.last_record(store)?.map(|(_, record)| record).unwrap_or_default();
        let (graph, _) = self.lower(store, &loaded, Some(&previous))?;
        let by_name: BTreeMap<&str, u64> =
            previous.slots.iter().filter_map(|slot| Some((slot.name.as_str(), *previous.times.get(&slot.slot)?))).collect();
        let mut price = Price::default();
        for id in affected(&graph, touched) {
            let vertex = &graph.vertices[id.0 as usize];
            price.lines.push(vertex.line);
            price.names.push(vertex.name.clone());
            match previous.times.get(&vertex.slot).or_else(|| by_name.get(slots::describe(vertex).name.as_str())) {
                Some(micros) => price.micros += micros,
                None => price.untimed.push(vertex.line),
            }
        }
        Ok(price)
    }
}

/// The steps that run again when these files of the main context change: those that copy one of them, and everything on top
/// of them. Steps that copy from such a stage are counted too: whether its result differs is known only when it ran.
pub fn affected(graph: &BuildGraph, touched: &Touched) -> BTreeSet<VertexId> {
    let mut out = BTreeSet::new();
    loop {
        let before = out.len();
        for vertex in graph.vertices.iter().filter(|v| v.operation.is_some()) {
            let of_context = |edge: &&Edge| matches!(&edge.source, SourceRef::Context(name) if name.is_empty());
            let mut selectors = vertex.edges.iter().filter(of_context).flat_map(|edge| &edge.selectors);
            let reads = selectors.any(|s| touched.iter().any(|path| selects(s, path)));
            if reads || graph.inputs(vertex).iter().any(|id| out.contains(id)) {
                out.insert(vertex.id);
            }
        }
        // Stages may stand before those that they need.
        if out.len() == before {
            return out;
        }
    }
}

/// Whether a selector reads a path: it names it, a directory above it, or a pattern that matches either.
fn selects(selector: &Selector, path: &str) -> bool {
    let names: Vec<&str> = path.split('/').collect();
    let parts: Vec<&str> = selector.path.split('/').filter(|c| !c.is_empty()).collect();
    parts.len() <= names.len()
        && parts.iter().zip(&names).all(|(part, name)| part == name || (selector.wildcard && pattern::matches(part, name)))
}
