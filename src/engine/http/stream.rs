//! Bodies on their way out and in.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use super::Cancelled;

/// What is sent. Its failures are told apart from those of the connection.
pub(super) struct Outgoing<'a> {
    pub source: &'a mut dyn Read,
    pub failed: &'a mut Option<io::Error>,
    pub cancelled: &'a Cancelled,
}

impl Read for Outgoing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if (self.cancelled)() {
            return Err(io::Error::other("cancelled"));
        }
        self.source.read(buffer).map_err(|error| {
            let copy = io::Error::new(error.kind(), error.to_string());
            *self.failed = Some(error);
            copy
        })
    }
}

/// A body on its way in.
pub(super) struct Incoming {
    pub source: ureq::BodyReader<'static>,
    pub cancelled: Cancelled,
    pub window: Duration,
    pub slowest: u64,
    pub since: Instant,
    pub got: u64,
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer);
        if (self.cancelled)() {
            return Err(io::Error::other("cancelled"));
        }
        let n = read.map_err(|error| io::Error::new(error.kind(), error.to_string().escape_debug().to_string()))?;
        self.got += n as u64;
        if self.since.elapsed() >= self.window {
            if self.got < self.slowest && n > 0 {
                let seconds = self.window.as_secs();
                return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{} bytes in {seconds} seconds", self.got)));
            }
            self.since = Instant::now();
            self.got = 0;
        }
        Ok(n)
    }
}
