//! Takes in a build that another BuildKit made: what it told of its steps is laid beside the Dockerfile and the context as they
//! are now, and becomes events and a record like those of a build of our own.
//!
//! It told which steps were cached and how long the others took. Keys and sizes of layers it did not tell; which files changed is
//! seen by comparing the context with what it was at the import before.

use std::collections::BTreeMap;

use super::build::{new_build_name, registrations, unix_micros};
use super::contexts::{Memory, scan_contexts};
use super::error::EngineError;
use super::project::Project;
use crate::engine::cache::explain::{Evidence, own_reasons};
use crate::engine::cache::ingredients::KEY_FORMAT;
use crate::engine::cache::{Cache, Content, Ingredients, Source};
use crate::engine::context::{Entry, content_key, pack_list, unpack_list};
use crate::engine::event::log::EventLog;
use crate::engine::event::{BuildEvent, Outcome, Role, Stream, Verdict, VertexId};
use crate::engine::graph::{BuildGraph, Edge, Operation, SourceRef, Vertex, slots};
use crate::engine::solver::record::BuildRecord;
use crate::engine::solver::{ScannedContext, Speaker, selected};
use crate::engine::store::{BuildRow, Store};
use crate::engine::verdict::{HitReason, MissReason};
use crate::ground::cancel::CancelToken;
use crate::ground::digest::Digest;

/// A step as the other builder told of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToldStep {
    /// `[build 2/5] RUN make`.
    pub name: String,
    /// It came from the cache.
    pub cached: bool,
    /// Microseconds since 1970.
    pub started: Option<u64>,
    /// Microseconds since 1970.
    pub completed: Option<u64>,
    /// Why it failed.
    pub error: Option<String>,
    /// What it printed: stream and bytes.
    pub output: Vec<(Stream, Vec<u8>)>,
}

/// A build as the other builder told of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// In the order in which it named them.
    pub steps: Vec<ToldStep>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// The build's name in the history.
    pub build: String,
    /// What it could not be told, in sentences.
    pub notes: Vec<String>,
}

/// A label of BuildKit: stage, number, of how many, and the instruction.
fn label(name: &str) -> Option<(&str, usize, usize, &str)> {
    let (label, rest) = name.strip_prefix('[')?.split_once("] ")?;
    let (stage, count) = label.rsplit_once(' ').unwrap_or(("", label));
    let (number, total) = count.split_once('/')?;
    Some((stage.trim_end(), number.trim().parse().ok()?, total.parse().ok()?, rest))
}

impl Project {
    /// Imported builds are compared with imported builds.
    fn foreign_id(&self) -> String {
        format!("elsewhere-{}", self.id())
    }

    /// Takes a build in. Errors: those of the Dockerfile, the context and the store; the build has no step of this Dockerfile.
    pub fn adopt(&self, store: &Store, told: &Told) -> Result<Adopted, EngineError> {
        self.require_folder()?;
        let loaded = self.load()?;
        let row = store.index.last_build(&self.foreign_id())?;
        let previous: Option<BuildRecord> = row.and_then(|row| serde_json::from_str(&row.record).ok());
        let foreseen = self.foresee(store, &loaded, &previous.clone().unwrap_or_default())?;
        let graph = foreseen.graph;
        let silent = Speaker::new(self.file_name(), None, None);
        let mut seen = BTreeMap::new();
        let (nothing, memory, cancel) = (BTreeMap::new(), Memory::Here(&mut seen), CancelToken::default());
        let contexts = scan_contexts(store, self, &silent, &graph, (&loaded.ignore, &nothing), memory, &cancel)?;
        let found = matched(&graph, told);
        if found.is_empty() {
            let hint =
                "give the context and Dockerfile of that build: `rbuild-tui import FILE -C PATH -f DOCKERFILE`".to_owned();
            let message = format!("no step of that build stands in {}", self.file_name());
            return Err(EngineError::user(message, Some(hint)));
        }
        let adoption = Adoption { store, graph: &graph, contexts: &contexts, previous: previous.as_ref(), found };
        let ingredients = adoption.ingredients()?;
        let build = new_build_name();
        adoption.write(self, &build, &ingredients)?;
        let mut record = BuildRecord {
            dockerfile: self.file_name(),
            context: self.context.display().to_string(),
            target: self.target.clone(),
            ignore: loaded.ignore.clone(),
            slots: graph.vertices.iter().map(slots::describe).collect(),
            times: previous.as_ref().map(|previous| previous.times.clone()).unwrap_or_default(),
            ingredients,
            ..BuildRecord::default()
        };
        let (begin, end) = adoption.span();
        record.micros = end.saturating_sub(begin);
        for (id, step) in &adoption.found {
            let vertex = &graph.vertices[id.0 as usize];
            match (&step.error, step.cached) {
                (Some(error), _) => record.error = Some(error.clone()),
                (None, true) => record.hits += 1,
                (None, false) => {
                    record.ran += 1;
                    record.times.insert(vertex.slot.clone(), took(step));
                }
            }
        }
        let row = BuildRow {
            id: build.clone(),
            project: self.foreign_id(),
            started: begin,
            finished: end.max(begin),
            record: serde_json::to_string(&record).unwrap_or_default(),
        };
        store.index.put_build(&row)?;
        Ok(Adopted { build, notes: adoption.notes(&foreseen.missing) })
    }
}

