//! The list of builds. What a build remembers of its steps is kept as text here: only the rooms above know its shape.

use rusqlite::OptionalExtension;

use super::{Index, StoreError};

/// A build on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildRow {
    /// Its name; its event log lies in a folder of that name.
    pub id: String,
    /// Which context, Dockerfile, target and platform: builds of one project are compared with each other.
    pub project: String,
    /// Microseconds since 1970.
    pub started: u64,
    /// Microseconds since 1970.
    pub finished: u64,
    /// What it remembers, as JSON.
    pub record: String,
}

const COLUMNS: &str = "id, project, started, finished, record";

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<BuildRow> {
    Ok(BuildRow {
        id: row.get(0)?,
        project: row.get(1)?,
        started: row.get::<_, i64>(2)? as u64,
        finished: row.get::<_, i64>(3)? as u64,
        record: row.get(4)?,
    })
}

impl Index {
    /// Adds a build.
    pub fn put_build(&self, build: &BuildRow) -> Result<(), StoreError> {
        self.transact(|db| {
            let values = (&build.id, &build.project, build.started as i64, build.finished as i64, &build.record);
            db.execute("insert or replace into builds values (?1, ?2, ?3, ?4, ?5)", values).map(|_| ())
        })
    }

    /// The latest build of a project.
    pub fn last_build(&self, project: &str) -> Result<Option<BuildRow>, StoreError> {
        let query = format!("select {COLUMNS} from builds where project = ?1 order by started desc limit 1");
        self.with(|db| db.query_row(&query, [project], row).optional())
    }

    /// A build by its name, or by the beginning of its name where only one begins so.
    pub fn build(&self, name: &str) -> Result<Option<BuildRow>, StoreError> {
        let query =
            format!("select {COLUMNS} from builds where substr(id, 1, length(?1)) = ?1 order by started desc limit 2");
        let found: Vec<BuildRow> = self.with(|db| db.prepare(&query)?.query_map([name], row)?.collect())?;
        Ok(if found.len() == 1 { found.into_iter().next() } else { found.into_iter().find(|build| build.id == name) })
    }

    /// The latest builds of a project, newest first.
    pub fn builds_of(&self, project: &str, limit: u32) -> Result<Vec<BuildRow>, StoreError> {
        let query = format!("select {COLUMNS} from builds where project = ?1 order by started desc limit ?2");
        self.with(|db| db.prepare(&query)?.query_map((project, limit), row)?.collect())
    }

    /// The latest builds of all projects, newest first.
    pub fn builds(&self, limit: u32) -> Result<Vec<BuildRow>, StoreError> {
        let query = format!("select {COLUMNS} from builds order by started desc limit ?1");
        self.with(|db| db.prepare(&query)?.query_map([limit], row)?.collect())
    }
}
