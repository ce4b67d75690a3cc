//! One SQLite file: several processes share it, and a kill or a power cut leaves it at the last finished transaction.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use super::StoreError;

/// The version of tables and of the key space.
pub const FORMAT: u32 = 1;

const SCHEMA: &str = "
create table if not exists meta (name text primary key, value text not null) without rowid;
create table if not exists links (
    parent text not null, input integer not null, output integer not null, op text not null, selector text not null,
    child text not null, primary key (parent, input, output, op, selector, child)) without rowid;
create table if not exists records (
    key text not null, result text not null, primary key (key, result)) without rowid;
create table if not exists results (
    id text primary key, layers text not null, top text not null, created integer not null, micros integer not null,
    bytes integer not null, entries integer not null, removed integer not null) without rowid;
create index if not exists results_by_layer on results (top);
create table if not exists trees (digest text primary key, entries blob not null) without rowid;
create table if not exists scans (id text primary key, content text not null, tree text not null) without rowid;
create table if not exists blobs (
    layer text not null, form text not null, diff_id text not null, digest text not null, size integer not null,
    primary key (layer, form)) without rowid;
create table if not exists images (name text primary key, record text not null, created integer not null) without rowid;
create table if not exists builds (
    id text primary key, project text not null, started integer not null, finished integer not null, record text not null)
    without rowid;
create index if not exists builds_by_project on builds (project, started);
";

/// The open index.
pub struct Index {
    connection: Mutex<Connection>,
    store: String,
}

impl Index {
    /// Opens or makes `index.db` in the store's folder.
    pub(super) fn open(root: &Path) -> Result<Self, StoreError> {
        let store = root.display().to_string();
        let wrap = |source| StoreError::Index { store: store.clone(), source };
        let connection = Connection::open(root.join("index.db")).map_err(wrap)?;
        connection.busy_timeout(Duration::from_secs(60)).map_err(wrap)?;
        let version: u32 = connection.query_row("pragma user_version", [], |row| row.get(0)).map_err(wrap)?;
        if version > FORMAT {
            return Err(StoreError::Format { store, found: version.to_string(), known: FORMAT });
        }
        connection.execute_batch("pragma journal_mode = wal; pragma synchronous = full;").map_err(wrap)?;
        if version == 0 {
            connection
                .execute_batch(&format!("begin immediate; {SCHEMA} pragma user_version = {FORMAT}; commit;"))
                .map_err(wrap)?;
        }
        Ok(Self { connection: Mutex::new(connection), store: store.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic in a holder leaves no half-done transaction behind: rusqlite rolls it back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs queries.
    pub fn with<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        work(&self.lock()).map_err(|source| StoreError::Index { store: self.store.clone(), source })
    }

    /// Runs a transaction that takes the write lock at once; all of it happens, synced, or nothing.
    pub fn transact<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let mut connection = self.lock();
        let run = || {
            let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        run().map_err(|source| StoreError::Index { store: self.store.clone(), source })
    }
}
