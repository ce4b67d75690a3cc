//! A buffer as a picture: SVG with one rectangle a run of background and one text a run of style. Deterministic, and a
//! function of the buffer alone.

use std::fmt::Write;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use unicode_width::UnicodeWidthStr;

const CELL: (f32, f32) = (8.43, 18.0);
const PAPER: &str = "#16181d";
const INK: &str = "#d8dee9";
/// Names of the palette's colours, in its order.
const NAMES: &str = "Black Red Green Yellow Blue Magenta Cyan Gray DarkGray LightRed LightGreen LightYellow LightBlue \
    LightMagenta LightCyan White";
const PALETTE: [&str; 16] = [
    "#2e3440", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#abb2bf", "#6b7280", "#ff7b86", "#b5e890",
    "#ffd68a", "#82c4ff", "#dd9bf0", "#7fdbe6", "#ffffff",
];

/// How a cell looks, with reversed colours resolved.
#[derive(Clone, Copy, PartialEq)]
struct Look {
    ink: &'static str,
    paper: &'static str,
    bold: bool,
    dim: bool,
    underlined: bool,
}

/// Draws a buffer as SVG.
pub fn svg(buffer: &Buffer) -> String {
    let area = buffer.area;
    let (width, height) = (f32::from(area.width) * CELL.0 + 16.0, f32::from(area.height) * CELL.1 + 16.0);
    let mut out = String::new();
    let _ = writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.1} {height:.1}" width="{width:.1}" height="{height:.1}" font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14" xml:space="preserve">"#
    );
    let _ = writeln!(out, r#"<rect width="100%" height="100%" rx="6" fill="{PAPER}"/>"#);
    for y in 0..area.height {
        let mut x = 0;
        while x < area.width {
            let look = look(&buffer[(area.x + x, area.y + y)]);
            let start = x;
            while x < area.width && self::look(&buffer[(area.x + x, area.y + y)]) == look {
                x += 1;
            }
            run(&mut out, buffer, (start, x, y), look);
        }
    }
    out.push_str("</svg>\n");
    out
}

fn look(cell: &Cell) -> Look {
    let (mut ink, mut paper) = (colour(cell.fg, INK), colour(cell.bg, PAPER));
    if cell.modifier.contains(Modifier::REVERSED) {
        (ink, paper) = (paper, ink);
    }
    let has = |modifier| cell.modifier.contains(modifier);
    Look { ink, paper, bold: has(Modifier::BOLD), dim: has(Modifier::DIM), underlined: has(Modifier::UNDERLINED) }
}

/// The 16 colours and the default; the interface uses no others.
fn colour(colour: Color, default: &'static str) -> &'static str {
    let name = colour.to_string();
    NAMES.split(' ').position(|known| known == name).map_or(default, |at| PALETTE[at])
}

fn run(out: &mut String, buffer: &Buffer, (start, end, y): (u16, u16, u16), look: Look) {
    let left = |x: u16| 8.0 + f32::from(x) * CELL.0;
    let top = 8.0 + f32::from(y) * CELL.1;
    if look.paper != PAPER {
        let (x, width) = (left(start), f32::from(end - start) * CELL.0);
        let _ = writeln!(
            out,
            r#"<rect x="{x:.1}" y="{top:.1}" width="{width:.1}" height="{:.1}" fill="{}" shape-rendering="crispEdges"/>"#,
            CELL.1, look.paper
        );
    }
    let mut word = Word { look, base: top + 13.5, places: String::new(), letters: String::new() };
    let mut covered = start;
    for x in start..end {
        let symbol = buffer[(buffer.area.x + x, buffer.area.y + y)].symbol();
        let shape = shape(symbol, left(x), top, look.ink);
        if x < covered || symbol.trim().is_empty() || shape.is_some() {
            word.write(out);
            shape.into_iter().for_each(|shape| out.push_str(&shape));
            continue;
        }
        covered = x + symbol.width().max(1) as u16;
        for letter in symbol.chars() {
            let _ = write!(word.places, "{:.1} ", left(x));
            match letter {
                '<' => word.letters.push_str("&lt;"),
                '&' => word.letters.push_str("&amp;"),
                letter => word.letters.push(letter),
            }
        }
    }
    word.write(out);
}

/// Letters without a blank between them, each with its place: what viewers that know only one place a text still show well.
struct Word {
    look: Look,
    base: f32,
    places: String,
    letters: String,
}

impl Word {
    fn write(&mut self, out: &mut String) {
        let (places, letters) = (std::mem::take(&mut self.places), std::mem::take(&mut self.letters));
        if letters.is_empty() {
            return;
        }
        let weight = if self.look.bold { r#" font-weight="bold""# } else { "" };
        let faint = if self.look.dim { r#" opacity=".62""# } else { "" };
        let line = if self.look.underlined { r#" text-decoration="underline""# } else { "" };
        let (ink, base, places) = (self.look.ink, self.base, places.trim_end());
        let _ = writeln!(out, r#"<text x="{places}" y="{base:.1}" fill="{ink}"{weight}{faint}{line}>{letters}</text>"#);
    }
}

/// Box drawing and blocks as shapes, so that no seams show between cells.
fn shape(symbol: &str, x: f32, y: f32, ink: &str) -> Option<String> {
    let (w, h) = CELL;
    let (cx, cy, right, bottom) = (x + w / 2.0, y + h / 2.0, x + w, y + h);
    let path = match symbol {
        "─" => format!("M{x:.1} {cy:.1}H{right:.1}"),
        "│" => format!("M{cx:.1} {y:.1}V{bottom:.1}"),
        "╭" => format!("M{cx:.1} {bottom:.1}Q{cx:.1} {cy:.1} {right:.1} {cy:.1}"),
        "╮" => format!("M{cx:.1} {bottom:.1}Q{cx:.1} {cy:.1} {x:.1} {cy:.1}"),
        "╰" => format!("M{cx:.1} {y:.1}Q{cx:.1} {cy:.1} {right:.1} {cy:.1}"),
        "╯" => format!("M{cx:.1} {y:.1}Q{cx:.1} {cy:.1} {x:.1} {cy:.1}"),
        "█" | "▌" => {
            let (width, tall) = (if symbol == "█" { w + 0.4 } else { w / 2.0 }, h - 5.0);
            return Some(format!(
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{tall:.1}\" fill=\"{ink}\"/>\n",
                y + 2.5
            ));
        }
        _ => return None,
    };
    Some(format!("<path d=\"{path}\" stroke=\"{ink}\" fill=\"none\"/>\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_terminal_colour_has_a_place_in_the_palette() {
        for (at, named) in [(0, Color::Black), (8, Color::DarkGray), (9, Color::LightRed), (15, Color::White)] {
            assert_eq!(colour(named, INK), PALETTE[at]);
        }
        assert_eq!(colour(Color::Reset, INK), INK);
    }
}
