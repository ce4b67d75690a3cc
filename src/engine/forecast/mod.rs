//! What a change would make run, with one Dockerfile or another: graphs are lowered as for a build, but only looked at. Nothing
//! is executed, fetched or written.

mod change;
pub mod reach;
mod standin;
mod times;
mod words;

pub use change::{
    ArgumentUse, Cause, Change, Concern, Roots, concerned, names_variable, roots_of_arguments, roots_of_base, roots_of_files,
};
pub use reach::Reach;
pub use times::Times;

use super::graph::BuildGraph;
use super::solver::record::BuildRecord;
use super::store::Store;
use crate::engine::door::bases::Resolver;
use crate::engine::door::error::EngineError;
use crate::engine::door::project::{Loaded, Project};
use standin::StandIns;

/// Steps that a change runs again, and what they cost.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Price {
    /// Lines of the steps that run again.
    pub lines: Vec<u32>,
    /// Their instructions.
    pub names: Vec<String>,
    /// Microseconds of those that run in any case, from the last run of each.
    pub micros: u64,
    /// Microseconds of those that may run: what they copy from runs, and may give the same again.
    pub possible_micros: u64,
    /// Steps that no record has a time for.
    pub untimed: Vec<u32>,
}

/// A graph to look at.
pub struct Foreseen {
    /// With the slots of the last build.
    pub graph: BuildGraph,
    /// Base images that are not in the store: nothing is known of their environment and triggers.
    pub missing: Vec<String>,
}

impl Project {
    /// Lowers without asking anybody but the store. Errors: those of the Dockerfile.
    pub fn foresee(&self, store: &Store, loaded: &Loaded, previous: &BuildRecord) -> Result<Foreseen, EngineError> {
        let resolver = Resolver { store, named: &self.contexts, remote: None };
        let mut bases = StandIns { store: resolver, missing: Vec::new() };
        let (graph, _) = self.lower_on(loaded, Some(previous), &mut bases)?;
        Ok(Foreseen { graph, missing: bases.missing })
    }

    /// The price of a change with a Dockerfile of this text, once it was built. Times are those recorded for the same step
    /// in the last build of the project.
    pub fn price(&self, store: &Store, text: &str, change: &Change) -> Result<Price, EngineError> {
        let loaded = self.load_text(text)?;
        let previous = self.last_record(store)?.map(|(_, record)| record).unwrap_or_default();
        let before = self.foresee(store, &loaded, &previous)?.graph;
        let mut changed = self.clone();
        changed.build_args.extend(change.args.clone());
        let graph = if change.args.is_empty() { before.clone() } else { changed.foresee(store, &loaded, &previous)?.graph };
        let mut roots = roots_of_files(&graph, change.files.iter().map(String::as_str));
        let mut add = |found: Roots| found.into_iter().for_each(|(id, causes)| roots.entry(id).or_default().extend(causes));
        if !change.args.is_empty() {
            add(roots_of_arguments(&graph, &before, &change.args));
        }
        change.bases.iter().for_each(|image| add(roots_of_base(&graph, image)));
        Ok(price(&graph, &concerned(&graph, &roots), &Times::new(&previous)))
    }
}

/// What these steps cost.
pub fn price(graph: &BuildGraph, concerns: &[Concern], times: &Times<'_>) -> Price {
    let mut price = Price::default();
    for concern in concerns {
        let Some(vertex) = graph.vertex(concern.vertex) else { continue };
        price.lines.push(vertex.line);
        price.names.push(vertex.name.clone());
        match times.of(vertex) {
            Some(micros) if concern.depends_on.is_empty() => price.micros += micros,
            Some(micros) => price.possible_micros += micros,
            None if vertex.base.is_some() => {}
            None => price.untimed.push(vertex.line),
        }
    }
    price
}
