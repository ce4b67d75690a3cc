//! The user's terminal while a shell has it: raw, and given back as it was on every way out.

use std::os::fd::BorrowedFd;

use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::engine::protocol::TerminalSize;

/// The title is put aside before the shell begins (XTWINOPS 22), and taken back after it.
const BEGIN: &[u8] = b"\x1b[22;0t";

/// Takes back what a program may have left, by malice or by its death. No part of it moves the cursor of a terminal that is
/// as it should be.
const RESET: &[&[u8]] = &[
    // The end of an unfinished sequence or string.
    b"\x18\x1b\\",
    // The normal screen; not by 1049, which would also put the cursor where it once was.
    b"\x1b[?1047l\x1b[?47l",
    // Mouse, focus, pasting, held drawing.
    b"\x1b[?9l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1005l\x1b[?1006l\x1b[?1015l\x1b[?1016l\x1b[?2004l\x1b[?2026l",
    // Keys: cursor keys, keypad, xterm's and kitty's further ones.
    b"\x1b[?1l\x1b>\x1b[>4;0m\x1b[=0u",
    // The scrolling region; setting it moves the cursor, so that is kept and put back.
    b"\x1b7\x1b[r\x1b8",
    // A soft reset, then wrapping, which that switches off in some, inserting, reversed screen.
    b"\x1b[!p\x1b[?7h\x1b[4l\x1b[?5l",
    // Character sets, link, colours of text, palette.
    b"\x0f\x1b(B\x1b)0\x1b]8;;\x1b\\\x1b[0m\x1b]104\x1b\\\x1b]110\x1b\\\x1b]111\x1b\\\x1b]112\x1b\\",
    // The cursor, its shape, the title.
    b"\x1b[?25h\x1b[0 q\x1b[23;0t",
];

/// Raw until dropped.
pub struct Raw {
    before: Termios,
}

impl Raw {
    /// Errors: standard input is no terminal.
    pub fn enter() -> std::io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Flush, &raw)?;
        let raw = Self { before };
        write_all(stdout(), BEGIN);
        Ok(raw)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        RESET.iter().for_each(|part| write_all(stdout(), part));
        // What a hostile query had the terminal type must not be read by whoever reads next.
        let _ = tcsetattr(stdin(), OptionalActions::Flush, &self.before);
    }
}

/// Takes modes back where a program wrote on the terminal without having it.
pub fn reset(fd: BorrowedFd<'_>) {
    // The title was not put aside here.
    RESET[..RESET.len() - 1].iter().for_each(|part| write_all(fd, part));
    write_all(fd, b"\x1b[?25h\x1b[0 q");
}

/// Size of the terminal; a usual one where it does not say.
pub fn size() -> TerminalSize {
    match rustix::termios::tcgetwinsize(stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => TerminalSize { columns: size.ws_col, rows: size.ws_row },
        _ => TerminalSize { columns: 80, rows: 24 },
    }
}

/// Writes everything, or as much as a terminal takes that is gone.
pub fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(0) => return,
            Ok(n) => bytes = &bytes[n..],
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}
