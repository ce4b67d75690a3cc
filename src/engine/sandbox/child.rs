//! The child that becomes the command: enters the root, gives up its rights, executes. Every step of it must succeed.

use std::ffi::CString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal};
use rustix::thread::{Gid, Uid};

use super::process::{Order, Said, Streams};
use super::{capabilities, mounts, seccomp, sys, terminal, trace};
use crate::engine::protocol::frame;
use crate::engine::protocol::{Failure, Network, Ulimit};
use crate::engine::reads::Incomplete;
use crate::engine::snapshot::failure::{internal, mount_refused, user};
use crate::engine::snapshot::ids::{Ids, MORE_IDS, unmapped};
use crate::ground::fs::error::describe;

/// Search path where the environment has none, as runc's.
pub(super) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where the socket to the worker is (the lowest free number when the helper starts), while everything else is closed.
const SOCKET: i32 = 3;
/// Number under which the listener is handed over. A higher one would make the kernel's table of descriptors large.
const HANDOVER: i32 = 1023;
/// Docker's name for the limit of descriptors.
const NOFILE: &str = "nofile";

/// Does everything; comes back only with a failure. A command that is not found is none: it ends the process with 127.
pub fn enter(socket: &OwnedFd, order: &Order, fds: Vec<OwnedFd>, parent: Pid) -> Failure {
    match confine(socket, order, fds, parent) {
        Ok(command) => execute(&command),
        Err(failure) => failure,
    }
}

fn confine(socket: &OwnedFd, order: &Order, fds: Vec<OwnedFd>, parent: Pid) -> Result<Command, Failure> {
    let refused = |what: &'static str| move |error: io::Error| mount_refused(what, &error);
    // Inside the new pid namespace the parent has no number; that it is gone shows on the socket, too.
    let _ = parent;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|e| refused("confine the step")(e.into()))?;
    let mut fds = fds.into_iter();
    let root = fds.next().ok_or_else(|| internal("a run needs a root"))?;
    let given: Vec<OwnedFd> = fds.by_ref().take(order.streams.descriptors()).collect();
    let volumes: Vec<_> = order.volumes.iter().cloned().zip(fds).collect();
    rustix::process::umask(Mode::empty());
    mounts::enter_root(&root, &order.mount_point, &order.binds, &volumes, order.process.insecure)
        .map_err(|e| mounts::taken_away(&e).unwrap_or_else(|| refused("set up the step's file systems")(e)))?;
    drop((root, volumes));
    let uts = rustix::system::sethostname(order.process.hostname.as_bytes());
    uts.map_err(|e| refused("set the step's host name")(e.into()))?;
    if order.process.network != Network::Host {
        sys::loopback_up().map_err(refused("set up the step's network"))?;
    }
    let _ = rustix::process::setsid();
    rustix::process::umask(Mode::from_raw_mode(0o022));
    streams(socket, order, given).map_err(refused("set up the step's streams"))?;
    work_directory(&order.process.cwd)?;
    let command = Command::new(order)?;
    let late = late_limit(order);
    limits(order.process.ulimits.iter().filter(|limit| late.is_none() || limit.name != NOFILE))?;
    give_up_rights(order)?;
    if order.trace {
        watched(socket, order).map_err(refused("have the step watched"))?;
    }
    limits(late)?;
    Ok(command)
}

/// From here on the calls of this process wait for the worker to look at them. Where the machine refuses a further watcher, or
/// nothing may be filtered, the worker may still hear of what is opened; it says when it does by closing its end of a pipe.
fn watched(socket: &OwnedFd, order: &Order) -> io::Result<()> {
    let why = match installed(socket, order) {
        Ok((handover, installed)) => {
            let fds = [installed.listener.as_fd(), installed.root.as_fd()];
            return frame::send(&handover, 0, &Said::Watched, &fds);
        }
        Err(why) => why,
    };
    let (mut wait, hold) = io::pipe()?;
    frame::send(socket, 0, &Said::Unfiltered(why), &[trace::root()?.as_fd(), hold.as_fd()])?;
    drop(hold);
    wait.read_to_end(&mut Vec::new()).map(drop)
}

