//! Schedules vertices, probes the cache, runs operations, says what it does.
//!
//! Demand-driven from the target: a vertex first learns the keys of its inputs, and needs their results only where content
//! decides or where it has to run. Every vertex is decided once; independent inputs are decided in parallel.
//!
//! Source: BuildKit `solver/edge.go` (`reference/cache-semantics.md`, section 1). The hard rule: a record is written last.

mod changes;
mod content;
mod differences;
mod doubts;
mod error;
mod execute;
mod explain;
mod exported;
mod foresee;
mod foresee_trace;
mod imported;
mod lock;
mod mounts;
mod probe;
pub mod record;
mod speaker;
mod standing;
mod trace;
mod traced;
mod twins;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

pub use content::selected;
pub use error::{FailureSource, SolveError};
pub use foresee::Lists;
pub use probe::STACK;
pub use speaker::Speaker;
pub use standing::{Side, Standing};

use super::cache::{Cache, Content, Ingredients, KeyId, StepResult};
use super::context::Tree;
use super::event::{BuildEvent, Outcome, VertexId};
use super::exchange::{ImportedResult, Imports, Offered};
use super::graph::BuildGraph;
use super::oci::LayerId;
use super::reads::{CacheUse, TraceWhen};
use super::store::uses::{Place, Used};
use super::store::{Lease, Store};
use super::verdict::TraceRefusal;
use super::worker::Worker;
use crate::ground::cancel::CancelToken;
use crate::ground::digest::Digest;
use record::{BuildRecord, Left};

/// Locks without caring about a panic elsewhere: what is behind these locks is replaced whole, never half-changed.
fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything a solve works with.
pub struct Solver<'a> {
    /// What to build.
    pub graph: &'a BuildGraph,
    /// Where results lie.
    pub store: &'a Store,
    /// Who mounts and runs; none in a solve that only foresees.
    pub worker: Option<&'a Worker>,
    /// Says what happens.
    pub speaker: &'a Speaker,
    /// Contexts by name, as scanned: root folder and tree.
    pub contexts: &'a BTreeMap<String, ScannedContext>,
    /// The last build of this project.
    pub previous: Option<&'a BuildRecord>,
    /// Folder of this build, for the output of its steps.
    pub folder: &'a Path,
    /// Stops it.
    pub cancel: CancelToken,
    /// Says what this build uses, so that it is not collected meanwhile; none in a solve that only foresees.
    pub lease: Option<&'a Lease>,
    /// `--secret`: bytes by id.
    pub secrets: &'a BTreeMap<String, Vec<u8>>,
    /// `--ssh`: sockets of agents by id.
    pub agents: &'a BTreeMap<String, std::path::PathBuf>,
    /// The network of RUNs that do not say.
    pub default_network: super::protocol::Network,
    /// Which RUNs are watched.
    pub trace: TraceWhen,
    /// Whether recorded runs may stand in for those on another parent.
    pub cache_use: CacheUse,
    /// Caches that were brought in: `--cache-from`.
    pub imports: &'a Imports,
    /// What each RUN may use.
    pub limits: &'a super::protocol::settings::Limits,
    /// State.
    pub state: State,
}

/// A context after its scan.
pub struct ScannedContext {
    /// Its folder.
    pub root: std::path::PathBuf,
    /// What the build selects of it.
    pub tree: std::sync::Arc<Tree>,
    /// The rules that left something out.
    pub ignore: super::context::IgnoreFile,
    /// By what it is known without its content, and which state of it this is; none for a folder of the user.
    pub fetched: Option<(Digest, String)>,
}

/// What a step of this build made, and which step that was.
#[derive(Clone)]
struct Remembered {
    by: VertexId,
    ids: Vec<KeyId>,
    result: StepResult,
}

/// What a solve has found out so far.
pub struct State {
    vertices: Vec<VertexState>,
    slots: Slots,
    unpacking: Mutex<()>,
    importing: Mutex<()>,
    /// The keys of the store for what caches offer, by the keys that they offer for a step.
    stored: Mutex<BTreeMap<Vec<KeyId>, KeyId>>,
    tokens: AtomicU64,
    /// What this build made, by the names of the locks: identical steps are run once even under `--no-cache`.
    made: Mutex<BTreeMap<String, Remembered>>,
    running: Mutex<Vec<u64>>,
    /// What may be done about a step that the cache has not.
    mode: Mode,
    /// What was foreseen.
    foreseen: foresee::Foreseen,
    /// What failed runs left, by slot.
    left: Mutex<BTreeMap<String, Left>>,
    /// Cache mounts of the steps that ran: folder, id, step.
    mounted: Mutex<Vec<(String, String, Place)>>,
    /// The first failure: everything else is ended because of it.
    failure: Mutex<Option<SolveError>>,
    /// Steps whose process or copy was started.
    pub executed: AtomicUsize,
}

/// What a solve does about a step that the cache has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// It runs.
    Build,
    /// It is an error: only what is there is wanted.
    Look,
    /// It is said that it will run; nothing is executed and nothing is written.
    Foresee,
}

