//! The graph of keys in the index.
//!
//! A `KeyId` is opaque. A link leads from a key of an input, through an operation, to a key of its result; a record says
//! which result a key has. A key may be known although its result is gone, and intermediate results need not exist.
//!
//! Source: BuildKit `solver/cachemanager.go` (`reference/cache-semantics.md`, section 1).

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};

use crate::engine::event::LayerStat;
use crate::engine::oci::LayerId;
use crate::engine::reads::{ReadSet, ReadSummary};
use crate::engine::store::{Index, StoreError};
use crate::ground::digest::Digest;

/// Name of a key: a digest for keys without inputs, random for all others.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyId(pub String);

impl KeyId {
    /// A key without inputs.
    ///
    /// Source: BuildKit `rootKey`, cachemanager.go:451.
    pub fn root(operation: &Digest) -> Self {
        Self(Digest::of(format!("{operation}@0")).to_string())
    }

    /// A new key that nobody has.
    pub fn random() -> Self {
        Self(crate::ground::random_hex(16))
    }
}

/// Name of a result.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ResultId(pub String);

/// One input's keys with the place at which they enter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Number of the input.
    pub input: u32,
    /// By definition: keys of the input's result, with the digest of what is selected of it.
    pub definition: Vec<KeyId>,
    /// Selector of the definition keys; empty for a whole input.
    pub selector: String,
    /// By content, when it counts and is known.
    pub content: Option<KeyId>,
}

impl Link {
    /// Whether a key of one is a key of the other: then what is recorded with the one is found with the other.
    pub fn meets(&self, other: &Self) -> bool {
        self.input == other.input && self.ends().any(|end| other.ends().any(|known| known == end))
    }

    fn ends(&self) -> impl Iterator<Item = (&KeyId, &str)> {
        let definition = self.definition.iter().map(|key| (key, self.selector.as_str()));
        definition.chain(self.content.iter().map(|key| (key, "")))
    }
}

/// A stored result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepResult {
    /// Its name.
    pub id: ResultId,
    /// All layers, lowest first.
    pub layers: Vec<LayerId>,
    /// Microseconds since 1970.
    pub created: u64,
    /// Microseconds it took to make.
    pub micros: u64,
    /// Its own layer's size.
    pub stat: LayerStat,
}

/// A step to write down: its key, the links to it, and its result where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// Digest of its operation.
    pub operation: Digest,
    /// By what it is reached.
    pub links: Vec<Link>,
    /// Its key.
    pub key: KeyId,
    /// Its result.
    pub result: Option<StepResult>,
}

/// Look-up and recording.
pub struct Cache<'a> {
    index: &'a Index,
}

impl<'a> Cache<'a> {
    /// Over an index.
    pub fn new(index: &'a Index) -> Self {
        Self { index }
    }

    /// The keys that are reachable from all inputs at once through `operation`. Keys of inputs that lacked the link to a key
    /// that was found get it (BuildKit's Query does the same), so that the next build finds it by either way.
    pub fn lookup(&self, operation: &Digest, links: &[Link]) -> Result<Vec<KeyId>, StoreError> {
        let found = self.index.with(|db| candidates(db, operation, links))?;
        if let Some(adopted) = found.first() {
            let missing = self.index.with(|db| missing_links(db, operation, links, adopted))?;
            if missing {
                self.index.transact(|db| add_links(db, operation, links, adopted))?;
            }
        }
        Ok(found)
    }

    /// The same without writing anything: for plans.
    pub fn peek(&self, operation: &Digest, links: &[Link]) -> Result<Vec<KeyId>, StoreError> {
        self.index.with(|db| candidates(db, operation, links))
    }

    /// Whether any key leads from this input through `operation` at all.
    pub fn has_child(&self, operation: &Digest, link: &Link) -> Result<bool, StoreError> {
        Ok(!self.index.with(|db| children(db, operation, link))?.is_empty())
    }