/// Has the calls of this process wait: the socket by which that is said, and what has to be. Errors: why they cannot wait.
fn installed(socket: &OwnedFd, order: &Order) -> Result<(OwnedFd, trace::Installed), Incomplete> {
    if order.process.insecure {
        return Err(Incomplete::Insecure);
    }
    let handover = handover(socket).map_err(|_| Incomplete::Refused)?;
    match trace::install(&handover) {
        Ok(installed) => Ok((handover, installed)),
        Err(error) if rustix::io::Errno::from_io_error(&error) == Some(rustix::io::Errno::BUSY) => Err(Incomplete::Watched),
        Err(_) => Err(Incomplete::Refused),
    }
}

/// The socket under a number so high that hardly any program will ever have it: what is sent through it is not seen.
fn handover(socket: &OwnedFd) -> io::Result<OwnedFd> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let number = i32::try_from(limit.saturating_sub(1)).map_or(HANDOVER, |last| last.min(HANDOVER));
    Ok(rustix::io::fcntl_dupfd_cloexec(socket, number)?)
}

/// Standard streams, and nothing else but the socket, which closes when the command is executed.
fn streams(socket: &OwnedFd, order: &Order, given: Vec<OwnedFd>) -> io::Result<()> {
    if socket.as_raw_fd() != SOCKET {
        return Err(rustix::io::Errno::BADF.into());
    }
    let mut fds = given;
    match order.streams {
        Streams::Outputs => {
            fds.insert(0, rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?);
        }
        Streams::All => {}
        Streams::Terminal(size) => {
            let out = fds.pop().ok_or(rustix::io::Errno::BADF)?;
            fds = terminal::open(&out, size, order.uid)?;
        }
    }
    if fds.len() != 3 {
        return Err(rustix::io::Errno::BADF.into());
    }
    // First above all numbers that are given out below, so that none is overwritten before it is used.
    let high = fds.iter().map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, 64)).collect::<Result<Vec<_>, _>>()?;
    drop(fds);
    for (fd, number) in high.iter().zip(0..) {
        sys::place(fd, number)?;
    }
    drop(high);
    sys::close_from(4)
}

/// The directory, made if it is missing. It must be in the root: a magic link can lead out (CVE-2024-21626).
fn work_directory(path: &str) -> Result<(), Failure> {
    let shown = path.escape_debug();
    let fail = |error: io::Error| user(format!("cannot enter the working directory `{shown}`: {}", describe(&error)));
    let path = Path::new(if path.is_empty() { "/" } else { path });
    if !path.is_dir() {
        std::fs::create_dir_all(path).map_err(fail)?;
    }
    std::env::set_current_dir(path).map_err(fail)?;
    let here = rustix::process::getcwd(Vec::new()).map_err(|e| fail(e.into()))?;
    match here.to_bytes().starts_with(b"/") {
        true => Ok(()),
        false => Err(user(format!("the working directory `{shown}` is outside of the image"))),
    }
}

/// The limit of descriptors, of which the last one counts, if it is set once the step is watched: that takes a few which are not
/// the step's. To leave no more than there may be now needs no rights.
fn late_limit(order: &Order) -> Option<&Ulimit> {
    let last = order.process.ulimits.iter().rev().find(|limit| order.trace && limit.name == NOFILE)?;
    let now = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(u64::MAX);
    Some(last).filter(|limit| u64::try_from(limit.hard).is_ok_and(|hard| hard <= now))
}

/// `--ulimit`, while there are rights to raise them.
fn limits<'a>(ulimits: impl IntoIterator<Item = &'a Ulimit>) -> Result<(), Failure> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    for limit in ulimits {
        let resource = match limit.name.as_str() {
            "core" => Resource::Core,
            "cpu" => Resource::Cpu,
            "data" => Resource::Data,
            "fsize" => Resource::Fsize,
            "locks" => Resource::Locks,
            "memlock" => Resource::Memlock,
            "msgqueue" => Resource::Msgqueue,
            "nice" => Resource::Nice,
            NOFILE => Resource::Nofile,
            "nproc" => Resource::Nproc,
            "rss" => Resource::Rss,
            "rtprio" => Resource::Rtprio,
            "rttime" => Resource::Rttime,
            "sigpending" => Resource::Sigpending,
            "stack" => Resource::Stack,
            other => return Err(user(format!("there is no limit `{}`", other.escape_debug()))),
        };
        // A negative number is no limit.
        let value = Rlimit { current: u64::try_from(limit.soft).ok(), maximum: u64::try_from(limit.hard).ok() };
        setrlimit(resource, value).map_err(|error| {
            let cause = describe(&error.into());
            user(format!("cannot set the limit {limit}: {cause}"))
        })?;
    }
    Ok(())
}

