//! One SQLite file: several processes share it, and a kill or a power cut leaves it at the last finished transaction.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::StoreError;

/// The version of tables and of the key space: each step of [`STEPS`] leads to the next.
pub const FORMAT: u32 = STEPS.len() as u32;

/// What makes an index of version N one of version N + 1. A released step is never changed.
const STEPS: [&str; 4] = [FIRST, UPKEEP, READS, TEXTS];

const FIRST: &str = "
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

/// Who uses what, and what was taken away: for `du`, `prune`, `check` and the sentence of a miss that they caused.
const UPKEEP: &str = "
create table uses (
    result text primary key, used integer not null, count integer not null, dockerfile text not null, line integer not null,
    instruction text not null) without rowid;
create table cache_mounts (name text primary key, id text not null, used integer not null, count integer not null)
    without rowid;
create table mount_users (
    name text not null, dockerfile text not null, line integer not null, instruction text not null, used integer not null,
    primary key (name, dockerfile, line)) without rowid;
create table collected (
    key text primary key, at integer not null, why text not null, bytes integer not null) without rowid;
create table digests (layer text primary key, diff_id text not null) without rowid;
";

/// What a RUN read, by the result that it made: which run it was without what it stood on, in short, and packed.
const READS: &str = "
create table reads (
    result text primary key, run text not null, summary text not null, packed blob not null) without rowid;
create index reads_by_run on reads (run);
";

/// Small texts that were copied out of contexts, by the digest of the file in its list: what a later build shows the
/// difference to when the layer is gone.
const TEXTS: &str = "
create table texts (digest text primary key, bytes blob not null) without rowid;
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
        // What is removed is gone: texts of contexts may hold what nobody meant to keep.
        connection.execute_batch("pragma secure_delete = on;").map_err(wrap)?;
        upgrade(&connection).map_err(wrap)?;
        Ok(Self { connection: Mutex::new(connection), store: store.clone() })
    }

    /// An empty index that is nowhere on disk, of a store that is not there.
    pub(super) fn nowhere(root: &Path) -> Result<Self, StoreError> {
        let store = root.display().to_string();
        let open = || {
            let connection = Connection::open_in_memory()?;
            upgrade(&connection)?;
            Ok(connection)
        };
        let connection = open().map_err(|source| StoreError::Index { store: store.clone(), source })?;
        Ok(Self { connection: Mutex::new(connection), store })
    }

    /// Opens an index that this process may not write. Errors: it is not there, or its last changes have not been settled
    /// (a builder was killed), which takes the right to write.
    pub(super) fn read_only(root: &Path) -> Result<Self, StoreError> {
        let store = root.display().to_string();
        let wrap = |source| StoreError::Index { store: store.clone(), source };
        let path = root.join("index.db");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = |connection: Connection| {
            let version: u32 = connection.query_row("pragma user_version", [], |row| row.get(0))?;
            Ok((connection, version))
        };
        let settled = std::fs::metadata(root.join("index.db-wal")).map_or(true, |wal| wal.len() == 0);
        let opened = match Connection::open_with_flags(&path, flags).and_then(open) {
            // Without the right to make files beside it SQLite reads it only as something that nobody changes.
            Err(_) if settled => {
                let uri = format!("file:{}?immutable=1", crate::engine::http::url::percent(&path.to_string_lossy()));
                Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI).and_then(open)
            }
            other => other,
        };
        let (connection, version) = opened.map_err(wrap)?;
        if version > FORMAT {
            return Err(StoreError::Format { store, found: version.to_string(), known: FORMAT });
        }
        Ok(Self { connection: Mutex::new(connection), store: store.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic in a holder leaves no half-done transaction behind: rusqlite rolls it back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A random key of this store, made when it is first asked for: what is digested with it cannot be compared elsewhere.
    pub fn mark_key(&self) -> Result<String, StoreError> {
        let fresh = crate::ground::random_hex(16);
        self.transact(|db| {
            db.execute("insert or ignore into meta values ('mark-key', ?1)", [&fresh])?;
            db.query_row("select value from meta where name = 'mark-key'", [], |row| row.get(0))
        })
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

/// Leads an older index to the present version. The version is read again under the write lock: of two programs that open an
/// old store at once, one does the work.
fn upgrade(connection: &Connection) -> rusqlite::Result<()> {
    let version = |db: &Connection| db.query_row("pragma user_version", [], |row| row.get::<_, u32>(0));
    if version(connection)? >= FORMAT {
        return Ok(());
    }
    let transaction = rusqlite::Transaction::new_unchecked(connection, rusqlite::TransactionBehavior::Immediate)?;
    for step in STEPS.iter().skip(version(&transaction)? as usize) {
        transaction.execute_batch(step)?;
    }
    transaction.execute_batch(&format!("pragma user_version = {FORMAT}"))?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_of_the_first_version_is_led_to_the_present_one_and_keeps_what_it_has() {
        let dir = tempfile::tempdir().unwrap();
        let old = Connection::open(dir.path().join("index.db")).unwrap();
        old.execute_batch(&format!("{FIRST} insert into meta values ('a', 'b'); pragma user_version = 1;")).unwrap();
        drop(old);
        for _ in 0..2 {
            let index = Index::open(dir.path()).unwrap();
            let kept =
                index.with(|db| db.query_row("select value from meta where name = 'a'", [], |r| r.get::<_, String>(0)));
            assert_eq!(kept.unwrap(), "b");
            index
                .with(|db| {
                    db.execute_batch(
                        "select * from uses; select * from collected; select * from reads; select * from texts;",
                    )
                })
                .unwrap();
        }
    }

    #[test]
    fn an_index_of_a_later_version_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.db");
        Connection::open(&path).unwrap().execute_batch("pragma user_version = 99; create table x (y);").unwrap();
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(Index::open(dir.path()), Err(StoreError::Format { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}
