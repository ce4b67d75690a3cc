//! A shell before or after a step: the step is found, what it stands on is looked up in the cache as a build would, and the
//! worker runs a process there whose writes are listed and thrown away.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Engine;
use super::contexts::{Memory, scan_contexts};
use super::error::EngineError;
use super::fetching::fetch_sources;
use super::project::{Loaded, Project};
use super::sources::Remote;
use crate::engine::exchange::Imports;
use crate::engine::graph::{BuildGraph, Vertex};
use crate::engine::protocol::{Changes, FailureKind, Opened, Reply, Request, TerminalSize, frame};
use crate::engine::reads::{CacheUse, TraceWhen};
use crate::engine::solver::record::BuildRecord;
use crate::engine::solver::{Side, Solver, Speaker, Standing, State};
use crate::engine::store::{Lease, StoreError};
use crate::engine::worker::WorkerError;
use crate::ground::cancel::CancelToken;

/// Which step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Chosen {
    /// The one that failed last, else the last one.
    #[default]
    Telling,
    /// That of a line of the Dockerfile.
    Line(u32),
    /// The last one of a stage.
    Stage(String),
    /// That of a line, which must be of this stage.
    StageLine(String, u32),
}

impl Chosen {
    /// Reads `7`, `STAGE` or `STAGE:7`.
    pub fn parse(text: &str) -> Self {
        let line = |text: &str| text.parse().ok();
        match (line(text), text.rsplit_once(':')) {
            (Some(number), _) => Self::Line(number),
            (None, Some((stage, number))) if line(number).is_some() => {
                Self::StageLine(stage.to_owned(), line(number).unwrap_or(0))
            }
            _ => Self::Stage(text.to_owned()),
        }
    }
}

/// What is asked of a shell.
#[derive(Debug, Clone, Default)]
pub struct ShellRequest {
    /// Of which project.
    pub project: Project,
    /// `--secret`: bytes by id.
    pub secrets: BTreeMap<String, Vec<u8>>,
    /// At which step.
    pub step: Chosen,
    /// Before or after it.
    pub side: Side,
    /// Program and arguments; none for the stage's shell.
    pub command: Vec<String>,
    /// TERM of the terminal, where there is one.
    pub terminal: Option<String>,
}

/// Everything that a shell needs; protected from collection as long as this lives.
pub struct ShellSession {
    engine: Engine,
    _lease: Lease,
    standing: Standing,
    token: u64,
    /// `Dockerfile:7 RUN make`.
    pub place: String,
    /// Which side of it.
    pub side: Side,
    /// Line of the step.
    pub line: u32,
}

/// Where the process reads and writes.
pub enum ShellStreams {
    /// Descriptors of its own: input, output, error.
    Given([OwnedFd; 3]),
    /// A terminal, whose outer end comes over the other side of this socket: see [`outer_end`](ShellSession::outer_end).
    Terminal(TerminalSize, UnixStream),
}

/// How a shell was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellEnd {
    /// Its exit code, or 128 + signal.
    pub code: i32,
    /// It was ended from outside.
    pub cancelled: bool,
    /// What it changed.
    pub changes: Changes,
}

/// Runs of the worker have numbers of their own: those of builds count from one.
static NEXT: AtomicU64 = AtomicU64::new(1 << 48);

