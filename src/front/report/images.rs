//! `image ls`.

use std::io::{self, Write};

use serde::Serialize;

use super::{document, table};
use crate::front::text;

/// An image in the store.
#[derive(Debug, Clone, Serialize)]
pub struct ImageRow {
    /// `shop-api:latest`; `<none>` when it has no name.
    pub name: String,
    /// Digest of its configuration.
    pub id: String,
    /// Bytes of its layers.
    pub size: u64,
    /// Seconds since 1970.
    pub created: Option<u64>,
}

/// A table. Errors: of the writer.
pub fn plain(out: &mut dyn Write, rows: &[ImageRow]) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(out, "no images yet: `rbuild-tui build` makes one, `rbuild-tui image load` reads one");
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let id = row.id.strip_prefix("sha256:").unwrap_or(&row.id).chars().take(12).collect();
            let created = row.created.map_or_else(|| "-".to_owned(), table::moment);
            vec![row.name.clone(), id, text::size(row.size), created]
        })
        .collect();
    table::write(out, &["NAME", "ID", "SIZE", "CREATED (UTC)"], &cells)
}

/// `{"schema":1,"images":[…]}`. Errors: of the writer.
pub fn json(out: &mut dyn Write, rows: &[ImageRow]) -> io::Result<()> {
    document::json(out, &serde_json::json!({"schema": 1, "images": rows}))
}

/// An image that was pulled, pushed or saved.
#[derive(Debug, Clone, Serialize)]
pub struct Moved {
    /// As people write it.
    pub name: String,
    /// Of its manifest or index.
    pub digest: String,
    /// Bytes of its layers.
    pub size: u64,
}

impl Moved {
    /// `pulled shop-api:latest: 3 MB, sha256:…`. Errors: of the writer.
    pub fn plain(&self, out: &mut dyn Write, verb: &str) -> io::Result<()> {
        writeln!(out, "{verb} {}: {}, {}", text::line(&self.name), text::size(self.size), self.digest)
    }

    /// `{"schema":1,"image":{…}}`. Errors: of the writer.
    pub fn json(&self, out: &mut dyn Write) -> io::Result<()> {
        document::json(out, &serde_json::json!({"schema": 1, "image": self}))
    }
}

/// A line for each name that went. Errors: of the writer.
pub fn removed_plain(out: &mut dyn Write, names: &[String]) -> io::Result<()> {
    names.iter().try_for_each(|name| writeln!(out, "removed {}", text::line(name)))
}

/// `{"schema":1,"removed":[…]}`. Errors: of the writer.
pub fn removed_json(out: &mut dyn Write, names: &[String]) -> io::Result<()> {
    document::json(out, &serde_json::json!({"schema": 1, "removed": names}))
}
