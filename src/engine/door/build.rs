//! One build from request to record: resolve, lower, probe, run, assemble, export.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::Engine;
use super::agent::{Agents, SshSource};
use super::contexts::{Memory, scan_contexts};
use super::delivery::{ExportTo, PushTo};
use super::elsewhere::Prepared;
use super::error::{EngineError, ErrorKind};
use super::fetching::fetch_sources;
use super::handle::BuildHandle;
use super::project::{Loaded, Project};
use super::sources::Remote;
use crate::engine::event::log::EventLog;
use crate::engine::event::{BuildEvent, Outcome, Stamped, VertexId};
use crate::engine::exchange::CacheTo;
use crate::engine::graph::op::Operation;
use crate::engine::graph::{BuildGraph, Vertex, slots};
use crate::engine::image::assemble;
use crate::engine::oci::LayerId;
use crate::engine::protocol::{Network, Reply, Request};
use crate::engine::reads::{CacheUse, TraceWhen};
use crate::engine::solver::record::BuildRecord;
use crate::engine::solver::{Solver, Speaker, State};
use crate::engine::store::{BuildRow, Lease, Store};
use crate::ground::cancel::CancelToken;
use crate::ground::digest::Digest;

/// What is asked of a build.
#[derive(Debug, Clone, Default)]
pub struct BuildRequest {
    /// What.
    pub project: Project,
    /// `-t`.
    pub tags: Vec<String>,
    /// `-o`.
    pub exports: Vec<ExportTo>,
    /// `--secret`: bytes by id. Never part of a key, of an image, or of anything that is written.
    pub secrets: BTreeMap<String, Vec<u8>>,
    /// `--ssh`: agents and keys by id.
    pub ssh: BTreeMap<String, SshSource>,
    /// Names under which the image goes to its registry.
    pub push: Vec<PushTo>,
    /// `--load`: the image goes to the docker daemon of this machine.
    pub load: bool,
    /// `--jobs`: steps at a time; 0 for a number that suits the machine.
    pub jobs: usize,
    /// `--trace`: which RUNs are watched.
    pub trace: TraceWhen,
    /// `--cache`: whether recorded runs may stand in for those on another parent.
    pub cache_use: CacheUse,
    /// `--cache-to`.
    pub cache_to: Vec<CacheTo>,
    /// The image is put together even where nobody gave it a name or a place: somebody wants to know its id.
    pub assemble: bool,
}

/// How a build ended.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildOutcome {
    /// The build's name.
    pub build: String,
    /// Id of the image.
    pub image: Option<Digest>,
    /// Steps that were run.
    pub executed: usize,
}

impl BuildRequest {
    /// Whether any output asks for rewritten timestamps: then the image has them, for all outputs.
    fn rewrites_timestamps(&self) -> bool {
        self.exports.iter().any(|to| to.rewrite_timestamps) || self.push.iter().any(|to| to.rewrite_timestamps)
    }
}

impl Engine {
    /// Starts a build on a thread of its own.
    pub fn start(&self, request: BuildRequest) -> BuildHandle {
        let (sender, events) = unbounded_channel();
        let cancel = CancelToken::default();
        let (engine, token) = (self.clone(), cancel.clone());
        let run = move || {
            // How it ended is in its last event.
            let _ = engine.build(&request, token, Some(sender));
        };
        // A chain of 500 instructions is decided by recursion.
        if let Err(error) = std::thread::Builder::new().stack_size(64 << 20).spawn(run) {
            let (sender, events) = unbounded_channel();
            let message = format!("cannot start a thread: {error}");
            let event = BuildEvent::BuildFinished {
                error: Some(message),
                cancelled: false,
                environment: true,
                image: None,
                micros: 0,
            };
            let _ = sender.send(Stamped { seq: 0, at: 0, event });
            return BuildHandle { events, cancel };
        }
        BuildHandle { events, cancel }
    }

    /// The log of a build. The lease comes first and names it: a folder that nobody holds and no record names is collected.
    fn open_log(&self, build: &str) -> Result<(EventLog, Lease), EngineError> {
        let lease = self.store.lease()?;
        lease.note([build])?;
        let folder = self.store.layout.build(build);
        let log = std::fs::create_dir_all(&folder).and_then(|()| EventLog::create(&folder.join("events.jsonl")));
        let log = log.map_err(|e| {
            let cause = crate::ground::fs::error::describe(&e);
            let hint = "check owner, mode and space of the store, or choose another place with --store";
            EngineError::environment(format!("cannot write to the store: {cause}"), Some(hint.into()))
        })?;
        Ok((log, lease))
    }

