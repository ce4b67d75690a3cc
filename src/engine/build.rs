//! One build from request to record: resolve, lower, probe, run, assemble, export.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::Engine;
use super::contexts::scan_contexts;
use super::error::{EngineError, ErrorKind};
use super::event::log::EventLog;
use super::event::{BuildEvent, Outcome, Stamped, VertexId};
use super::graph::op::Operation;
use super::graph::{BuildGraph, Vertex, slots};
use super::handle::{BuildHandle, CancelToken};
use super::image::{Assembled, ExportFormat, ExportRequest, assemble, export};
use super::oci::{LayerId, Reference};
use super::project::{Loaded, Project};
use super::protocol::{Network, Reply, Request};
use super::solver::record::BuildRecord;
use super::solver::{Solver, Speaker, State};
use super::sources::{Remote, ToPush};
use super::store::{BuildRow, Store};
use crate::ground::digest::Digest;
use crate::ground::fs::PathResultExt;

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
    /// Names under which the image goes to its registry.
    pub push: Vec<String>,
    /// `--load`: the image goes to the docker daemon of this machine.
    pub load: bool,
    /// `--jobs`: steps at a time; 0 for a number that suits the machine.
    pub jobs: usize,
    /// The image is put together even where nobody gave it a name or a place: somebody wants to know its id.
    pub assemble: bool,
}

/// One `-o`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportTo {
    /// Format.
    pub format: ExportFormat,
    /// File or folder.
    pub destination: PathBuf,
    /// A folder instead of a tar.
    pub directory: bool,
    /// Times of files become SOURCE_DATE_EPOCH too.
    pub rewrite_timestamps: bool,
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
        let log = std::fs::create_dir_all(&folder).and_then(|()| EventLog::create(&folder.join("events.jsonl")));
        let log = log.map_err(|e| {
            let cause = crate::ground::fs::error::describe(&e);
            let hint = "check owner, mode and space of the store, or choose another place with --store";
            EngineError::environment(format!("cannot write to the store: {cause}"), Some(hint.into()))
        });
        let (log, refused) = match log {
            Ok(log) => (Some(log), None),
            Err(error) => (None, Some(error)),
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
        let ended = match refused {
            Some(error) => Err(error),
            None => run.go(),
        };
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
struct Run<'a> {
    engine: &'a Engine,
    request: &'a BuildRequest,
    speaker: &'a Speaker,
    cancel: CancelToken,
    folder: PathBuf,
    build: String,
    started: u64,
}

