//! `heat`, plain and JSON.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::document::json as write_json;
use super::table;
use super::whatif::lines;
use crate::front::text;
use crate::insight::workbench::heat::{Heat, HeatRow};

/// The tree. Errors: of the writer.
pub fn plain(out: &mut dyn Write, heat: &Heat) -> io::Result<()> {
    let cost = |cost: f64| match heat.in_seconds {
        true => text::seconds((cost * 1e6) as u64),
        false => format!("{cost:.1}"),
    };
    let unit = if heat.in_seconds { "seconds" } else { "steps" };
    let name = |row: &HeatRow| {
        let last = row.path.rsplit('/').next().unwrap_or("");
        let slash = if row.is_folder && !row.path.is_empty() { "/" } else { "" };
        let shown = if row.path.is_empty() { "." } else { last };
        format!("{}{shown}{slash}", "  ".repeat(row.depth))
    };
    let with_history = heat.commits.is_some();
    let rows: Vec<Vec<String>> = heat
        .rows
        .iter()
        .map(|row| {
            let read = if row.read_by.is_empty() { "none".into() } else { lines(&row.read_by) };
            match (row.heat, row.per_hundred) {
                (Some(hot), Some(often)) => vec![cost(hot), cost(row.cost), format!("{often:.1}"), name(row), read],
                _ => vec![cost(row.cost), name(row), read],
            }
        })
        .collect();
    let each = format!("{unit} a change");
    let all = format!("{unit} per 100 commits");
    match with_history {
        true => table::write(out, &[&all, &each, "changes per 100 commits", "path", "read by"], &rows)?,
        false => table::write(out, &[&each, "path", "read by"], &rows)?,
    }
    writeln!(out)?;
    match heat.commits {
        Some(count) => writeln!(out, "{} of {} paths; {count} commits of the history", heat.rows.len(), heat.paths)?,
        None => {
            let why = "no git history: how often paths change is not known";
            writeln!(out, "{} of {} paths; {why}", heat.rows.len(), heat.paths)?;
        }
    }
    if !heat.in_seconds {
        writeln!(out, "no build of this project is on record, so there are no times: steps are counted")?;
    } else if !heat.untimed.is_empty() {
        writeln!(out, "not counted: {}, which no record has a time for", lines(&heat.untimed))?;
    }
    Ok(())
}

/// `{"schema":1,"dockerfile":…,"unit":"seconds"|"steps","commits":…|null,"paths":…,"rows":[…]}`. Errors: of the writer.
pub fn json(out: &mut dyn Write, heat: &Heat) -> io::Result<()> {
    let row = |row: &HeatRow| -> Value {
        json!({
            "path": row.path, "folder": row.is_folder, "cost": row.cost, "changes": row.changes,
            "changes_per_100_commits": row.per_hundred, "cost_per_100_commits": row.heat, "read_by": row.read_by,
        })
    };
    let document = json!({
        "schema": 1,
        "dockerfile": heat.dockerfile,
        "unit": if heat.in_seconds { "seconds" } else { "steps" },
        "commits": heat.commits,
        "paths": heat.paths,
        "rows": heat.rows.iter().map(row).collect::<Vec<_>>(),
        "untimed_lines": heat.untimed,
    });
    write_json(out, &document)
}
