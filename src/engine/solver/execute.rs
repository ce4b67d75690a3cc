//! Runs a step, and writes its record last.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::content::selected;
use super::error::SolveError;
use super::probe::{LinkUse, now_micros};
use super::{Remembered, Solver, guard};
use crate::engine::cache::preimage::operation_digest;
use crate::engine::cache::{KeyId, Link, ResultId, StepResult};
use crate::engine::context::{Entry, EntryKind, Selector, Tree};
use crate::engine::event::{BuildEvent, LayerStat, Outcome, Stream, Usage, VertexId};
use crate::engine::graph::op::unpacks;
use crate::engine::graph::{Operation, SourceRef, Vertex};
use crate::engine::oci::LayerId;
use crate::engine::protocol::{CopySource, CopySpec, FileMode, Network, ProcessSpec, Reply, Request, TraceBudget};
use crate::engine::reads::ReadSet;
use crate::engine::verdict::HitReason;
use crate::ground::digest::Digest;

/// The host name of every step, as BuildKit's.
pub(super) const HOSTNAME: &str = "buildkitsandbox";

/// What an operation gave.
struct Made {
    /// What it laid over its parent.
    layers: Vec<LayerId>,
    stat: LayerStat,
    usage: Option<Usage>,
    reads: Option<Box<ReadSet>>,
}

