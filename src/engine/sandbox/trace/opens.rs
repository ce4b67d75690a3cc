//! The lesser way to watch, where a step's calls cannot be made to wait: fanotify tells what is opened, listed and executed
//! on its root. What it looks at without opening it, what it looks for in vain, and what lies on other mounts is not seen, so
//! such a set is never all. Only the machine's root may ask for it. The kernel opens for us once more, without blocking, what
//! the step has opened: of a step that may open devices (`--security=insecure`) also those.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;

use super::fanotify::{self, Event};
use super::proc::DELETED;
use super::touched::{Touched, Use};
use crate::engine::protocol::TraceBudget;
use crate::engine::reads::Incomplete;

/// Hears of all that is opened on a step's root, from now on. The descriptor keeps no mount.
pub fn hear(root: &OwnedFd) -> io::Result<OwnedFd> {
    fanotify::mark_mount(root)
}

/// Notes what is heard until the step has ended.
pub fn watch(group: &OwnedFd, budget: &TraceBudget, tick: &Timespec, ended: &AtomicBool) -> Touched {
    let mut touched = Touched::default();
    touched.incomplete.insert(Incomplete::OpensOnly);
    loop {
        // Asked first: what it opened before its end is there by now.
        let last = ended.load(Ordering::SeqCst);
        let mut fds = [PollFd::from_borrowed_fd(group.as_fd(), PollFlags::IN)];
        if !last && !matches!(poll(&mut fds, Some(tick)), Ok(_) | Err(rustix::io::Errno::INTR)) {
            touched.incomplete.insert(Incomplete::Trouble);
            return touched;
        }
        loop {
            let began = Instant::now();
            let events = match fanotify::receive(group) {
                Ok(events) if events.is_empty() => break,
                Ok(events) => events,
                Err(_) => {
                    touched.incomplete.insert(Incomplete::Trouble);
                    return touched;
                }
            };
            for event in events {
                if !touched.has_room(budget) {
                    return touched;
                }
                note(event, &mut touched);
                touched.events += 1;
            }
            touched.nanos += u64::try_from(began.elapsed().as_nanos()).unwrap_or(0);
        }
        if last {
            return touched;
        }
    }
}

fn note(event: Event, touched: &mut Touched) {
    let Event::Opened { what, executed } = event else {
        touched.incomplete.insert(Incomplete::Budget);
        return;
    };
    let kind = rustix::fs::fstat(&what).map(|stat| FileType::from_raw_mode(stat.st_mode));
    let path = std::fs::read_link(format!("/proc/self/fd/{}", what.as_raw_fd()));
    let (Ok(kind), Ok(path)) = (kind, path) else {
        touched.incomplete.insert(Incomplete::Unreadable);
        return;
    };
    // A name that is gone is marked so; what was there before the step is told by what it stands on.
    let path = path.into_os_string().into_vec();
    let path = path.strip_suffix(DELETED).unwrap_or(&path);
    let real = path.strip_prefix(b"/").unwrap_or(path).to_vec();
    let how = match kind {
        FileType::RegularFile if executed => Use::Execute,
        FileType::RegularFile => Use::Read,
        FileType::Directory => Use::List,
        _ => Use::Look,
    };
    touched.found(real, how);
}