impl Engine {
    /// Finds the step and what it stands on. Errors: there is no such step, or it is not in the cache.
    pub fn shell(&self, request: &ShellRequest) -> Result<ShellSession, EngineError> {
        let look = || self.look(request);
        // A chain of 500 instructions is decided by recursion.
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(64 << 20).spawn_scoped(scope, look);
            let thread = thread.map_err(|e| EngineError::environment(format!("cannot start a thread: {e}"), None))?;
            thread.join().unwrap_or_else(|_| Err(EngineError::environment("the look into the cache broke off", None)))
        })
    }

    fn look(&self, request: &ShellRequest) -> Result<ShellSession, EngineError> {
        // What is in the cache counts, whatever a build was told about it.
        let project = Project { no_cache: false, no_cache_filter: Vec::new(), ..request.project.clone() };
        let lease = Lease::take(&self.store.layout.leases()).map_err(StoreError::from)?;
        let loaded = project.load()?;
        let previous = project.last_record(&self.store)?.map(|(_, record)| record);
        let (graph, _) = project.lower(&self.store, &loaded, previous.as_ref())?;
        let vertex = choose(&project, &loaded, &graph, previous.as_ref(), &request.step)?;
        let speaker = Speaker::new(project.file_name(), None, None);
        let silent = |_: &str, _, _| {};
        let remote = Remote::new(&self.sources, CancelToken::default(), &silent, false);
        let fetched = fetch_sources(&self.store, &speaker, &remote, &graph, &lease, BTreeMap::new())?;
        let sources = (&loaded.ignore, &fetched);
        let contexts =
            scan_contexts(&self.store, &project, &speaker, &graph, sources, Memory::Store, &CancelToken::default())?;
        let folder = self.store.layout.root().join("tmp");
        let imports = Imports::default();
        let solver = Solver {
            // What they gave to a build is in the store.
            imports: &imports,
            lease: Some(&lease),
            graph: &graph,
            store: &self.store,
            worker: Some(&self.worker),
            speaker: &speaker,
            contexts: &contexts,
            previous: previous.as_ref(),
            folder: &folder,
            cancel: CancelToken::default(),
            secrets: &request.secrets,
            agents: &BTreeMap::new(),
            default_network: project.default_network(),
            trace: TraceWhen::Never,
            cache_use: CacheUse::Exact,
            limits: &project.limits,
            state: State::looking(graph.vertices.len()),
        };
        let mut standing = solver.standing(vertex.id, request.side)?;
        standing.process.args = command(request, &standing);
        if let Some(terminal) = &request.terminal
            && !standing.process.env.iter().any(|entry| entry.starts_with("TERM="))
        {
            standing.process.env.push(format!("TERM={terminal}"));
        }
        let place = format!("{}:{} {}", project.file_name(), vertex.line, shortened(&vertex.name));
        let (engine, side, line) = (self.clone(), request.side, vertex.line);
        let token = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(ShellSession { engine, _lease: lease, standing, token, place, side, line })
    }
}

impl ShellSession {
    /// Runs it to its end. Errors: the machine or the root has not got what it needs.
    pub fn run(&self, streams: ShellStreams) -> Result<ShellEnd, EngineError> {
        let (terminal, fds) = match streams {
            ShellStreams::Given(fds) => (None, Vec::from(fds)),
            ShellStreams::Terminal(size, socket) => (Some(size), vec![socket.into()]),
        };
        let (parents, process) = (self.standing.layers.clone(), self.standing.process.clone());
        let request = Request::Shell { parents, process, terminal, token: self.token };
        match self.engine.worker.call(request, fds) {
            Ok(Reply::ShellEnded { code, cancelled, changes }) => Ok(ShellEnd { code, cancelled, changes }),
            // No such program, no such user.
            Err(WorkerError::Failed(failure)) if failure.kind == FailureKind::User => {
                Err(EngineError::user(format!("{}: {}", self.place, failure.message), failure.hint))
            }
            Err(error) => Err(error.into()),
            Ok(_) => Err(EngineError::environment("unexpected answer of the worker to a shell", None)),
        }
    }

    /// Waits for the outer end of the terminal. None when the shell could not be started; its end says why.
    pub fn outer_end(socket: &UnixStream) -> io::Result<Option<OwnedFd>> {
        Ok(frame::receive::<Opened>(socket)?.and_then(|(_, Opened, fds)| fds.into_iter().next()))
    }

    /// Ends it: TERM, a grace of two seconds, KILL.
    pub fn cancel(&self) {
        let _ = self.engine.worker.call(Request::Cancel { token: self.token }, Vec::new());
    }

    /// It stands on what a failed run left.
    pub fn is_failed(&self) -> bool {
        self.standing.failed
    }

    /// Ids of the cache mounts that it shares with the step.
    pub fn caches(&self) -> &[String] {
        &self.standing.caches
    }

    /// Ids of the step's secrets that were not given.
    pub fn missing_secrets(&self) -> &[String] {
        &self.standing.missing
    }

    /// User and directory that it begins with.
    pub fn user_and_directory(&self) -> (&str, &str) {
        let process = &self.standing.process;
        (if process.user.is_empty() { "root" } else { &process.user }, &process.cwd)
    }
}

