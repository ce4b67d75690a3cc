//! What every path of the context costs: what a change of it makes run, times how often it changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::folder::Folder;
use super::history::{Commit, Repository};
use crate::engine::event::VertexId;
use crate::engine::fetch::GitSettings;
use crate::engine::forecast::{Cause, Foreseen, Reach, Roots, Times, concerned, price};
use crate::engine::graph::BuildGraph;
use crate::engine::store::Store;
use crate::engine::{EngineError, Project};
use serde::Serialize;

/// The heat of a context.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Heat {
    /// Shown name of the file.
    pub dockerfile: String,
    /// The hottest paths as a tree: every folder stands above what is in it, hottest first.
    pub rows: Vec<HeatRow>,
    /// Paths that there are in all.
    pub paths: usize,
    /// Commits that were looked at; none without a history.
    pub commits: Option<usize>,
    /// Costs are seconds; otherwise there are no times, and they are steps.
    pub in_seconds: bool,
    /// Lines of steps that have no time on record.
    pub untimed: Vec<u32>,
}

/// A file or folder.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeatRow {
    /// Relative to the context; empty for the context itself.
    pub path: String,
    /// How deep in the tree of rows.
    pub depth: usize,
    /// It is a folder.
    pub is_folder: bool,
    /// What a change costs: of a folder, what a commit that changes anything in it costs on the average.
    pub cost: f64,
    /// Commits that changed it.
    pub changes: usize,
    /// The same per hundred commits; none without a history.
    pub per_hundred: Option<f64>,
    /// Cost per hundred commits: of a folder not the sum of its files, since a commit that changes several costs once.
    pub heat: Option<f64>,
    /// Lines of the steps that read it.
    pub read_by: Vec<u32>,
}

/// The steps that read a path by themselves.
type Readers = BTreeSet<VertexId>;

/// The heat of a project as it lies there, over the last `commits` commits; `top` rows. Errors: those of the Dockerfile, the
/// context, the store, git.
pub fn heat(project: &Project, store: &Store, git: &GitSettings, commits: usize, top: usize) -> Result<Heat, EngineError> {
    let loaded = project.load()?;
    let previous = project.last_record(store)?.map(|(_, record)| record).unwrap_or_default();
    let Foreseen { graph, .. } = project.foresee(store, &loaded, &previous)?;
    let times = Times::new(&previous);
    let history = changes(project, git, commits)?;
    let mut costs = Costs::new(&graph, &times);
    let folder = Folder::open(&project.context, &loaded.ignore)?;
    let mut nodes: BTreeMap<String, Node> = BTreeMap::new();
    for path in folder.files() {
        let readers = costs.readers(path);
        for (at, _) in path.match_indices('/') {
            let node = nodes.entry(path[..at].to_owned()).or_default();
            (node.is_folder, node.dearest) = (true, node.dearest.max(costs.of(&readers)));
            node.readers.extend(&readers);
        }
        let root = nodes.entry(String::new()).or_default();
        (root.is_folder, root.dearest) = (true, root.dearest.max(costs.of(&readers)));
        root.readers.extend(&readers);
        nodes.insert(path.to_owned(), Node { dearest: costs.of(&readers), readers, ..Node::default() });
    }
    for commit in history.iter().flatten() {
        let kept = commit.iter().filter(|path| !loaded.ignore.rules().is_ignored(path));
        let mut read: BTreeMap<&str, Readers> = BTreeMap::new();
        for path in kept {
            let readers = costs.readers(path);
            let above = path.match_indices('/').map(|(at, _)| &path[..at]);
            for place in above.chain(["", path.as_str()]) {
                read.entry(place).or_default().extend(&readers);
            }
        }
        for (place, readers) in read {
            let Some(node) = nodes.get_mut(place) else { continue };
            node.changes += 1;
            node.spent += costs.of(&readers);
        }
    }
    let untimed = costs.untimed();
    let looked_at = history.as_ref().map(Vec::len).filter(|count| *count > 0);
    let paths = nodes.len();
    let rows = tree(nodes, looked_at, top, &graph);
    Ok(Heat { dockerfile: project.file_name(), rows, paths, commits: looked_at, in_seconds: !times.is_empty(), untimed })
}

