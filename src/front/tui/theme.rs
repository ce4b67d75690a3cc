//! Colours and glyphs: the 16 terminal colours only, so that the interface follows any palette.

use ratatui::style::{Color, Modifier, Style};

use crate::front::text::Ink;
use crate::insight::model::Mark;

/// How things look.
#[derive(Debug, Clone, Copy, Default)]
pub struct Theme {
    /// No colours: state by glyph, selection reversed.
    pub mono: bool,
    /// ASCII only.
    pub ascii: bool,
}

impl Theme {
    fn ink(self, colour: Color) -> Style {
        if self.mono { Style::new() } else { Style::new().fg(colour) }
    }

    /// A step's glyph; two cells at most.
    pub fn glyph(self, mark: Mark) -> &'static str {
        let (sign, ascii) = match mark {
            Mark::Cached => ("✓", "ok"),
            Mark::New => ("+", "+"),
            Mark::Changed => ("✗", "**"),
            Mark::Reran => ("↳", "->"),
            Mark::Running => ("▶", ">>"),
            Mark::Waiting => ("○", ".."),
            Mark::Failed => ("‼", "!!"),
            Mark::Skipped | Mark::Cancelled => ("–", "--"),
            Mark::Config => ("·", "."),
        };
        if self.ascii { ascii } else { sign }
    }

    /// The colour of a step's glyph and word.
    pub fn mark(self, mark: Mark) -> Style {
        match mark {
            Mark::Cached => self.ink(Color::Green),
            Mark::New => self.ink(Color::Blue),
            Mark::Changed => self.ink(Color::Red).add_modifier(Modifier::BOLD),
            Mark::Reran => self.ink(Color::Yellow),
            Mark::Running => self.ink(Color::Cyan).add_modifier(Modifier::BOLD),
            Mark::Failed => self.ink(Color::LightRed).add_modifier(Modifier::BOLD),
            Mark::Waiting | Mark::Skipped | Mark::Cancelled | Mark::Config => self.dim(),
        }
    }

    /// Less important.
    pub fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// Headings and names of keys.
    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The name of the program, the open tab.
    pub fn accent(self) -> Style {
        self.ink(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    /// What can be saved.
    pub fn advice(self) -> Style {
        self.ink(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    /// Errors.
    pub fn error(self) -> Style {
        self.ink(Color::LightRed).add_modifier(Modifier::BOLD)
    }

    /// Success and added lines.
    pub fn good(self) -> Style {
        self.ink(Color::Green)
    }

    /// Removed lines.
    pub fn removed(self) -> Style {
        self.ink(Color::Red)
    }

    /// The selected row.
    pub fn selected(self) -> Style {
        Style::new().fg(Color::Reset).remove_modifier(Modifier::DIM).add_modifier(Modifier::REVERSED)
    }

    /// Borders of panes.
    pub fn border(self) -> Style {
        self.ink(Color::DarkGray)
    }

    /// A colour by its number among the 16, as output and shell text use them.
    pub fn indexed(self, colour: u8) -> Style {
        self.ink(match colour {
            0 => Color::DarkGray,
            1 => Color::Red,
            2 => Color::Green,
            3 => Color::Yellow,
            4 => Color::Blue,
            5 => Color::Magenta,
            6 => Color::Cyan,
            7 => Color::Gray,
            8 => Color::DarkGray,
            9 => Color::LightRed,
            10 => Color::LightGreen,
            11 => Color::LightYellow,
            12 => Color::LightBlue,
            13 => Color::LightMagenta,
            14 => Color::LightCyan,
            _ => Color::Reset,
        })
    }

    /// The look that a step's output asked for.
    pub fn output(self, ink: Ink) -> Style {
        let mut style = ink.colour.map_or_else(Style::new, |colour| self.indexed(colour));
        if ink.bold {
            style = style.add_modifier(Modifier::BOLD);
        }
        if ink.dim { style.add_modifier(Modifier::DIM) } else { style }
    }

    /// Replaces every cell that is not ASCII when only ASCII is wanted: our own signs by their likes, all else by `?`.
    pub fn finish(self, buffer: &mut ratatui::buffer::Buffer) {
        if !self.ascii {
            return;
        }
        for cell in buffer.content.iter_mut().filter(|cell| !cell.symbol().is_ascii()) {
            let plain = match cell.symbol() {
                "╭" | "╮" | "╰" | "╯" | "├" | "┤" => "+",
                "─" | "–" => "-",
                "│" => "|",
                "…" => "~",
                "▌" | "›" => ">",
                "▲" => "^",
                "·" => ".",
                "▾" => "v",
                "▸" => ">",
                "█" => "#",
                "↑" => "^",
                "↓" => "v",
                _ => "?",
            };
            cell.set_symbol(plain);
        }
    }
}
