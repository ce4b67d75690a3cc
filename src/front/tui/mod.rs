//! The interface. A key press walks `runtime → App::update → keymap → Action → Effect → runtime`. The hard rules: `update`
//! does no I/O, rendering changes nothing, and all that is shown of a build comes from its events. Start with [`app`].

pub mod app;
pub mod host;
pub mod keymap;
mod log;
mod model;
mod movement;
mod msg;
mod runtime;
pub mod screenshot;
mod terminal;
#[cfg(test)]
mod tests;
pub mod theme;
pub mod views;
mod widgets;

use std::io;
use std::sync::Arc;

pub use app::App;
use host::Host;
pub use msg::{Effect, Msg};

/// How the interface starts.
#[derive(Debug, Clone, Default)]
pub struct TuiOptions {
    /// Build at once.
    pub start_build: bool,
    /// Draw with ASCII only.
    pub ascii: bool,
    /// Draw without colours.
    pub no_color: bool,
    /// The view shown first.
    pub initial_view: ViewName,
}

/// The views, in the order of their number keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ViewName {
    /// The steps, live.
    #[default]
    Build,
    /// Why the selected step ran.
    Explain,
    /// What each change cost.
    Cascade,
    /// When each step ran.
    Timeline,
    /// What to change.
    Fix,
    /// What the layers hold.
    Layers,
}

/// How the interface ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The user quit.
    Quit,
    /// The user pressed ctrl-c.
    Interrupted,
    /// A signal asked for the end: SIGTERM or SIGHUP.
    Terminated,
}

impl Exit {
    /// The exit code it stands for: 0, or 130 for a cancellation.
    pub fn code(self) -> u8 {
        match self {
            Self::Quit => 0,
            Self::Interrupted | Self::Terminated => 130,
        }
    }
}

/// Runs the interface on the terminal until the user quits, and restores the terminal in every case. A build that still
/// runs when it returns was cancelled.
///
/// Errors: the terminal cannot be entered, drawn on or read.
pub fn run(host: Arc<dyn Host>, options: TuiOptions) -> io::Result<Exit> {
    runtime::run(host, options)
}
