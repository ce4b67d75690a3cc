//! A docker or podman daemon of this machine, over its socket: images out of it, images into it.
//!
//! Source: docker's engine API, `/images/{name}/json`, `/images/{name}/get`, `/images/load`. Requests are HTTP/1.0, so that
//! answers end with the connection.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::error::{EngineError, ErrorKind};
use crate::engine::http::url::percent;
use crate::ground::cancel::CancelToken;
use crate::ground::fs::error::describe;

const HEAD_LIMIT: u64 = 64 << 10;
const DOCUMENT_LIMIT: u64 = 4 << 20;
const QUICK: Duration = Duration::from_secs(5);
/// A daemon packs or unpacks gigabytes before it says a word.
const SLOW: Duration = Duration::from_secs(600);

/// A daemon that answered.
pub struct Daemon {
    socket: PathBuf,
    cancel: CancelToken,
}

impl Daemon {
    /// Asks whether somebody is there; nobody is not an error.
    pub fn find(socket: &Path, cancel: CancelToken) -> Option<Self> {
        let daemon = Self { socket: socket.to_owned(), cancel };
        let (status, _) = daemon.ask("GET", "/_ping", None, QUICK).ok()?;
        (status == 200).then_some(daemon)
    }

    /// For messages.
    pub fn shown(&self) -> String {
        self.socket.display().to_string().escape_debug().to_string()
    }

    /// The id of an image; none when it is not there.
    pub fn image_id(&self, name: &str) -> Result<Option<String>, EngineError> {
        let (status, mut body) = self.ask("GET", &format!("/images/{}/json", escaped(name)), None, QUICK)?;
        if status == 404 {
            return Ok(None);
        }
        let bytes = self.document(&mut body)?;
        if status != 200 {
            return Err(self.refused(status, &bytes));
        }
        let document: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(document.get("Id").and_then(|id| id.as_str()).map(str::to_owned))
    }

    /// Writes an image as `docker save` does.
    pub fn save(&self, name: &str, to: &mut dyn Write) -> Result<(), EngineError> {
        let (status, mut body) = self.ask("GET", &format!("/images/{}/get", escaped(name)), None, SLOW)?;
        if status != 200 {
            let bytes = self.document(&mut body)?;
            return Err(self.refused(status, &bytes));
        }
        io::copy(&mut body, to).map(drop).map_err(|error| self.failed(&error))
    }

    /// Loads an archive of `docker save`. Returns when the daemon has it.
    pub fn load(&self, archive: &mut std::fs::File, size: u64) -> Result<(), EngineError> {
        let (status, mut body) = self.ask("POST", "/images/load?quiet=1", Some((archive, size)), SLOW)?;
        let bytes = self.document(&mut body)?;
        if status != 200 {
            return Err(self.refused(status, &bytes));
        }
        // What goes wrong after the first byte comes as a message in the stream.
        for message in serde_json::Deserializer::from_slice(&bytes).into_iter::<serde_json::Value>().flatten() {
            if let Some(error) = message.get("error").and_then(|e| e.as_str()) {
                return Err(self.said(error));
            }
        }
        Ok(())
    }

    fn ask(
        &self,
        method: &str,
        target: &str,
        body: Option<(&mut std::fs::File, u64)>,
        patience: Duration,
    ) -> Result<(u16, BufReader<Patient>), EngineError> {
        let fail = |error: io::Error| self.failed(&error);
        let stream = UnixStream::connect(&self.socket).map_err(fail)?;
        let slice = Some(Duration::from_millis(200));
        stream.set_read_timeout(slice).and_then(|()| stream.set_write_timeout(Some(SLOW))).map_err(fail)?;
        let mut stream = Patient { stream, cancel: self.cancel.clone(), patience };
        let length = body.as_ref().map_or(0, |(_, size)| *size);
        let kind = "Content-Type: application/x-tar\r\n";
        let head = format!("{method} {target} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {length}\r\n{kind}\r\n");
        stream.stream.write_all(head.as_bytes()).map_err(fail)?;
        if let Some((file, size)) = body {
            let mut left = file.take(size);
            let mut buffer = vec![0; 256 << 10];
            loop {
                let n = left.read(&mut buffer).map_err(fail)?;
                if n == 0 {
                    break;
                }
                stream.check().and_then(|()| stream.stream.write_all(&buffer[..n])).map_err(fail)?;
            }
        }
        let mut reader = BufReader::with_capacity(256 << 10, stream);
        let status = status(&mut reader).map_err(fail)?;
        Ok((status, reader))
    }