fn took(step: &ToldStep) -> u64 {
    step.completed.unwrap_or(0).saturating_sub(step.started.unwrap_or(0))
}

/// The told steps by the vertices that they are: the k-th of a stage is the k-th of the other side.
fn matched<'t>(graph: &BuildGraph, told: &'t Told) -> BTreeMap<VertexId, &'t ToldStep> {
    let is_merge = |vertex: &Vertex| matches!(vertex.operation, Some(Operation::Merge { .. }));
    let counts = |vertex: &&Vertex| vertex.operation.is_some() && !is_merge(vertex) && vertex.role != Role::Base;
    let mut numbers: BTreeMap<u32, usize> = BTreeMap::new();
    let mut out = BTreeMap::new();
    for vertex in graph.vertices.iter().filter(|vertex| vertex.operation.is_some()) {
        let stage = vertex.stage.name.clone().unwrap_or_default();
        let of_stage = graph.vertices.iter().filter(counts).filter(|v| v.stage.index == vertex.stage.index).count();
        let at = numbers.entry(vertex.stage.index).or_default();
        *at += usize::from(counts(&vertex));
        let same = |step: &&ToldStep| {
            let Some((name, number, total, text)) = label(&step.name) else { return false };
            let is_stage = name.is_empty() || name == stage || name == format!("stage-{}", vertex.stage.index);
            let is_number = match vertex.role == Role::Base {
                true => number == 1,
                // FROM counts there, and so may what we have no vertex for: numbers are compared from the end.
                false => number + of_stage == *at + total,
            };
            is_stage && is_number && text.to_ascii_uppercase().starts_with(vertex.keyword.as_str())
        };
        if let Some(step) = told.steps.iter().find(same) {
            out.insert(vertex.id, step);
        }
    }
    out
}

struct Adoption<'a> {
    store: &'a Store,
    graph: &'a BuildGraph,
    contexts: &'a BTreeMap<String, ScannedContext>,
    previous: Option<&'a BuildRecord>,
    found: BTreeMap<VertexId, &'a ToldStep>,
}

