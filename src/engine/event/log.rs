//! One append-only JSON-lines file a build. The first line names the version; a torn last line is ignored.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use super::Stamped;

const HEAD: &str = r#"{"rbuild_tui_events":1}"#;

/// Writes events as they come; each is on disk (not synced) when `append` returns.
pub struct EventLog {
    file: BufWriter<File>,
}

impl EventLog {
    /// Creates the file; it must not exist.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut file = BufWriter::new(File::options().write(true).create_new(true).open(path)?);
        writeln!(file, "{HEAD}")?;
        Ok(Self { file })
    }

    /// Adds one event as a line.
    pub fn append(&mut self, event: &Stamped) -> io::Result<()> {
        serde_json::to_writer(&mut self.file, event)?;
        self.file.write_all(b"\n")?;
        self.file.flush()
    }
}

/// The events of a log, and how many lines could not be understood.
#[derive(Debug, Default, PartialEq)]
pub struct Events {
    /// In order.
    pub events: Vec<Stamped>,
    /// Lines that are no event of this version; a torn last line is not counted.
    pub skipped: u64,
}

/// Reads a whole log. Errors: the file cannot be read, or its first line names another format.
pub fn read(path: &Path) -> io::Result<Events> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    if line.trim_end() != HEAD {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "this is no event log of a version known here"));
    }
    let mut out = Events::default();
    loop {
        let mut bytes = Vec::new();
        reader.read_until(b'\n', &mut bytes)?;
        if bytes.last() != Some(&b'\n') {
            return Ok(out);
        }
        match serde_json::from_slice(&bytes) {
            Ok(event) => out.events.push(event),
            Err(_) => out.skipped += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::BuildEvent;
    use super::*;

    #[test]
    fn a_torn_last_line_is_ignored_and_an_unknown_event_is_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = EventLog::create(&path).unwrap();
        let event = Stamped { seq: 0, at: 1, event: BuildEvent::GraphSealed };
        log.append(&event).unwrap();
        drop(log);
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"{\"seq\":1,\"at\":2,\"event\":{\"kind\":\"of the future\"}}\nno json\n{\"seq\":3,\"a").unwrap();
        let events = read(&path).unwrap();
        assert_eq!(events.events[0], event);
        assert_eq!(events.events[1].event, BuildEvent::Unknown);
        assert_eq!((events.events.len(), events.skipped), (2, 1));
        std::fs::write(&path, "{\"rbuild_tui_events\":2}\n").unwrap();
        assert!(read(&path).is_err());
    }
}
