//! The process that owns the mount namespace (rootless: the user namespace too), and its protocol. It alone mounts, unpacks,
//! commits, diffs, removes and executes. It dies on end-of-file of its socket and takes everything with it.
//!
//! This file is the front's half; [`server`] is the worker's own.

mod mapping;
pub mod server;

use std::collections::HashMap;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::protocol::frame;
use crate::engine::protocol::{Failure, Reply, Request};
use crate::ground::fs::error::describe;
use crate::ground::hint::Hint;

/// The first argument that makes this program a worker.
pub const WORKER_ARGUMENT: &str = "__worker";

/// Its last argument when it has to enter a user namespace first.
const MAP_ARGUMENT: &str = "map-ids";

/// Its last argument when it has to put layers together as plain trees.
const COPY_ARGUMENT: &str = "copy-layers";

/// How long a worker that is ended early may take to end its runs itself.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// How layers become a root.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Snapshots {
    /// By overlayfs, or as plain trees where it cannot be mounted.
    #[default]
    Best,
    /// As plain trees.
    Copied,
}

/// What `main` does first: if the first argument is a hidden one, this process is a worker or a step's helper, and ends with
/// the code that is returned.
pub fn hidden_main() -> Option<std::process::ExitCode> {
    let mut args = std::env::args_os().skip(1);
    let first = args.next()?;
    if first == WORKER_ARGUMENT {
        Some(server::main(&args.collect::<Vec<_>>()))
    } else if first == crate::engine::sandbox::RUN_ARGUMENT {
        Some(crate::engine::sandbox::run_main())
    } else {
        None
    }
}

/// Why the worker could not answer.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// It could not be started.
    #[error("cannot start the worker: {}", describe(.0))]
    Start(io::Error),
    /// It has ended, or its socket broke.
    #[error("the worker has ended while it was needed: {}", describe(.0))]
    Gone(io::Error),
    /// It answered that it failed.
    #[error("{0}")]
    Failed(Failure),
}

impl Hint for WorkerError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Failed(failure) => failure.hint.clone(),
            Self::Start(_) => Some("raise the limits of processes and open files".into()),
            Self::Gone(_) => Some("run the same command again, finished steps are kept".into()),
        }
    }
}

type Waiting = Arc<Mutex<Option<HashMap<u64, Sender<Reply>>>>>;

/// A running worker. Dropping it ends the process and everything that it runs.
#[derive(Debug)]
pub struct Worker {
    socket: UnixStream,
    sending: Mutex<()>,
    waiting: Waiting,
    next: AtomicU64,
    child: Mutex<Child>,
    aborted: AtomicBool,
}

impl Worker {
    /// Starts this very program as a worker on `store`. Call before any thread exists.
    pub fn spawn(store: &Path, snapshots: Snapshots) -> Result<Self, WorkerError> {
        Self::spawn_with(Path::new("/proc/self/exe"), store, snapshots)
    }

    /// Starts `program`, whose `main` begins with [`hidden_main`], as a worker on `store`.
    pub fn spawn_program(program: &Path, store: &Path) -> Result<Self, WorkerError> {
        Self::spawn_with(program, store, Snapshots::Best)
    }

    /// The same, with a choice of how layers become a root.
    pub fn spawn_with(program: &Path, store: &Path, snapshots: Snapshots) -> Result<Self, WorkerError> {
        let (ours, theirs) = UnixStream::pair().map_err(WorkerError::Start)?;
        // The socket is the worker's standard input, so no descriptor has to survive exec by number.
        let rootless = !rustix::process::geteuid().is_root();
        let child = Command::new(program)
            .arg(WORKER_ARGUMENT)
            .arg(store)
            .args(rootless.then_some(MAP_ARGUMENT))
            .args((snapshots == Snapshots::Copied).then_some(COPY_ARGUMENT))
            // It reads no variables, and those of the front may hold secrets (`--secret id=ID,env=NAME`).
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            // Ctrl-C in the terminal is the front's to handle: it stops the steps and keeps what is finished.
            .process_group(0)
            .spawn()
            .map_err(WorkerError::Start)?;
        if rootless {
            give_ids(&ours, child.id()).map_err(WorkerError::Start)?;
        }
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        let (reader, answered) = (ours.try_clone().map_err(WorkerError::Start)?, Arc::clone(&waiting));
        std::thread::Builder::new()
            .name("worker-replies".into())
            .spawn(move || dispatch(&reader, &answered))
            .map_err(WorkerError::Start)?;
        let (sending, next, child) = (Mutex::new(()), AtomicU64::new(1), Mutex::new(child));
        Ok(Self { socket: ours, sending, waiting, next, child, aborted: AtomicBool::new(false) })
    }

    /// Asks, and waits for the answer. Many threads may ask at once.
    pub fn call(&self, request: Request, fds: Vec<OwnedFd>) -> Result<Reply, WorkerError> {
        let gone = || WorkerError::Gone(io::ErrorKind::BrokenPipe.into());
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = channel();
        locked(&self.waiting).as_mut().ok_or_else(gone)?.insert(id, sender);
        let borrowed: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
        let sent = {
            let _turn = locked(&self.sending);
            frame::send(&self.socket, id, &request, &borrowed)
        };
        // Our copies are closed at once: the reader of a pipe waits for the last writer.
        drop(fds);
        if let Err(error) = sent {
            if let Some(waiting) = locked(&self.waiting).as_mut() {
                waiting.remove(&id);
            }
            return Err(WorkerError::Gone(error));
        }
        match receiver.recv() {
            Ok(Reply::Failed(failure)) => Err(WorkerError::Failed(failure)),
            Ok(reply) => Ok(reply),
            Err(_) => Err(gone()),
        }
    }

    /// Ends the worker, whatever it is doing: who waits for an answer gets an error. For a store that nobody needs any more.
    pub fn abort(&self) {
        let _ = self.socket.shutdown(Shutdown::Both);
        let until = Instant::now() + LAST_WORDS;
        let mut child = locked(&self.child);
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        // Its runs end with it, and its mounts are nobody else's. One that waits for a disk ends when the disk has answered,
        // which nobody has to wait for.
        let _ = child.kill();
        self.aborted.store(true, Ordering::SeqCst);
    }

    /// The worker's process id, for messages and tests.
    pub fn id(&self) -> u32 {
        locked(&self.child).id()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Both);
        let mut child = locked(&self.child);
        let until = Instant::now() + LAST_WORDS;
        while self.aborted.load(Ordering::SeqCst) && matches!(child.try_wait(), Ok(None)) {
            if Instant::now() > until {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = child.wait();
    }
}

/// The first words with a worker that enters a user namespace: its ids can only be written from outside.
fn give_ids(socket: &UnixStream, pid: u32) -> io::Result<()> {
    match frame::receive::<mapping::Hello>(socket)? {
        Some((_, mapping::Hello::Unshared, _)) => frame::send(socket, 0, &mapping::map(pid)?, &[]),
        Some((_, mapping::Hello::Refused, _)) => Ok(()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands replies to the callers; at the end, lets everyone who waits know by dropping their senders.
fn dispatch(socket: &UnixStream, waiting: &Waiting) {
    while let Ok(Some((id, reply, _))) = frame::receive::<Reply>(socket) {
        if let Some(sender) = locked(waiting).as_mut().and_then(|waiting| waiting.remove(&id)) {
            let _ = sender.send(reply);
        }
    }
    locked(waiting).take();
}