    /// The newest result of any of these keys.
    pub fn load(&self, keys: &[KeyId]) -> Result<Vec<StepResult>, StoreError> {
        let mut out = self.index.with(|db| {
            let mut query = db.prepare_cached(
                "select r.id, r.layers, r.created, r.micros, r.bytes, r.entries, r.removed
                 from records k join results r on r.id = k.result where k.key = ?1",
            )?;
            let mut out = Vec::new();
            for key in keys {
                let rows = query.query_map([&key.0], result_row)?;
                for row in rows {
                    out.extend(row?);
                }
            }
            Ok(out)
        })?;
        out.sort_by_key(|result: &StepResult| std::cmp::Reverse(result.created));
        Ok(out)
    }

    /// Whether a result is still on record.
    pub fn has_result(&self, id: &ResultId) -> Result<bool, StoreError> {
        self.index.with(|db| db.prepare_cached("select 1 from results where id = ?1")?.exists([&id.0]))
    }

    /// Writes a result with its key and all links to it, in one synced transaction: the last act of a step.
    pub fn save(&self, operation: &Digest, links: &[Link], key: &KeyId, result: &StepResult) -> Result<(), StoreError> {
        self.save_traced(operation, links, key, result, None)
    }

    /// The same with what the step read, where somebody watched, and with the digest of what it ran whatever it stood on.
    pub fn save_traced(
        &self,
        operation: &Digest,
        links: &[Link],
        key: &KeyId,
        result: &StepResult,
        reads: Option<(&Digest, &ReadSet)>,
    ) -> Result<(), StoreError> {
        let short = |set: &ReadSet| serde_json::to_string(&set.summary()).unwrap_or_default();
        let reads = reads.map(|(run, set)| (run.to_string(), short(set), set.pack()));
        self.index.transact(|db| {
            add_links(db, operation, links, key)?;
            if let Some((run, summary, packed)) = &reads {
                let mut insert = db.prepare_cached("insert or replace into reads values (?1, ?2, ?3, ?4)")?;
                insert.execute((&result.id.0, run, summary, packed))?;
            }
            add_result(db, key, result)
        })
    }

    /// Several steps in one synced transaction: all of them are on record, or none.
    pub fn save_all(&self, steps: &[Saved]) -> Result<(), StoreError> {
        self.index.transact(|db| {
            for Saved { operation, links, key, result } in steps {
                add_links(db, operation, links, key)?;
                result.iter().try_for_each(|result| add_result(db, key, result))?;
            }
            Ok(())
        })
    }

    /// A result by its name.
    pub fn result(&self, id: &ResultId) -> Result<Option<StepResult>, StoreError> {
        let query = "select id, layers, created, micros, bytes, entries, removed from results where id = ?1";
        let found = self.index.with(|db| db.prepare_cached(query)?.query_row([&id.0], result_row).optional())?;
        Ok(found.flatten())
    }

    /// What the step read that made a result; none when nobody watched it.
    pub fn read_set(&self, result: &ResultId) -> Result<Option<ReadSet>, StoreError> {
        let query = "select packed from reads where result = ?1";
        let packed: Option<Vec<u8>> =
            self.index.with(|db| db.prepare_cached(query)?.query_row([&result.0], |row| row.get(0)).optional())?;
        Ok(packed.and_then(|packed| ReadSet::unpack(&packed)))
    }

    /// Results of the same run on whatever parent of which it is known what it read: the one that is named, then the newest.
    pub fn runs(&self, run: &Digest, first: Option<&ResultId>, limit: u32) -> Result<Vec<StepResult>, StoreError> {
        let query = "select s.id, s.layers, s.created, s.micros, s.bytes, s.entries, s.removed
             from reads r join results s on s.id = r.result where r.run = ?1
             order by r.result = ?2 desc, s.created desc limit ?3";
        let first = first.map_or("", |id| id.0.as_str());
        self.index.with(|db| {
            let mut query = db.prepare_cached(query)?;
            let rows = query.query_map((run.to_string(), first, limit), result_row)?;
            rows.filter_map(Result::transpose).collect()
        })
    }