/// A bounded number of steps at a time.
struct Slots {
    free: Mutex<usize>,
    freed: Condvar,
}

#[derive(Default)]
struct VertexState {
    keys: Mutex<Option<Result<Keys, SolveError>>>,
    result: Mutex<Option<Result<StepResult, SolveError>>>,
    /// By number of the edge.
    content: Mutex<BTreeMap<usize, Result<Content, SolveError>>>,
    ingredients: Mutex<Option<Ingredients>>,
    /// Why a recorded run did not stand in for it.
    refused: Mutex<Option<TraceRefusal>>,
    said: Mutex<Said>,
}

/// What was said about a vertex; each is said once.
#[derive(Default)]
struct Said {
    probed: bool,
    finished: Option<Outcome>,
    /// When it started to run, in microseconds since the build began.
    started: Option<u64>,
    /// What its process used, however it ended.
    usage: Option<super::event::Usage>,
    /// Where its cascade began, when it had to run.
    cause: Option<VertexId>,
}

/// What a vertex offers to those below it.
#[derive(Debug, Clone, Default)]
struct Keys {
    ids: Vec<KeyId>,
    /// It ran under `--no-cache`: nothing below may match through its keys by definition, although results are kept under
    /// them.
    withheld: bool,
    /// It is a traced hit, or stands on one: its keys are of their own space.
    traced: bool,
    /// A result to load, when the cache has one.
    loadable: Option<StepResult>,
    /// A result that a cache has which was brought in, when the store has none.
    imported: Option<ImportedResult>,
    /// Which of the keys each of these caches has.
    offered: Offered,
    /// In a plan: how sure the keys are.
    fate: foresee::Fate,
    /// In a plan: the layer of a recorded run that will stand in for the step.
    stands_in: Option<LayerId>,
}

impl Keys {
    /// Whether a result is to be had without making it.
    fn has_result(&self) -> bool {
        self.loadable.is_some() || self.imported.is_some()
    }
}

impl State {
    /// For a graph of so many vertices, with so many steps at a time.
    pub fn new(vertices: usize, jobs: usize) -> Self {
        Self {
            vertices: (0..vertices).map(|_| VertexState::default()).collect(),
            slots: Slots { free: Mutex::new(jobs.max(1)), freed: Condvar::new() },
            unpacking: Mutex::new(()),
            importing: Mutex::new(()),
            stored: Mutex::default(),
            tokens: AtomicU64::new(1),
            made: Mutex::new(BTreeMap::new()),
            running: Mutex::new(Vec::new()),
            mode: Mode::Build,
            foreseen: foresee::Foreseen::default(),
            left: Mutex::new(BTreeMap::new()),
            mounted: Mutex::new(Vec::new()),
            failure: Mutex::new(None),
            executed: AtomicUsize::new(0),
        }
    }
}

impl State {
    /// For a look at what the cache has: nothing runs.
    pub fn looking(vertices: usize) -> Self {
        Self { mode: Mode::Look, ..Self::new(vertices, 1) }
    }

    /// For a plan: nothing runs and nothing is written. `memory` may hold lists of files of earlier plans.
    pub fn foreseeing(vertices: usize, memory: Lists) -> Self {
        Self { mode: Mode::Foresee, foreseen: foresee::Foreseen::new(memory), ..Self::new(vertices, 1) }
    }
}

impl Slots {
    fn take(&self) -> SlotGuard<'_> {
        let mut free = guard(&self.free);
        while *free == 0 {
            free = self.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        SlotGuard(self)
    }
}

struct SlotGuard<'a>(&'a Slots);

impl Drop for SlotGuard<'_> {
    fn drop(&mut self) {
        *guard(&self.0.free) += 1;
        self.0.freed.notify_one();
    }
}

