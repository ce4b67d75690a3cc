//! Small plain tables: columns aligned by the widest cell, two blanks between them.

use std::io::{self, Write};

use crate::front::text;

/// Writes a head and rows; every cell is made safe. Errors: of the writer.
pub fn write(out: &mut dyn Write, head: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let mut all = vec![head.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>()];
    all.extend(rows.iter().map(|row| row.iter().map(|cell| text::line(cell)).collect()));
    let widths: Vec<usize> = (0..head.len())
        .map(|column| all.iter().filter_map(|row| row.get(column)).map(|c| text::width(c)).max().unwrap_or(0))
        .collect();
    for row in &all {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| text::pad(cell, *width)).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

/// Seconds since 1970 as `2026-11-23 08:29:15` in UTC.
pub(super) fn moment(unix: u64) -> String {
    let at = std::time::UNIX_EPOCH.checked_add(std::time::Duration::from_secs(unix.min(253_402_300_799)));
    at.map_or_else(String::new, |t| humantime::format_rfc3339_seconds(t).to_string().replace('T', " ").replace('Z', ""))
}
