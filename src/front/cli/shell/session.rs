//! Holds a shell: bytes to and fro between the user's terminal and the one inside, sizes, signals. This is the one place
//! where bytes of a build pass raw to the terminal, as in any terminal session; what they leave behind is reset at the end.

use std::io::{self, IsTerminal, Read};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::signal::unix::SignalKind;

use super::terminal::{self, Raw, write_all};
use super::wake::{END, Wake, heed};
use crate::engine::protocol::TerminalSize;
use crate::engine::{EngineError, ShellEnd, ShellSession, ShellStreams};

/// How the process is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Io {
    /// By a terminal of its own, shown on the user's.
    Terminal,
    /// By what this process was given; `true`: its output goes to standard error.
    Streams(bool),
}

impl Io {
    /// A terminal where both ends of this process are one, and standard output is not for a document.
    pub fn of_process(document: bool) -> Self {
        match io::stdin().is_terminal() && io::stdout().is_terminal() && !document {
            true => Self::Terminal,
            false => Self::Streams(document),
        }
    }

    pub fn is_terminal(self) -> bool {
        self == Self::Terminal
    }
}

/// Runs a shell until it is left. TERM, HUP and (where it is not a key of the shell's terminal) INT end it. The terminal is
/// as before then. Errors: it could not be started.
pub fn hold(session: &ShellSession, io: Io) -> Result<ShellEnd, EngineError> {
    match io {
        Io::Terminal => on_terminal(session),
        Io::Streams(document) => on_streams(session, document),
    }
}

fn fail(error: io::Error) -> EngineError {
    EngineError::environment(format!("cannot connect the shell: {}", crate::ground::fs::error::describe(&error)), None)
}

fn on_terminal(session: &ShellSession) -> Result<ShellEnd, EngineError> {
    let (ours, theirs) = UnixStream::pair().map_err(fail)?;
    let (wake, woken) = Wake::spawn(None).map_err(fail)?;
    let mut size = terminal::size();
    thread::scope(|scope| {
        let running = scope.spawn(move || {
            let end = session.run(ShellStreams::Terminal(size, theirs));
            drop(wake);
            end
        });
        let _ending = EndedByPanic(session);
        let shown = ShellSession::outer_end(&ours).and_then(|outer| match outer {
            // Restored when this is left, by a panic too.
            Some(outer) => {
                Raw::enter().and_then(|_raw| Show { session, outer, wake: &woken, pending: Vec::new() }.run(&mut size))
            }
            None => Ok(()),
        });
        if shown.is_err() {
            session.cancel();
        }
        // What has closed its terminal may go on.
        heed(session, &woken);
        running.join().unwrap_or_else(|_| Err(fail(io::ErrorKind::BrokenPipe.into())))
    })
}

/// A scope waits for its threads: without this a panic would wait for a shell that nobody sees.
struct EndedByPanic<'a>(&'a ShellSession);

impl Drop for EndedByPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.cancel();
        }
    }
}

/// The terminal as it is shown.
struct Show<'a> {
    session: &'a ShellSession,
    outer: OwnedFd,
    wake: &'a UnixStream,
    /// Typed, and not yet taken by the inside.
    pending: Vec<u8>,
}

