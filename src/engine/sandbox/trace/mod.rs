//! Watches what a step reads, by seccomp's user notification: calls that name a path wait until a thread of the worker has
//! looked at them, and then go on as if nobody had. It needs no rights, so it works with and without root.
//!
//! The hard rule: every call is answered, whatever happens; and nothing that a step does can make the watcher open anything
//! but a mere place (`O_PATH`) or a regular file. A program that changes a path between our look and the kernel's can hide a
//! read from us; it can gain nothing else by that.
//!
//! [`filter`] has the calls wait, [`queue`] receives them, [`look`] looks at one, [`walk`] finds out what a path names, [`settle`] compares what was
//! seen with what the step stands on: what it made itself is no input. Measured choices: user notification sees all that
//! matters for 10 to 20 microseconds a call, where ptrace takes several times as much and a preloaded library misses static
//! programs. Where calls cannot be made to wait, because somebody watches them already or nothing may be filtered, [`opens`]
//! hears at least of what is opened.

mod calls;
mod fanotify;
mod filter;
mod interpreter;
mod look;
mod opens;
mod proc;
mod queue;
mod settle;
mod sys;
mod touched;
mod walk;

use std::io::{self, PipeWriter};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags};

pub use settle::settle;
pub use touched::Touched;

use crate::engine::protocol::TraceBudget;
use crate::engine::reads::Incomplete;
use look::Looker;
use proc::Threads;
use queue::{Next, Queue};

/// How long the watcher sleeps before it looks whether it is still needed.
const TICK: Duration = Duration::from_millis(100);
/// How long calls may still come once the step has ended: none should.
const GRACE: Duration = Duration::from_secs(1);

/// What the child of a step sends to the worker before it executes.
pub struct Installed {
    /// Where its calls are heard.
    pub listener: OwnedFd,
    /// Its root.
    pub root: OwnedFd,
}

/// Has this thread and all that it will start be watched. The calls of this thread wait from now on, until somebody hears
/// the listener; only what is sent through `handover` does not.
pub fn install(handover: &OwnedFd) -> io::Result<Installed> {
    let root = root()?;
    let handover = u32::try_from(handover.as_raw_fd()).map_err(|_| io::ErrorKind::InvalidInput)?;
    Ok(Installed { listener: sys::listen(&filter::program(handover))?, root })
}

/// The root of this process, as a mere place.
pub fn root() -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, "/", flags, Mode::empty())?)
}

/// A step that is watched, in either way.
pub struct Watch {
    thread: JoinHandle<Touched>,
    ended: Arc<AtomicBool>,
    /// Its going tells one who hears of openings.
    end: Option<PipeWriter>,
}

impl Watch {
    /// Begins. On an error the calls of the step fail with ENOSYS: it does not run unwatched.
    pub fn begin(installed: Installed, budget: TraceBudget) -> io::Result<Self> {
        // An older kernel is slower, that is all.
        let _ = sys::wake_in_place(&installed.listener);
        let ended = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ended);
        let thread = spawn(move || watch(&installed, &budget, &flag))?;
        Ok(Self { thread, ended, end: None })
    }

    /// Begins to hear of what is opened on the root of a step whose calls do not wait, for this reason. Errors: this is not the
    /// machine's root, or its kernel cannot tell.
    pub fn begin_opens(root: &OwnedFd, why: Incomplete, budget: TraceBudget) -> io::Result<Self> {
        let group = fanotify::mark_mount(root)?;
        let (heard, end) = io::pipe()?;
        let thread = spawn(move || {
            let mut touched = opens::watch(&group, &budget, &heard);
            touched.incomplete.insert(why);
            touched
        })?;
        Ok(Self { thread, ended: Arc::default(), end: Some(end) })
    }

    /// Ends, once the step has.
    pub fn end(self) -> Touched {
        self.ended.store(true, Ordering::SeqCst);
        drop(self.end);
        self.thread.join().unwrap_or_else(|_| unwatched(Incomplete::Trouble))
    }
}

/// What is known of a step that could not be watched.
pub fn unwatched(why: Incomplete) -> Touched {
    let mut touched = Touched::default();
    touched.incomplete.insert(why);
    touched
}

fn spawn(watch: impl FnOnce() -> Touched + Send + 'static) -> io::Result<JoinHandle<Touched>> {
    std::thread::Builder::new().name("trace".into()).spawn(watch)
}

/// Answers until nobody is left who could call, or the step has ended.
fn watch(installed: &Installed, budget: &TraceBudget, ended: &AtomicBool) -> Touched {
    let listener = &installed.listener;
    // Without the right to it calls wait longer until they are received, that is all.
    let _ = sys::run_at_once();
    let (mut touched, mut queue) = (Touched::default(), Queue::default());
    let (mut other_roots, mut threads) = (false, Threads::default());
    let mut last: Option<Instant> = None;
    loop {
        let call = match queue.next(listener, TICK) {
            Next::Call(call) => call,
            Next::Nothing if !ended.load(Ordering::SeqCst) => continue,
            Next::Nothing if last.get_or_insert_with(Instant::now).elapsed() <= GRACE => continue,
            Next::Nothing | Next::End => break,
            Next::Trouble => {
                touched.incomplete.insert(Incomplete::Trouble);
                break;
            }
        };
        if touched.has_room(budget) {
            let began = Instant::now();
            let (touched, other_roots, threads) = (&mut touched, &mut other_roots, &mut threads);
            Looker { listener, root: &installed.root, touched, other_roots, threads }.look(&call);
            let _ = sys::go_on(listener, call.id);
            touched.events += 1;
            touched.nanos += u64::try_from(began.elapsed().as_nanos()).unwrap_or(0);
        } else {
            let _ = sys::go_on(listener, call.id);
        }
    }
    if queue.has_lost() {
        touched.incomplete.insert(Incomplete::Interrupted);
    }
    touched
}
