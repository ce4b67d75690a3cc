//! The beginning of a file: text, with colours where they are wanted, or bytes in hexadecimal.

use std::io::{self, Write};

use crate::engine::image::inspect::{Preview, TreePath};
use crate::front::text::{self, Ink, Syntax};

/// Bytes of a binary file that are shown.
const BINARY: usize = 512;

/// Writes it. Errors: of the writer.
pub fn file(out: &mut dyn Write, path: &TreePath, preview: &Preview, colours: bool) -> io::Result<()> {
    let shown = match preview.text() {
        Some(content) => {
            let mut syntax = colours.then(|| syntax(path, content));
            for line in content.lines() {
                let line = text::block(line);
                match &mut syntax {
                    Some(syntax) => writeln!(out, "{}", painted(&syntax.line(&line)))?,
                    None => writeln!(out, "{line}")?,
                }
            }
            preview.bytes.len()
        }
        None => {
            let bytes = &preview.bytes[..preview.bytes.len().min(BINARY)];
            for line in hex(bytes) {
                writeln!(out, "{line}")?;
            }
            bytes.len()
        }
    };
    if (shown as u64) < preview.size {
        writeln!(out, "({} of {})", text::size(shown as u64), text::size(preview.size))?;
    }
    Ok(())
}

/// The colours for a file of this name and content.
pub fn syntax(path: &TreePath, content: &str) -> Syntax {
    Syntax::of_file(&String::from_utf8_lossy(path.name()), content.lines().next().unwrap_or(""))
}

/// Rows of sixteen bytes: where, in hexadecimal, and as letters.
pub fn hex(bytes: &[u8]) -> Vec<String> {
    let row = |(at, row): (usize, &[u8])| {
        let digits: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        let letter = |byte: &u8| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' };
        format!("{:08x}  {:<47}  {}", at * 16, digits.join(" "), row.iter().map(letter).collect::<String>())
    };
    bytes.chunks(16).enumerate().map(row).collect()
}

fn painted(pieces: &[(Ink, String)]) -> String {
    let mut out = String::new();
    for (ink, words) in pieces {
        let code = match (ink.colour, ink.dim) {
            (Some(colour @ 0..8), _) => (30 + colour).to_string(),
            (Some(colour), _) => (82 + colour.min(15)).to_string(),
            (None, true) => "2".to_owned(),
            (None, false) => String::new(),
        };
        match code.is_empty() {
            true => out.push_str(words),
            false => out.push_str(&format!("\x1b[{code}m{words}\x1b[0m")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, bytes: &[u8], size: u64, colours: bool) -> String {
        let mut out = Vec::new();
        file(&mut out, &TreePath::new(name.as_bytes()), &Preview { bytes: bytes.to_vec(), size }, colours).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_safe_and_coloured_only_where_it_is_wanted() {
        assert_eq!(shown("a.txt", b"a\x1b[2J\tb\nc", 8, false), "a\\x1b[2J    b\nc\n");
        assert!(shown("a.json", b"{\"a\": 1}", 8, true).contains("\x1b[32m"));
        assert!(!shown("a.json", b"{\"a\": 1}", 8, false).contains('\x1b'));
        // Between the colours, what the file says is escaped as everywhere.
        let evil = shown("a.json", b"{\"\x1b[31m\": 1}", 12, true);
        let plain: String = evil.split('\x1b').map(|part| part.split_once('m').map_or(part, |(_, rest)| rest)).collect();
        assert_eq!(plain, "{\"\\x1b[31m\": 1}\n");
        assert!(shown("a.txt", b"abc", 3000, false).ends_with("(3 B of 3.0 kB)\n"));
    }

    #[test]
    fn bytes_are_shown_in_hexadecimal() {
        let text = shown("a", b"\x7fELF\x02\0", 6, true);
        assert_eq!(text, "00000000  7f 45 4c 46 02 00                                .ELF..\n");
    }
}
