//! A step's raw output as safe lines. Escape sequences are read by `vte` and dropped; only colours survive, as data.

use unicode_width::UnicodeWidthChar;
use vte::{Params, Parser, Perform};

use super::escape::is_deceptive;

/// How a piece of output was meant to look; only what 16 terminal colours can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ink {
    /// 0 to 15.
    pub colour: Option<u8>,
    /// Bold.
    pub bold: bool,
    /// Faint.
    pub dim: bool,
}

/// One line: pieces of safe text, each in one ink.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutputLine {
    /// In order.
    pub pieces: Vec<(Ink, String)>,
}

impl OutputLine {
    /// The text without ink.
    pub fn text(&self) -> String {
        self.pieces.iter().map(|(_, text)| text.as_str()).collect()
    }
}

/// The longest line kept; the rest of a longer one goes on in the next.
const LONGEST: usize = 4000;

/// Reads output piece by piece; a piece may end anywhere, in a character or a sequence too.
#[derive(Default)]
pub struct Screen {
    parser: Parser,
    lines: Lines,
}

impl Screen {
    /// Takes the next bytes of the output.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.parser.advance(&mut self.lines, bytes);
    }

    /// Finished lines since the last call.
    pub fn take_finished(&mut self) -> Vec<OutputLine> {
        std::mem::take(&mut self.lines.finished)
    }

    /// Finished lines, kept.
    pub fn finished(&self) -> &[OutputLine] {
        &self.lines.finished
    }

    /// Forgets all but the last `count` finished lines; true when any was forgotten.
    pub fn keep_last(&mut self, count: usize) -> bool {
        let excess = self.lines.finished.len().saturating_sub(count);
        self.lines.finished.drain(..excess);
        excess > 0
    }

    /// The line that has no end yet, if it has any text.
    pub fn unfinished(&self) -> Option<&OutputLine> {
        (!self.lines.current.pieces.is_empty()).then_some(&self.lines.current)
    }

    /// Ends the last line, if it has any text, and gives the lines not yet taken.
    pub fn close(&mut self) -> Vec<OutputLine> {
        if self.unfinished().is_some() {
            self.lines.end_line();
        }
        self.take_finished()
    }
}

#[derive(Default)]
struct Lines {
    finished: Vec<OutputLine>,
    current: OutputLine,
    cells: usize,
    ink: Ink,
    returned: bool,
}

impl Lines {
    fn end_line(&mut self) {
        self.finished.push(std::mem::take(&mut self.current));
        self.cells = 0;
        self.returned = false;
    }

    fn push(&mut self, text: &str, cells: usize) {
        if self.returned {
            self.current.pieces.clear();
            self.cells = 0;
            self.returned = false;
        }
        if self.cells + cells > LONGEST {
            self.end_line();
        }
        self.cells += cells;
        match self.current.pieces.last_mut() {
            Some((ink, last)) if *ink == self.ink => last.push_str(text),
            _ => self.current.pieces.push((self.ink, text.to_owned())),
        }
    }

    fn colour(&mut self, code: u16) {
        match code {
            0 => self.ink = Ink::default(),
            1 => self.ink.bold = true,
            2 => self.ink.dim = true,
            22 => (self.ink.bold, self.ink.dim) = (false, false),
            30..=37 => self.ink.colour = Some((code - 30) as u8),
            39 => self.ink.colour = None,
            90..=97 => self.ink.colour = Some((code - 90 + 8) as u8),
            _ => {}
        }
    }
}

impl Perform for Lines {
    fn print(&mut self, c: char) {
        if is_deceptive(c) {
            let shown = format!("\\u{{{:x}}}", c as u32);
            let cells = shown.len();
            self.push(&shown, cells);
        } else if !c.is_control() {
            self.push(c.encode_utf8(&mut [0; 4]), c.width().unwrap_or(0));
        }
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' => self.end_line(),
            b'\r' => self.returned = true,
            b'\t' => {
                let blanks = 8 - self.cells % 8;
                self.push(&" ".repeat(blanks), blanks);
            }
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], _ignore: bool, action: char) {
        if action != 'm' || !intermediates.is_empty() {
            return;
        }
        let mut codes = params.iter().map(|p| (p.first().copied().unwrap_or(0), p.len()));
        while let Some((code, len)) = codes.next() {
            if matches!(code, 38 | 48) {
                if len == 1 {
                    let skip = if codes.next().map(|(c, _)| c) == Some(2) { 3 } else { 1 };
                    codes.by_ref().take(skip).for_each(drop);
                }
            } else {
                self.colour(code);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let mut screen = Screen::default();
        for chunk in chunks {
            screen.feed(chunk);
        }
        screen.close().iter().map(OutputLine::text).collect()
    }

    #[test]
    fn sequences_are_dropped_and_text_stays() {
        let hostile = b"a\x1b]0;title\x07b\x1b[2J\x1b[1;1Hc\x1bPdcs\x1b\\d\n\x1b]52;c;aGk=\x1b\\end";
        assert_eq!(lines(&[hostile]), ["abcd", "end"]);
        assert_eq!(lines(&["x\u{202e}y".as_bytes()]), ["x\\u{202e}y"]);
        assert_eq!(lines(&[b"\xff\xfe\n\x9b31mx"])[0], "\u{fffd}\u{fffd}");
    }

    #[test]
    fn pieces_may_end_anywhere() {
        let text = "ä\x1b[31mrot\x1b[0m\r\nnext".as_bytes();
        for cut in 0..text.len() {
            assert_eq!(lines(&[&text[..cut], &text[cut..]]), ["ärot", "next"]);
        }
    }

    #[test]
    fn a_progress_bar_keeps_its_last_state() {
        assert_eq!(lines(&[b"10%\r50%\r100%\ndone\r\n"]), ["100%", "done"]);
    }

    #[test]
    fn colours_become_ink() {
        let mut screen = Screen::default();
        screen.feed(b"\x1b[1;92mok\x1b[38;5;12m?\x1b[38;2;1;2;3m!\x1b[m.\n");
        let pieces = &screen.finished()[0].pieces;
        assert_eq!(pieces[0], (Ink { colour: Some(10), bold: true, dim: false }, "ok?!".to_owned()));
        assert_eq!(pieces[1], (Ink::default(), ".".to_owned()));
    }
}
