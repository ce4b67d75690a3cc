//! The worker's own half: serves each request on a thread of its own until the socket ends.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::mapping::{Hello, Mapped};
use crate::engine::oci::LayerId;
use crate::engine::protocol::frame;
use crate::engine::protocol::{Failure, ProcessSpec, Reply, Request};
use crate::engine::sandbox::{self, Asked, Cancelled, Machine, Program, Streams, caches};
use crate::engine::snapshot::failure::{internal, mount_refused, user_namespace_refused};
use crate::engine::snapshot::{Layers, Snapshotter, compare, copy, make_directory, scan, unpack, write_layer};

/// Stack of a request's thread: removing deep trees recurses.
const STACK: usize = 64 << 20;
/// How long the end waits for requests to clean up.
const GRACE: Duration = Duration::from_secs(5);

struct Server {
    socket: OwnedFd,
    sending: Mutex<()>,
    layers: Result<Layers, Failure>,
    mounts: Result<(), Failure>,
    notes: Vec<String>,
    machine: Machine,
    runs: Mutex<HashMap<u64, Arc<Cancelled>>>,
    serving: AtomicUsize,
}

/// Runs a worker: `args` are those after the program's name and [`super::WORKER_ARGUMENT`]; standard input is the socket.
pub fn main(args: &[OsString]) -> ExitCode {
    let Some(store) = args.first() else { return ExitCode::from(2) };
    let Ok(socket) = sandbox::take_standard_input() else { return ExitCode::from(2) };
    rustix::process::umask(rustix::fs::Mode::empty());
    sandbox::ignore_file_size_signal();
    let (ids, mut notes) = match args.iter().any(|argument| argument == super::MAP_ARGUMENT) {
        true => own_ids(&socket),
        false => (Ok(()), Vec::new()),
    };
    let private = || sandbox::private_mounts().map_err(|error| mount_refused("make a mount namespace", &error));
    let mounts = ids.clone().and_then(|()| private());
    let asked = args.iter().any(|argument| argument == super::COPY_ARGUMENT);
    let opened = ids.and_then(|()| Layers::open(Path::new(store)));
    let layers = opened.and_then(|layers| snapshotter(layers, asked, mounts.is_ok(), &mut notes));
    let server = Arc::new(Server {
        socket,
        sending: Mutex::new(()),
        layers,
        mounts,
        notes,
        machine: Machine::new(Program::sealed()),
        runs: Mutex::new(HashMap::new()),
        serving: AtomicUsize::new(0),
    });
    while let Ok(Some((id, request, fds))) = frame::receive::<Request>(&server.socket) {
        server.serving.fetch_add(1, Ordering::SeqCst);
        if let Request::Run { token, .. } | Request::Shell { token, .. } = &request {
            // Before the next frame is read, which may be its cancellation.
            locked(&server.runs).insert(*token, Arc::default());
        }
        let own = Arc::clone(&server);
        let work = move || {
            let token = match &request {
                Request::Run { token, .. } | Request::Shell { token, .. } => Some(*token),
                _ => None,
            };
            let reply = own.answer(request, fds).unwrap_or_else(Reply::Failed);
            if let Some(token) = token {
                locked(&own.runs).remove(&token);
            }
            own.reply(id, &reply);
            own.serving.fetch_sub(1, Ordering::SeqCst);
        };
        if let Err(error) = std::thread::Builder::new().stack_size(STACK).spawn(work) {
            server.serving.fetch_sub(1, Ordering::SeqCst);
            server.reply(id, &Reply::Failed(mount_refused("start a thread", &error)));
        }
    }
    server.end();
    ExitCode::SUCCESS
}

/// Chooses how chains become roots: overlays, unless plain trees are asked for or overlays are refused.
fn snapshotter(layers: Layers, asked: bool, may_mount: bool, notes: &mut Vec<String>) -> Result<Layers, Failure> {
    let refused = if asked || !may_mount { None } else { layers.overlay_refused()? };
    // No rights, options that it does not know, no such file system, on top of too many others: nothing that may pass.
    let lasting = |error: &std::io::Error| matches!(error.raw_os_error(), Some(1 | 19 | 22 | 38 | 40 | 95));
    if let Some(error) = refused.as_ref().filter(|error| lasting(error)) {
        let cause = crate::ground::fs::error::describe(error);
        notes.push(format!(
            "overlayfs cannot be mounted here: {cause}; layers are copied instead, which takes time and space"
        ));
    } else if !asked {
        return Ok(layers);
    }
    Ok(layers.with(Snapshotter::Copy))
}

/// Enters a user namespace and waits for the front to fill it. Also what is worth knowing about the ids.
fn own_ids(socket: &OwnedFd) -> (Result<(), Failure>, Vec<String>) {
    if let Err(error) = sandbox::user_namespace() {
        let _ = frame::send(socket, 0, &Hello::Refused, &[]);
        return (Err(user_namespace_refused(&error)), Vec::new());
    }
    let sent = frame::send(socket, 0, &Hello::Unshared, &[]);
    match sent.and_then(|()| frame::receive::<Mapped>(socket)) {
        Ok(Some((_, mapped, _))) => {
            // The caller's further groups are nobody's inside. Where the kernel refuses to drop them, they have no number there.
            let _ = sandbox::drop_groups();
            (Ok(()), mapped.notes)
        }
        _ => (Err(internal("the ids of the user namespace were not written")), Vec::new()),
    }
}