impl Solver<'_> {
    /// Says that a step failed, at the step itself, and ends everything else because of it.
    pub(super) fn note_failure(&self, id: VertexId, error: &SolveError) {
        if error.vertex != id {
            return;
        }
        let outcome = match error.fault {
            super::FailureSource::Cancelled => Outcome::Cancelled,
            _ => {
                guard(&self.state.failure).get_or_insert_with(|| error.clone());
                Outcome::Failed { message: error.message.clone() }
            }
        };
        let (started, usage) = {
            let said = guard(&self.state(id).said);
            (said.started, said.usage)
        };
        let micros = started.map_or(0, |started| self.speaker.elapsed().saturating_sub(started));
        self.finish(id, outcome, None, usage, micros);
    }

    /// Runs a step; of several builders that reach it together one runs it, the others take its result.
    pub(super) fn execute(&self, vertex: &Vertex) -> Result<(Vec<KeyId>, StepResult), SolveError> {
        let Some(operation) = &vertex.operation else { return Err(self.not_an_operation(vertex)) };
        self.may_run(vertex)?;
        let parents = match vertex.parent {
            Some(parent) => self.result(parent)?.layers,
            None => Vec::new(),
        };
        let links = self.links(vertex, LinkUse::Record)?;
        self.note_ingredients(vertex);
        let digest = self.own_space(vertex, &operation_digest(operation))?;
        let name = lock_name(&digest, &links);
        let lock = self.lock_step(vertex.id, &name)?;
        let twin = guard(&self.state.made).get(&name).cloned();
        if let Some(Remembered { ids, result, by }) = twin {
            self.share_cause(vertex.id, Some(by));
            self.say_hit(vertex, HitReason::Merged, &result);
            return Ok((ids, result));
        }
        // Looked up again under the lock: somebody may have made it since, in this build (an identical step) or beside it.
        // Not through keys that are withheld: what stands on a step that `--no-cache` concerns runs again, too.
        let known = match vertex.ignore_cache {
            true => Vec::new(),
            false => self.lookup(vertex, &digest, &self.links(vertex, LinkUse::ProbeContent)?)?,
        };
        if let Some(result) = self.loadable(vertex, &known)? {
            self.share_cause(vertex.id, self.maker(&result));
            self.say_hit(vertex, HitReason::Merged, &result);
            return Ok((known, result));
        }
        self.say_miss(vertex, self.all_reasons(vertex, &known));
        let _slot = self.state.slots.take();
        self.check_cancelled(vertex.id)?;
        self.unpack(vertex, &parents)?;
        let began = self.speaker.elapsed();
        guard(&self.state(vertex.id).said).started = Some(began);
        self.speaker.say(BuildEvent::VertexStarted { vertex: vertex.id });
        self.state.executed.fetch_add(1, Ordering::SeqCst);
        let layer = self.new_layer(vertex)?;
        let made = self.operate(vertex, operation, &parents, &layer)?;
        let micros = self.speaker.elapsed() - began;
        let mut layers = parents;
        layers.extend(made.layers);
        let result = StepResult {
            id: ResultId(crate::ground::random_hex(16)),
            layers,
            created: now_micros(),
            micros,
            stat: made.stat,
        };
        let ids = self.record(vertex, &digest, &links, &result, made.reads.as_deref()).inspect_err(|_| {
            // A layer that no record names would only take the space that is missing.
            if let Some(layer) = result.layers.last()
                && !matches!(operation, Operation::Merge { .. })
            {
                let _ = self.ask(vertex, Request::Remove { layers: vec![layer.clone()] }, Vec::new());
            }
        })?;
        guard(&self.state.made).insert(name, Remembered { by: vertex.id, ids: ids.clone(), result: result.clone() });
        drop(lock);
        if let Some(reads) = &made.reads {
            self.speaker.say(BuildEvent::VertexTraced { vertex: vertex.id, reads: reads.summary() });
        }
        self.finish(vertex.id, Outcome::Ran, Some(made.stat), made.usage, micros);
        Ok((ids, result))
    }

    /// The record: a known key gets a new result, a new one is linked from all inputs.
    fn record(
        &self,
        vertex: &Vertex,
        digest: &Digest,
        links: &[Link],
        result: &StepResult,
        reads: Option<&ReadSet>,
    ) -> Result<Vec<KeyId>, SolveError> {
        let mut ids = self.lookup(vertex, digest, links)?;
        let key = self.key_in_store(&ids, KeyId::random);
        let links = &self.links_of_store(links);
        let fail = |e| SolveError::store(&self.speaker.file, vertex, &e);
        let run = reads.map(|_| self.run_digest(vertex)).transpose()?;
        self.cache().save_traced(digest, links, &key, result, run.as_ref().zip(reads)).map_err(fail)?;
        if !ids.contains(&key) {
            ids.push(key);
        }
        Ok(ids)
    }

    fn new_layer(&self, vertex: &Vertex) -> Result<LayerId, SolveError> {
        let name = crate::ground::random_hex(16);
        self.note(vertex, [name.as_str()])?;
        name.parse().map_err(|error| SolveError::environment(&self.speaker.file, vertex, error, None))
    }

    fn not_an_operation(&self, vertex: &Vertex) -> SolveError {
        SolveError::environment(&self.speaker.file, vertex, "this instruction has nothing to run", None)
    }

    fn operate(
        &self,
        vertex: &Vertex,
        operation: &Operation,
        parents: &[LayerId],
        layer: &LayerId,
    ) -> Result<Made, SolveError> {
        let (layer, parents) = (layer.clone(), parents.to_vec());
        match operation {
            Operation::Base { .. } => Err(self.not_an_operation(vertex)),
            Operation::Merge { .. } => {
                let Some(copied) = vertex.edges.first().and_then(crate::engine::graph::Edge::vertex) else {
                    return Err(self.not_an_operation(vertex));
                };
                let result = self.result(copied)?;
                Ok(Made { layers: result.layers, stat: result.stat, usage: None, reads: None })
            }
            Operation::Run { .. } => {
                let process = self.process(vertex, operation)?;
                self.run(vertex, process, parents, layer)
            }
            Operation::Copy { instruction, destination, chown, chmod, inline, unpack, .. } => {
                let (source, sources, selectors) = self.copy_source(vertex, inline)?;
                let copy = CopySpec {
                    names: self.base_names(vertex, &sources),
                    sources,
                    selectors,
                    inline: if vertex.edges.is_empty() { Vec::new() } else { inline.clone() },
                    destination: destination.clone(),
                    chown: chown.clone(),
                    chmod: chmod.as_ref().and_then(|text| FileMode::parse(text).ok()),
                    unpack: unpacks(instruction, *unpack),
                    kept: if unpack.is_none() { fetched_sources(vertex) } else { Vec::new() },
                };
                let previous = self.previous_layer(vertex);
                self.layer(vertex, layer.clone(), Request::Copy { layer, parents, source, copy, previous })
            }
            Operation::MakeDirectory { path, owner, timestamp, .. } => {
                let (path, owner, timestamp) = (path.clone(), owner.clone(), *timestamp);
                let request = Request::MakeDirectory { layer: layer.clone(), parents, path, owner, timestamp };
                self.layer(vertex, layer, request)
            }
        }
    }

    /// The process of a RUN.
    pub(super) fn process(&self, vertex: &Vertex, operation: &Operation) -> Result<ProcessSpec, SolveError> {
        let Operation::Run { args, env, cwd, user, network, security, mounts, secrets, ulimits, .. } = operation else {
            return Err(self.not_an_operation(vertex));
        };
        let mut variables: Vec<String> = env.iter().map(|v| format!("{}={}", v.name, v.value)).collect();
        for hidden in &vertex.hidden_env {
            let name = hidden.split_once('=').map_or(hidden.as_str(), |(name, _)| name);
            variables.retain(|known| known.split_once('=').is_none_or(|(known, _)| known != name));
            variables.push(hidden.clone());
        }
        variables.extend(self.secret_variables(vertex, secrets)?);
        let network = match network.as_deref() {
            Some("none") => Network::None,
            Some("host") => Network::Host,
            _ => self.default_network,
        };
        Ok(ProcessSpec {
            args: args.clone(),
            env: variables,
            cwd: cwd.clone(),
            user: user.clone(),
            hostname: HOSTNAME.into(),
            network,
            mounts: self.mounts(vertex, mounts)?,
            hosts: vertex.hosts.clone(),
            ulimits: ulimits.clone(),
            limits: self.limits.clone(),
            insecure: security.as_deref() == Some("insecure"),
        })
    }

    fn layer(&self, vertex: &Vertex, layer: LayerId, request: Request) -> Result<Made, SolveError> {
        match self.ask(vertex, request, Vec::new())? {
            Reply::Layer { stat } => Ok(Made { layers: vec![layer], stat, usage: None, reads: None }),
            other => Err(self.unexpected(vertex, &other)),
        }
    }

    /// Where the files come from, and which paths: patterns are resolved against the very list that was hashed.
    fn copy_source(
        &self,
        vertex: &Vertex,
        inline: &[(String, String)],
    ) -> Result<(CopySource, Vec<String>, Vec<Selector>), SolveError> {
        if vertex.edges.is_empty() && !inline.is_empty() {
            let names = inline.iter().map(|(name, _)| name.clone()).collect();
            return Ok((CopySource::Inline { files: inline.to_vec() }, names, Vec::new()));
        }
        if let [only] = vertex.edges.as_slice() {
            return self.edge_source(vertex, only);
        }
        let (mut parts, mut paths, mut selectors) = (Vec::new(), Vec::new(), Vec::new());
        for (number, edge) in vertex.edges.iter().enumerate() {
            let (source, of_edge, filters) = self.edge_source(vertex, edge)?;
            selectors.extend(if filters.is_empty() { vec![Selector::default(); of_edge.len()] } else { filters });
            paths.extend(of_edge.into_iter().map(|path| format!("{number}/{path}")));
            parts.push(source);
        }
        let filtered = selectors.iter().any(Selector::is_filtered);
        Ok((CopySource::Joined { parts }, paths, if filtered { selectors } else { Vec::new() }))
    }

    fn edge_source(
        &self,
        vertex: &Vertex,
        edge: &crate::engine::graph::Edge,
    ) -> Result<(CopySource, Vec<String>, Vec<Selector>), SolveError> {
        match &edge.source {
            SourceRef::Context(_) | SourceRef::Fetched(_) => {
                let Some(context) = self.context(&edge.source) else { return Err(self.not_an_operation(vertex)) };
                let mut entries = selected(&context.tree, edge);
                with_parents(&context.tree, &mut entries);
                let (paths, selectors) = matched(&context.tree, &edge.selectors);
                Ok((CopySource::Directory { root: context.root.clone(), entries }, paths, selectors))
            }
            SourceRef::Vertex(Some(id)) => {
                let layers = self.result(*id)?.layers;
                let tree = self.scan(vertex, edge, &layers)?;
                let (paths, selectors) = matched(&tree, &edge.selectors);
                Ok((CopySource::Layers { layers }, paths, selectors))
            }
            SourceRef::Vertex(None) => Err(self.not_an_operation(vertex)),
        }
    }

    /// A link that is followed lends its own name to what it points to.
    fn base_names(&self, vertex: &Vertex, sources: &[String]) -> Vec<String> {
        let base = |path: &str| path.rsplit('/').next().unwrap_or("").to_owned();
        let selectors: Vec<_> = vertex.edges.iter().flat_map(|edge| &edge.selectors).collect();
        if selectors.len() == sources.len() && selectors.iter().all(|s| !s.wildcard) {
            return selectors.iter().map(|s| base(&s.path)).collect();
        }
        sources.iter().map(|path| base(path)).collect()
    }

    /// The layer that this slot made last, if it is still there: unchanged files can be linked from it.
    pub(super) fn previous_layer(&self, vertex: &Vertex) -> Option<LayerId> {
        let layer = self.previous?.layers.get(&vertex.slot)?;
        self.store.layout.layer(layer).exists().then(|| layer.clone())
    }

    fn run(&self, vertex: &Vertex, process: ProcessSpec, parents: Vec<LayerId>, layer: LayerId) -> Result<Made, SolveError> {
        let token = self.state.tokens.fetch_add(1, Ordering::SeqCst);
        let file = &self.speaker.file;
        let log = self.folder.join(format!("{}.log", vertex.id.0));
        let io =
            |error: std::io::Error| SolveError::environment(file, vertex, crate::ground::fs::error::describe(&error), None);
        let output = Mutex::new(Output { file: File::create(&log).map_err(io)?, offset: 0, lost: None });
        let (out_reader, out_writer) = std::io::pipe().map_err(io)?;
        let (err_reader, err_writer) = std::io::pipe().map_err(io)?;
        let left = self.left_layer(vertex)?;
        let trace = self.is_watched(vertex).then(TraceBudget::default);
        guard(&self.state.running).push(token);
        let reply = std::thread::scope(|scope| {
            scope.spawn(|| self.pump(vertex, out_reader, Stream::Stdout, &output));
            scope.spawn(|| self.pump(vertex, err_reader, Stream::Stderr, &output));
            let (layer, parents) = (layer.clone(), parents.clone());
            let request = Request::Run { layer, left: Some(left.clone()), parents, process, token, trace };
            self.ask(vertex, request, vec![OwnedFd::from(out_writer), OwnedFd::from(err_writer)])
        });
        guard(&self.state.running).retain(|running| *running != token);
        let reply = reply?;
        if let Reply::Exited { usage, .. } = &reply {
            guard(&self.state(vertex.id).said).usage = Some(*usage);
        }
        match reply {
            Reply::Exited { cancelled: true, .. } => Err(SolveError::cancelled(vertex.id)),
            Reply::Exited { code: 0, stat, usage, reads, .. } => {
                Ok(Made { layers: vec![layer], stat: stat.unwrap_or_default(), usage: Some(usage), reads })
            }
            Reply::Exited { code, out_of_memory, hint, left: is_left, .. } => {
                if is_left {
                    self.note_left(vertex, left, parents);
                }
                if let Some(error) = self.full_disk(vertex, code, &output) {
                    return Err(error);
                }
                let tail = tail(&log);
                if let (true, Some(bytes)) = (out_of_memory, self.limits.memory) {
                    let limit = humansize::format_size(bytes, humansize::BINARY);
                    let message = format!("out of memory (limit {limit}); the command exited with code {code}{tail}");
                    return Err(SolveError::user(file, vertex, message, Some("give more with --memory".into())));
                }
                let message = format!("the command exited with code {code}{}{tail}", signal_name(code));
                Err(SolveError::user(file, vertex, message, hint))
            }
            other => Err(self.unexpected(vertex, &other)),
        }
    }

    /// A command that failed for want of space seldom says so itself: the disk does.
    fn full_disk(&self, vertex: &Vertex, code: i32, output: &Mutex<Output>) -> Option<SolveError> {
        const ENOSPC: i32 = 28;
        let lost = guard(output).lost.as_ref().is_some_and(|error| error.raw_os_error() == Some(ENOSPC));
        let free = rustix::fs::statvfs(self.store.layout.root()).map(|disk| disk.f_bavail * disk.f_frsize);
        if !lost && free.is_ok_and(|bytes| bytes > 1 << 20) {
            return None;
        }
        let message = format!("the command exited with code {code}, and no space is left on the store's disk (ENOSPC)");
        let hint = "free space and run the same command again, finished steps are kept".to_owned();
        Some(SolveError::environment(&self.speaker.file, vertex, message, Some(hint)))
    }

    /// Moves what a step writes into its file, whole, and says where it lies.
    fn pump(&self, vertex: &Vertex, mut from: impl Read, stream: Stream, output: &Mutex<Output>) {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let n = match from.read(&mut buffer) {
                Ok(0) => return,
                Ok(n) => n,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            let mut output = guard(output);
            // A full disk ends the log, not the step: the pipe must be drained or the process hangs.
            match output.file.write_all(&buffer[..n]) {
                Ok(()) => {
                    let (offset, len) = (output.offset, n as u64);
                    output.offset += len;
                    self.speaker.say(BuildEvent::Output { vertex: vertex.id, stream, offset, len });
                }
                Err(error) => output.lost = output.lost.take().or(Some(error)),
            }
        }
    }
}

