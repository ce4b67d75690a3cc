//! The lesser way to watch, where a step's calls cannot be made to wait: fanotify tells what is opened, listed and executed
//! on its root. What it looks at without opening it, what it looks for in vain, and what lies on other mounts is not seen, so
//! such a set is never all. Only the machine's root may ask for it. The kernel opens for us once more, without blocking, what
//! the step has opened: of a step that may open devices (`--security=insecure`) also those.

use std::io::PipeReader;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::FileType;

use super::fanotify::{self, Event};
use super::proc::DELETED;
use super::touched::{Touched, Use};
use crate::engine::protocol::TraceBudget;
use crate::engine::reads::Incomplete;

/// Notes what is heard until nobody holds the other end of `end`.
pub fn watch(group: &OwnedFd, budget: &TraceBudget, end: &PipeReader) -> Touched {
    let mut touched = Touched::default();
    touched.incomplete.insert(Incomplete::OpensOnly);
    loop {
        let mut fds = [PollFd::new(group, PollFlags::IN), PollFd::new(end, PollFlags::IN)];
        if !matches!(poll(&mut fds, None), Ok(_) | Err(rustix::io::Errno::INTR)) {
            touched.incomplete.insert(Incomplete::Trouble);
            return touched;
        }
        // Asked first: what the step opened before its end is there by now.
        let last = !fds[1].revents().is_empty();
        if !take(group, budget, &mut touched) || last {
            return touched;
        }
    }
}

/// Takes all that there is; whether there can be more.
fn take(group: &OwnedFd, budget: &TraceBudget, touched: &mut Touched) -> bool {
    loop {
        let began = Instant::now();
        let events = match fanotify::receive(group) {
            Ok(events) if events.is_empty() => return true,
            Ok(events) => events,
            Err(_) => {
                touched.incomplete.insert(Incomplete::Trouble);
                return false;
            }
        };
        for event in events {
            if !touched.has_room(budget) {
                return false;
            }
            note(event, touched);
            touched.events += 1;
        }
        touched.nanos += u64::try_from(began.elapsed().as_nanos()).unwrap_or(0);
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
    let path = path.into_os_string().into_vec();
    let real = path.strip_prefix(b"/").unwrap_or(&path);
    let how = match kind {
        FileType::RegularFile if executed => Use::Execute,
        FileType::RegularFile => Use::Read,
        FileType::Directory => Use::List,
        _ => Use::Look,
    };
    // A name that is gone is marked so, unless it is one that ends so: which of them was there before the step is told by what
    // it stands on.
    if let Some(gone) = real.strip_suffix(DELETED) {
        touched.found(gone.to_vec(), how);
    }
    touched.found(real.to_vec(), how);
}
