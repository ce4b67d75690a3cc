//! Takes away what was selected. The order is the rule: first what no record names (which works without a free byte), then the
//! records, with a line in the ledger, then, unless a build has asked for it meanwhile, what they named.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsFd;
use std::path::PathBuf;

use super::UpkeepError;
use super::inventory::{Item, ItemKind, builds, held, results};
use super::selection::Selection;
use crate::engine::oci::LayerId;
use crate::engine::protocol::{Reply, Request};
use crate::engine::store::image::DAEMON_PREFIX;
use crate::engine::store::{Leased, Store};
use crate::engine::worker::Worker;
use crate::ground::fs::PathResultExt;
use crate::ground::fs::root::remove_all;

/// What is gone, and what stayed after all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Gone.
    pub gone: Vec<Item>,
    /// Still there: a build began to use it meanwhile.
    pub kept: Vec<Item>,
}

impl Collected {
    /// How much was freed.
    pub fn bytes(&self) -> u64 {
        self.gone.iter().map(|item| item.bytes).sum()
    }
}

/// Takes a selection away. `now` in microseconds since 1970; `why` is the phrase of the ledger. Errors: something cannot be
/// removed; what is gone until then is gone, and the same call does the rest.
pub fn collect(store: &Store, worker: &Worker, selection: Selection, now: u64, why: &str) -> Result<Collected, UpkeepError> {
    let mut out = Collected::default();
    let (files, others): (Vec<Item>, Vec<Item>) = selection
        .items
        .into_iter()
        .partition(|item| matches!(item.kind, ItemKind::Log | ItemKind::Leftover | ItemKind::StatIndex));
    // A build says its name before it makes its folder, and is on record before it lets go of the name.
    let (leased, newest) = (Leased::read(&store.layout.leases())?, newest_builds(store)?);
    for item in files {
        if leased.names.contains(&item.id) || newest.contains(&item.id) {
            out.kept.push(item);
        } else {
            remove_file(store, &item)?;
            out.gone.push(item);
        }
    }
    store.index.collect_results(&selection.results, now, why)?;
    forget_builds(store, &out.gone)?;
    // Read after the records are gone: whoever noted a name before saw its record, whoever comes later does not find it. A
    // build that ended since the selection left an image or results, which were written before its lease ended.
    let leased = Leased::read(&store.layout.leases())?;
    let building = leased.since.is_some();
    let needed = needed(store)?;
    let stays = |item: &Item| {
        let name = item.id.split('.').next().unwrap_or(&item.id);
        leased.names.contains(name) || needed.contains(&item.id) || (building && item.kind == ItemKind::Blob)
    };
    let (kept, going): (Vec<Item>, Vec<Item>) = others.into_iter().partition(stays);
    out.kept.extend(kept);
    forget_blobs(store, &going)?;
    forget_fetched(store, &going)?;
    for item in going {
        let gone = match item.kind {
            ItemKind::Step | ItemKind::Base | ItemKind::Failed | ItemKind::Context => remove_layer(worker, &item)?,
            ItemKind::CacheMount => remove_cache(worker, &item)?,
            _ => {
                remove_file(store, &item)?;
                true
            }
        };
        if gone { out.gone.push(item) } else { out.kept.push(item) }
    }
    if !building {
        forget_trees(store)?;
        forget_texts(store)?;
    }
    Ok(out)
}

/// Builds that `why` and the next build stand on: the last ones of each project.
fn newest_builds(store: &Store) -> Result<BTreeSet<String>, UpkeepError> {
    Ok(builds(store)?.into_values().flat_map(|ids| ids.into_iter().take(1)).collect())
}

/// What images and the results that are on record now stand on. A base layer that can be unpacked again is no loss to them.
fn needed(store: &Store) -> Result<BTreeSet<String>, UpkeepError> {
    let held = held(store)?.into_keys().filter(|id| !id.starts_with("base-"));
    let results = results(store)?.into_iter().flat_map(|row| row.layers).map(|layer| layer.to_string());
    Ok(held.chain(results.filter(|id| !id.starts_with("base-"))).collect())
}

fn remove_layer(worker: &Worker, item: &Item) -> Result<bool, UpkeepError> {
    let Ok(layer) = item.id.parse::<LayerId>() else { return Ok(false) };
    worker.call(Request::Remove { layers: vec![layer] }, Vec::new())?;
    Ok(true)
}

fn remove_cache(worker: &Worker, item: &Item) -> Result<bool, UpkeepError> {
    match worker.call(Request::RemoveCaches { names: vec![item.id.clone()] }, Vec::new())? {
        Reply::Removed { names } => Ok(names.contains(&item.id)),
        _ => Err(UpkeepError::Answer("the removal of a cache")),
    }
}

/// Blobs, logs and what lies beside them. A name with a slash cannot come out of a directory's list.
fn remove_file(store: &Store, item: &Item) -> Result<(), UpkeepError> {
    let folder = folder(store, item.kind);
    let path = folder.join(&item.id);
    match fs::symlink_metadata(&path) {
        Ok(_) => {
            let dir = fs::File::open(&folder).at("open", &folder)?;
            Ok(remove_all(dir.as_fd(), item.id.as_bytes()).at("remove", &path)?)
        }
        Err(_) => Ok(()),
    }
}

