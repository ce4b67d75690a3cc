//! The socket of an agent inside of a step: one of our own, with the owner and mode that the step asks for, whose connections
//! are passed on to the user's. It ends with the step.

use std::fs::{self, File};
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::CWD;
use rustix::mount::OpenTreeFlags;

use crate::engine::protocol::Failure;
use crate::engine::snapshot::failure::{During, mount_refused};
use crate::engine::snapshot::layers::WorkDir;
use crate::engine::snapshot::{Layers, metadata};

/// Connections at a time; one more is closed at once.
const CONNECTIONS: usize = 64;

/// A listening socket. Dropping it ends the listening and every connection.
pub struct Socket {
    folder: File,
    ended: Arc<AtomicBool>,
    open: Connections,
    _work: WorkDir,
}

type Connections = Arc<Mutex<Vec<UnixStream>>>;

impl Socket {
    /// Listens, and gives the socket as a detached mount. Errors: it cannot be made.
    pub fn open(layers: &Layers, to: &Path, owner: (u32, u32), mode: u32) -> Result<(Self, OwnedFd), Failure> {
        let work = layers.work_dir(&[])?;
        let path = work.path().join("agent");
        fs::DirBuilder::new().mode(0o700).create(&path).during("create", &path)?;
        let folder = File::open(&path).during("open", &path)?;
        let listener = UnixListener::bind(address(&folder)).during("create", "the socket of an agent")?;
        metadata::chown(folder.as_fd(), b"socket", owner.0, owner.1).during("change the owner of", "a socket")?;
        metadata::chmod(folder.as_fd(), b"socket", mode).during("change the mode of", "a socket")?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let mount = rustix::mount::open_tree(CWD, path.join("socket"), flags);
        let mount = mount.map_err(|e| mount_refused("mount the socket of an agent", &e.into()))?;
        let (ended, open) = (Arc::new(AtomicBool::new(false)), Connections::default());
        let (end, connections, to) = (Arc::clone(&ended), Arc::clone(&open), to.to_owned());
        let serve = move || serve(&listener, &to, &end, &connections);
        std::thread::Builder::new().spawn(serve).during("start", "a thread")?;
        Ok((Self { folder, ended, open, _work: work }, mount))
    }
}

/// The address of a socket holds a hundred bytes, less than some paths have.
fn address(folder: &File) -> String {
    format!("/proc/self/fd/{}/socket", folder.as_raw_fd())
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        for stream in self.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the thread that waits for the next connection, so that it sees the end.
        drop(UnixStream::connect(address(&self.folder)));
    }
}

fn serve(listener: &UnixListener, to: &Path, ended: &AtomicBool, open: &Connections) {
    for stream in listener.incoming() {
        if ended.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let mut known = open.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|stream| stream.peer_addr().is_ok());
        if known.len() >= CONNECTIONS {
            continue;
        }
        // An agent that is gone ends the connection, which is what a program expects of one.
        if let (Ok(agent), Ok(kept)) = (UnixStream::connect(to), stream.try_clone()) {
            known.push(kept);
            let _ = pass_on(stream, agent);
        }
    }
}

/// Both directions, each on a thread of its own.
fn pass_on(step: UnixStream, agent: UnixStream) -> io::Result<()> {
    let back = (agent.try_clone()?, step.try_clone()?);
    for (mut from, mut to) in [(step, agent), back] {
        std::thread::Builder::new().spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
        })?;
    }
    Ok(())
}
