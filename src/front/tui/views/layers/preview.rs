//! The beginning of a file as lines that are ready to be drawn.

use crate::engine::image::inspect::{Preview, TreePath};
use crate::front::report::layers::{hex, syntax};
use crate::front::text::{self, Ink};

/// Bytes of a file that are read for the view.
pub const LIMIT: usize = 64 << 10;
/// Bytes of a binary file that are shown.
const BINARY: usize = 1024;
/// Letters of a line that are kept: no screen is wider.
const WIDEST: usize = 500;

/// A text of safe lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewText {
    /// Pieces of one ink.
    pub lines: Vec<Vec<(Ink, String)>>,
    /// `text`, `bytes`, and how much of it is shown.
    pub note: String,
}

impl PreviewText {
    /// Makes the lines; takes its time for the colours, so not in the interface's thread.
    pub fn of(path: &TreePath, preview: &Preview) -> Self {
        let size = text::size(preview.size);
        match preview.text() {
            Some(content) => {
                let mut colours = syntax(path, content);
                let line = |line: &str| colours.line(&text::block(line).chars().take(WIDEST).collect::<String>());
                let lines = content.lines().map(line).collect();
                let part = if (preview.bytes.len() as u64) < preview.size { "the beginning of " } else { "" };
                Self { lines, note: format!("text, {part}{size}") }
            }
            None => {
                let lines = hex(&preview.bytes[..preview.bytes.len().min(BINARY)]);
                let lines = lines.into_iter().map(|line| vec![(Ink::default(), line)]).collect();
                Self { lines, note: format!("bytes, the beginning of {size}") }
            }
        }
    }
}
