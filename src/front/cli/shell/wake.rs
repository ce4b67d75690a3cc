//! Signals, heard on a thread and passed on as bytes, so that whoever polls descriptors hears them too.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::stdio::stdin;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::engine::ShellSession;

/// What the thread of the signals writes: a new size, and the wish for an end.
const SIZE: u8 = b's';
pub const END: u8 = b'e';

/// Hears signals on a thread of its own and writes them as bytes, until it is dropped: then the other end of the stream sees
/// its end.
pub struct Wake {
    _stop: oneshot::Sender<()>,
}

impl Wake {
    /// `further`: a signal that means the end beside TERM and HUP.
    pub fn spawn(further: Option<SignalKind>) -> io::Result<(Self, UnixStream)> {
        let (reader, writer) = UnixStream::pair()?;
        let (stop, stopped) = oneshot::channel();
        let (say, ready) = channel();
        thread::spawn(move || {
            let heard = hear(further, writer, stopped, &say);
            let _ = heard.map_err(|error| say.send(Err(error)));
        });
        ready.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))?;
        Ok((Self { _stop: stop }, reader))
    }
}

fn hear(
    further: Option<SignalKind>,
    mut to: UnixStream,
    mut stopped: oneshot::Receiver<()>,
    ready: &Sender<io::Result<()>>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut size = signal(SignalKind::window_change())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut interrupt = further.map(signal).transpose()?;
        let _ = ready.send(Ok(()));
        loop {
            let interrupted = async {
                match &mut interrupt {
                    Some(interrupt) => interrupt.recv().await,
                    None => std::future::pending().await,
                }
            };
            let byte = tokio::select! {
                _ = size.recv() => SIZE,
                _ = terminate.recv() => END,
                _ = hangup.recv() => END,
                _ = interrupted => END,
                _ = &mut stopped => return Ok(()),
            };
            to.write_all(&[byte])?;
        }
    })
}

/// Ends the shell when a signal asks for it; returns when no more can come.
pub fn heed(session: &ShellSession, mut woken: &UnixStream) {
    let mut heard = [0; 64];
    while let Ok(n @ 1..) = woken.read(&mut heard) {
        if heard[..n].contains(&END) {
            session.cancel();
        }
    }
}

/// Waits until a line is typed, or a signal asks for the end.
pub fn pause() -> io::Result<()> {
    let (_wake, mut woken) = Wake::spawn(None)?;
    loop {
        let mut fds = [PollFd::from_borrowed_fd(stdin(), PollFlags::IN), PollFd::new(&woken, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let (typed, signal) = (!fds[0].revents().is_empty(), !fds[1].revents().is_empty());
        let mut buffer = [0; 4096];
        if typed {
            return rustix::io::read(stdin(), &mut buffer).map(drop).map_err(Into::into);
        }
        if signal && woken.read(&mut buffer)? > 0 && buffer[0] == END {
            return Ok(());
        }
    }
}
