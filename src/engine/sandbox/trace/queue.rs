//! Calls as they come. Until a call has been received, a signal to its thread ends it, with EINTR where a handler says nothing
//! else; no program expects that of a look at a path. So each call is received at once, and looked at in its turn; and where one
//! was lost all the same, that is known, for the kernel numbers them.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::sys::{self, Notification};

/// What comes next.
pub enum Next {
    /// A call.
    Call(Notification),
    /// Nothing has come for a while.
    Nothing,
    /// Nobody is left who could call.
    End,
    /// Whoever calls cannot be heard.
    Trouble,
}

/// Calls that were received and not looked at yet.
#[derive(Default)]
pub struct Queue {
    received: VecDeque<Notification>,
    last: Option<u64>,
    lost: bool,
}

impl Queue {
    /// Waits for a call, for no longer than that.
    pub fn next(&mut self, listener: &OwnedFd, patience: Duration) -> Next {
        loop {
            let wait = if self.received.is_empty() { patience } else { Duration::ZERO };
            let wait = Timespec { tv_sec: 0, tv_nsec: i64::try_from(wait.as_nanos()).unwrap_or(0) };
            let mut fds = [PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN)];
            let come = match poll(&mut fds, Some(&wait)) {
                Ok(0) => return self.received.pop_front().map_or(Next::Nothing, Next::Call),
                Ok(_) => fds[0].revents().contains(PollFlags::IN),
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => return Next::Trouble,
            };
            if !come {
                return self.received.pop_front().map_or(Next::End, Next::Call);
            }
            // None: it was ended in between.
            if let Ok(call) = sys::receive(listener) {
                self.note(call.id);
                self.received.push_back(call);
            }
        }
    }

    /// Whether a call was ended by a signal before it was received.
    pub fn has_lost(&self) -> bool {
        self.lost
    }

    fn note(&mut self, id: u64) {
        self.lost |= self.last.is_some_and(|last| id != last.wrapping_add(1));
        self.last = Some(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_left_out_is_a_lost_call() {
        let mut queue = Queue::default();
        for id in [u64::MAX - 1, u64::MAX, 0, 1] {
            queue.note(id);
        }
        assert!(!queue.has_lost());
        queue.note(3);
        queue.note(4);
        assert!(queue.has_lost());
    }
}