fn folder(store: &Store, kind: ItemKind) -> PathBuf {
    let root = store.layout.root();
    match kind {
        ItemKind::Log => root.join("builds"),
        ItemKind::StatIndex => root.join("context"),
        ItemKind::Fetched => store.layout.fetched(),
        _ => root.join("blobs/sha256"),
    }
}

fn forget_builds(store: &Store, gone: &[Item]) -> Result<(), UpkeepError> {
    Ok(store.index.transact(|db| {
        let mut query = db.prepare("delete from builds where id = ?1")?;
        for item in gone.iter().filter(|item| item.kind == ItemKind::Log) {
            query.execute([&item.id])?;
        }
        Ok(())
    })?)
}

/// What is known of the tars of layers that go, and of blobs that go.
fn forget_blobs(store: &Store, going: &[Item]) -> Result<(), UpkeepError> {
    Ok(store.index.transact(|db| {
        for item in going {
            match item.kind {
                ItemKind::Step | ItemKind::Base | ItemKind::Failed | ItemKind::Context => {
                    db.prepare_cached("delete from blobs where layer = ?1")?.execute([&item.id])?;
                    db.prepare_cached("delete from digests where layer = ?1")?.execute([&item.id])?;
                }
                ItemKind::CacheMount => {
                    db.prepare_cached("delete from cache_mounts where name = ?1")?.execute([&item.id])?;
                    db.prepare_cached("delete from mount_users where name = ?1")?.execute([&item.id])?;
                }
                _ => {}
            }
        }
        Ok(())
    })?)
}

/// Images of a daemon lose their record with the first of their parts: it would promise what is not there.
fn forget_fetched(store: &Store, going: &[Item]) -> Result<(), UpkeepError> {
    let ids: BTreeSet<&str> = going.iter().map(|item| item.id.as_str()).collect();
    for (name, record, _) in store.index.images()? {
        let parts = record.layers.iter().filter_map(|layer| layer.blob.as_ref()).map(|blob| blob.digest.hex());
        let lost = parts.chain([record.id.hex(), record.manifest.hex()]).any(|id| ids.contains(id.as_str()));
        if name.starts_with(DAEMON_PREFIX) && lost {
            store.index.remove_image(&name)?;
        }
    }
    Ok(())
}

/// Lists of files that no build on record is compared by any more. Those of scans save work and stay.
fn forget_trees(store: &Store) -> Result<(), UpkeepError> {
    Ok(store.index.transact(|db| {
        let mut named = BTreeSet::new();
        let mut records = db.prepare("select record from builds")?;
        let mut rows = records.query([])?;
        while let Some(row) = rows.next()? {
            let text: String = row.get(0)?;
            named.extend(text.match_indices("sha256:").filter_map(|(at, _)| text.get(at..at + 71)).map(str::to_owned));
        }
        let mut unscanned = db.prepare("select digest from trees where digest not in (select tree from scans)")?;
        let digests: Vec<String> = unscanned.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        let mut delete = db.prepare("delete from trees where digest = ?1")?;
        for digest in digests.iter().filter(|digest| !named.contains(*digest)) {
            delete.execute([digest])?;
        }
        Ok(())
    })?)
}

/// Texts of files that no list names any more.
fn forget_texts(store: &Store) -> Result<(), UpkeepError> {
    // Lists may be many and long: they are read while others may write, and those that came meanwhile afterwards.
    let mut texts = store.index.with(|db| {
        let mut texts = Texts { unnamed: names(db, "select digest from texts")?, read: BTreeSet::new() };
        texts.spare_named(db)?;
        Ok(texts)
    })?;
    if texts.unnamed.is_empty() {
        return Ok(());
    }
    Ok(store.index.transact(|db| {
        texts.spare_named(db)?;
        let mut delete = db.prepare("delete from texts where digest = ?1")?;
        texts.unnamed.iter().try_for_each(|digest| delete.execute([digest]).map(|_| ()))
    })?)
}

fn names(db: &rusqlite::Connection, query: &str) -> rusqlite::Result<BTreeSet<String>> {
    db.prepare(query)?.query_map([], |row| row.get(0))?.collect()
}

/// Texts that no list named of those that were read.
struct Texts {
    unnamed: BTreeSet<String>,
    read: BTreeSet<String>,
}

impl Texts {
    /// Reads the lists that were not read yet.
    fn spare_named(&mut self, db: &rusqlite::Connection) -> rusqlite::Result<()> {
        let mut query = db.prepare("select entries from trees where digest = ?1")?;
        for name in names(db, "select digest from trees")? {
            if self.unnamed.is_empty() || !self.read.insert(name.clone()) {
                continue;
            }
            let packed: Vec<u8> = query.query_row([&name], |row| row.get(0))?;
            // A list that cannot be read is compared with nothing.
            for entry in crate::engine::context::unpack_list(&packed).unwrap_or_default() {
                self.unnamed.remove(&entry.digest.to_string());
            }
        }
        Ok(())
    }
}