    /// Builds on this thread.
    pub fn build(
        &self,
        request: &BuildRequest,
        cancel: CancelToken,
        watcher: Option<UnboundedSender<Stamped>>,
    ) -> Result<BuildOutcome, EngineError> {
        let build = new_build_name();
        let folder = self.store.layout.build(&build);
        let project = &request.project;
        let log = self.open_log(&build);
        let (log, lease) = match log {
            Ok((log, lease)) => (Some(log), Ok(lease)),
            Err(error) => (None, Err(error)),
        };
        let speaker = Speaker::new(project.file_name(), log, watcher);
        let started = unix_micros();
        speaker.say(BuildEvent::BuildStarted {
            build: build.clone(),
            dockerfile: project.file_name(),
            context: project.context.display().to_string(),
            target: project.target.clone(),
            unix: started / 1_000_000,
        });
        let run = Run { engine: self, request, speaker: &speaker, cancel, folder, build: build.clone(), started };
        let ended = lease.and_then(|lease| run.go(&lease));
        let (error, image) = match &ended {
            Ok(outcome) => (None, outcome.image),
            Err(error) => (Some(error.text()), None),
        };
        let cancelled = matches!(&ended, Err(EngineError { kind: ErrorKind::Cancelled, .. }));
        let environment = matches!(&ended, Err(EngineError { kind: ErrorKind::Environment, .. }));
        let micros = speaker.elapsed();
        speaker.say(BuildEvent::BuildFinished { error, cancelled, environment, image, micros });
        ended
    }
}

/// A build under way.
pub(super) struct Run<'a> {
    pub(super) engine: &'a Engine,
    pub(super) request: &'a BuildRequest,
    pub(super) speaker: &'a Speaker,
    pub(super) cancel: CancelToken,
    pub(super) folder: PathBuf,
    pub(super) build: String,
    pub(super) started: u64,
}