impl Adoption<'_> {
    /// Microseconds since 1970 of the first and the last thing told.
    fn span(&self) -> (u64, u64) {
        let begin = self.found.values().filter_map(|step| step.started).min().unwrap_or_else(unix_micros);
        let end = self.found.values().filter_map(|step| step.completed).max().unwrap_or(begin);
        (begin, end)
    }

    /// What the keys of all steps are made of, as far as Dockerfile and context tell. Lists of files are kept for the next
    /// import.
    fn ingredients(&self) -> Result<BTreeMap<String, Ingredients>, EngineError> {
        let cache = Cache::new(&self.store.index);
        let source = |id: VertexId| {
            let other = &self.graph.vertices[id.0 as usize];
            Source { slot: other.slot.clone(), name: other.name.clone(), content: None, revision: None }
        };
        let mut out = BTreeMap::new();
        for vertex in &self.graph.vertices {
            let Some(operation) = &vertex.operation else { continue };
            let mut sources = Vec::new();
            for edge in &vertex.edges {
                sources.push(match (&edge.source, edge.source.context().and_then(|name| self.contexts.get(&name))) {
                    (SourceRef::Vertex(Some(id)), _) => source(*id),
                    (_, Some(context)) => {
                        let name = format!("context {}", edge.source.context().unwrap_or_default());
                        let content = self.content(&cache, context, edge)?;
                        Source { slot: String::new(), name, content, revision: None }
                    }
                    _ => Source { slot: String::new(), name: "elsewhere".into(), content: None, revision: None },
                });
            }
            let parent = vertex.parent.map(source);
            let made = Ingredients { format: KEY_FORMAT, operation: operation.clone(), parent, sources };
            out.insert(vertex.slot.clone(), made);
        }
        Ok(out)
    }

    fn content(&self, cache: &Cache<'_>, context: &ScannedContext, edge: &Edge) -> Result<Option<Content>, EngineError> {
        // A source that is gone by now: nothing can be compared.
        let Ok(digest) = content_key(&context.tree, &edge.selectors) else { return Ok(None) };
        let tree = Digest::of(format!("{digest}{:?}", edge.selectors));
        cache.put_tree(&tree, &pack_list(&selected(&context.tree, edge)))?;
        Ok(Some(Content { digest, tree }))
    }

    /// The reasons of a step that ran, and where its cascade began.
    fn reasons(
        &self,
        vertex: &Vertex,
        now: &BTreeMap<String, Ingredients>,
        causes: &BTreeMap<VertexId, VertexId>,
    ) -> (Vec<MissReason>, VertexId) {
        let then = self.previous.and_then(|previous| previous.ingredients.get(&vertex.slot));
        let mut reasons = match (now.get(&vertex.slot), then) {
            (Some(now), Some(then)) => own_reasons(now, then, self),
            _ => vec![MissReason::FirstTime],
        };
        let parent = vertex.parent.and_then(|id| Some((id, *causes.get(&id)?)));
        let source = vertex.edges.iter().filter_map(Edge::vertex).find_map(|id| Some((id, *causes.get(&id)?)));
        if parent.is_some() {
            reasons.retain(|reason| !matches!(reason, MissReason::ParentChanged { .. }));
        }
        let line = |id: VertexId| self.graph.vertices[id.0 as usize].line;
        let mut cause = (!reasons.is_empty()).then_some(vertex.id);
        if let Some((id, origin)) = source {
            reasons.push(MissReason::SourceRan { line: line(id) });
            cause = cause.or(Some(origin));
        }
        if let Some((id, origin)) = parent {
            reasons.push(MissReason::ParentRan { line: line(id), alone: reasons.is_empty() });
            cause = cause.or(Some(origin));
        }
        if reasons.is_empty() {
            reasons.push(MissReason::NotTold);
        }
        (reasons, cause.unwrap_or(vertex.id))
    }

    /// Writes events and output.
    fn write(&self, project: &Project, build: &str, now: &BTreeMap<String, Ingredients>) -> Result<(), EngineError> {
        let folder = self.store.layout.build(build);
        let fail = |error: std::io::Error| {
            let cause = crate::ground::fs::error::describe(&error);
            EngineError::environment(format!("cannot write to the store: {cause}"), None)
        };
        std::fs::create_dir_all(&folder).map_err(fail)?;
        let mut log = EventLog::create(&folder.join("events.jsonl")).map_err(fail)?;
        let (begin, end) = self.span();
        let mut events = vec![(
            0,
            BuildEvent::BuildStarted {
                build: build.to_owned(),
                dockerfile: project.file_name(),
                context: project.context.display().to_string(),
                target: project.target.clone(),
                unix: begin / 1_000_000,
            },
        )];
        events.extend(registrations(self.graph, self.previous).into_iter().map(|event| (0, event)));
        events.push((0, BuildEvent::GraphSealed));
        let mut causes = BTreeMap::new();
        let mut error = None;
        for vertex in &self.graph.vertices {
            let id = vertex.id;
            let Some(step) = self.found.get(&id) else {
                let outcome = if vertex.operation.is_some() { Outcome::Cached } else { Outcome::Config };
                events.push((0, BuildEvent::VertexFinished { vertex: id, outcome, layer: None, usage: None, micros: 0 }));
                continue;
            };
            let at = |moment: Option<u64>| moment.unwrap_or(begin).saturating_sub(begin);
            if step.cached {
                let micros = self.previous.and_then(|p| p.times.get(&vertex.slot).copied()).unwrap_or(0);
                let verdict = Verdict::Hit { how: HitReason::Told, from: None };
                events.push((at(step.started), BuildEvent::CacheProbed { vertex: id, verdict }));
                let outcome = Outcome::Cached;
                events.push((
                    at(step.completed),
                    BuildEvent::VertexFinished { vertex: id, outcome, layer: None, usage: None, micros },
                ));
                continue;
            }
            let (reasons, cause) = self.reasons(vertex, now, &causes);
            if vertex.role != Role::Base {
                causes.insert(id, cause);
            }
            events
                .push((at(step.started), BuildEvent::CacheProbed { vertex: id, verdict: Verdict::Miss { reasons, cause } }));
            events.push((at(step.started), BuildEvent::VertexStarted { vertex: id }));
            let mut offset = 0;
            let mut bytes = Vec::new();
            for (stream, piece) in &step.output {
                let (stream, len) = (*stream, piece.len() as u64);
                events.push((at(step.completed), BuildEvent::Output { vertex: id, stream, offset, len }));
                offset += len;
                bytes.extend_from_slice(piece);
            }
            if !bytes.is_empty() {
                std::fs::write(folder.join(format!("{}.log", id.0)), bytes).map_err(fail)?;
            }
            let outcome = match &step.error {
                Some(message) => {
                    error = Some(message.clone());
                    Outcome::Failed { message: message.clone() }
                }
                None => Outcome::Ran,
            };
            let finished = BuildEvent::VertexFinished { vertex: id, outcome, layer: None, usage: None, micros: took(step) };
            events.push((at(step.completed), finished));
        }
        events.sort_by_key(|(at, _)| *at);
        let micros = end.saturating_sub(begin);
        let finish = BuildEvent::BuildFinished { error, cancelled: false, environment: false, image: None, micros };
        events.push((micros, finish));
        for (seq, (at, event)) in (0..).zip(events) {
            log.append(&crate::engine::event::Stamped { seq, at, event }).map_err(fail)?;
        }
        Ok(())
    }

    fn notes(&self, missing: &[String]) -> Vec<String> {
        let mut out = vec![
            "the other builder told which steps were cached and how long the others took; it did not tell keys, sizes of layers, \
             or why a step ran"
                .to_owned(),
        ];
        out.push(match self.previous {
            Some(_) => {
                "reasons are what changed in Dockerfile and context since the import before, as they are now".to_owned()
            }
            None => {
                "this is the first import: the next one is compared with it, and can name the files that changed".to_owned()
            }
        });
        let unmatched =
            self.graph.vertices.iter().filter(|v| v.operation.is_some() && !self.found.contains_key(&v.id)).count();
        if unmatched > 0 {
            out.push(format!("of {unmatched} steps of the Dockerfile nothing was told: they were not needed"));
        }
        if !missing.is_empty() {
            out.push(format!(
                "base images that this store has not got, so that their variables are not known: {}",
                missing.join(", ")
            ));
        }
        out
    }
}

impl Evidence for Adoption<'_> {
    fn tree(&self, digest: &Digest) -> Option<std::sync::Arc<[Entry]>> {
        unpack_list(&Cache::new(&self.store.index).tree(digest).ok()??).map(Into::into)
    }

    fn ignored_then(&self, path: &str) -> bool {
        self.previous.is_some_and(|previous| previous.ignore.excluding_line(path).is_some())
    }

    fn ignored_now(&self, path: &str) -> bool {
        self.contexts.get("").is_some_and(|c| c.ignore.excluding_line(path).is_some() && c.root.join(path).exists())
    }
}

#[cfg(test)]
mod tests {
    use super::label;

    #[test]
    fn labels_of_steps() {
        assert_eq!(label("[build  2/12] RUN x"), Some(("build", 2, 12, "RUN x")));
        assert_eq!(label("[1/3] FROM a"), Some(("", 1, 3, "FROM a")));
        assert_eq!(label("[internal] load metadata"), None);
        assert_eq!(label("exporting to image"), None);
    }
}
