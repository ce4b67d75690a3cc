//! Places in a Dockerfile.

use serde::{Deserialize, Serialize};

/// A half-open range of bytes in the source text; both ends lie on character boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The range `start..end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The text it covers; empty when it lies outside of `source`.
    pub fn text<'a>(&self, source: &'a str) -> &'a str {
        source.get(self.start..self.end).unwrap_or("")
    }
}

/// A line and column, both counted from 1; the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// Where each line of a text starts, so that offsets become lines in logarithmic time.
#[derive(Debug, Clone, Default)]
pub struct LineIndex {
    starts: Vec<usize>,
}

impl LineIndex {
    /// Indexes `source`; a line ends with its `\n`.
    pub fn new(source: &str) -> Self {
        let after_newlines = source.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1);
        Self { starts: std::iter::once(0).chain(after_newlines).collect() }
    }

    /// The line (from 1) of a byte offset.
    pub fn line(&self, offset: usize) -> u32 {
        u32::try_from(self.starts.partition_point(|start| *start <= offset)).unwrap_or(u32::MAX)
    }

    /// Line and column of a byte offset in the text that was indexed.
    pub fn position(&self, source: &str, offset: usize) -> Position {
        let line = self.line(offset);
        let start = self.starts[(line as usize).saturating_sub(1)];
        let column = source.get(start..offset).map_or(0, |before| before.chars().count());
        Position { line, column: u32::try_from(column + 1).unwrap_or(u32::MAX) }
    }

    /// The bytes of line `line` (from 1), without its line break.
    pub fn text<'a>(&self, source: &'a str, line: u32) -> &'a str {
        let Some(&start) = self.starts.get((line as usize).saturating_sub(1)) else { return "" };
        let end = self.starts.get(line as usize).copied().unwrap_or(source.len());
        source.get(start..end).unwrap_or("").trim_end_matches(['\n', '\r'])
    }
}
