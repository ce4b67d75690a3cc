//! A terminal for a program under test.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use super::program::Program;

/// The program on a terminal of its own, which is its controlling one.
pub struct Terminal {
    pub outer: File,
    inner: OwnedFd,
    before: Termios,
    child: Child,
    output: Receiver<Vec<u8>>,
    closed: Arc<AtomicBool>,
    reading: Option<std::thread::JoinHandle<()>>,
    shown: String,
}

impl Terminal {
    pub fn new(program: &Program, args: &[&str]) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let outer = openpt(flags).unwrap();
        grantpt(&outer).unwrap();
        unlockpt(&outer).unwrap();
        tcsetwinsize(&outer, Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let inner = ioctl_tiocgptpeer(&outer, flags).unwrap();
        let before = tcgetattr(&inner).unwrap();
        let own = program.command(args);
        let end = || Stdio::from(inner.try_clone().unwrap());
        let mut command = Command::new("setsid");
        command.args(["--ctty"]).arg(own.get_program()).args(own.get_args()).env_clear().current_dir(&program.context);
        own.get_envs().for_each(|(name, value)| {
            command.env(name, value.unwrap_or_default());
        });
        command.env("TERM", "xterm-256color").env("LC_ALL", "C.UTF-8");
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let outer = File::from(outer);
        let mut reader = outer.try_clone().unwrap();
        let (sender, output) = channel();
        let closed = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&closed);
        let reading = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            let wait = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            while !seen.load(Ordering::SeqCst) {
                if poll(&mut [PollFd::new(&reader, PollFlags::IN)], Some(&wait)).unwrap() == 0 {
                    continue;
                }
                let Ok(n @ 1..) = reader.read(&mut buffer) else { break };
                if sender.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        let reading = Some(reading);
        Self { outer, inner, before, child, output, closed, reading, shown: String::new() }
    }

    /// Closes the window: nobody has the outer end any more.
    pub fn close(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        self.reading.take().unwrap().join().unwrap();
        self.outer = tempfile::tempfile().unwrap();
    }

    pub fn write(&mut self, keys: &str) {
        self.outer.write_all(keys.as_bytes()).unwrap();
    }

    /// Until a text was shown after what was waited for before.
    pub fn wait_for(&mut self, text: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(at) = self.shown.find(text) {
                self.shown.drain(..at + text.len());
                return;
            }
            let Ok(bytes) = self.output.recv_timeout(until.saturating_duration_since(Instant::now())) else {
                panic!("`{text}` did not appear in {:?}", self.shown);
            };
            self.shown.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    pub fn ended(&mut self) -> Option<i32> {
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it goes on: {:?}", self.shown);
    }

    pub fn is_restored(&self) -> bool {
        let now = tcgetattr(&self.inner).unwrap();
        format!("{now:?}") == format!("{:?}", self.before)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
