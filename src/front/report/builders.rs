//! `why --builders`: one table of what other builders would have done.

use std::io::{self, Write};

use super::{document, table};
use crate::insight::model::BuildState;
use crate::insight::model::builders::{Answer, Row, compare};

/// The table. Errors: of the writer.
pub fn plain(out: &mut dyn Write, state: &BuildState) -> io::Result<()> {
    let mut notes: Vec<String> = Vec::new();
    let mut rows = Vec::new();
    for row in compare(state) {
        let Some(step) = state.step(row.vertex) else { continue };
        let name: String = step.name.chars().take(50).collect();
        let mut cells = vec![step.line.to_string(), name, row.ours.word().to_owned()];
        for opinion in &row.others {
            let differs = opinion.answer != row.ours && !opinion.why.is_empty();
            let mark = if differs { note(&mut notes, &opinion.why) } else { String::new() };
            cells.push(format!("{}{mark}", opinion.answer.word()));
        }
        rows.push(cells);
    }
    table::write(out, &["line", "instruction", "BuildKit", "classic", "buildah", "kaniko"], &rows)?;
    for (at, words) in notes.iter().enumerate() {
        writeln!(out, "[{}] {words}", at + 1)?;
    }
    writeln!(
        out,
        "with the build before in each one's cache; buildah with --layers, kaniko with --cache --cache-copy-layers"
    )
}

fn note(notes: &mut Vec<String>, words: &str) -> String {
    let at = notes.iter().position(|known| known == words).unwrap_or_else(|| {
        notes.push(words.to_owned());
        notes.len() - 1
    });
    format!(" [{}]", at + 1)
}

/// The same as one document. Errors: of the writer.
pub fn json(out: &mut dyn Write, state: &BuildState) -> io::Result<()> {
    let rows: Vec<serde_json::Value> = compare(state).iter().map(|row| json_row(state, row)).collect();
    document::json(out, &serde_json::json!({"schema": 1, "build": state.build, "steps": rows}))
}

fn json_row(state: &BuildState, row: &Row) -> serde_json::Value {
    let step = state.step(row.vertex);
    let mut out = serde_json::json!({
        "line": step.map(|step| step.line), "instruction": step.map(|step| &step.name), "buildkit": row.ours.word(),
    });
    for opinion in &row.others {
        let why = (opinion.answer != Answer::Hit || !opinion.why.is_empty()).then_some(&opinion.why);
        out[opinion.builder.word()] = serde_json::json!({"answer": opinion.answer.word(), "why": why});
    }
    out
}