impl Server {
    fn reply(&self, id: u64, reply: &Reply) {
        let _turn = locked(&self.sending);
        let _ = frame::send(&self.socket, id, reply, &[]);
    }

    /// The builder is gone: nothing that runs may outlive it, and unfinished work goes.
    fn end(&self) {
        let until = Instant::now() + GRACE;
        while self.serving.load(Ordering::SeqCst) > 0 && Instant::now() < until {
            locked(&self.runs).values().for_each(|run| run.kill());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn answer(&self, request: Request, fds: Vec<OwnedFd>) -> Result<Reply, Failure> {
        if let Request::Survey { limits, network } = &request {
            // Of a build whose steps are all cached nothing has to run, so what is refused is no failure here.
            let mut notes = self.notes.clone();
            notes.extend(sandbox::survey(&self.machine, limits, *network)?);
            return Ok(Reply::Surveyed { notes });
        }
        let layers = self.layers.as_ref().map_err(Clone::clone)?;
        let stat = |stat| Reply::Layer { stat };
        match request {
            Request::WriteLayer { layer, compression, level, clamp_times } => {
                let out = fds.into_iter().next().ok_or_else(|| internal("a layer is to be written, but nowhere"))?;
                return write_layer::write_layer(layers, &layer, (compression, level), clamp_times, out);
            }
            Request::Cancel { token } => {
                if let Some(run) = locked(&self.runs).get(&token).cloned() {
                    std::thread::spawn(move || run.cancel());
                }
                return Ok(Reply::Done);
            }
            Request::Remove { layers: ids } => return layers.remove(&ids).map(|()| Reply::Done),
            Request::Recount { layer } => return layers.recount(&layer).map(stat),
            Request::Caches { contents_of } => {
                let contents = contents_of.map(|name| caches::contents(layers, &name)).transpose()?.unwrap_or_default();
                return Ok(Reply::Caches { caches: caches::list(layers)?, contents });
            }
            Request::RemoveCaches { names } => return caches::remove(layers, &names).map(|names| Reply::Removed { names }),
            _ => self.mounts.clone()?,
        }
        match request {
            Request::Unpack { layer, parents, blob, compression, digest, size, diff_id } => {
                let blob = unpack::Blob { path: &blob, compression, digest, size, diff_id };
                unpack::unpack(layers, &layer, &parents, &blob).map(stat)
            }
            Request::Copy { layer, parents, source, copy, previous } => {
                copy::copy(layers, &layer, &parents, &source, &copy, previous.as_ref()).map(stat)
            }
            Request::MakeDirectory { layer, parents, path, owner, timestamp } => {
                make_directory::make_directory(layers, &layer, &parents, &path, owner.as_deref(), timestamp).map(stat)
            }
            Request::WriteTree { layers: chain, times } => {
                let out = fds.into_iter().next().ok_or_else(|| internal("a tree is to be written, but nowhere"))?;
                write_layer::write_tree(layers, &chain, times, out)
            }
            Request::Compare { old, new, layer, reads, mounts, user } => {
                let asked = compare::Asked { written: &layer, reads: &reads, mounts: &mounts, user: &user };
                let (refusal, origin) = compare::compare(layers, (&old, &new), &asked)?;
                Ok(Reply::Compared { refusal, origin })
            }
            Request::Scan { layers: chain, selectors } => scan::scan(layers, &chain, &selectors),
            Request::Run { layer, left, parents, process, token, trace } => {
                self.process(token, Streams::Outputs, &fds, &parents, &process, |machine, asked, cancelled| {
                    let asked = Asked { trace, ..*asked };
                    sandbox::run(layers, machine, (&layer, left.as_ref()), &asked, cancelled)
                })
            }
            Request::Shell { parents, process, terminal, token } => {
                let streams = terminal.map_or(Streams::All, Streams::Terminal);
                self.process(token, streams, &fds, &parents, &process, |machine, asked, cancelled| {
                    sandbox::shell(layers, machine, asked, cancelled)
                })
            }
            // Answered above.
            Request::Survey { .. }
            | Request::WriteLayer { .. }
            | Request::Cancel { .. }
            | Request::Remove { .. }
            | Request::Recount { .. }
            | Request::Caches { .. }
            | Request::RemoveCaches { .. } => Ok(Reply::Done),
        }
    }

    /// Has a process run that can be cancelled.
    fn process(
        &self,
        token: u64,
        streams: Streams,
        fds: &[OwnedFd],
        parents: &[LayerId],
        process: &ProcessSpec,
        run: impl FnOnce(&Machine, &Asked<'_>, &Cancelled) -> Result<Reply, Failure>,
    ) -> Result<Reply, Failure> {
        if fds.len() != streams.descriptors() {
            return Err(internal("a run has not got the streams that it needs"));
        }
        let cancelled = locked(&self.runs).get(&token).cloned().unwrap_or_default();
        let descriptors: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        run(&self.machine, &Asked { parents, process, streams, descriptors: &descriptors, trace: None }, &cancelled)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
