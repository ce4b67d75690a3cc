//! `history ls`.

use std::io::{self, Write};

use serde::Serialize;

use super::{document, table};
use crate::front::text;

/// A build on record.
#[derive(Debug, Clone, Serialize)]
pub struct BuildRow {
    /// Its unique name.
    pub build: String,
    /// Seconds since 1970.
    pub unix: u64,
    /// Shown path.
    pub dockerfile: String,
    /// `--target`.
    pub target: Option<String>,
    /// `done`, `failed`, `cancelled`, `interrupted`.
    pub outcome: String,
    /// It took.
    pub micros: u64,
    /// Steps served from the cache.
    pub hits: u64,
    /// Steps executed.
    pub ran: u64,
}

/// A table, in the given order. Errors: of the writer.
pub fn plain(out: &mut dyn Write, rows: &[BuildRow]) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(out, "no builds yet: `rbuild-tui build` makes one");
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.build.clone(),
                table::moment(row.unix),
                row.dockerfile.clone(),
                row.target.clone().unwrap_or_else(|| "-".to_owned()),
                row.outcome.clone(),
                text::seconds(row.micros),
                row.hits.to_string(),
                row.ran.to_string(),
            ]
        })
        .collect();
    table::write(out, &["BUILD", "STARTED (UTC)", "DOCKERFILE", "TARGET", "RESULT", "TIME", "HITS", "RAN"], &cells)
}

/// `{"schema":1,"builds":[…]}`. Errors: of the writer.
pub fn json(out: &mut dyn Write, rows: &[BuildRow]) -> io::Result<()> {
    document::json(out, &serde_json::json!({"schema": 1, "builds": rows}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_names_are_safe() {
        let row = BuildRow {
            build: "b\x1b[2J1".into(),
            unix: 1_790_000_000,
            dockerfile: "Dockerfile".into(),
            target: None,
            outcome: "done".into(),
            micros: 64_000_000,
            hits: 11,
            ran: 4,
        };
        let mut out = Vec::new();
        plain(&mut out, &[row]).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("b\\x1b[2J1  2026-09-21 14:13:20  Dockerfile  -       done    1m 04s  11    4\n"), "{text}");
    }
}