impl Show<'_> {
    /// Until the last process inside has closed the terminal. Errors: the user's terminal is gone.
    fn run(mut self, size: &mut TerminalSize) -> io::Result<()> {
        // Much that is pasted into a program that does not read must not stop its output.
        fcntl_setfl(&self.outer, fcntl_getfl(&self.outer)? | OFlags::NONBLOCK)?;
        self.resize(size)?;
        let mut buffer = vec![0; 32 << 10];
        loop {
            let (typed, shown, woken) = self.wait()?;
            if woken {
                self.signals(size)?;
            }
            if shown.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) && !self.output(&mut buffer) {
                return Ok(());
            }
            if shown.contains(PollFlags::OUT) {
                self.feed()?;
            }
            if typed {
                self.typed(&mut buffer)?;
            }
        }
    }

    fn wait(&self) -> io::Result<(bool, PollFlags, bool)> {
        let to_write = if self.pending.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
        let reads = if self.pending.is_empty() { PollFlags::IN } else { PollFlags::empty() };
        let mut fds = [
            PollFd::from_borrowed_fd(stdin(), reads),
            PollFd::new(&self.outer, PollFlags::IN | to_write),
            PollFd::new(self.wake, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let typed = !fds[0].revents().is_empty() && self.pending.is_empty();
        Ok((typed, fds[1].revents(), !fds[2].revents().is_empty()))
    }

    /// False at the end.
    fn output(&self, buffer: &mut [u8]) -> bool {
        match rustix::io::read(&self.outer, &mut *buffer) {
            Ok(n @ 1..) => {
                write_all(stdout(), &buffer[..n]);
                true
            }
            Err(Errno::AGAIN | Errno::INTR) => true,
            // EIO: nobody has the inner end any more.
            _ => false,
        }
    }

    fn typed(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        match rustix::io::read(stdin(), &mut *buffer) {
            Ok(n @ 1..) => {
                self.pending.extend_from_slice(&buffer[..n]);
                self.feed()
            }
            Err(Errno::INTR | Errno::AGAIN) => Ok(()),
            // The terminal hung up: whoever sat there is gone.
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn feed(&mut self) -> io::Result<()> {
        match rustix::io::write(&self.outer, &self.pending) {
            Ok(n) => drop(self.pending.drain(..n)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            // The output says that it is over.
            Err(_) => self.pending.clear(),
        }
        Ok(())
    }

    fn signals(&self, size: &mut TerminalSize) -> io::Result<()> {
        let mut heard = [0; 64];
        let mut wake = self.wake;
        let n = wake.read(&mut heard)?;
        if heard[..n].contains(&END) {
            self.session.cancel();
        }
        self.resize(size)
    }

    fn resize(&self, size: &mut TerminalSize) -> io::Result<()> {
        let now = terminal::size();
        if now != *size {
            *size = now;
            let (ws_row, ws_col) = (now.rows, now.columns);
            tcsetwinsize(&self.outer, Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 })?;
        }
        Ok(())
    }
}

/// Without a terminal of its own. A stream that is the user's terminal is not handed in: whoever holds a terminal can do more
/// with it than write.
fn on_streams(session: &ShellSession, document: bool) -> Result<ShellEnd, EngineError> {
    let (wake, woken) = Wake::spawn(Some(SignalKind::interrupt())).map_err(fail)?;
    let (input, feeding) = typed().map_err(fail)?;
    let (output, from_output) = shown(if document { stderr() } else { stdout() }).map_err(fail)?;
    let (errors, from_errors) = shown(stderr()).map_err(fail)?;
    if let Some(mut pipe) = feeding {
        // Not waited for: it ends with this process, or with the pipe.
        thread::spawn(move || io::copy(&mut io::stdin().lock(), &mut pipe));
    }
    thread::scope(|scope| {
        for (from, to) in [(from_output, if document { stderr() } else { stdout() }), (from_errors, stderr())] {
            if let Some(from) = from {
                scope.spawn(move || copy_shown(from, to));
            }
        }
        scope.spawn(|| heed(session, &woken));
        let end = session.run(ShellStreams::Given([input, output, errors]));
        drop(wake);
        end
    })
}

type Piped<T> = (OwnedFd, Option<T>);

fn typed() -> io::Result<Piped<io::PipeWriter>> {
    if !io::stdin().is_terminal() {
        return Ok((stdin().try_clone_to_owned()?, None));
    }
    let (reader, writer) = io::pipe()?;
    Ok((reader.into(), Some(writer)))
}

fn shown(to: BorrowedFd<'_>) -> io::Result<Piped<io::PipeReader>> {
    if !rustix::termios::isatty(to) {
        return Ok((to.try_clone_to_owned()?, None));
    }
    let (reader, writer) = io::pipe()?;
    Ok((writer.into(), Some(reader)))
}

fn copy_shown(mut from: io::PipeReader, to: BorrowedFd<'_>) {
    let mut buffer = vec![0; 32 << 10];
    let mut is_plain = true;
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        write_all(to, &buffer[..n]);
        is_plain &= buffer[..n].iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t'));
    }
    if !is_plain {
        terminal::reset(to);
    }
}
