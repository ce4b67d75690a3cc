//! The worker's half of a run: layers mounted, helper started, messages heard, layer kept.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mount::OpenTreeFlags;
use rustix::process::{Signal, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use super::cgroup::{Cgroups, Devices, Group};
use super::files::provide;
use super::helper::RUN_ARGUMENT;
use super::network::{self, Connector};
use super::program::find_program;
use super::sys;
use super::trace::{self, Touched};
use super::volumes::{Volume, prepare};
use crate::engine::event::Usage;
use crate::engine::oci::LayerId;
use crate::engine::protocol::frame;
use crate::engine::protocol::settings::Limits;
use crate::engine::protocol::{Failure, FailureKind, Network, ProcessSpec, Reply, TerminalSize, TraceBudget};
use crate::engine::reads::{Incomplete, ReadSet};
use crate::engine::snapshot::failure::{environment, internal, mount_refused};
use crate::engine::snapshot::ids::{Ids, MORE_IDS};
use crate::engine::snapshot::layers::WorkDir;
use crate::engine::snapshot::origin::Origins;
use crate::engine::snapshot::{Layers, View, changes, owner};
use crate::ground::fs::error::describe;

/// Time between TERM and KILL.
const GRACE: Duration = Duration::from_secs(2);

/// What the helper is told. Descriptors beside it: the root's mount, those of the streams, the volumes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) process: ProcessSpec,
    pub(super) streams: Streams,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
    pub(super) home: String,
    pub(super) mount_point: PathBuf,
    pub(super) binds: Vec<(PathBuf, PathBuf)>,
    /// Targets of the mounts whose descriptors follow the outputs, and whether each is a folder.
    pub(super) volumes: Vec<(String, bool)>,
    /// Have it watched.
    pub(super) trace: bool,
}

/// What the helper and its child say.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    /// Its network namespace exists and waits to be connected; then it hears [`Connected`].
    Unconnected,
    /// The child exists; its pidfd comes along.
    Started,
    /// The child's calls wait to be looked at; the listener and its root come along.
    Watched,
    /// The child's calls cannot wait, and why. Its root comes along, and the end of a pipe: the child goes on once that is
    /// closed.
    Unfiltered(Incomplete),
    /// It could not be confined, so nothing was executed.
    Failed(Failure),
    /// It ended.
    Ended { code: i32, usage: Usage },
}

/// What the helper waits for after [`Said::Unconnected`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Connected;

/// What all runs of a worker share.
pub struct Machine {
    /// The program of the helpers.
    pub program: Program,
    /// Control groups: looked for at the first run.
    cgroups: OnceLock<Cgroups>,
}

impl Machine {
    /// Before the first run.
    pub fn new(program: Program) -> Self {
        Self { program, cgroups: OnceLock::new() }
    }

    fn cgroups(&self) -> &Cgroups {
        self.cgroups.get_or_init(Cgroups::detect)
    }
}

/// Answers `Request::Survey`: what cannot be kept, in words. Errors: the network that steps would get cannot be had.
pub fn survey(machine: &Machine, limits: &Limits, network: Network) -> Result<Vec<String>, Failure> {
    if network == Network::Isolated {
        network::connector()?;
    }
    Ok(if *limits == Limits::default() { Vec::new() } else { machine.cgroups().missing(limits) })
}

/// The program that helpers are started from: a read-only mount of our own file, so that no step can write to it through
/// `/proc/self/exe` (CVE-2019-5736).
pub struct Program(Option<OwnedFd>);

impl Program {
    /// Takes this very program. Where such a mount is refused, the file itself.
    pub fn sealed() -> Self {
        let seal = || -> io::Result<OwnedFd> {
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            let path = std::fs::read_link("/proc/self/exe")?;
            let mount = rustix::mount::open_tree(rustix::fs::CWD, path, flags)?;
            sys::make_read_only(&mount)?;
            Ok(mount)
        };
        Self(seal().ok())
    }

