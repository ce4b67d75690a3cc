//! What was taken out of the store, when and why: a step that runs again because of it can say so.

use rusqlite::OptionalExtension;

use super::{Index, StoreError};
use crate::engine::verdict::Collected;

/// A result to take away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doomed {
    /// The result's name.
    pub result: String,
    /// How big its layer is.
    pub bytes: u64,
}

impl Index {
    /// Takes results away and writes down, for each of their keys, that this happened. Keys and links stay: what stands below
    /// can still be found by them. `at` in microseconds since 1970.
    pub fn collect_results(&self, doomed: &[Doomed], at: u64, why: &str) -> Result<(), StoreError> {
        self.transact(|db| {
            let mut note =
                db.prepare("insert or replace into collected select key, ?2, ?3, ?4 from records where result = ?1")?;
            let mut gone = [
                db.prepare("delete from records where result = ?1")?,
                db.prepare("delete from results where id = ?1")?,
                db.prepare("delete from uses where result = ?1")?,
                db.prepare("delete from reads where result = ?1")?,
            ];
            for Doomed { result, bytes } in doomed {
                note.execute((result, at as i64, why, *bytes as i64))?;
                for statement in &mut gone {
                    statement.execute([result])?;
                }
            }
            Ok(())
        })
    }

    /// What is known of a key whose result is gone: the newest entry of any of these keys.
    pub fn collected<'a>(&self, keys: impl IntoIterator<Item = &'a str>) -> Result<Option<Collected>, StoreError> {
        self.with(|db| {
            let mut query = db.prepare("select at, why, bytes from collected where key = ?1")?;
            let mut newest: Option<Collected> = None;
            for key in keys {
                let row = |row: &rusqlite::Row<'_>| {
                    let (at, bytes) = (row.get::<_, i64>(0)? as u64, row.get::<_, i64>(2)? as u64);
                    Ok(Collected { at, why: row.get(1)?, bytes })
                };
                let found = query.query_row([key], row).optional()?;
                newest = newest.into_iter().chain(found).max_by_key(|entry| entry.at);
            }
            Ok(newest)
        })
    }
}
