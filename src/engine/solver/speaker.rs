//! Stamps events, writes them to the log, and passes them on to whoever watches.

use std::sync::Mutex;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;

use super::guard;
use crate::engine::event::log::EventLog;
use crate::engine::event::{BuildEvent, Stamped};

/// The voice of one build.
pub struct Speaker {
    /// Shown path of the Dockerfile, for messages.
    pub file: String,
    began: Instant,
    state: Mutex<Voice>,
}

struct Voice {
    seq: u64,
    log: Option<EventLog>,
    watcher: Option<UnboundedSender<Stamped>>,
}

impl Speaker {
    /// For a build that begins now.
    pub fn new(file: String, log: Option<EventLog>, watcher: Option<UnboundedSender<Stamped>>) -> Self {
        Self { file, began: Instant::now(), state: Mutex::new(Voice { seq: 0, log, watcher }) }
    }

    /// Microseconds since the build began.
    pub fn elapsed(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    /// Says something. A log that cannot be written any more is given up: the build itself goes on.
    pub fn say(&self, event: BuildEvent) {
        let mut voice = guard(&self.state);
        let stamped = Stamped { seq: voice.seq, at: self.elapsed(), event };
        voice.seq += 1;
        if let Some(log) = &mut voice.log
            && log.append(&stamped).is_err()
        {
            voice.log = None;
        }
        if let Some(watcher) = &voice.watcher {
            let _ = watcher.send(stamped);
        }
    }
}