    fn path(&self) -> PathBuf {
        use std::os::fd::AsRawFd;
        match &self.0 {
            Some(mount) => format!("/proc/self/fd/{}", mount.as_raw_fd()).into(),
            None => "/proc/self/exe".into(),
        }
    }
}

/// A run's end from outside: process 1 of its namespace, once that is known.
#[derive(Debug, Default)]
pub struct Cancelled {
    asked: AtomicBool,
    init: Mutex<Option<OwnedFd>>,
}

impl Cancelled {
    /// TERM, a grace of two seconds, KILL. A process 1 that does not handle TERM never sees it, so that one is killed at once.
    /// Returns when it is over.
    pub fn cancel(&self) {
        self.asked.store(true, Ordering::SeqCst);
        let Some(init) = self.init().as_ref().and_then(|fd| fd.try_clone().ok()) else { return };
        if handles_term(&init) && pidfd_send_signal(&init, Signal::TERM).is_ok() {
            let grace = Timespec { tv_sec: i64::try_from(GRACE.as_secs()).unwrap_or(2), tv_nsec: 0 };
            let _ = poll(&mut [PollFd::new(&init, PollFlags::IN)], Some(&grace));
        }
        let _ = pidfd_send_signal(&init, Signal::KILL);
    }

    /// KILL, now.
    pub fn kill(&self) {
        self.asked.store(true, Ordering::SeqCst);
        if let Some(init) = self.init().as_ref() {
            let _ = pidfd_send_signal(init, Signal::KILL);
        }
    }

    /// KILL, and waiting for the end.
    fn bury(&self) {
        if let Some(init) = self.init().as_ref() {
            let _ = pidfd_send_signal(init, Signal::KILL);
            let _ = poll(&mut [PollFd::new(init, PollFlags::IN)], None);
        }
    }

    fn init(&self) -> MutexGuard<'_, Option<OwnedFd>> {
        self.init.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn started(&self, init: OwnedFd) {
        *self.init() = Some(init);
        if self.asked.load(Ordering::SeqCst) {
            self.kill();
        }
    }
}

/// Whether the process behind a pidfd has a handler for TERM.
fn handles_term(init: &OwnedFd) -> bool {
    use std::os::fd::AsRawFd;
    let field = |path: String, name: &str| -> Option<String> {
        let text = std::fs::read_to_string(path).ok()?;
        text.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
    };
    let caught = field(format!("/proc/self/fdinfo/{}", init.as_raw_fd()), "Pid:")
        .and_then(|pid| field(format!("/proc/{pid}/status"), "SigCgt:"))
        .and_then(|mask| u64::from_str_radix(&mask, 16).ok());
    caught.is_none_or(|mask| mask >> (Signal::TERM.as_raw() - 1) & 1 == 1)
}

/// Where a run's streams lead.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Streams {
    /// Nothing to read; descriptors: output and error.
    Outputs,
    /// Descriptors: input, output and error.
    All,
    /// A terminal of its own. Descriptor: the socket on which its outer end is handed out.
    Terminal(TerminalSize),
}

impl Streams {
    /// How many descriptors belong to it.
    pub fn descriptors(self) -> usize {
        match self {
            Self::Outputs => 2,
            Self::All => 3,
            Self::Terminal(_) => 1,
        }
    }
}

/// A process, and what it stands on.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Layers below, lowest first.
    pub parents: &'a [LayerId],
    /// The process.
    pub process: &'a ProcessSpec,
    /// Where its streams lead.
    pub streams: Streams,
    /// The descriptors of the streams.
    pub descriptors: &'a [BorrowedFd<'a>],
    /// How much of it is watched.
    pub trace: Option<TraceBudget>,
}

/// A process that has ended, with everything in its namespaces.
struct Ended {
    work: WorkDir,
    touched: Option<Touched>,
    group: Group,
    code: i32,
    usage: Usage,
    out_of_memory: bool,
    cancelled: bool,
}

