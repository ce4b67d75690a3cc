//! A logical line: an instruction's physical lines joined, with the way back from each of its bytes to the source.

use super::ast::Word;
use super::span::Span;

/// The joined text of an instruction and where each part of it came from.
#[derive(Debug, Clone, Default)]
pub(super) struct LogicalLine {
    text: String,
    /// `(offset in text, offset in source)` of each joined part, ascending.
    parts: Vec<(usize, usize)>,
}

impl LogicalLine {
    /// Appends a part that starts at `source_offset` in the source.
    pub(super) fn push(&mut self, part: &str, source_offset: usize) {
        self.parts.push((self.text.len(), source_offset));
        self.text.push_str(part);
    }

    /// The whole line as a slice.
    pub(super) fn whole(&self) -> Slice<'_> {
        Slice { line: self, start: 0, end: self.text.len() }
    }

    /// The joined text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn source_offset(&self, offset: usize) -> usize {
        let after = self.parts.partition_point(|(start, _)| *start <= offset);
        match after.checked_sub(1).and_then(|at| self.parts.get(at)) {
            Some((start, source)) => source + (offset - start),
            None => 0,
        }
    }
}

/// A stretch of a logical line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slice<'l> {
    line: &'l LogicalLine,
    start: usize,
    end: usize,
}

impl<'l> Slice<'l> {
    /// Its text.
    pub(super) fn text(&self) -> &'l str {
        self.line.text.get(self.start..self.end).unwrap_or("")
    }

    /// The bytes `start..end` of its text.
    pub(super) fn part(&self, start: usize, end: usize) -> Self {
        let end = (self.start + end).min(self.end);
        Self { line: self.line, start: (self.start + start).min(end), end }
    }

    /// From byte `start` of its text to the end.
    pub(super) fn after(&self, start: usize) -> Self {
        self.part(start, self.end - self.start)
    }

    /// Without blanks at both ends.
    pub(super) fn trim(&self) -> Self {
        let text = self.text();
        let left = text.len() - text.trim_start().len();
        self.part(left, left + text.trim().len())
    }

    /// Its bytes in the source, from the first to the last; continuations between them are covered.
    pub(super) fn span(&self) -> Span {
        let start = self.line.source_offset(self.start);
        if self.start == self.end {
            return Span::new(start, start);
        }
        Span::new(start, self.line.source_offset(self.end - 1) + 1)
    }

    /// As a word of the tree.
    pub(super) fn word(&self) -> Word {
        Word { text: self.text().to_owned(), span: self.span() }
    }
}
