//! The helper process of one run: namespaces, a fork, and waiting.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::thread::UnshareFlags;

use super::process::{Connected, Order, Said};
use super::{child, sys};
use crate::engine::protocol::frame;
use crate::engine::protocol::{Failure, Network};
use crate::engine::snapshot::failure::mount_refused;

/// The first argument that makes this program a step's helper.
pub const RUN_ARGUMENT: &str = "__run";

/// Runs the helper; standard input is the socket to the worker.
pub fn run_main() -> ExitCode {
    let Ok(socket) = sys::take_standard_input() else { return ExitCode::from(2) };
    let Ok(Some((_, order, fds))) = frame::receive::<Order>(&socket) else { return ExitCode::from(2) };
    match serve(&socket, order, fds) {
        Ok(said) => {
            let _ = frame::send(&socket, 0, &said, &[]);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            let _ = frame::send(&socket, 0, &Said::Failed(failure), &[]);
            ExitCode::FAILURE
        }
    }
}

fn serve(socket: &OwnedFd, order: Order, fds: Vec<OwnedFd>) -> Result<Said, Failure> {
    let refused = |what: &'static str| move |error: io::Error| mount_refused(what, &error);
    let mut flags = UnshareFlags::NEWNS | UnshareFlags::NEWPID | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    if order.process.network != Network::Host {
        flags |= UnshareFlags::NEWNET;
    }
    sys::unshare(flags).map_err(refused("make the step's namespaces"))?;
    if order.process.network == Network::Isolated {
        let connected = frame::send(socket, 0, &Said::Unconnected, &[]);
        let answer = connected.and_then(|()| frame::receive::<Connected>(socket));
        answer.map_err(refused("connect the step's network"))?;
    }
    let parent = rustix::process::getpid();
    let Some(pid) = sys::fork_single_threaded().map_err(refused("start the step's process"))? else {
        let failure = child::enter(socket, &order, fds, parent);
        let _ = frame::send(socket, 0, &Said::Failed(failure), &[]);
        std::process::exit(1);
    };
    drop(fds);
    watch(socket, pid).map_err(refused("watch the step's process"))?;
    let ended = sys::wait(pid).map_err(refused("wait for the step's process"))?;
    Ok(Said::Ended { code: ended.code, usage: ended.usage })
}

/// Until the child ends. When the worker goes, the child goes.
fn watch(socket: &OwnedFd, pid: Pid) -> io::Result<()> {
    let init = pidfd_open(pid, PidfdFlags::empty())?;
    frame::send(socket, 0, &Said::Started, &[init.as_fd()])?;
    loop {
        let mut fds = [PollFd::new(&init, PollFlags::IN), PollFd::new(socket, PollFlags::IN)];
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        if !fds[0].revents().is_empty() {
            return Ok(());
        }
        // The worker says nothing more, so this is its end.
        if !fds[1].revents().is_empty() {
            let _ = pidfd_send_signal(&init, Signal::KILL);
            return Ok(());
        }
    }
}
