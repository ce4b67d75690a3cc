//! Verifies every blob, layer and record, and repairs: what is damaged is taken away with its records, so that the next build
//! makes it again or says how to get it back.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::fd::AsFd;

use rusqlite::OptionalExtension;

use super::UpkeepError;
use super::inventory::{Inventory, Item, ItemKind, ResultRow};
use crate::engine::event::LayerStat;
use crate::engine::image::layer::measure_anew;
use crate::engine::oci::LayerId;
use crate::engine::protocol::{Reply, Request};
use crate::engine::store::Store;
use crate::engine::store::ledger::Doomed;
use crate::engine::worker::{Worker, WorkerError};
use crate::ground::digest::{Digest, Digester};
use crate::ground::fs::PathResultExt;
use crate::ground::fs::root::remove_all;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// `blob sha256:…`, `layer …`, `image …`, `index`.
    pub what: String,
    /// Why it is wrong.
    pub why: String,
    /// What repairing does, or did.
    pub repair: Repair,
}

/// How a finding is put right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repair {
    /// A damaged file goes; what had it for a part is listed by findings of its own.
    RemoveBlob(Digest),
    /// A layer goes with the records that name it: the steps run again.
    RemoveLayer(LayerId),
    /// An image's name goes: it cannot be built on or exported.
    RemoveImage(String),
    /// Records of results that are not there go.
    RemoveResults(Vec<Doomed>),
    /// Not by this program.
    None(&'static str),
}

impl Repair {
    /// What people are told.
    pub fn text(&self) -> String {
        match self {
            Self::RemoveBlob(_) => "removed; it is made or pulled again when it is needed".into(),
            Self::RemoveLayer(_) => "removed with its records; the step runs again".into(),
            Self::RemoveImage(name) => format!("`{name}` is forgotten; load, pull or build it again"),
            Self::RemoveResults(results) => format!("{} records removed; the steps run again", results.len()),
            Self::None(advice) => (*advice).into(),
        }
    }
}

/// What a check did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Blobs whose bytes were digested.
    pub blobs: usize,
    /// Layers whose files were digested or counted.
    pub layers: usize,
    /// Layers that had no digest yet: theirs is noted now, and compared from the next check on.
    pub noted: usize,
    /// Records and images that were followed.
    pub records: usize,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Looks at everything; with `repair`, puts right what can be put right. `now` in microseconds since 1970. Errors: the store
/// cannot be read at all.
pub fn check(store: &Store, worker: &Worker, repair: bool, now: u64) -> Result<Report, UpkeepError> {
    let inventory = Inventory::take(store, worker)?;
    let mut report = Report::default();
    index(store, &mut report)?;
    blobs(store, &inventory, &mut report);
    layers(store, worker, &inventory, &mut report)?;
    results(store, &inventory, &mut report)?;
    images(store, &mut report)?;
    if repair {
        put_all_right(store, worker, &mut report, inventory, now)?;
    }
    Ok(report)
}

fn index(store: &Store, report: &mut Report) -> Result<(), UpkeepError> {
    let verdict: String = store.index.with(|db| db.query_row("pragma integrity_check", [], |row| row.get(0)))?;
    if verdict != "ok" {
        let repair = Repair::None("start a new store with --store, or restore `index.db` from a backup");
        report.findings.push(Finding { what: "index".into(), why: verdict, repair });
    }
    Ok(())
}

fn blobs(store: &Store, inventory: &Inventory, report: &mut Report) {
    for item in inventory.items.iter().filter(|item| item.kind == ItemKind::Blob) {
        let Ok(digest) = format!("sha256:{}", item.id).parse::<Digest>() else { continue };
        report.blobs += 1;
        let why = match digest_of(store, &digest) {
            Ok(found) if found == digest => continue,
            Ok(found) => format!("its bytes have the digest {found}"),
            Err(error) => error.to_string(),
        };
        report.findings.push(Finding { what: format!("blob {digest}"), why, repair: Repair::RemoveBlob(digest) });
    }
}