impl Run<'_> {
    pub(super) fn store(&self) -> &Store {
        &self.engine.store
    }

    fn go(&self, lease: &Lease) -> Result<BuildOutcome, EngineError> {
        let report = |what: &str, done, total| {
            self.speaker.say(BuildEvent::Progress { vertex: None, what: what.to_owned(), done, total });
        };
        let remote = Remote::new(&self.engine.sources, self.cancel.clone(), &report, self.request.project.pull);
        let Prepared { project, fetched } = self.prepare(lease, &remote)?;
        let loaded = project.load()?;
        let previous = project.last_record(self.store())?.map(|(_, record)| record);
        let lowered = project.lower_with(self.store(), &loaded, previous.as_ref(), Some(&remote));
        let (graph, warnings) = lowered.map_err(|error| if self.cancel.is_cancelled() { cancelled() } else { error })?;
        let rewrites = self.request.rewrites_timestamps();
        if rewrites && graph.epoch.is_none() && !project.build_args.contains_key("SOURCE_DATE_EPOCH") {
            let hint = "give --build-arg SOURCE_DATE_EPOCH=SECONDS, or set it in the environment".to_owned();
            return Err(EngineError::usage("rewrite-timestamp=true needs SOURCE_DATE_EPOCH", Some(hint)));
        }
        for text in warnings {
            self.speaker.say(BuildEvent::Diagnosed { text, error: false, line: 0 });
        }
        self.register(&graph, previous.as_ref());
        let default_network = project.default_network();
        self.survey(&graph, default_network)?;
        let fetched = fetch_sources(self.store(), self.speaker, &remote, &graph, lease, fetched)?;
        let (sources, memory) = ((&loaded.ignore, &fetched), Memory::Store);
        let contexts = scan_contexts(self.store(), &project, self.speaker, &graph, sources, memory, &self.cancel);
        let contexts = contexts.map_err(|error| if self.cancel.is_cancelled() { cancelled() } else { error })?;
        let place = self.store().layout.root().join("tmp");
        let agents = Agents::start(&graph, &self.request.ssh, &self.engine.sources.git.path, &place)?;
        let jobs = match self.request.jobs {
            // Steps mostly wait for disks, networks and their own processes.
            0 => std::thread::available_parallelism().map_or(4, |n| n.get() * 2).max(4),
            given => given,
        };
        let imports = project.open_caches(self.store(), self.speaker, Some(&remote));
        let solver = Solver {
            imports: &imports,
            lease: Some(lease),
            graph: &graph,
            store: self.store(),
            worker: Some(&self.engine.worker),
            speaker: self.speaker,
            contexts: &contexts,
            previous: previous.as_ref(),
            folder: &self.folder,
            cancel: self.cancel.clone(),
            secrets: &self.request.secrets,
            agents: &agents.sockets,
            default_network,
            trace: self.request.trace,
            cache_use: self.request.cache_use,
            limits: &project.limits,
            state: State::new(graph.vertices.len(), jobs),
        };
        let solved = solver.solve();
        let result = match &solved {
            Ok(_) => {
                let image = self.finish_image(&graph, &solver, &remote);
                image.and_then(|image| self.export_caches(&solver, &remote).map(|()| image))
            }
            Err(error) => Err(error.clone().into()),
        };
        let remembered = self.remember(&graph, &solver, previous.as_ref(), &result, &loaded);
        let executed = solver.state.executed.load(Ordering::SeqCst);
        // What went wrong first is what counts.
        result.and_then(|image| remembered.map(|()| image)).map(|image| BuildOutcome {
            build: self.build.clone(),
            image,
            executed,
        })
    }

    fn register(&self, graph: &BuildGraph, previous: Option<&BuildRecord>) {
        for event in registrations(graph, previous) {
            self.speaker.say(event);
        }
        self.speaker.say(BuildEvent::GraphSealed);
    }

    /// Asks the worker how steps run here, where any does, and tells what is not as it was asked for.
    fn survey(&self, graph: &BuildGraph, network: Network) -> Result<(), EngineError> {
        let runs = |vertex: &Vertex| matches!(vertex.operation, Some(Operation::Run { .. }));
        if !graph.vertices.iter().any(runs) {
            return Ok(());
        }
        let limits = self.request.project.limits.clone();
        if let Reply::Surveyed { notes } = self.engine.worker.call(Request::Survey { limits, network }, Vec::new())? {
            for note in notes {
                self.speaker.say(BuildEvent::Diagnosed { text: format!("note: {note}"), error: false, line: 0 });
            }
        }
        Ok(())
    }

    /// Puts the image together where somebody wants it: a name or an output. Else the result stays in the cache, and the layers
    /// are not read once more for their DiffIDs.
    fn finish_image(
        &self,
        graph: &BuildGraph,
        solver: &Solver<'_>,
        remote: &Remote<'_>,
    ) -> Result<Option<Digest>, EngineError> {
        let request = self.request;
        self.write_trees(graph, solver)?;
        let images = request.exports.iter().any(ExportTo::is_image);
        let leaves = images || !request.push.is_empty() || request.load;
        if request.tags.is_empty() && !leaves && !request.assemble {
            return Ok(None);
        }
        let rewrite = request.rewrites_timestamps();
        // The chain of the target names all layers; each step above it made the last layer of its own result.
        let target = graph.target.and_then(|id| solver.known_result(id));
        let layers = target.as_ref().map(|r| r.layers.as_slice()).unwrap_or_default();
        let steps: Vec<VertexId> = graph.history.iter().filter_map(|step| step.vertex).collect();
        let own = &layers[layers.len().saturating_sub(steps.len())..];
        let made: BTreeMap<VertexId, crate::engine::oci::LayerId> = steps.iter().copied().zip(own.iter().cloned()).collect();
        let times = layer_times(self.store(), own)?;
        let layer_of = |vertex: VertexId| {
            let layer = made.get(&vertex)?;
            Some((layer.clone(), times.get(layer).copied().unwrap_or_else(unix_micros)))
        };
        let what = "assembling image".to_owned();
        self.speaker.say(BuildEvent::Progress { vertex: None, what, done: 0, total: None });
        let assembled = assemble(self.store(), &self.engine.worker, graph, &layer_of, graph.epoch, rewrite)?;
        self.write(&assembled)?;
        self.deliver(graph, &assembled, remote)?;
        Ok(Some(assembled.record.id))
    }

    /// Writes the memory of this build; what it did not reach keeps the memory of earlier ones.
    fn remember(
        &self,
        graph: &BuildGraph,
        solver: &Solver<'_>,
        previous: Option<&BuildRecord>,
        result: &Result<Option<Digest>, EngineError>,
        loaded: &Loaded,
    ) -> Result<(), EngineError> {
        let project = &self.request.project;
        let old = previous.cloned().unwrap_or_default();
        let old_left = old.left;
        let mut record = BuildRecord {
            dockerfile: project.file_name(),
            context: project.context.display().to_string(),
            target: project.target.clone(),
            error: result.as_ref().err().map(|e| e.message.clone()),
            cancelled: matches!(result, Err(EngineError { kind: ErrorKind::Cancelled, .. })),
            image: result.as_ref().ok().copied().flatten(),
            micros: self.speaker.elapsed(),
            ignore: loaded.ignore.clone(),
            slots: graph.vertices.iter().map(slots::describe).collect(),
            ingredients: old.ingredients,
            times: old.times,
            layers: old.layers,
            bases: old.bases,
            secret_marks: old.secret_marks,
            results: old.results,
            ..BuildRecord::default()
        };
        record.ingredients.extend(solver.ingredients());
        record.left = solver.lefts();
        for vertex in &graph.vertices {
            let outcome = solver.outcome(vertex.id);
            if let (Some(left), Some(Outcome::Skipped | Outcome::Cancelled)) = (old_left.get(&vertex.slot), &outcome) {
                // Not tried again: what it left then is still the last that is known of it.
                record.left.insert(vertex.slot.clone(), left.clone());
            }
            if let Some(facts) = solver.base_facts(vertex) {
                record.bases.insert(vertex.slot.clone(), facts);
            }
            if let (Some(Outcome::Ran), marks) = (&outcome, solver.secret_marks(vertex))
                && !marks.is_empty()
            {
                record.secret_marks.insert(vertex.slot.clone(), marks);
            }
            match outcome {
                Some(Outcome::Ran) => record.ran += 1,
                Some(Outcome::Cached) => record.hits += 1,
                Some(Outcome::Failed { .. }) => {
                    record.failed.insert(vertex.slot.clone());
                }
                _ => {}
            }
            if solver.is_traced(vertex.id) {
                record.traced.insert(vertex.slot.clone());
            }
            if let Some(result) = solver.known_result(vertex.id) {
                record.times.insert(vertex.slot.clone(), result.micros);
                record.results.insert(vertex.slot.clone(), result.id.clone());
                if let Some(layer) = result.layers.last().filter(|_| vertex.base.is_none()) {
                    record.layers.insert(vertex.slot.clone(), layer.clone());
                }
            }
        }
        let live: std::collections::BTreeSet<String> = graph.vertices.iter().map(|v| v.slot.clone()).collect();
        record.ingredients.retain(|slot, _| live.contains(slot));
        record.times.retain(|slot, _| live.contains(slot));
        record.layers.retain(|slot, _| live.contains(slot));
        record.bases.retain(|slot, _| live.contains(slot));
        record.secret_marks.retain(|slot, _| live.contains(slot));
        record.results.retain(|slot, _| live.contains(slot));
        let row = BuildRow {
            id: self.build.clone(),
            project: project.id(),
            started: self.started,
            finished: unix_micros(),
            record: serde_json::to_string(&record).unwrap_or_default(),
        };
        self.store().index.put_uses(row.finished, &solver.used())?;
        self.store().index.put_build(&row)?;
        let still = |layer: &LayerId| record.left.values().any(|left| left.layer == *layer);
        let gone = old_left.into_values().map(|left| left.layer).filter(|layer| !still(layer));
        self.engine.forget_left(gone.collect())
    }
}