struct Output {
    file: File,
    offset: u64,
    /// Why some of it could not be kept.
    lost: Option<std::io::Error>,
}

/// Whether a COPY or ADD may give what is in an archive instead of the archive.
pub(super) fn unpacked(operation: &Operation) -> bool {
    matches!(operation, Operation::Copy { instruction, unpack, .. } if unpacks(instruction, *unpack))
}

/// Numbers of the sources that were fetched: ADD unpacks them only when it is told to.
fn fetched_sources(vertex: &Vertex) -> Vec<usize> {
    let of_edge = |edge: &crate::engine::graph::Edge| {
        let fetched = matches!(edge.source, SourceRef::Fetched(_));
        edge.selectors.iter().map(move |_| fetched).collect::<Vec<_>>()
    };
    let all = vertex.edges.iter().flat_map(of_edge).enumerate();
    all.filter(|(_, fetched)| *fetched).map(|(at, _)| at).collect()
}

/// Names the lock of a step: the same for every builder that would make the same result.
pub(super) fn lock_name(digest: &Digest, links: &[Link]) -> String {
    let of_link = |link: &Link| match &link.content {
        Some(content) => content.0.clone(),
        None => link.definition.iter().map(|key| key.0.as_str()).max().unwrap_or("").to_owned(),
    };
    let inputs: Vec<String> = links.iter().map(of_link).collect();
    Digest::of(format!("{digest}{inputs:?}")).hex()
}

