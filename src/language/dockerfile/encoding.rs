//! Bytes that are not UTF-8, in comments. BuildKit does not look at comments, so an old file with a name in Latin-1 builds;
//! anywhere else such a byte would end in a key or in a command, and is refused.
//!
//! A foreign byte stands in the text as a character of a private area, from which [`encode`] makes the same byte again.

use super::ast::{Dockerfile, Instruction, PieceKind};
use super::parser::parse;
use super::span::Span;

/// Byte `b` is the character `FOREIGN + b`; only bytes from 0x80 on can be foreign.
const FOREIGN: u32 = 0x10_FF00;

/// A file that is not UTF-8 outside of its comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the file is not UTF-8")]
pub struct NotUtf8 {
    /// The first such line, from 1.
    pub line: u32,
}

/// The text of a Dockerfile. Errors: a byte that is not UTF-8 and not in a comment.
pub fn decode(bytes: Vec<u8>) -> Result<String, NotUtf8> {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return Ok(text),
        Err(error) => error.into_bytes(),
    };
    let text = with_foreign(&bytes);
    let file = parse(&text);
    let misplaced = text.char_indices().filter(|(_, c)| foreign_byte(*c).is_some()).find(|(at, _)| !in_comment(&file, *at));
    match misplaced {
        Some((at, _)) => Err(NotUtf8 { line: file.lines.line(at) }),
        None if encode(&text, &bytes) != bytes => Err(NotUtf8 { line: 1 }),
        None => Ok(text),
    }
}

/// The bytes of a text that [`decode`] read from `original`, or of an edit of it.
pub fn encode(text: &str, original: &[u8]) -> Vec<u8> {
    if std::str::from_utf8(original).is_ok() {
        return text.as_bytes().to_vec();
    }
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match foreign_byte(c) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

fn with_foreign(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 64);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().filter_map(|byte| char::from_u32(FOREIGN + u32::from(*byte))));
    }
    text
}

fn foreign_byte(c: char) -> Option<u8> {
    let byte = u32::from(c).checked_sub(FOREIGN)?;
    u8::try_from(byte).ok().filter(|byte| *byte >= 0x80)
}

/// Whether a place lies in a comment: a line of its own, or one between the lines of an instruction.
fn in_comment(file: &Dockerfile, at: usize) -> bool {
    let Some(piece) = file.pieces.iter().find(|piece| (piece.span.start..piece.span.end).contains(&at)) else {
        return false;
    };
    match piece.kind {
        PieceKind::Comment => true,
        PieceKind::Instruction(index) => {
            file.instructions.get(index).is_some_and(|i| between_lines(file, i, piece.span, at))
        }
        _ => false,
    }
}

fn between_lines(file: &Dockerfile, instruction: &Instruction, piece: Span, at: usize) -> bool {
    let in_heredoc = instruction.heredocs.iter().any(|document| (document.span.start..document.span.end).contains(&at));
    let before = &file.source[piece.start..at];
    let line = before.rfind('\n').map(|end| &before[end + 1..]);
    !in_heredoc && line.is_some_and(|line| line.trim_start().starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line_of(bytes: &[u8]) -> Result<(), u32> {
        let text = decode(bytes.to_vec()).map_err(|error| error.line)?;
        assert_eq!(encode(&text, bytes), bytes);
        Ok(())
    }

    #[test]
    fn latin_1_in_comments_is_kept_and_elsewhere_refused() {
        assert_eq!(line_of("# käse\nFROM a\n".as_bytes()), Ok(()));
        assert_eq!(line_of(b"# k\xe4se\nFROM a\nRUN b \\\n # \xff\n c\n"), Ok(()));
        assert_eq!(line_of(b"# k\xe4se\nFROM a\nRUN b\xe4\n"), Err(3));
        assert_eq!(line_of(b"FROM a\nRUN b # \xe4\n"), Err(2), "the shell sees this");
        assert_eq!(line_of(b"FROM a\nRUN <<E\n# \xe4\nE\n"), Err(3), "and this");
        assert_eq!(line_of(b"# syntax=\xe4\nFROM a\n"), Err(1));
    }

    #[test]
    fn a_private_character_beside_foreign_bytes_is_not_taken_for_one() {
        let mut bytes = b"# \xe4 ".to_vec();
        bytes.extend("\u{10ffe4}\nFROM a\n".as_bytes());
        assert_eq!(line_of(&bytes), Err(1));
        assert_eq!(line_of("# \u{10ffe4}\nFROM a\n".as_bytes()), Ok(()), "where there are none");
    }
}