pub(super) fn cancelled() -> EngineError {
    EngineError { kind: ErrorKind::Cancelled, message: "the build was cancelled".into(), hint: None }
}

/// When each layer was made.
fn layer_times(
    store: &Store,
    layers: &[crate::engine::oci::LayerId],
) -> Result<BTreeMap<crate::engine::oci::LayerId, u64>, EngineError> {
    let cache = crate::engine::cache::Cache::new(&store.index);
    let mut out = BTreeMap::new();
    for layer in layers {
        if let Some(created) = cache.layer_created(layer)? {
            out.insert(layer.clone(), created);
        }
    }
    Ok(out)
}

/// The events that introduce the steps of a graph.
pub fn registrations(graph: &BuildGraph, previous: Option<&BuildRecord>) -> Vec<BuildEvent> {
    let register = |vertex: &crate::engine::graph::Vertex| BuildEvent::VertexRegistered {
        vertex: vertex.id,
        slot: vertex.slot.clone(),
        name: vertex.name.clone(),
        line: vertex.line,
        stage: vertex.stage.clone(),
        inputs: graph.inputs(vertex),
        role: vertex.role.clone(),
        usual: previous.and_then(|p| p.times.get(&vertex.slot).copied()),
        edited: previous.is_some_and(|p| !p.slots.iter().any(|s| s.slot == vertex.slot && s.name == vertex.name)),
    };
    graph.vertices.iter().map(register).collect()
}

/// Microseconds since 1970.
pub(super) fn unix_micros() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_micros() as u64)
}

/// Sorts by time, and is one path component.
pub(super) fn new_build_name() -> String {
    format!("{:016x}-{}", unix_micros(), crate::ground::random_hex(4))
}
