//! Fetches what the steps of a build copy from servers and repositories, before anything runs: what comes decides about the
//! cache.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::EngineError;
use super::sources::Remote;
use crate::engine::fetch::{FetchError, Fetched, Fetcher};
use crate::engine::graph::{BuildGraph, Fetch, SourceRef, Vertex};
use crate::engine::solver::{SolveError, Speaker};
use crate::engine::store::{Lease, Store};
use crate::ground::hint::Hint;

/// Transfers at a time.
const PARALLEL: usize = 4;

impl<'a> Remote<'a> {
    /// Fetches in this conversation.
    pub(super) fn fetcher(&'a self, store: &'a Store, lease: Option<&'a Lease>) -> Fetcher<'a> {
        let cancel = self.cancel.clone();
        let settings = (&self.sources.registry.http, &self.sources.git);
        Fetcher::new(store, lease, settings, Arc::new(move || cancel.is_cancelled()), self.report)
    }
}

/// Everything that the steps need, by the names under which contexts are known. Errors: with the place of the step.
pub(super) fn fetch_sources(
    store: &Store,
    speaker: &Speaker,
    remote: &Remote<'_>,
    graph: &BuildGraph,
    lease: &Lease,
    known: BTreeMap<String, Fetched>,
) -> Result<BTreeMap<String, Fetched>, EngineError> {
    let mut wanted: Vec<(String, &Vertex, &Fetch)> = Vec::new();
    for vertex in &graph.vertices {
        for edge in &vertex.edges {
            if let (SourceRef::Fetched(fetch), Some(name)) = (&edge.source, edge.source.context())
                && !known.contains_key(&name)
                && !wanted.iter().any(|(known, ..)| *known == name)
            {
                wanted.push((name, vertex, fetch));
            }
        }
    }
    if wanted.is_empty() {
        return Ok(known);
    }
    let fetcher = remote.fetcher(store, Some(lease));
    let mut out = known;
    for some in wanted.chunks(PARALLEL) {
        let results = std::thread::scope(|scope| {
            let threads: Vec<_> = some.iter().map(|(_, _, fetch)| scope.spawn(|| fetcher.fetch(fetch))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or(Err(FetchError::Cancelled))).collect::<Vec<_>>()
        });
        for ((name, vertex, _), result) in some.iter().zip(results) {
            out.insert(name.clone(), result.map_err(|error| at(&speaker.file, vertex, &error))?);
        }
    }
    Ok(out)
}

fn at(file: &str, vertex: &Vertex, error: &FetchError) -> EngineError {
    let hint = error.hint();
    match () {
        () if error.is_cancelled() => SolveError::cancelled(vertex.id).into(),
        () if error.is_users() => SolveError::user(file, vertex, error, hint).into(),
        () => SolveError::environment(file, vertex, error, hint).into(),
    }
}