impl Ended {
    /// Whether being watched may have changed what it did.
    fn is_disturbed(&self) -> bool {
        !self.cancelled && self.touched.as_ref().is_some_and(|t| t.incomplete.contains(&Incomplete::Interrupted))
    }

    /// Nobody waits for the removal of what is left; a worker that ends meanwhile leaves it to the next one.
    fn clear(self) {
        std::thread::spawn(move || drop((self.work, self.group)));
    }
}

/// Answers `Request::Run`: what the process wrote becomes `id`, or `left` when it fails.
pub fn run(
    layers: &Layers,
    machine: &Machine,
    (id, left): (&LayerId, Option<&LayerId>),
    asked: &Asked<'_>,
    cancelled: &Cancelled,
) -> Result<Reply, Failure> {
    if let Some(stat) = layers.stat(id)? {
        let (code, stat, usage) = (0, Some(stat), Usage::default());
        let (cancelled, out_of_memory, hint, left, reads) = (false, false, None, false, None);
        return Ok(Reply::Exited { code, stat, usage, cancelled, out_of_memory, hint, left, reads });
    }
    let mut ended = execute(layers, machine, layers.view(asked.parents)?, asked, cancelled)?;
    if ended.is_disturbed() {
        // A program may have seen a call fail that nothing but the watching could make fail.
        ended.clear();
        say_again(asked);
        ended = execute(layers, machine, layers.view(asked.parents)?, &Asked { trace: None, ..*asked }, cancelled)?;
        ended.touched = Some(trace::unwatched(Incomplete::Interrupted));
    }
    let Ended { code, usage, out_of_memory, cancelled, .. } = ended;
    // What a cancelled process wrote is not to be kept, even if it ended well in the last moment.
    let kept = code == 0 && !cancelled;
    let stat = if kept { Some(layers.commit(&ended.work, id)?) } else { None };
    let reads = ended.touched.take().filter(|_| kept).map(|touched| Box::new(read_by(layers, &touched, asked, id)));
    // That what a failed one wrote cannot be kept (a full disk) must not hide why it failed.
    let left = left.filter(|_| code != 0 && !cancelled).is_some_and(|id| layers.commit(&ended.work, id).is_ok());
    ended.clear();
    let single = "this build has no id but its own, so a chown to another one fails";
    let hint = (code != 0 && Ids::current().are_single()).then(|| format!("{single}: {MORE_IDS}"));
    Ok(Reply::Exited { code, stat, usage, cancelled, out_of_memory, hint, left, reads })
}

/// Says between two runs of a step why its output comes twice.
fn say_again(asked: &Asked<'_>) {
    if let (Streams::Outputs, Some(out)) = (asked.streams, asked.descriptors.last()) {
        let words = "(a signal ended a call that waited to be looked at; the step runs again, unwatched)\n";
        let _ = rustix::io::write(out, words.as_bytes());
    }
}

/// What a step read that made the layer `id`. That it cannot be told is no reason to fail the step.
fn read_by(layers: &Layers, touched: &Touched, asked: &Asked<'_>, id: &LayerId) -> ReadSet {
    let settle = || {
        let (below, origins) = (layers.view(asked.parents)?, Origins::open(layers, asked.parents)?);
        trace::settle(touched, asked.process, (&below, &origins), &layers.path(id))
    };
    settle().unwrap_or_else(|_| ReadSet { incomplete: [Incomplete::Trouble].into(), ..ReadSet::default() })
}

/// Answers `Request::Shell`: what the process wrote is listed and thrown away.
pub fn shell(layers: &Layers, machine: &Machine, asked: &Asked<'_>, cancelled: &Cancelled) -> Result<Reply, Failure> {
    let view = layers.view(asked.parents)?;
    find_program(&view, asked.process)?;
    let ended = execute(layers, machine, view, asked, cancelled)?;
    let upper = layers.settled(&ended.work)?;
    let changes = changes::list(&layers.view(asked.parents)?, &upper)?;
    let (code, cancelled) = (ended.code, ended.cancelled);
    ended.clear();
    Ok(Reply::ShellEnded { code, cancelled, changes })
}

