//! Performs effects: owns the terminal, the threads and the clock.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event, KeyEventKind};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::app::App;
use super::host::Host;
use super::msg::{Effect, Msg};
use super::terminal::{PanicGuard, Screen};
use super::views::layers::{LayersFound, PreviewText, Reading};
use super::{Exit, TuiOptions};
use crate::engine::Side;
use crate::ground::cancel::CancelToken;

/// Shortest time between two drawings: 30 a second.
const FRAME: Duration = Duration::from_millis(33);
/// How often a running build's clock is shown anew.
const TICK: Duration = Duration::from_millis(100);
/// How often the input thread looks whether it should end.
const POLL: Duration = Duration::from_millis(50);
/// How long its end is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// Runs the interface; see [`super::run`].
pub fn run(host: Arc<dyn Host>, options: TuiOptions) -> io::Result<Exit> {
    let (sender, receiver) = mpsc::channel();
    let _hook = PanicGuard::new(sender.clone());
    let screen = Screen::enter(options.no_color)?;
    let input = Some(Input::spawn(sender.clone()));
    let _signals = Signals::spawn(sender.clone());
    watch(Arc::clone(&host), sender.clone());
    let (app, effects) = App::new(&options);
    let world = World { host, sender, cancelling: Arc::default(), began: None };
    Runtime { app, input, screen, world }.run(&receiver, effects)
}

/// Tells when files change. Ends with the program: nobody waits for a thread that waits for a file.
fn watch(host: Arc<dyn Host>, sender: Sender<Msg>) {
    thread::spawn(move || {
        loop {
            if host.wait_for_change() && sender.send(Msg::Changed).is_err() {
                return;
            }
        }
    });
}

struct Runtime {
    app: App,
    /// Ends before the terminal is given back.
    input: Option<Input>,
    screen: Screen,
    world: World,
}

impl Runtime {
    fn run(mut self, receiver: &Receiver<Msg>, first: Vec<Effect>) -> io::Result<Exit> {
        let (columns, rows) = self.screen.size()?;
        self.app.update(Msg::Resize(columns, rows));
        let mut exit = self.perform(first)?;
        let mut drawn: Option<Instant> = None;
        let mut dirty = true;
        loop {
            if let Some(exit) = exit {
                return Ok(exit);
            }
            let since = drawn.map_or(FRAME, |at| at.elapsed());
            if dirty && since >= FRAME {
                self.screen.draw(&self.app)?;
                drawn = Some(Instant::now());
                dirty = false;
            }
            let Some(msg) = self.next(receiver, dirty.then(|| FRAME.saturating_sub(since)))? else { continue };
            dirty = true;
            let effects = self.app.update(msg);
            exit = self.perform(effects)?;
            while let (None, Ok(msg)) = (exit, receiver.try_recv()) {
                let effects = self.app.update(msg);
                exit = self.perform(effects)?;
            }
        }
    }

    /// The next message; none when it is time to draw. An idle interface sleeps here.
    fn next(&self, receiver: &Receiver<Msg>, frame: Option<Duration>) -> io::Result<Option<Msg>> {
        let gone = || io::Error::other("the interface's channel closed");
        let wait = match (frame, self.app.is_live()) {
            (Some(frame), _) => frame,
            (None, true) => TICK,
            (None, false) => return receiver.recv().map(Some).map_err(|_| gone()),
        };
        match receiver.recv_timeout(wait) {
            Ok(msg) => Ok(Some(msg)),
            Err(RecvTimeoutError::Timeout) if frame.is_some() => Ok(None),
            Err(RecvTimeoutError::Timeout) => Ok(Some(Msg::Tick(self.world.clock()))),
            Err(RecvTimeoutError::Disconnected) => Err(gone()),
        }
    }

    fn perform(&mut self, effects: Vec<Effect>) -> io::Result<Option<Exit>> {
        for effect in effects {
            match effect {
                Effect::Leave(exit) => return Ok(Some(exit)),
                Effect::Suspend => self.screen.suspend()?,
                Effect::Redraw => self.screen.clear()?,
                Effect::Shell(line, side) => self.shell(line, side)?,
                effect => self.world.perform(effect),
            }
        }
        Ok(None)
    }

    /// The thread that reads keys ends before the shell begins: it would take what is typed there.
    fn shell(&mut self, line: u32, side: Side) -> io::Result<()> {
        drop(self.input.take());
        let host = Arc::clone(&self.world.host);
        let left = self.screen.lend(|| host.shell(line, side))?;
        self.input = Some(Input::spawn(self.world.sender.clone()));
        // The window may have changed meanwhile.
        let (columns, rows) = self.screen.size()?;
        let _ = self.world.sender.send(Msg::Resize(columns, rows));
        let _ = self.world.sender.send(Msg::ShellLeft(left));
        Ok(())
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if self.app.is_live() {
            self.world.perform(Effect::CancelBuild);
        }
    }
}

/// A build may be cancelled before the host has handed out its token.
#[derive(Default)]
struct Cancelling {
    token: Option<CancelToken>,
    wanted: bool,
}