fn digest_of(store: &Store, digest: &Digest) -> Result<Digest, UpkeepError> {
    let path = store.content.path(digest);
    if !fs::symlink_metadata(&path).at("read", &path)?.is_file() {
        return Err(std::io::Error::other("it is no regular file")).at("read", &path).map_err(Into::into);
    }
    let mut file = fs::File::open(&path).at("read", &path)?;
    let (mut digester, mut buffer) = (Digester::default(), vec![0; 256 << 10]);
    loop {
        match file.read(&mut buffer).at("read", &path)? {
            0 => return Ok(digester.finish()),
            n => digester.update(&buffer[..n]),
        }
    }
}

/// A layer whose tar was made once must give the same tar again; one that never was gets its digest noted.
fn layers(store: &Store, worker: &Worker, inventory: &Inventory, report: &mut Report) -> Result<(), UpkeepError> {
    let recorded: BTreeMap<&str, u64> =
        inventory.results.iter().filter_map(|row| Some((row.layers.last()?.as_str(), row.bytes))).collect();
    let is_layer =
        |item: &&Item| matches!(item.kind, ItemKind::Step | ItemKind::Base | ItemKind::Failed | ItemKind::Context);
    for item in inventory.items.iter().filter(is_layer).filter(|item| !item.leased) {
        let Ok(layer) = item.id.parse::<LayerId>() else { continue };
        report.layers += 1;
        let expected = recorded.get(item.id.as_str()).copied().filter(|_| item.kind == ItemKind::Step);
        if let Some(why) = layer_damage(store, worker, &layer, expected, report)? {
            report.findings.push(Finding { what: format!("layer {layer}"), why, repair: Repair::RemoveLayer(layer) });
        }
    }
    Ok(())
}

fn layer_damage(
    store: &Store,
    worker: &Worker,
    layer: &LayerId,
    bytes: Option<u64>,
    report: &mut Report,
) -> Result<Option<String>, UpkeepError> {
    let stat = match worker.call(Request::Recount { layer: layer.clone() }, Vec::new()) {
        Ok(Reply::Layer { stat }) => stat,
        Ok(_) => return Err(UpkeepError::Answer("a count of a layer")),
        Err(WorkerError::Failed(failure)) => return Ok(Some(failure.message)),
        Err(error) => return Err(error.into()),
    };
    if let Some(bytes) = bytes.filter(|bytes| *bytes != stat.bytes) {
        return Ok(Some(format!("it holds {} bytes, its record says {bytes}", stat.bytes)));
    }
    if stat == LayerStat::default() {
        return Ok(None);
    }
    let found = match measure_anew(worker, layer) {
        Ok(found) => found,
        Err(error) => return Ok(Some(error.to_string())),
    };
    match noted(store, layer)? {
        Some(known) if known != found => Ok(Some(format!("its files have the digest {found}, they had {known}"))),
        Some(_) => Ok(None),
        None => {
            report.noted += 1;
            let row = (layer.as_str(), found.to_string());
            store.index.transact(|db| db.execute("insert or replace into digests values (?1, ?2)", row).map(|_| ()))?;
            Ok(None)
        }
    }
}

/// The digest of a layer's tar, as an export or an earlier check found it.
fn noted(store: &Store, layer: &LayerId) -> Result<Option<Digest>, UpkeepError> {
    let query = "select diff_id from digests where layer = ?1
                 union all select diff_id from blobs where layer = ?1 and form like '% -' limit 1";
    let text: Option<String> = store.index.with(|db| db.query_row(query, [layer.as_str()], |row| row.get(0)).optional())?;
    Ok(text.and_then(|text| text.parse().ok()))
}