impl Run<'_> {
    fn store(&self) -> &Store {
        &self.engine.store
    }

    fn go(&self) -> Result<BuildOutcome, EngineError> {
        let project = &self.request.project;
        let loaded = project.load()?;
        let lease = self.store().lease()?;
        let previous = project.last_record(self.store())?.map(|(_, record)| record);
        let report = |what: &str, done, total| {
            self.speaker.say(BuildEvent::Progress { vertex: None, what: what.to_owned(), done, total });
        };
        let remote = Remote::new(&self.engine.sources, self.cancel.clone(), &report, project.pull);
        let lowered = project.lower_with(self.store(), &loaded, previous.as_ref(), Some(&remote));
        let (graph, warnings) = lowered.map_err(|error| if self.cancel.is_cancelled() { cancelled() } else { error })?;
        let rewrites = self.request.exports.iter().any(|e| e.rewrite_timestamps);
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
        let contexts = scan_contexts(self.store(), project, self.speaker, &graph, &loaded.ignore)?;
        let jobs = match self.request.jobs {
            // Steps mostly wait for disks, networks and their own processes.
            0 => std::thread::available_parallelism().map_or(4, |n| n.get() * 2).max(4),
            given => given,
        };
        let solver = Solver {
            lease: &lease,
            graph: &graph,
            store: self.store(),
            worker: &self.engine.worker,
            speaker: self.speaker,
            contexts: &contexts,
            previous: previous.as_ref(),
            folder: &self.folder,
            cancel: self.cancel.clone(),
            secrets: &self.request.secrets,
            default_network,
            limits: &project.limits,
            state: State::new(graph.vertices.len(), jobs),
        };
        let solved = solver.solve();
        let result = match &solved {
            Ok(_) => self.finish_image(&graph, &solver, &remote),
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
        let leaves = !request.exports.is_empty() || !request.push.is_empty() || request.load;
        if request.tags.is_empty() && !leaves && !request.assemble {
            return Ok(None);
        }
        let rewrite = self.request.exports.iter().any(|e| e.rewrite_timestamps);
        // The chain of the target names all layers; each step above it made the last layer of its own result.
        let target = graph.target.and_then(|id| solver.known_result(id));
        let layers = target.as_ref().map(|r| r.layers.as_slice()).unwrap_or_default();
        let steps: Vec<VertexId> = graph.history.iter().filter_map(|step| step.vertex).collect();
        let own = &layers[layers.len().saturating_sub(steps.len())..];
        let made: BTreeMap<VertexId, super::oci::LayerId> = steps.iter().copied().zip(own.iter().cloned()).collect();
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

    fn write(&self, assembled: &Assembled) -> Result<(), EngineError> {
        for tag in &self.request.tags {
            let name = Reference::parse(tag).map_err(|e| EngineError::user(e.to_string(), None))?;
            self.store().index.put_image(&name.to_string(), &assembled.record, unix_micros() / 1_000_000)?;
            self.speaker.say(BuildEvent::ExportFinished {
                format: "store".into(),
                destination: name.familiar(),
                digest: assembled.record.id,
                bytes: assembled.record.size,
            });
        }
        for to in &self.request.exports {
            if self.cancel.is_cancelled() {
                return Err(cancelled());
            }
            let what = "exporting".to_owned();
            self.speaker.say(BuildEvent::Progress { vertex: None, what, done: 0, total: None });
            let request = ExportRequest {
                format: to.format,
                destination: to.destination.clone(),
                directory: to.directory,
                names: self.request.tags.clone(),
                clamp_times: assembled.clamp_times.filter(|_| to.rewrite_timestamps),
            };
            let done = export(self.store(), &self.engine.worker, &assembled.record, &assembled.config, &request)?;
            self.speaker.say(BuildEvent::ExportFinished {
                format: if to.format == ExportFormat::Oci { "oci" } else { "docker" }.into(),
                destination: to.destination.display().to_string(),
                digest: done.digest,
                bytes: done.bytes,
            });
        }
        Ok(())
    }

    /// To registries, and to the daemon.
    fn deliver(&self, graph: &BuildGraph, assembled: &Assembled, remote: &Remote<'_>) -> Result<(), EngineError> {
        let base = graph.target_base.and_then(|at| graph.bases.get(at)).and_then(|b| Reference::parse(&b.image).ok());
        for name in &self.request.push {
            let reference = Reference::parse(name).map_err(|e| EngineError::user(e.to_string(), None))?;
            let mount_from = base.clone().filter(|base| base.domain == reference.domain).map(|base| base.path);
            let clamp_times = assembled.clamp_times;
            let image = ToPush { reference: &reference, record: &assembled.record, clamp_times, mount_from };
            let (digest, bytes) = remote.push(self.store(), &self.engine.worker, &image)?;
            let (format, destination) = ("registry".to_owned(), reference.familiar());
            self.speaker.say(BuildEvent::ExportFinished { format, destination, digest, bytes });
        }
        if self.request.load {
            self.load(assembled, remote)?;
        }
        Ok(())
    }

    fn load(&self, assembled: &Assembled, remote: &Remote<'_>) -> Result<(), EngineError> {
        let daemon = remote.loader()?;
        (remote.report)(&format!("loading into the daemon at {}", daemon.shown()), 0, None);
        let archive = self.store().layout.root().join("tmp").join(format!("load-{}.tar", self.build));
        let request = ExportRequest {
            format: ExportFormat::Docker,
            destination: archive.clone(),
            directory: false,
            names: self.request.tags.clone(),
            clamp_times: assembled.clamp_times,
        };
        let done = export(self.store(), &self.engine.worker, &assembled.record, &assembled.config, &request)?;
        let loaded = std::fs::File::open(&archive).and_then(|file| Ok((file.metadata()?.len(), file)));
        let removed = std::fs::remove_file(&archive).at("remove", &archive);
        let (size, mut file) = loaded.at("read", &archive)?;
        removed?;
        daemon.load(&mut file, size)?;
        let (format, destination) = ("daemon".to_owned(), daemon.shown());
        self.speaker.say(BuildEvent::ExportFinished { format, destination, digest: done.digest, bytes: done.bytes });
        Ok(())
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
            match outcome {
                Some(Outcome::Ran) => record.ran += 1,
                Some(Outcome::Cached) => record.hits += 1,
                Some(Outcome::Failed { .. }) => {
                    record.failed.insert(vertex.slot.clone());
                }
                _ => {}
            }
            if let Some(result) = solver.known_result(vertex.id) {
                record.times.insert(vertex.slot.clone(), result.micros);
                if let Some(layer) = result.layers.last().filter(|_| vertex.base.is_none()) {
                    record.layers.insert(vertex.slot.clone(), layer.clone());
                }
            }
        }
        let live: std::collections::BTreeSet<String> = graph.vertices.iter().map(|v| v.slot.clone()).collect();
        record.ingredients.retain(|slot, _| live.contains(slot));
        record.times.retain(|slot, _| live.contains(slot));
        record.layers.retain(|slot, _| live.contains(slot));
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

fn cancelled() -> EngineError {
    EngineError { kind: ErrorKind::Cancelled, message: "the build was cancelled".into(), hint: None }
}

/// When each layer was made.
fn layer_times(store: &Store, layers: &[super::oci::LayerId]) -> Result<BTreeMap<super::oci::LayerId, u64>, EngineError> {
    let cache = super::cache::Cache::new(&store.index);
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
    let register = |vertex: &super::graph::Vertex| BuildEvent::VertexRegistered {
        vertex: vertex.id,
        slot: vertex.slot.clone(),
        name: vertex.name.clone(),
        line: vertex.line,
        stage: vertex.stage.clone(),
        inputs: graph.inputs(vertex),
        role: vertex.role.clone(),
        usual: previous.and_then(|p| p.times.get(&vertex.slot).copied()),
    };
    graph.vertices.iter().map(register).collect()
}

/// Microseconds since 1970.
pub(super) fn unix_micros() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_micros() as u64)
}

/// Sorts by time, and is one path component.
fn new_build_name() -> String {
    format!("{:016x}-{}", unix_micros(), crate::ground::random_hex(4))
}
