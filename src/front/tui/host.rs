//! What the interface asks of the world behind it: a project that can be built, explained and rewritten.

use super::views::layers::LayersFound;
use crate::engine::event::{Stamped, VertexId};
use crate::engine::handle::BuildHandle;
use crate::engine::image::inspect::{Preview, Stack};
use crate::engine::{Layered, Side};
use crate::insight::suggest::{SuggestReport, Suggestion};

/// The project that is open. Errors are whole messages for the user.
pub trait Host: Send + Sync {
    /// Shown name of the project (its folder's name).
    fn name(&self) -> String;
    /// The Dockerfile's text as it is now.
    fn dockerfile(&self) -> Result<String, String>;
    /// The lines of the Dockerfile as steps that were never built: what the screen shows before the first build.
    fn outline(&self) -> Vec<Stamped>;
    /// Events of the last build of this project, if one is on record.
    fn last_build(&self) -> Option<Vec<Stamped>>;
    /// Starts a build.
    fn start_build(&self) -> Result<BuildHandle, String>;
    /// A part of a step's output.
    fn output(&self, build: &str, vertex: VertexId, offset: u64, len: u64) -> Result<Vec<u8>, String>;
    /// Suggestions for the project as it is (may take a second; called off the interface's thread).
    fn suggest(&self) -> Result<SuggestReport, String>;
    /// What the next build will do, as the events of a plan (called off the interface's thread).
    fn plan(&self) -> Result<Vec<Stamped>, String>;
    /// Waits a while for files of the project to change; whether they did (called on a thread of its own, again and again).
    fn wait_for_change(&self) -> bool;
    /// The layers of the result of a line's step in the last build, read to their end (may take seconds; called off the
    /// interface's thread).
    fn layers(&self, line: u32) -> Result<(Layered, Stack), String>;
    /// The beginning of the file that is an entry of a layer (from 0).
    fn preview(&self, of: &LayersFound, layer: u32, entry: u32) -> Result<Preview, String>;
    /// Opens a shell at the step of a line, before or after it, on the terminal, which is nobody else's meanwhile. Returns
    /// what there is to say about it.
    fn shell(&self, line: u32, side: Side) -> Result<String, String>;
    /// Writes a suggestion's Dockerfile; returns the path of the backup.
    fn apply(&self, suggestion: &Suggestion) -> Result<String, String>;
}