/// A record that names a layer which is neither there nor to be unpacked from an image.
fn results(store: &Store, inventory: &Inventory, report: &mut Report) -> Result<(), UpkeepError> {
    let mut lost: BTreeMap<String, Vec<Doomed>> = BTreeMap::new();
    for row in &inventory.results {
        report.records += 1;
        let is_there = |layer: &&LayerId| {
            store.layout.layer(layer).is_dir()
                || (layer.as_str().starts_with("base-") && inventory.held.contains_key(layer.as_str()))
        };
        let is_base = row.layers.last().is_some_and(|top| top.as_str().starts_with("base-"));
        if let Some(missing) = row.layers.iter().find(|layer| !is_there(layer)).filter(|_| !is_base) {
            let doomed = Doomed { result: row.id.clone(), bytes: row.bytes };
            lost.entry(missing.to_string()).or_default().push(doomed);
        }
    }
    for (layer, doomed) in lost {
        let why = format!("it is missing, and {} records need it", doomed.len());
        report.findings.push(Finding { what: format!("layer {layer}"), why, repair: Repair::RemoveResults(doomed) });
    }
    Ok(())
}

fn images(store: &Store, report: &mut Report) -> Result<(), UpkeepError> {
    for (name, record, _) in store.index.images()? {
        report.records += 1;
        let mut missing = Vec::new();
        if !store.content.contains(&record.id) {
            missing.push(format!("its configuration {}", record.id.short()));
        }
        for layer in &record.layers {
            let blob = layer.blob.as_ref().is_some_and(|blob| store.content.contains(&blob.digest));
            if !blob && !store.layout.layer(&layer.layer).is_dir() {
                missing.push(format!("the layer {}", layer.diff_id.short()));
            }
        }
        if !missing.is_empty() {
            let why = format!("{} is missing", missing.join(", "));
            report.findings.push(Finding { what: format!("image {name}"), why, repair: Repair::RemoveImage(name) });
        }
    }
    Ok(())
}

/// Repairs, and follows what the repairs cost: an image may lose a layer by them.
fn put_all_right(
    store: &Store,
    worker: &Worker,
    report: &mut Report,
    mut inventory: Inventory,
    now: u64,
) -> Result<(), UpkeepError> {
    let mut done = 0;
    while done < report.findings.len() {
        for finding in &report.findings[done..] {
            put_right(store, worker, &inventory, &finding.repair, now)?;
        }
        done = report.findings.len();
        inventory = Inventory::take(store, worker)?;
        let mut after = Report::default();
        results(store, &inventory, &mut after)?;
        images(store, &mut after)?;
        report.findings.extend(after.findings);
    }
    Ok(())
}

fn put_right(store: &Store, worker: &Worker, inventory: &Inventory, repair: &Repair, now: u64) -> Result<(), UpkeepError> {
    let why = "`check --repair`, which found it damaged";
    match repair {
        Repair::RemoveBlob(digest) => {
            let folder = store.layout.root().join("blobs/sha256");
            let dir = fs::File::open(&folder).at("open", &folder)?;
            remove_all(dir.as_fd(), digest.hex().as_bytes()).at("remove", folder.join(digest.hex()))?;
        }
        Repair::RemoveLayer(layer) => {
            let names = |row: &&ResultRow| row.layers.contains(layer) && !layer.as_str().starts_with("base-");
            let doomed: Vec<Doomed> = inventory
                .results
                .iter()
                .filter(names)
                .map(|row| Doomed { result: row.id.clone(), bytes: row.bytes })
                .collect();
            store.index.collect_results(&doomed, now, why)?;
            store.index.transact(|db| {
                db.execute("delete from blobs where layer = ?1", [layer.as_str()])?;
                db.execute("delete from digests where layer = ?1", [layer.as_str()]).map(|_| ())
            })?;
            worker.call(Request::Remove { layers: vec![layer.clone()] }, Vec::new())?;
        }
        Repair::RemoveImage(name) => {
            store.index.transact(|db| db.execute("delete from images where name = ?1", [name]).map(|_| ()))?;
        }
        Repair::RemoveResults(doomed) => store.index.collect_results(doomed, now, why)?,
        Repair::None(_) => {}
    }
    Ok(())
}