/// The paths that selectors stand for, each with its selector; no selectors where none has patterns.
fn matched(tree: &Tree, selectors: &[Selector]) -> (Vec<String>, Vec<Selector>) {
    let pairs = selectors.iter().flat_map(|s| tree.matches(s).into_iter().map(move |path| (path, s.clone())));
    let (paths, of_paths): (Vec<String>, Vec<Selector>) = pairs.unzip();
    let filtered = of_paths.iter().any(Selector::is_filtered);
    (paths, if filtered { of_paths } else { Vec::new() })
}

/// Adds the directories above the entries, whose modes a copy needs.
pub(super) fn with_parents(tree: &Tree, entries: &mut Vec<Entry>) {
    let mut parents = std::collections::BTreeSet::new();
    for entry in entries.iter() {
        let mut path = entry.path.as_str();
        while let Some(at) = path.rfind('/') {
            path = &path[..at];
            if !parents.insert(path.to_owned()) {
                break;
            }
        }
    }
    let missing = |path: &String| !entries.iter().any(|e| e.kind == EntryKind::Directory && e.path == *path);
    let more: Vec<Entry> = parents
        .iter()
        .map(String::as_str)
        .chain([""])
        .map(str::to_owned)
        .filter(missing)
        .filter_map(|p| tree.get(&p).cloned())
        .collect();
    entries.extend(more);
    entries.sort_by(|a, b| a.path.cmp(&b.path));
}

fn signal_name(code: i32) -> &'static str {
    match code {
        126 => " (the command cannot be executed)",
        127 => " (the command was not found)",
        137 => " (killed, perhaps for want of memory)",
        _ => "",
    }
}

/// The last twenty lines of a step's output, for its error message.
fn tail(log: &std::path::Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(16 << 10)..]).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(20)..];
    if last.is_empty() {
        return "; it wrote nothing".into();
    }
    let shown: Vec<String> = last.iter().map(|line| format!("\n  | {}", visible(line))).collect();
    format!("; its last lines:{}", shown.concat())
}

/// A line of output without anything that could drive a terminal.
fn visible(line: &str) -> String {
    let last = line.trim_end_matches('\r').rsplit('\r').next().unwrap_or("");
    last.chars().take(500).map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}