impl<'a> Solver<'a> {
    /// The files that a step takes from a context, or that were fetched.
    fn context(&self, source: &super::graph::SourceRef) -> Option<&'a ScannedContext> {
        self.contexts.get(&source.context()?)
    }

    fn cache(&self) -> Cache<'a> {
        Cache::new(&self.store.index)
    }

    fn vertex(&self, id: VertexId) -> &'a super::graph::Vertex {
        &self.graph.vertices[id.0 as usize]
    }

    fn state(&self, id: VertexId) -> &VertexState {
        &self.state.vertices[id.0 as usize]
    }

    /// Solves for the target: the layers of the image, and the results of all steps on its chain that have one.
    pub fn solve(&self) -> Result<Option<StepResult>, SolveError> {
        let done = std::sync::atomic::AtomicBool::new(false);
        let done = &done;
        let outcome = std::thread::scope(|scope| {
            let watcher = scope.spawn(move || self.watch_cancel(done));
            let outcome = match self.graph.target {
                Some(target) => self.result(target).map(Some),
                None => Ok(None),
            };
            done.store(true, std::sync::atomic::Ordering::SeqCst);
            watcher.thread().unpark();
            outcome
        });
        self.close(outcome.is_ok());
        // What was ended because of a failure elsewhere reports a cancellation; the failure itself is what counts.
        match guard(&self.state.failure).clone() {
            Some(failure) if outcome.is_err() && !self.cancel.is_cancelled() => Err(failure),
            _ => outcome,
        }
    }

    /// Somebody cancelled, or something failed.
    fn is_ending(&self) -> bool {
        self.cancel.is_cancelled() || guard(&self.state.failure).is_some()
    }

    /// Passes a cancellation on to the runs; they end, and so does the solve.
    fn watch_cancel(&self, done: &std::sync::atomic::AtomicBool) {
        let mut told: Vec<u64> = Vec::new();
        while !done.load(std::sync::atomic::Ordering::SeqCst) {
            if self.is_ending() {
                for token in guard(&self.state.running).clone() {
                    if !told.contains(&token) {
                        told.push(token);
                        if let Some(worker) = self.worker {
                            let _ = worker.call(super::protocol::Request::Cancel { token }, Vec::new());
                        }
                    }
                }
            }
            std::thread::park_timeout(std::time::Duration::from_millis(30));
        }
    }

    /// Says how vertices ended that nobody had to look at: a step below them was served.
    fn close(&self, succeeded: bool) {
        self.say_unneeded();
        for vertex in &self.graph.vertices {
            if vertex.operation.is_none() {
                self.finish(vertex.id, Outcome::Config, None, None, 0);
            } else if !succeeded && guard(&self.state(vertex.id).said).finished.is_none() {
                let outcome = if self.cancel.is_cancelled() { Outcome::Cancelled } else { Outcome::Skipped };
                self.finish(vertex.id, outcome, None, None, 0);
            } else {
                self.finish(vertex.id, Outcome::Cached, None, None, 0);
            }
        }
    }

    fn finish(
        &self,
        vertex: VertexId,
        outcome: Outcome,
        layer: Option<super::event::LayerStat>,
        usage: Option<super::event::Usage>,
        micros: u64,
    ) {
        let mut said = guard(&self.state(vertex).said);
        if said.finished.is_none() {
            said.finished = Some(outcome.clone());
            self.speaker.say(BuildEvent::VertexFinished { vertex, outcome, layer, usage, micros });
        }
    }

    /// The ingredients of all steps that were looked at, by slot.
    pub fn ingredients(&self) -> BTreeMap<String, Ingredients> {
        let collect = |vertex: &super::graph::Vertex| {
            let found = guard(&self.state(vertex.id).ingredients).clone();
            found.map(|ingredients| (vertex.slot.clone(), ingredients))
        };
        self.graph.vertices.iter().filter_map(collect).collect()
    }

    /// The result of a vertex, when it is known.
    pub fn known_result(&self, vertex: VertexId) -> Option<StepResult> {
        if let Some(Ok(result)) = guard(&self.state(vertex).result).as_ref() {
            return Some(result.clone());
        }
        match guard(&self.state(vertex).keys).as_ref() {
            Some(Ok(keys)) => keys.loadable.clone(),
            _ => None,
        }
    }

    /// Whether a vertex was a traced hit, or stands on one.
    pub fn is_traced(&self, vertex: VertexId) -> bool {
        matches!(guard(&self.state(vertex).keys).as_ref(), Some(Ok(keys)) if keys.traced)
    }

    /// What this build used, for the store's bookkeeping.
    pub fn used(&self) -> Used {
        let result = |vertex: &super::graph::Vertex| Some((self.known_result(vertex.id)?.id.0, self.place(vertex)));
        Used { results: self.graph.vertices.iter().filter_map(result).collect(), mounts: guard(&self.state.mounted).clone() }
    }

    fn place(&self, vertex: &super::graph::Vertex) -> Place {
        Place { dockerfile: self.speaker.file.clone(), line: vertex.line, instruction: vertex.name.clone() }
    }

    /// Protects layers and folders from collection as long as this build lasts.
    fn note<'n>(&self, vertex: &super::graph::Vertex, names: impl IntoIterator<Item = &'n str>) -> Result<(), SolveError> {
        let Some(lease) = self.lease else { return Ok(()) };
        lease.note(names).map_err(|error| {
            let hint = crate::ground::hint::Hint::hint(&error);
            SolveError::environment(&self.speaker.file, vertex, error, hint)
        })
    }

    /// How each vertex ended.
    pub fn outcome(&self, vertex: VertexId) -> Option<Outcome> {
        guard(&self.state(vertex).said).finished.clone()
    }

    /// Whether all layers of a result are at hand: directories of our own, or layers of a base that can be unpacked.
    fn is_present(&self, layers: &[LayerId]) -> bool {
        let of_base =
            |layer: &LayerId| self.graph.bases.iter().flat_map(|b| &b.layers).any(|l| l.layer == *layer && l.blob.is_some());
        layers.iter().all(|layer| of_base(layer) || self.store.layout.layer(layer).exists())
    }

    fn check_cancelled(&self, vertex: VertexId) -> Result<(), SolveError> {
        if self.is_ending() { Err(SolveError::cancelled(vertex)) } else { Ok(()) }
    }
}
