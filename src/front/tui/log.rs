//! The output of the selected step, loaded piece by piece.

use crate::engine::event::VertexId;
use crate::front::text::{OutputLine, Screen};
use crate::insight::model::Step;

use super::msg::Effect;

/// Bytes asked for at once; a longer output is shown from its last so many bytes.
const PIECE: u64 = 256 * 1024;
/// Lines kept.
const KEPT: usize = 20_000;

/// The output as far as it was loaded.
#[derive(Default)]
pub struct LogPane {
    key: Option<(String, VertexId)>,
    screen: Screen,
    loaded_to: u64,
    pending: bool,
    /// Earlier output was left out.
    pub cut: bool,
    /// Why it cannot be shown.
    pub error: Option<String>,
    /// First line shown; none follows the end.
    pub top: Option<usize>,
}

impl LogPane {
    /// Makes the pane show a step; returns what must be loaded for that.
    pub fn follow(&mut self, build: &str, step: Option<&Step>) -> Option<Effect> {
        let Some(step) = step.filter(|_| !build.is_empty()) else {
            *self = Self::default();
            return None;
        };
        let len = step.output_len();
        if self.key.as_ref() != Some(&(build.to_owned(), step.vertex)) {
            let start = len.saturating_sub(PIECE);
            let key = Some((build.to_owned(), step.vertex));
            *self = Self { key, loaded_to: start, cut: start > 0, ..Self::default() };
        }
        if self.pending || self.error.is_some() || self.loaded_to >= len {
            return None;
        }
        self.pending = true;
        let (offset, len) = (self.loaded_to, (len - self.loaded_to).min(PIECE));
        Some(Effect::LoadOutput { build: build.to_owned(), vertex: step.vertex, offset, len })
    }

    /// Takes a loaded piece; one that belongs to another step or place is dropped.
    pub fn loaded(&mut self, build: &str, vertex: VertexId, offset: u64, bytes: Result<Vec<u8>, String>) {
        if self.key.as_ref() != Some(&(build.to_owned(), vertex)) || offset != self.loaded_to {
            return;
        }
        self.pending = false;
        match bytes {
            Ok(bytes) if bytes.is_empty() => self.error = Some("the output is no longer on disk".to_owned()),
            Ok(bytes) => {
                self.loaded_to = self.loaded_to.saturating_add(bytes.len() as u64);
                self.screen.feed(&bytes);
                self.cut |= self.screen.keep_last(KEPT);
            }
            Err(message) => self.error = Some(message),
        }
    }

    /// A line by its number.
    pub fn line(&self, at: usize) -> Option<&OutputLine> {
        let finished = self.screen.finished();
        if at == finished.len() { self.screen.unfinished() } else { finished.get(at) }
    }

    /// How many lines.
    pub fn len(&self) -> usize {
        self.screen.finished().len() + usize::from(self.screen.unfinished().is_some())
    }
}