    /// The same in short.
    pub fn read_summary(&self, result: &ResultId) -> Result<Option<ReadSummary>, StoreError> {
        let query = "select summary from reads where result = ?1";
        let text: Option<String> =
            self.index.with(|db| db.prepare_cached(query)?.query_row([&result.0], |row| row.get(0)).optional())?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// When a layer was made, in microseconds since 1970.
    pub fn layer_created(&self, layer: &LayerId) -> Result<Option<u64>, StoreError> {
        let query = "select min(created) from results where top = ?1";
        let found: Option<i64> = self.index.with(|db| db.query_row(query, [layer.as_str()], |row| row.get(0)))?;
        Ok(found.map(|created| created as u64))
    }

    /// The digest and file list of selected paths of a chain, when they were computed before.
    pub fn scan(&self, id: &str) -> Result<Option<(Digest, Digest)>, StoreError> {
        let row: Option<(String, String)> = self.index.with(|db| {
            let query = "select content, tree from scans where id = ?1";
            db.query_row(query, [id], |row| Ok((row.get(0)?, row.get(1)?))).optional()
        })?;
        Ok(row.and_then(|(content, tree)| Some((content.parse().ok()?, tree.parse().ok()?))))
    }

    /// Remembers a scan.
    pub fn put_scan(&self, id: &str, content: &Digest, tree: &Digest) -> Result<(), StoreError> {
        let values = (id, content.to_string(), tree.to_string());
        self.index.transact(|db| db.execute("insert or replace into scans values (?1, ?2, ?3)", values).map(|_| ()))
    }

    /// Keeps a list of files as evidence; the same list is kept once.
    pub fn put_tree(&self, digest: &Digest, entries: &[u8]) -> Result<(), StoreError> {
        let name = digest.to_string();
        let known = self.index.with(|db| {
            db.query_row("select 1 from trees where digest = ?1", [&name], |_| Ok(())).optional().map(|row| row.is_some())
        })?;
        if known {
            return Ok(());
        }
        self.index.transact(|db| db.execute("insert or ignore into trees values (?1, ?2)", (&name, entries)).map(|_| ()))
    }

    /// Keeps small texts, by the digests of their files. `read` gives the bytes of one that is not kept yet; none: it is no
    /// text, or is not there any more.
    pub fn put_texts(&self, digests: &[Digest], read: impl Fn(usize) -> Option<Vec<u8>>) -> Result<(), StoreError> {
        let missing: Vec<usize> = self.index.with(|db| {
            let mut known = db.prepare_cached("select 1 from texts where digest = ?1")?;
            let mut out = Vec::new();
            for (at, digest) in digests.iter().enumerate() {
                if !known.exists([digest.to_string()])? {
                    out.push(at);
                }
            }
            Ok(out)
        })?;
        let new: Vec<(usize, Vec<u8>)> = missing.into_iter().filter_map(|at| Some((at, read(at)?))).collect();
        if new.is_empty() {
            return Ok(());
        }
        self.index.transact(|db| {
            let mut insert = db.prepare_cached("insert or ignore into texts values (?1, ?2)")?;
            for (at, bytes) in &new {
                insert.execute((digests[*at].to_string(), bytes))?;
            }
            Ok(())
        })
    }

    /// A text that was kept.
    pub fn text(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let name = digest.to_string();
        self.index.with(|db| db.query_row("select bytes from texts where digest = ?1", [name], |row| row.get(0)).optional())
    }

    /// A list of files.
    pub fn tree(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let name = digest.to_string();
        self.index
            .with(|db| db.query_row("select entries from trees where digest = ?1", [name], |row| row.get(0)).optional())
    }
}

fn result_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<StepResult>> {
    let layers: String = row.get(1)?;
    let Ok(layers) = serde_json::from_str(&layers) else { return Ok(None) };
    Ok(Some(StepResult {
        id: ResultId(row.get(0)?),
        layers,
        created: row.get::<_, i64>(2)? as u64,
        micros: row.get::<_, i64>(3)? as u64,
        stat: LayerStat {
            bytes: row.get::<_, i64>(4)? as u64,
            entries: row.get::<_, i64>(5)? as u64,
            removed: row.get::<_, i64>(6)? as u64,
        },
    }))
}

fn children(db: &Connection, operation: &Digest, link: &Link) -> rusqlite::Result<BTreeSet<String>> {
    let mut query = db.prepare_cached(
        "select child from links where parent = ?1 and input = ?2 and output = 0 and op = ?3 and selector = ?4",
    )?;
    let mut out = BTreeSet::new();
    for (key, selector) in link.ends() {
        let rows = query.query_map((&key.0, link.input, operation.to_string(), selector), |row| row.get(0))?;
        for row in rows {
            out.insert(row?);
        }
    }
    Ok(out)
}

fn candidates(db: &Connection, operation: &Digest, links: &[Link]) -> rusqlite::Result<Vec<KeyId>> {
    let mut found: Option<BTreeSet<String>> = None;
    for link in links {
        let reachable = children(db, operation, link)?;
        found = Some(match found {
            None => reachable,
            Some(found) => found.intersection(&reachable).cloned().collect(),
        });
        if found.as_ref().is_some_and(BTreeSet::is_empty) {
            return Ok(Vec::new());
        }
    }
    Ok(found.unwrap_or_default().into_iter().map(KeyId).collect())
}

fn missing_links(db: &Connection, operation: &Digest, links: &[Link], child: &KeyId) -> rusqlite::Result<bool> {
    let mut query = db.prepare_cached(
        "select 1 from links where parent = ?1 and input = ?2 and output = 0 and op = ?3 and selector = ?4 and child = ?5",
    )?;
    for link in links {
        for (key, selector) in link.ends() {
            if !query.exists((&key.0, link.input, operation.to_string(), selector, &child.0))? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn add_links(db: &Connection, operation: &Digest, links: &[Link], child: &KeyId) -> rusqlite::Result<()> {
    let mut query = db.prepare_cached("insert or ignore into links values (?1, ?2, 0, ?3, ?4, ?5)")?;
    for link in links {
        for (key, selector) in link.ends() {
            query.execute((&key.0, link.input, operation.to_string(), selector, &child.0))?;
        }
    }
    Ok(())
}

fn add_result(db: &Connection, key: &KeyId, result: &StepResult) -> rusqlite::Result<()> {
    let layers = serde_json::to_string(&result.layers).unwrap_or_default();
    db.prepare_cached("insert or replace into results values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?.execute((
        &result.id.0,
        &layers,
        result.layers.last().map_or("", |layer| layer.as_str()),
        result.created as i64,
        result.micros as i64,
        result.stat.bytes as i64,
        result.stat.entries as i64,
        result.stat.removed as i64,
    ))?;
    db.prepare_cached("insert or ignore into records values (?1, ?2)")?.execute((&key.0, &result.id.0))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::store::Store;

    fn link(input: u32, definition: &[&str], content: Option<&str>) -> Link {
        Link {
            input,
            definition: definition.iter().map(|k| KeyId((*k).into())).collect(),
            selector: String::new(),
            content: content.map(|k| KeyId(k.into())),
        }
    }

    fn result(name: &str, created: u64) -> StepResult {
        StepResult { id: ResultId(name.into()), layers: Vec::new(), created, micros: 1, stat: LayerStat::default() }
    }

    #[test]
    fn all_inputs_must_agree_and_mixed_matches_count() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let cache = Cache::new(&store.index);
        let op = Digest::of("op");
        let key = KeyId("child".into());
        let first = [link(0, &["parent"], None), link(1, &["stage-a"], Some("content-x"))];
        cache.save(&op, &first, &key, &result("r1", 1)).unwrap();
        // the second input by content only, under another definition: a mixed match, and the new definition is linked back
        let mixed = [link(0, &["parent"], None), link(1, &["stage-b"], Some("content-x"))];
        assert_eq!(cache.lookup(&op, &mixed).unwrap(), std::slice::from_ref(&key));
        let by_definition = [link(0, &["parent"], None), link(1, &["stage-b"], None)];
        assert_eq!(cache.lookup(&op, &by_definition).unwrap(), std::slice::from_ref(&key));
        // one input that disagrees spoils it
        let other = [link(0, &["other"], None), link(1, &["stage-a"], Some("content-x"))];
        assert_eq!(cache.lookup(&op, &other).unwrap(), []);
        assert_eq!(cache.lookup(&Digest::of("op2"), &first).unwrap(), []);
        // the newest result wins
        cache.save(&op, &first, &key, &result("r2", 2)).unwrap();
        assert_eq!(cache.load(&[key]).unwrap()[0].id, ResultId("r2".into()));
    }
}