/// Mounts, starts the helper, and waits.
fn execute(
    layers: &Layers,
    machine: &Machine,
    view: View,
    asked: &Asked<'_>,
    cancelled: &Cancelled,
) -> Result<Ended, Failure> {
    let Asked { parents, process, streams, .. } = *asked;
    let work = layers.work_dir(parents)?;
    let user = owner::process_user(&view, &process.user)?;
    let volumes = prepare(layers, &process.mounts)?;
    let connector = if process.network == Network::Isolated { Some(network::connector()?) } else { None };
    let resolvers = match (process.network, &connector) {
        (Network::Host, _) => std::fs::read("/etc/resolv.conf").unwrap_or_default(),
        (_, Some(connector)) => connector.resolvers(),
        _ => Vec::new(),
    };
    let provided = provide(&view, &work, process, resolvers, &volumes.mounts)?;
    drop(view);
    let mut lowers = layers.paths(parents)?;
    lowers.extend(provided.stubs);
    let root = layers.mounted(&lowers, &work)?;
    let devices = if process.insecure { Devices::All } else { Devices::Guarded };
    let group = machine.cgroups().group(&process.limits, devices)?;
    if !process.insecure && !group.guards_devices {
        // Where no control group says which devices may be opened, none can be: a step has the right to make nodes.
        sys::make_without_devices(&root).map_err(|error| mount_refused("close the devices of the step", &error))?;
    }
    let order = Order {
        // The mounts travel as descriptors: what they hold is nothing for the helper.
        process: ProcessSpec { mounts: Vec::new(), ..process.clone() },
        streams,
        uid: user.uid,
        gid: user.gid,
        groups: user.groups,
        home: user.home,
        mount_point: work.root(),
        binds: provided.binds,
        volumes: volumes.mounts.iter().map(|v| (v.target.clone(), v.is_directory)).collect(),
        trace: asked.trace.is_some(),
    };
    let outside = Outside { group: &group, connector: connector.as_ref(), notes: work.path(), trace: asked.trace };
    let ran = helper(&machine.program, &order, root, asked.descriptors, &volumes.mounts, &outside, cancelled);
    drop(volumes);
    let measured = group.measured();
    let (code, mut usage, touched) = match (ran, process.limits.memory) {
        (Err(_), Some(bytes)) if measured.out_of_memory => return Err(too_little_memory(bytes)),
        (ran, _) => ran?,
    };
    // Processes that nobody waited for count in the group alone.
    usage.cpu_micros = usage.cpu_micros.max(measured.cpu_micros.unwrap_or(0));
    usage.peak_together = measured.peak_memory;
    let cancelled = cancelled.asked.load(Ordering::SeqCst);
    Ok(Ended { work, touched, group, code, usage, out_of_memory: measured.out_of_memory, cancelled })
}

/// The limit ended what prepares the step and waits for it: nobody can say how the command ended, or whether it began.
fn too_little_memory(bytes: u64) -> Failure {
    let limit = humansize::format_size(bytes, humansize::BINARY);
    let message = format!("out of memory (limit {limit}); the process that watches over the command was killed, too");
    Failure { kind: FailureKind::User, message, hint: Some("give more with --memory".into()) }
}

/// What the worker does for a step from outside of it.
struct Outside<'a> {
    group: &'a Group,
    connector: Option<&'a Connector>,
    /// A folder of the run.
    notes: &'a std::path::Path,
    /// How much of it is watched.
    trace: Option<TraceBudget>,
}