impl Cancelling {
    fn settle(&self) {
        if let (Some(token), true) = (&self.token, self.wanted) {
            token.cancel();
        }
    }
}

/// The host and the running build; everything slow happens on threads of its own.
struct World {
    host: Arc<dyn Host>,
    sender: Sender<Msg>,
    cancelling: Arc<Mutex<Cancelling>>,
    began: Option<Instant>,
}

impl World {
    fn clock(&self) -> u64 {
        self.began.map_or(0, |at| u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::StartBuild => self.start(),
            Effect::CancelBuild => {
                let mut cancelling = self.cancelling.lock().unwrap_or_else(PoisonError::into_inner);
                cancelling.wanted = true;
                cancelling.settle();
            }
            Effect::LoadProject => {
                self.ask(|host| Msg::Project { name: host.name(), outline: host.outline(), last: host.last_build() })
            }
            Effect::LoadOutput { build, vertex, offset, len } => self.ask(move |host| {
                let bytes = host.output(&build, vertex, offset, len);
                Msg::Output { build, vertex, offset, bytes }
            }),
            Effect::Suggest(question) => self.ask(move |host| Msg::Suggested(question, host.suggest())),
            Effect::Plan(question) => self.ask(move |host| Msg::Planned(question, host.plan())),
            Effect::Layers(question, line) => self.ask(move |host| Msg::Layers(question, found(host, line))),
            Effect::Preview { question, of, path, layer, entry } => self.ask(move |host| {
                let preview = host.preview(&of.0, layer, entry);
                Msg::Previewed(question, preview.map(|preview| PreviewText::of(&path, &preview)))
            }),
            Effect::Apply(suggestion) => self.ask(move |host| Msg::Applied(host.apply(&suggestion))),
            Effect::Suspend | Effect::Redraw | Effect::Shell(..) | Effect::Leave(_) => {}
        }
    }

    fn ask(&self, question: impl FnOnce(&dyn Host) -> Msg + Send + 'static) {
        let (host, sender) = (Arc::clone(&self.host), self.sender.clone());
        thread::spawn(move || drop(sender.send(question(&*host))));
    }

    fn start(&mut self) {
        self.began = Some(Instant::now());
        self.cancelling = Arc::default();
        let (host, sender) = (Arc::clone(&self.host), self.sender.clone());
        let cancelling = Arc::clone(&self.cancelling);
        thread::spawn(move || {
            let mut handle = match host.start_build() {
                Ok(handle) => handle,
                Err(message) => return drop(sender.send(Msg::BuildRefused(message))),
            };
            {
                let mut cancelling = cancelling.lock().unwrap_or_else(PoisonError::into_inner);
                cancelling.token = Some(handle.cancel);
                cancelling.settle();
            }
            while let Some(event) = handle.events.blocking_recv() {
                if sender.send(Msg::Build(event)).is_err() {
                    return;
                }
            }
            drop(sender.send(Msg::BuildClosed));
        });
    }
}

/// Layers with their trees, made on the thread of the question.
fn found(host: &dyn Host, line: u32) -> Result<Reading, String> {
    let (of, stack) = host.layers(line)?;
    Ok(Reading(Arc::new(LayersFound::new(of, stack))))
}

/// The thread that reads keys and sizes; dropping ends it.
struct Input {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Input {
    fn spawn(sender: Sender<Msg>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                let read = event::poll(POLL).and_then(|ready| if ready { event::read().map(Some) } else { Ok(None) });
                let msg = match read {
                    Ok(Some(Event::Key(key))) if key.kind != KeyEventKind::Release => Msg::Key(key),
                    Ok(Some(Event::Resize(columns, rows))) => Msg::Resize(columns, rows),
                    Ok(_) => continue,
                    Err(_) => Msg::Terminate,
                };
                let end = matches!(msg, Msg::Terminate);
                if sender.send(msg).is_err() || end {
                    return;
                }
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Input {
    /// Waits for the thread, but not for ever: where the terminal is gone, crossterm reads its end over and over and never
    /// comes back. Then the thread ends with the program.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let until = Instant::now() + PATIENCE;
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) && Instant::now() < until {
            thread::sleep(POLL / 10);
        }
    }
}

/// The thread that waits for SIGTERM and SIGHUP; dropping ends it.
struct Signals {
    stop: Option<oneshot::Sender<()>>,
}

impl Signals {
    fn spawn(sender: Sender<Msg>) -> Self {
        let (stop, stopped) = oneshot::channel();
        thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
            runtime.block_on(async move {
                let (Ok(mut term), Ok(mut hangup)) = (signal(SignalKind::terminate()), signal(SignalKind::hangup())) else {
                    return;
                };
                tokio::select! {
                    _ = term.recv() => drop(sender.send(Msg::Terminate)),
                    _ = hangup.recv() => drop(sender.send(Msg::Terminate)),
                    _ = stopped => {}
                }
            });
        });
        Self { stop: Some(stop) }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}