/// How many of a hundred commits change each path of the context, and anything in each folder. None: there are no commits.
pub fn rates(history: &[Vec<String>]) -> Option<BTreeMap<String, f64>> {
    if history.is_empty() {
        return None;
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for commit in history {
        let above = |path: &'_ String| -> Vec<usize> { path.match_indices('/').map(|(at, _)| at).collect() };
        let places: BTreeSet<&str> = commit
            .iter()
            .flat_map(|path| above(path).into_iter().chain([path.len()]).map(move |end| &path[..end]))
            .collect();
        for place in places {
            *counts.entry(place).or_default() += 1;
        }
    }
    let all = history.len() as f64;
    Some(counts.into_iter().map(|(path, count)| (path.to_owned(), count as f64 * 100.0 / all)).collect())
}

/// Of each commit but a first one, which is all files at once, the paths that it changed in the context. None: no repository.
/// Errors: there is no git.
pub fn changes(project: &Project, git: &GitSettings, count: usize) -> Result<Option<Vec<Vec<String>>>, EngineError> {
    let Some(repository) = Repository::around(git, &project.context)? else { return Ok(None) };
    let below = |path: &String| path.strip_prefix(repository.prefix.as_str()).map(str::to_owned);
    // A repository without any commit has no history either.
    let commits = repository.commits(count).unwrap_or_default();
    let changed = commits.iter().filter(|commit| !commit.is_root);
    // Where the context is the whole repository, every commit changes what lies in `.git`.
    let own = repository.prefix.is_empty().then(|| ".git/HEAD".to_owned());
    let paths = |commit: &Commit| -> Vec<String> {
        commit.changes.iter().filter_map(|(path, _)| below(path)).chain(own.clone()).collect()
    };
    Ok(Some(changed.map(paths).collect()))
}

#[derive(Debug, Clone, Default)]
struct Node {
    is_folder: bool,
    readers: Readers,
    /// What the dearest file in it costs.
    dearest: f64,
    changes: usize,
    /// What all commits together cost on account of it.
    spent: f64,
}

/// What changes cost, by the steps that read what changed.
struct Costs<'a> {
    graph: &'a BuildGraph,
    times: &'a Times<'a>,
    reaches: Vec<(VertexId, Reach)>,
    known: HashMap<Readers, f64>,
}

impl<'a> Costs<'a> {
    fn new(graph: &'a BuildGraph, times: &'a Times<'a>) -> Self {
        let steps = graph.vertices.iter().filter(|vertex| vertex.operation.is_some());
        let reaches = steps.flat_map(|vertex| vertex.edges.iter().filter_map(|edge| Some((vertex.id, Reach::of(edge)?))));
        Self { graph, times, reaches: reaches.collect(), known: HashMap::new() }
    }

    fn readers(&self, path: &str) -> Readers {
        self.reaches.iter().filter(|(_, reach)| reach.reads(path)).map(|(id, _)| *id).collect()
    }

    /// In seconds, or in steps where there are no times. What hangs on an output is counted.
    fn of(&mut self, readers: &Readers) -> f64 {
        if readers.is_empty() {
            return 0.0;
        }
        if let Some(known) = self.known.get(readers) {
            return *known;
        }
        let concerns = concerned(self.graph, &roots(readers));
        let cost = match self.times.is_empty() {
            true => concerns.len() as f64,
            false => {
                let price = price(self.graph, &concerns, self.times);
                (price.micros + price.possible_micros) as f64 / 1e6
            }
        };
        self.known.insert(readers.clone(), cost);
        cost
    }

    fn untimed(&self) -> Vec<u32> {
        let all = self.reaches.iter().map(|(id, _)| *id).collect();
        price(self.graph, &concerned(self.graph, &roots(&all)), self.times).untimed
    }
}

fn roots(readers: &Readers) -> Roots {
    let cause = Cause::Reads { path: String::new(), more: 0 };
    readers.iter().map(|id| (*id, vec![cause.clone()])).collect()
}

/// The hottest rows, each folder above what is in it. A folder is at least as hot as anything in it, so none is missing.
fn tree(nodes: BTreeMap<String, Node>, commits: Option<usize>, top: usize, graph: &BuildGraph) -> Vec<HeatRow> {
    let hundred = |n: f64| commits.map(|count| n * 100.0 / count as f64);
    let row = |(path, node): (String, Node)| HeatRow {
        depth: if path.is_empty() { 0 } else { 1 + path.matches('/').count() },
        is_folder: node.is_folder,
        cost: if node.is_folder && node.changes > 0 { node.spent / node.changes as f64 } else { node.dearest },
        changes: node.changes,
        per_hundred: hundred(node.changes as f64),
        heat: hundred(node.spent),
        read_by: node.readers.iter().filter_map(|id| Some(graph.vertex(*id)?.line)).collect(),
        path,
    };
    let mut rows: Vec<HeatRow> = nodes.into_iter().map(row).collect();
    let rank = |a: &HeatRow, b: &HeatRow| {
        b.heat.unwrap_or(0.0).total_cmp(&a.heat.unwrap_or(0.0)).then(b.cost.total_cmp(&a.cost)).then(a.depth.cmp(&b.depth))
    };
    rows.sort_by(|a, b| rank(a, b).then(a.path.cmp(&b.path)));
    rows.truncate(top);
    let mut out = Vec::new();
    place(&rows, "", &mut out);
    out
}

fn place(rows: &[HeatRow], path: &str, out: &mut Vec<HeatRow>) {
    let Some(row) = rows.iter().find(|row| row.path == path) else { return };
    out.push(row.clone());
    let folder = |row: &HeatRow| row.path.rfind('/').map_or("", |at| &row.path[..at]).to_owned();
    for child in rows.iter().filter(|row| !row.path.is_empty() && folder(row) == path) {
        place(rows, &child.path.clone(), out);
    }
}