impl Outside<'_> {
    /// Begins to watch.
    fn watch(&self, fds: Vec<OwnedFd>) -> io::Result<trace::Watch> {
        let mut fds = fds.into_iter();
        match (fds.next(), fds.next(), self.trace) {
            (Some(listener), Some(root), Some(budget)) => trace::Watch::begin(trace::Installed { listener, root }, budget),
            _ => Err(rustix::io::Errno::BADF.into()),
        }
    }

    /// Begins to hear of what is opened. None: it cannot be heard.
    fn watch_opens(&self, fds: Vec<OwnedFd>, why: Incomplete) -> Option<trace::Watch> {
        trace::Watch::begin_opens(fds.first()?, why, self.trace?).ok()
    }
}

/// Starts the helper, and waits for it and for everything in its namespaces.
fn helper(
    program: &Program,
    order: &Order,
    root: OwnedFd,
    streams: &[BorrowedFd<'_>],
    volumes: &[Volume],
    outside: &Outside<'_>,
    cancelled: &Cancelled,
) -> Result<(i32, Usage, Option<Touched>), Failure> {
    let refused = |error: io::Error| mount_refused("start the step's process", &error);
    let (ours, theirs) = UnixStream::pair().map_err(refused)?;
    let mut helper = Command::new(program.path())
        .arg(RUN_ARGUMENT)
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .spawn()
        .map_err(refused)?;
    // The helper waits for its order, so everything that it starts is in the group from the beginning.
    outside.group.add(helper.id());
    let mut descriptors = vec![root.as_fd()];
    descriptors.extend_from_slice(streams);
    descriptors.extend(volumes.iter().map(|volume| volume.mount.as_fd()));
    let sent = frame::send(&ours, 0, order, &descriptors);
    // The mount must end with the helper's namespace, before its upper becomes a layer.
    drop(root);
    let (mut ended, mut failed) = (None, sent.err().map(refused));
    let (mut connection, mut watch, mut unwatched) = (None, None, Incomplete::Trouble);
    while let Ok(Some((_, said, fds))) = frame::receive::<Said>(&ours) {
        match said {
            Said::Unconnected => match outside.connector.map(|c| c.connect(helper.id(), outside.notes)) {
                Some(Ok(connected)) => {
                    connection = Some(connected);
                    failed = failed.or(frame::send(&ours, 0, &Connected, &[]).err().map(refused));
                }
                Some(Err(failure)) => {
                    failed = failed.or(Some(failure));
                    let _ = helper.kill();
                }
                None => {
                    failed = failed.or(Some(internal("a step waits for a network that nobody asked for")));
                    let _ = helper.kill();
                }
            },
            Said::Started => fds.into_iter().for_each(|fd| cancelled.started(fd)),
            Said::Watched => match outside.watch(fds) {
                Ok(begun) => watch = Some(begun),
                Err(error) => failed = failed.or(Some(refused(error))),
            },
            Said::Unfiltered(why) => (watch, unwatched) = (outside.watch_opens(fds, why), why),
            Said::Failed(failure) => failed = failed.or(Some(failure)),
            Said::Ended { code, usage } => ended = Some((code, usage)),
        }
    }
    drop(connection);
    // Without an end the helper itself was killed; its child must not live on.
    if ended.is_none() {
        cancelled.bury();
    }
    let status = helper.wait().map_err(|error| internal(format!("cannot wait for the helper: {}", describe(&error))));
    // Its descriptor of the root must be closed before the upper becomes a layer, whatever happened.
    let touched = watch.map(trace::Watch::end);
    let status = status?;
    let touched = outside.trace.map(|_| touched.unwrap_or_else(|| trace::unwatched(unwatched)));
    match (failed, ended) {
        (Some(failure), _) => Err(failure),
        (None, Some((code, usage))) => Ok((code, usage, touched)),
        (None, None) => Err(environment(
            format!("the step's helper process died: {status}"),
            "look for the out-of-memory killer in the kernel's log, and run the same command again",
        )),
    }
}