    fn document(&self, body: &mut impl Read) -> Result<Vec<u8>, EngineError> {
        let mut out = Vec::new();
        body.take(DOCUMENT_LIMIT).read_to_end(&mut out).map_err(|error| self.failed(&error))?;
        Ok(out)
    }

    fn refused(&self, status: u16, body: &[u8]) -> EngineError {
        let document: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        match document.get("message").and_then(|m| m.as_str()) {
            Some(message) => self.said(message),
            None => self.said(&format!("status {status}")),
        }
    }

    fn said(&self, message: &str) -> EngineError {
        let message: String = message.chars().take(300).collect::<String>().escape_debug().to_string();
        EngineError::environment(format!("the daemon at `{}` refused: {message}", self.shown()), None)
    }

    fn failed(&self, error: &io::Error) -> EngineError {
        if self.cancel.is_cancelled() {
            return EngineError { kind: ErrorKind::Cancelled, message: "cancelled".into(), hint: None };
        }
        EngineError::environment(format!("cannot speak with the daemon at `{}`: {}", self.shown(), describe(error)), None)
    }
}

/// Names go into the path of a request; slashes and colons belong there.
fn escaped(name: &str) -> String {
    percent(name).replace("%2F", "/").replace("%3A", ":").replace("%40", "@")
}

fn status(reader: &mut impl BufRead) -> io::Result<u16> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "its answer is not HTTP");
    let mut head = reader.by_ref().take(HEAD_LIMIT);
    let mut line = Vec::new();
    head.read_until(b'\n', &mut line)?;
    let text = String::from_utf8_lossy(&line).into_owned();
    let status = text.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)).and_then(|code| code.parse().ok());
    loop {
        line.clear();
        if head.read_until(b'\n', &mut line)? == 0 {
            return Err(malformed());
        }
        if line == b"\r\n" || line == b"\n" {
            return status.ok_or_else(malformed);
        }
    }
}

/// A stream that waits for a while, and not past a cancel.
struct Patient {
    stream: UnixStream,
    cancel: CancelToken,
    patience: Duration,
}

impl Patient {
    fn check(&self) -> io::Result<()> {
        if self.cancel.is_cancelled() { Err(io::Error::other("cancelled")) } else { Ok(()) }
    }
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let started = Instant::now();
        loop {
            self.check()?;
            match self.stream.read(buffer) {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    if started.elapsed() > self.patience {
                        return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer"));
                    }
                }
                other => return other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// Answers each connection with a text.
    fn daemon(folder: &Path, answers: Vec<&'static str>) -> PathBuf {
        let socket = folder.join("s");
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::spawn(move || {
            for answer in answers {
                let mut stream = listener.accept().unwrap().0;
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        socket
    }

    #[test]
    fn answers_of_a_daemon() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Daemon::find(&folder.path().join("none"), CancelToken::default()).is_none());
        let socket = daemon(
            folder.path(),
            vec![
                "HTTP/1.0 200 OK\r\n\r\nOK",
                "HTTP/1.0 200 OK\r\n\r\n{\"Id\":\"sha256:1\"}",
                "HTTP/1.0 404 No\r\n\r\n{}",
                "HTTP/1.0 500 No\r\n\r\n{\"message\":\"\\u001b[31mno\"}",
                "junk\r\n\r\n",
                "HTTP/1.0 200 OK\r\n\r\n{\"stream\":\"x\"}\n{\"error\":\"bad archive\"}\n",
            ],
        );
        let found = Daemon::find(&socket, CancelToken::default()).unwrap();
        assert_eq!(found.image_id("a/b:1").unwrap().as_deref(), Some("sha256:1"));
        assert_eq!(found.image_id("a").unwrap(), None);
        let error = found.save("a", &mut io::sink()).unwrap_err().message;
        assert!(error.contains("no") && !error.contains('\u{1b}'), "{error}");
        assert!(found.image_id("a").unwrap_err().message.contains("not HTTP"));
        let mut file = tempfile::tempfile().unwrap();
        assert!(found.load(&mut file, 0).unwrap_err().message.contains("bad archive"));
        assert_eq!(escaped("a/b:1@sha256:0?x y"), "a/b:1@sha256:0%3Fx%20y");
    }
}