/// An instruction as messages name it.
fn shortened(name: &str) -> String {
    match name.char_indices().nth(80) {
        Some((at, _)) => format!("{}…", &name[..at]),
        None => name.to_owned(),
    }
}

/// What runs: the first word of SHELL is the shell, its further words are for scripts.
fn command(request: &ShellRequest, standing: &Standing) -> Vec<String> {
    if !request.command.is_empty() {
        return request.command.clone();
    }
    let shell = standing.shell.as_ref().and_then(|words| words.first()).cloned();
    vec![shell.unwrap_or_else(|| "/bin/sh".to_owned())]
}

/// Finds the step that is meant.
fn choose<'g>(
    project: &Project,
    loaded: &Loaded,
    graph: &'g BuildGraph,
    previous: Option<&BuildRecord>,
    chosen: &Chosen,
) -> Result<&'g Vertex, EngineError> {
    let last = |fits: &dyn Fn(&Vertex) -> bool| graph.vertices.iter().rev().find(|vertex| fits(vertex));
    let of_stage = |vertex: &Vertex, name: &str| {
        vertex.stage.name.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name))
            || name.parse() == Ok(vertex.stage.index)
    };
    let unknown = || no_step(project, graph, chosen);
    match chosen {
        Chosen::Line(line) => {
            let line = first_line(loaded, *line);
            last(&|vertex| vertex.line == line).ok_or_else(unknown)
        }
        Chosen::Stage(stage) => last(&|vertex| of_stage(vertex, stage)).ok_or_else(unknown),
        Chosen::StageLine(stage, line) => {
            let line = first_line(loaded, *line);
            last(&|vertex| vertex.line == line && of_stage(vertex, stage)).ok_or_else(unknown)
        }
        Chosen::Telling => {
            let failed = |vertex: &Vertex| previous.is_some_and(|record| record.failed.contains(&vertex.slot));
            let target = |vertex: &Vertex| project.target.as_ref().is_none_or(|target| of_stage(vertex, target));
            last(&failed).or_else(|| last(&target)).or_else(|| last(&|_| true)).ok_or_else(unknown)
        }
    }
}

/// A line in the middle of an instruction means the instruction.
fn first_line(loaded: &Loaded, line: u32) -> u32 {
    let instructions = &loaded.dockerfile.instructions;
    instructions.iter().find(|i| i.line <= line && line <= i.end_line).map_or(line, |i| i.line)
}

fn no_step(project: &Project, graph: &BuildGraph, chosen: &Chosen) -> EngineError {
    let what = match chosen {
        Chosen::Telling => "any step".to_owned(),
        Chosen::Line(line) => format!("a step at line {line}"),
        Chosen::Stage(stage) => format!("a stage `{}`", stage.escape_debug()),
        Chosen::StageLine(stage, line) => format!("a step at line {line} of a stage `{}`", stage.escape_debug()),
    };
    let file = project.file_name();
    let message =
        format!("{file} has not got {what} among those that the target needs; there is {}", known_steps(graph, chosen));
    EngineError::usage(message, Some("of a stage that the target does not need, name it with --target".into()))
}

/// What could have been meant: stages where a stage was asked for, and the lines of all steps.
fn known_steps(graph: &BuildGraph, chosen: &Chosen) -> String {
    let mut lines: Vec<String> = graph.vertices.iter().map(|vertex| vertex.line.to_string()).collect();
    lines.dedup();
    let lines = format!("line {}", lines.join(", "));
    if matches!(chosen, Chosen::Telling | Chosen::Line(_)) {
        return lines;
    }
    let name = |vertex: &Vertex| match &vertex.stage.name {
        Some(name) => format!("`{}`", name.escape_debug()),
        None => vertex.stage.index.to_string(),
    };
    let mut stages: Vec<String> = graph.vertices.iter().map(name).collect();
    stages.dedup();
    format!("stage {}, and {lines}", stages.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_line_a_stage_or_both() {
        assert_eq!(Chosen::parse("7"), Chosen::Line(7));
        assert_eq!(Chosen::parse("build"), Chosen::Stage("build".into()));
        assert_eq!(Chosen::parse("build:7"), Chosen::StageLine("build".into(), 7));
        assert_eq!(Chosen::parse("build:x"), Chosen::Stage("build:x".into()));
    }
}
