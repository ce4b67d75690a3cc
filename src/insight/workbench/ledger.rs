//! What orders of steps are priced with: what steps took, and which commits change what each of them takes in.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::forecast::{Reach, Times};
use crate::engine::graph::{BuildGraph, Vertex};
use crate::engine::solver::record::BuildRecord;
use crate::insight::suggest::rules::best_order::Ledger;
use crate::language::dockerfile::IgnoreRules;

/// The ledger of a graph over a history: `commits` are the paths of the context that each commit changed. What a commit does to
/// the Dockerfile and to the ignore file is not in it; a changed stage is taken to give another result.
pub fn ledger(graph: &BuildGraph, record: &BuildRecord, commits: &[Vec<String>], ignore: &IgnoreRules) -> Ledger {
    let kept = |changed: &Vec<String>| changed.iter().filter(|path| !ignore.is_ignored(path)).cloned().collect();
    let mut out = Ledger { commits: commits.iter().map(kept).collect(), ..Ledger::default() };
    let times = Times::new(record);
    // By step: commits that change it or anything that it stands on or reads. Inputs come before those that need them.
    let mut all: BTreeMap<_, BTreeSet<usize>> = BTreeMap::new();
    for vertex in &graph.vertices {
        let mut own = read_directly(vertex, &out.commits);
        for from in vertex.edges.iter().filter_map(|edge| edge.vertex()) {
            own.extend(all.get(&from).into_iter().flatten());
        }
        let above = vertex.parent.and_then(|parent| all.get(&parent)).cloned().unwrap_or_default();
        all.insert(vertex.id, &own | &above);
        if let Some(micros) = times.of(vertex) {
            *out.micros.entry(vertex.line).or_default() += micros;
        }
        // Of several steps on one line, what the first stands on.
        out.above.entry(vertex.line).or_insert(above);
        out.changed.entry(vertex.line).or_default().extend(own);
    }
    out
}

fn read_directly(vertex: &Vertex, commits: &[Vec<String>]) -> BTreeSet<usize> {
    let reaches: Vec<Reach> = vertex.edges.iter().filter_map(Reach::of).collect();
    let reads = |changed: &Vec<String>| changed.iter().any(|path| reaches.iter().any(|reach| reach.reads(path)));
    commits.iter().enumerate().filter(|(_, changed)| reads(changed)).map(|(at, _)| at).collect()
}
