//! A program in a pseudo-terminal, and the cells that it drew.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use unicode_width::UnicodeWidthChar;
use vte::{Params, Parser, Perform};

/// How long to wait for something on the screen.
const PATIENCE: Duration = Duration::from_secs(90);
/// The screen is quiet when nothing came for so long.
const QUIET: Duration = Duration::from_millis(150);

pub struct Terminal {
    child: Child,
    keys: File,
    output: Receiver<Vec<u8>>,
    parser: Parser,
    cells: Cells,
}

impl Terminal {
    pub fn start(program: &str, arguments: &[&str], (columns, rows): (u16, u16)) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let side = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let end = || Stdio::from(side.try_clone().unwrap());
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs([("TERM", "xterm-256color"), ("LC_ALL", "C.UTF-8"), ("PATH", "/usr/bin:/bin")])
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        drop(side);
        let keys = File::from(master);
        let mut reader = keys.try_clone().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 16 << 10];
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { child, keys, output, parser: Parser::new(), cells: Cells::new(columns, rows) }
    }

    pub fn press(&mut self, keys: &str) {
        for key in keys.bytes() {
            self.keys.write_all(&[key]).unwrap();
            self.settle();
        }
    }

    /// Reads until the text is on the screen and the screen is quiet, or at least a moment older.
    pub fn wait_for(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.text().contains(text) {
            assert!(Instant::now() < end, "`{text}` did not appear:\n{}", self.text());
            if !self.read(Duration::from_millis(50)) {
                panic!("the program ended before `{text}`:\n{}", self.text());
            }
        }
        self.settle();
    }

    /// Until nothing more comes; a running build never stops drawing, so for one second at most.
    fn settle(&mut self) {
        let end = Instant::now() + Duration::from_secs(1);
        while let Ok(bytes) = self.output.recv_timeout(QUIET) {
            self.parser.advance(&mut self.cells, &bytes);
            if Instant::now() > end {
                break;
            }
        }
    }

    fn read(&mut self, patience: Duration) -> bool {
        match self.output.recv_timeout(patience) {
            Ok(bytes) => self.parser.advance(&mut self.cells, &bytes),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        true
    }

    pub fn ended(&mut self, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        while Instant::now() < end {
            self.read(Duration::from_millis(20));
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.success();
            }
        }
        false
    }

    pub fn buffer(&self) -> &Buffer {
        &self.cells.buffer
    }

    pub fn text(&self) -> String {
        let buffer = self.buffer();
        let row = |y| (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..buffer.area.height).map(row).collect::<Vec<String>>().join("\n")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a terminal shows; as much of its language as the interface speaks.
struct Cells {
    buffer: Buffer,
    x: u16,
    y: u16,
    style: Style,
}

impl Cells {
    fn new(columns: u16, rows: u16) -> Self {
        Self { buffer: Buffer::empty(Rect::new(0, 0, columns, rows)), x: 0, y: 0, style: Style::reset() }
    }

    fn clear(&mut self, from: (u16, u16), to: (u16, u16)) {
        let width = usize::from(self.buffer.area.width);
        let at = |(x, y): (u16, u16)| usize::from(y) * width + usize::from(x);
        let end = at(to).min(self.buffer.content.len());
        let start = at(from).min(end);
        self.buffer.content[start..end].fill(Cell::default());
    }

    fn down(&mut self) {
        if self.y + 1 < self.buffer.area.height {
            self.y += 1;
            return;
        }
        let width = usize::from(self.buffer.area.width);
        self.buffer.content.drain(..width);
        self.buffer.content.extend(std::iter::repeat_n(Cell::default(), width));
    }

    fn paint(&mut self, numbers: &[u16]) {
        let mut rest = numbers.iter().copied();
        while let Some(number) = rest.next() {
            self.style = match number {
                0 => Style::reset(),
                1 => self.style.add_modifier(Modifier::BOLD),
                2 => self.style.add_modifier(Modifier::DIM),
                4 => self.style.add_modifier(Modifier::UNDERLINED),
                7 => self.style.add_modifier(Modifier::REVERSED),
                22 => self.style.remove_modifier(Modifier::BOLD | Modifier::DIM),
                24 => self.style.remove_modifier(Modifier::UNDERLINED),
                27 => self.style.remove_modifier(Modifier::REVERSED),
                30..=37 => self.style.fg(colour(number - 30)),
                40..=47 => self.style.bg(colour(number - 40)),
                90..=97 => self.style.fg(colour(number - 82)),
                100..=107 => self.style.bg(colour(number - 92)),
                39 => self.style.fg(Color::Reset),
                49 => self.style.bg(Color::Reset),
                38 | 48 if rest.next() == Some(5) => {
                    let colour = rest.next().map_or(Color::Reset, colour);
                    if number == 38 { self.style.fg(colour) } else { self.style.bg(colour) }
                }
                _ => self.style,
            };
        }
    }
}

/// The sixteen by name, as the pictures' palette knows them.
fn colour(number: u16) -> Color {
    use Color::*;
    let names = [
        Black,
        Red,
        Green,
        Yellow,
        Blue,
        Magenta,
        Cyan,
        Gray,
        DarkGray,
        LightRed,
        LightGreen,
        LightYellow,
        LightBlue,
        LightMagenta,
        LightCyan,
        White,
    ];
    names.get(usize::from(number)).copied().unwrap_or(Indexed(number.min(255) as u8))
}

impl Perform for Cells {
    fn print(&mut self, letter: char) {
        let width = letter.width().unwrap_or(0) as u16;
        if width == 0 {
            return;
        }
        if self.x + width > self.buffer.area.width {
            self.x = 0;
            self.down();
        }
        let cell = &mut self.buffer[(self.x, self.y)];
        *cell = Cell::default();
        cell.set_char(letter).set_style(self.style);
        self.x += width;
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' => self.down(),
            b'\r' => self.x = 0,
            8 => self.x = self.x.saturating_sub(1),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], _: bool, action: char) {
        let numbers: Vec<u16> = params.iter().flatten().copied().collect();
        let number = |at: usize| numbers.get(at).copied().filter(|n| *n > 0).unwrap_or(1);
        let (right, bottom) = (self.buffer.area.width - 1, self.buffer.area.height - 1);
        let end = (0, bottom + 1);
        match (action, numbers.first().copied().unwrap_or(0)) {
            ('H' | 'f', _) => (self.y, self.x) = ((number(0) - 1).min(bottom), (number(1) - 1).min(right)),
            ('A', _) => self.y = self.y.saturating_sub(number(0)),
            ('B', _) => self.y = (self.y + number(0)).min(bottom),
            ('C', _) => self.x = (self.x + number(0)).min(right),
            ('D', _) => self.x = self.x.saturating_sub(number(0)),
            ('G', _) => self.x = (number(0) - 1).min(right),
            ('d', _) => self.y = (number(0) - 1).min(bottom),
            ('J', 0) => self.clear((self.x, self.y), end),
            ('J', _) => self.clear((0, 0), end),
            ('K', 0) => self.clear((self.x, self.y), (0, self.y + 1)),
            ('m', _) if numbers.is_empty() => self.style = Style::reset(),
            ('m', _) if intermediates.is_empty() => self.paint(&numbers),
            ('h' | 'l', 1049) => self.clear((0, 0), end),
            _ => {}
        }
    }
}
