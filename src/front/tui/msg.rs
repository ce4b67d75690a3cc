//! What can happen to the interface, and what it wants done.

use ratatui::crossterm::event::KeyEvent;

use super::Exit;
use super::views::layers::{PreviewText, Reading};
use crate::engine::Side;
use crate::engine::event::{Stamped, VertexId};
use crate::engine::image::inspect::TreePath;
use crate::insight::suggest::{SuggestReport, Suggestion};

/// What can happen to the interface.
pub enum Msg {
    /// A key was pressed.
    Key(KeyEvent),
    /// The terminal has another size: columns, rows.
    Resize(u16, u16),
    /// Time passed; microseconds since the running build began.
    Tick(u64),
    /// The project was read.
    Project {
        /// Shown name.
        name: String,
        /// Steps that were never built.
        outline: Vec<Stamped>,
        /// Events of the last build.
        last: Option<Vec<Stamped>>,
    },
    /// The running build said something.
    Build(Stamped),
    /// The running build's channel closed.
    BuildClosed,
    /// The build could not be started.
    BuildRefused(String),
    /// A piece of output was read.
    Output {
        /// Of which build.
        build: String,
        /// Of which step.
        vertex: VertexId,
        /// From where.
        offset: u64,
        /// The piece, or why not.
        bytes: Result<Vec<u8>, String>,
    },
    /// Somebody looked for fixes; the number of the question.
    Suggested(u64, Result<SuggestReport, String>),
    /// Layers were read; the number of the question.
    Layers(u64, Result<Reading, String>),
    /// The beginning of a file was read; the number of the question.
    Previewed(u64, Result<PreviewText, String>),
    /// A fix was written: the path of the backup, or why not.
    Applied(Result<String, String>),
    /// Files of the project changed.
    Changed,
    /// What the next build will do; the number of the question.
    Planned(u64, Result<Vec<Stamped>, String>),
    /// A shell was left, or could not be opened.
    ShellLeft(Result<String, String>),
    /// A thread panicked.
    Panicked(String),
    /// SIGTERM or SIGHUP.
    Terminate,
}

/// What the interface wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Read name, outline and last build.
    LoadProject,
    /// Start a build.
    StartBuild,
    /// Ask the running build to end.
    CancelBuild,
    /// Read a piece of output.
    LoadOutput {
        /// Of which build.
        build: String,
        /// Of which step.
        vertex: VertexId,
        /// From where.
        offset: u64,
        /// Bytes.
        len: u64,
    },
    /// Look for fixes; the number of the question comes back.
    Suggest(u64),
    /// Say what the next build will do; the number of the question comes back.
    Plan(u64),
    /// Read the layers of the step of a line; the number of the question comes back.
    Layers(u64, u32),
    /// Read the beginning of a file.
    Preview {
        /// The number of the question.
        question: u64,
        /// Of these layers.
        of: Reading,
        /// Where it stands, for its colours.
        path: TreePath,
        /// In this layer, from 0.
        layer: u32,
        /// The number of its entry.
        entry: u32,
    },
    /// Write a fix.
    Apply(Box<Suggestion>),
    /// Open a shell at the step of a line.
    Shell(u32, Side),
    /// Stop the process until it is continued.
    Suspend,
    /// Draw every cell anew.
    Redraw,
    /// Leave.
    Leave(Exit),
}
