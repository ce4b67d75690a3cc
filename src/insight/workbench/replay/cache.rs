//! A cache that only knows names: what BuildKit would find in the cache if every build of a sequence had been made.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::engine::cache::preimage::{chain_digest, operation_digest};
use crate::engine::event::VertexId;
use crate::engine::graph::op::Operation;
use crate::engine::graph::{BuildGraph, Counts, Edge, SourceRef, Vertex};
use crate::ground::digest::Digest;

/// What a step would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Served.
    Hit,
    /// It runs.
    Ran {
        /// It would be served if the steps that it copies from gave what they gave once before.
        depends_on_output: bool,
        /// Its own text or files differ from those of the build before; otherwise it only follows.
        own: Option<Own>,
    },
    /// What it copies is not there.
    Failed,
    /// What it needs failed.
    NotReached,
}

/// What of a step itself differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// The files that it copies.
    Files,
    /// The step: another text, other variables, or it is new.
    Step,
}

/// Gives the content of what an edge selects of the context; none when a path is missing.
pub type Contents<'a> = dyn FnMut(&Vertex, usize, &Edge) -> Option<Digest> + 'a;

/// Everything that was ever built.
#[derive(Default)]
pub struct Cache {
    known: HashSet<Digest>,
    /// The same without what outputs of steps decide.
    known_loosely: HashSet<Digest>,
    /// The last build: what each step did, and what it copied.
    last: HashMap<Who, (Digest, Vec<Digest>)>,
}

/// A step as the next build finds it again: stage, text, and which of those with this text.
type Who = (String, String, usize);

/// Names of a step's result.
#[derive(Debug, Clone, Copy)]
struct Keys {
    exact: Digest,
    loose: Digest,
    ran: bool,
}

struct Building<'c, 'g, 'f> {
    cache: &'c mut Cache,
    graph: &'g BuildGraph,
    contents: &'f mut Contents<'f>,
    /// None: it failed, or was not reached.
    done: BTreeMap<VertexId, Option<Keys>>,
    outcomes: BTreeMap<VertexId, Outcome>,
    now: HashMap<Who, (Digest, Vec<Digest>)>,
    seen: HashMap<(String, String), usize>,
}

impl Cache {
    /// Builds one commit: what each step with an operation would do, in the order of the file.
    pub fn build<'f>(&mut self, graph: &BuildGraph, contents: &'f mut Contents<'f>) -> BTreeMap<VertexId, Outcome> {
        let mut building = Building {
            cache: self,
            graph,
            contents,
            done: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            now: HashMap::new(),
            seen: HashMap::new(),
        };
        for vertex in graph.vertices.iter().filter(|v| v.operation.is_some()) {
            building.step(vertex);
        }
        let Building { outcomes, now, .. } = building;
        // What was not reached is still who it was.
        self.last.extend(now);
        outcomes
    }
}

impl Building<'_, '_, '_> {
    fn step(&mut self, vertex: &Vertex) -> Option<Keys> {
        if let Some(known) = self.done.get(&vertex.id) {
            return *known;
        }
        // A graph has no circles; should one have, it ends here.
        self.done.insert(vertex.id, None);
        let keys = self.keys(vertex);
        self.done.insert(vertex.id, keys);
        keys
    }

    fn input(&mut self, id: VertexId) -> Option<Keys> {
        let graph = self.graph;
        self.step(graph.vertex(id)?)
    }

    fn keys(&mut self, vertex: &Vertex) -> Option<Keys> {
        let operation = vertex.operation.as_ref()?;
        if let Operation::Base { chain, .. } = operation {
            let name = chain.as_ref().map_or_else(|| operation_digest(operation), |chain| chain_digest(Some(chain)));
            return Some(Keys { exact: name, loose: name, ran: false });
        }
        let digest = operation_digest(operation);
        let (mut exact, mut loose) = (vec![digest.to_string()], vec![digest.to_string()]);
        let mut inputs = Vec::new();
        let mut follows = false;
        for id in vertex.parent.into_iter().chain(vertex.edges.iter().filter_map(Edge::vertex)) {
            let keys = self.input(id);
            follows |= keys.is_some_and(|keys| keys.ran);
            inputs.push(keys);
        }
        if inputs.iter().any(Option::is_none) {
            self.outcomes.insert(vertex.id, Outcome::NotReached);
            return None;
        }
        let mut inputs = inputs.into_iter().flatten();
        let parent = vertex.parent.and_then(|_| inputs.next());
        exact.push(parent.map_or_else(|| "scratch".into(), |keys| keys.exact.to_string()));
        loose.push(parent.map_or_else(|| "scratch".into(), |keys| keys.loose.to_string()));
        let mut files = Vec::new();
        for (at, edge) in vertex.edges.iter().enumerate() {
            let selectors = format!("{:?}", edge.selectors);
            match &edge.source {
                SourceRef::Vertex(Some(_)) => {
                    let keys = inputs.next();
                    exact.push(format!("{selectors}{}", keys.map(|k| k.exact.to_string()).unwrap_or_default()));
                    // By definition counts: what is linked is another when it ran again.
                    let by_definition = edge.counts == Counts::Definition;
                    let name = keys.filter(|_| by_definition).map(|k| k.loose.to_string());
                    loose.push(format!("{selectors}{}", name.unwrap_or_default()));
                    continue;
                }
                SourceRef::Context(name) if name.is_empty() => {
                    let Some(content) = (self.contents)(vertex, at, edge) else {
                        self.outcomes.insert(vertex.id, Outcome::Failed);
                        return None;
                    };
                    files.push(content);
                    exact.push(content.to_string());
                }
                // Folders elsewhere, servers, repositories: taken as they are now.
                other => exact.push(format!("{selectors}{other:?}")),
            }
            loose.extend(exact.last().cloned());
        }
        let exact = Digest::of(exact.join("\n"));
        let loose = Digest::of(loose.join("\n"));
        let own = self.own(vertex, digest, files);
        let ran = self.cache.known.insert(exact);
        let was_known_loosely = !self.cache.known_loosely.insert(loose);
        let outcome = match ran {
            false => Outcome::Hit,
            // Whatever runs although nothing above it ran has its cause in itself.
            true if !follows => Outcome::Ran { depends_on_output: false, own: own.or(Some(Own::Step)) },
            true => Outcome::Ran { depends_on_output: was_known_loosely, own },
        };
        self.outcomes.insert(vertex.id, outcome);
        Some(Keys { exact, loose, ran })
    }

    /// Compares a step with itself in the build before.
    fn own(&mut self, vertex: &Vertex, operation: Digest, files: Vec<Digest>) -> Option<Own> {
        let stage = vertex.stage.name.clone().unwrap_or_else(|| vertex.stage.index.to_string());
        let nth = self.seen.entry((stage.clone(), vertex.name.clone())).or_default();
        let who = (stage, vertex.name.clone(), *nth);
        *nth += 1;
        let own = match self.cache.last.get(&who) {
            None => Some(Own::Step),
            Some((then, _)) if *then != operation => Some(Own::Step),
            Some((_, then)) if *then != files => Some(Own::Files),
            Some(_) => None,
        };
        self.now.insert(who, (operation, files));
        own
    }
}
