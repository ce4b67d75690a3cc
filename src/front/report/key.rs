//! `why STEP --key`: what a step's key is made of, beside another build's.

use std::io::{self, Write};

use serde::Serialize;

use super::{document, table};
use crate::engine::cache::Ingredients;
use crate::engine::cache::describe::{Part, outside, parts};

/// Values of more characters are cut in the table, not in the JSON.
const SHOWN: usize = 100;

/// The key of one step in one build, and in another one.
pub struct KeyView<'a> {
    /// Line of the step.
    pub line: u32,
    /// The instruction; untrusted.
    pub instruction: &'a str,
    /// The build.
    pub build: &'a str,
    /// Its ingredients there.
    pub now: &'a Ingredients,
    /// The other build and its ingredients, where the step was known then.
    pub then: Option<(&'a str, Option<&'a Ingredients>)>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    value: Option<String>,
    /// In the other build; missing where no other build was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    then: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    differs: Option<bool>,
}

fn rows(view: &KeyView<'_>) -> Vec<Row> {
    let now = parts(view.now);
    let then: Option<Vec<Part>> = view.then.map(|(_, then)| then.map(parts).unwrap_or_default());
    let find = |list: &[Part], name: &str| list.iter().find(|part| part.name == name).map(|part| part.value.clone());
    let row = |name: &str| {
        let value = find(&now, name);
        let old = then.as_ref().map(|then| find(then, name));
        let differs = old.as_ref().map(|old| *old != value);
        Row { name: name.to_owned(), value, then: old, differs }
    };
    let gone = then.iter().flatten().filter(|part| find(&now, &part.name).is_none());
    now.iter().chain(gone).map(|part| row(&part.name)).collect()
}

/// The table, and what is no part of the key. Errors: of the writer.
pub fn plain(out: &mut dyn Write, view: &KeyView<'_>) -> io::Result<()> {
    use crate::front::text;
    writeln!(out, "line {}: {}", view.line, text::line(view.instruction))?;
    let cut = |value: Option<String>| {
        let value = value.unwrap_or_else(|| "-".to_owned());
        match value.char_indices().nth(SHOWN) {
            Some((at, _)) => format!("{}…", &value[..at]),
            None => value,
        }
    };
    let mark = |row: &Row| if row.differs == Some(true) { "*" } else { "" }.to_owned();
    match view.then {
        None => {
            let rows: Vec<Vec<String>> = rows(view).into_iter().map(|row| vec![row.name, cut(row.value)]).collect();
            table::write(out, &["in its key", "value"], &rows)?;
        }
        Some((build, then)) => {
            if then.is_none() {
                writeln!(out, "the build {} had no such step", text::line(build))?;
            }
            let rows: Vec<Vec<String>> = rows(view)
                .into_iter()
                .map(|row| vec![mark(&row), row.name, cut(row.value), cut(row.then.flatten())])
                .collect();
            table::write(out, &["", "in its key", view.build, build], &rows)?;
        }
    }
    writeln!(out, "not in its key:")?;
    for words in outside(&view.now.operation) {
        writeln!(out, "  {words}")?;
    }
    Ok(())
}

/// The same as one document. Errors: of the writer.
pub fn json(out: &mut dyn Write, view: &KeyView<'_>) -> io::Result<()> {
    document::json(
        out,
        &serde_json::json!({
            "schema": 1, "line": view.line, "instruction": view.instruction, "build": view.build,
            "against": view.then.map(|(build, _)| build), "key": rows(view), "not_in_key": outside(&view.now.operation),
        }),
    )
}