fn give_up_rights(order: &Order) -> Result<(), Failure> {
    for gid in [order.gid].iter().chain(&order.groups) {
        if let Some(error) = unmapped(order.uid, *gid) {
            return Err(Failure { hint: Some(MORE_IDS.into()), ..user(format!("cannot run the step: {error}")) });
        }
    }
    let rights = || -> io::Result<()> {
        if !order.process.insecure {
            capabilities::limit()?;
        }
        match rustix::thread::set_thread_groups(&order.groups.iter().map(|gid| Gid::from_raw(*gid)).collect::<Vec<_>>()) {
            // A user with a single id cannot change groups; those that are left have no number inside.
            Err(rustix::io::Errno::PERM) if order.groups.is_empty() && Ids::current().are_single() => {}
            other => other?,
        }
        let (uid, gid) = (Uid::from_raw(order.uid), Gid::from_raw(order.gid));
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
        if !order.process.insecure {
            capabilities::keep()?;
        }
        // A change of ids takes the death signal back.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        if !order.process.insecure {
            rustix::thread::set_no_new_privs(true)?;
        }
        sys::reset_signals();
        Ok(())
    };
    rights().map_err(|error| mount_refused("take the step's rights", &error))?;
    if order.process.insecure {
        return Ok(());
    }
    let filter = |error: String| Failure {
        hint: Some("a kernel with seccomp filters is needed".into()),
        ..crate::engine::snapshot::failure::environment(format!("cannot filter system calls: {error}"), "")
    };
    for program in seccomp::programs().map_err(|e| filter(e.to_string()))? {
        seccompiler::apply_filter(&program).map_err(|e| filter(e.to_string()))?;
    }
    Ok(())
}

/// What is executed, with everything allocated before the last rights go.
struct Command {
    args: Vec<CString>,
    env: Vec<CString>,
    candidates: Vec<CString>,
}

impl Command {
    fn new(order: &Order) -> Result<Self, Failure> {
        let text = |text: &str| CString::new(text).map_err(|_| user(format!("`{}` has a NUL byte", text.escape_debug())));
        let process = &order.process;
        let mut env: Vec<CString> = process.env.iter().map(|e| text(e)).collect::<Result<_, _>>()?;
        if !process.env.iter().any(|e| e.starts_with("HOME=")) {
            env.push(text(&format!("HOME={}", order.home))?);
        }
        let args: Vec<CString> = process.args.iter().map(|a| text(a)).collect::<Result<_, _>>()?;
        let program = process.args.first().ok_or_else(|| user("there is no command to run"))?;
        let path = process.env.iter().rev().find_map(|e| e.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
        let candidates = if program.contains('/') {
            vec![text(program)?]
        } else {
            let place = |dir: &str| format!("{}/{program}", if dir.is_empty() { "." } else { dir });
            path.split(':').map(|dir| text(&place(dir))).collect::<Result<_, _>>()?
        };
        Ok(Self { args, env, candidates })
    }
}

/// 127: not found; 126: found, but not to be executed.
fn execute(command: &Command) -> Failure {
    let mut worst = io::Error::from_raw_os_error(2);
    for candidate in &command.candidates {
        let searched = command.candidates.len() > 1;
        if searched && Path::new(&*candidate.to_string_lossy()).is_dir() {
            continue;
        }
        let error = sys::execute(candidate, &command.args, &command.env);
        match error.raw_os_error() {
            Some(2 | 20) => {}
            // What cannot be executed here may be found further on.
            _ => worst = error,
        }
        if !searched {
            break;
        }
    }
    let name = command.args.first().map(|a| a.to_string_lossy().into_owned()).unwrap_or_default();
    let found = worst.raw_os_error() != Some(2);
    let what = if found { describe(&worst) } else { "no such file, nor in PATH (ENOENT)".to_owned() };
    let _ = writeln!(io::stderr(), "cannot execute `{}`: {what}", name.escape_debug());
    std::process::exit(if found { 126 } else { 127 });
}
