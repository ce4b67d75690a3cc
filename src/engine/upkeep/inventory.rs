//! What lies in the store: how big, how old, who made it, and who holds it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::UpkeepError;
use crate::engine::event::LayerStat;
use crate::engine::oci::LayerId;
use crate::engine::protocol::{CacheFolder, Reply, Request};
use crate::engine::store::image::{DAEMON_PREFIX, ImageRecord};
use crate::engine::store::uses::{CacheMount, Place, Use};
use crate::engine::store::{Leased, Store};
use crate::engine::worker::Worker;
use crate::ground::fs::PathResultExt;

/// What kind of thing it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemKind {
    /// The layer of a step.
    Step,
    /// An unpacked layer of a base image.
    Base,
    /// What a failed step had written, kept for a shell in it.
    Failed,
    /// A part of a build context, kept for `RUN --mount=type=bind`.
    Context,
    /// A cache mount.
    CacheMount,
    /// A compressed layer, a manifest or a configuration.
    Blob,
    /// Log and output of a build.
    Log,
    /// A file of a server or a git repository that ADD or a context took.
    Fetched,
    /// What is known of a context's files, so that they are not read again.
    StatIndex,
    /// What a killed builder left.
    Leftover,
}

impl ItemKind {
    /// All kinds.
    pub const ALL: [Self; 10] = [
        Self::Step,
        Self::Base,
        Self::Failed,
        Self::Context,
        Self::CacheMount,
        Self::Blob,
        Self::Log,
        Self::Fetched,
        Self::StatIndex,
        Self::Leftover,
    ];

    /// The word of reports and filters.
    pub fn word(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Base => "base",
            Self::Failed => "failed",
            Self::Context => "context",
            Self::CacheMount => "cache-mount",
            Self::Blob => "blob",
            Self::Log => "log",
            Self::Fetched => "fetched",
            Self::StatIndex => "stat-index",
            Self::Leftover => "leftover",
        }
    }
}

/// One thing in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub kind: ItemKind,
    /// Its name in the store.
    pub id: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// Microseconds since 1970.
    pub created: u64,
    /// Last use, in microseconds since 1970; its creation where no use is on record.
    pub used: u64,
    /// Builds that used it.
    pub count: u64,
    /// The line that made or used it last.
    pub place: Option<Place>,
    /// Images that need it.
    pub images: Vec<String>,
    /// A build under way uses it, or may be making it.
    pub leased: bool,
    /// Results that stand on it.
    pub below: usize,
    /// Of a cache mount: its id as Dockerfiles name it, and the steps that mounted it.
    pub mount: Option<CacheMount>,
}

impl Item {
    pub(super) fn new(kind: ItemKind, id: String, bytes: u64, created: u64) -> Self {
        Self {
            kind,
            id,
            bytes,
            created,
            used: created,
            count: 0,
            place: None,
            images: Vec::new(),
            leased: false,
            below: 0,
            mount: None,
        }
    }

    /// Whether it may be taken away.
    pub fn reclaimable(&self) -> bool {
        self.images.is_empty() && !self.leased
    }
}

/// A result on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultRow {
    /// Its name.
    pub id: String,
    /// All layers, lowest first.
    pub layers: Vec<LayerId>,
    /// Microseconds since 1970.
    pub created: u64,
    /// Bytes of its own layer.
    pub bytes: u64,
    /// Its last use.
    pub used: Option<Use>,
}

/// Everything in a store.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// What takes space.
    pub items: Vec<Item>,
    /// Results of steps and bases.
    pub results: Vec<ResultRow>,
    /// Layers and blobs that images need, with the names of the images.
    pub held: BTreeMap<String, Vec<String>>,
    /// Blobs that exports made of layers here: the layer by the blob's name.
    pub made: BTreeMap<String, String>,
    /// Builds on record: their ids, newest first, by project.
    pub builds: BTreeMap<String, Vec<String>>,
    /// What builds under way use.
    pub leased: Leased,
    /// Bytes of the index.
    pub index_bytes: u64,
}

impl Inventory {
    /// Looks at a store. Errors: a part of it cannot be read.
    pub fn take(store: &Store, worker: &Worker) -> Result<Self, UpkeepError> {
        let leased = Leased::read(&store.layout.leases())?;
        let (held, results, made, builds) = (held(store)?, results(store)?, made(store)?, builds(store)?);
        let mut inventory = Self { held, results, made, builds, leased, ..Self::default() };
        inventory.layers(store)?;
        inventory.caches(store, caches(worker)?)?;
        inventory.folder(&store.layout.root().join("blobs/sha256"), |name| match is_digest(name) {
            true => ItemKind::Blob,
            false => ItemKind::Leftover,
        })?;
        inventory.folder(&store.layout.root().join("builds"), |_| ItemKind::Log)?;
        inventory.folder(&store.layout.fetched(), |_| ItemKind::Fetched)?;
        inventory.folder(&store.layout.root().join("context"), |_| ItemKind::StatIndex)?;
        for suffix in ["", "-wal", "-shm"] {
            let path = store.layout.root().join(format!("index.db{suffix}"));
            inventory.index_bytes += fs::metadata(path).map_or(0, |meta| meta.len());
        }
        Ok(inventory)
    }

    /// Bytes of everything but the index.
    pub fn bytes(&self) -> u64 {
        self.items.iter().map(|item| item.bytes).sum()
    }

    fn layers(&mut self, store: &Store) -> Result<(), UpkeepError> {
        let folder = store.layout.root().join("layers");
        let tops: BTreeMap<&str, &ResultRow> =
            self.results.iter().filter_map(|row| Some((row.layers.last()?.as_str(), row))).collect();
        let below = stood_on(&self.results);
        let mut items = Vec::new();
        for entry in fs::read_dir(&folder).at("list", &folder)?.flatten() {
            let Some(name) = entry.file_name().to_str().map(str::to_owned).filter(|name| name.parse::<LayerId>().is_ok())
            else {
                continue;
            };
            let Ok(meta) = entry.metadata() else { continue };
            let stat: LayerStat = fs::read(folder.join(format!("{name}.stat")))
                .ok()
                .and_then(|text| serde_json::from_slice(&text).ok())
                .unwrap_or_default();
            let kind = match () {
                () if name.starts_with("base-") => ItemKind::Base,
                () if name.starts_with("context-") => ItemKind::Context,
                () if name.starts_with(crate::engine::oci::LayerId::FAILED) => ItemKind::Failed,
                () => ItemKind::Step,
            };
            let mut item = Item::new(kind, name, stat.bytes, changed(&meta));
            if let Some(row) = tops.get(item.id.as_str()) {
                item.created = row.created;
                item.used = row.used.as_ref().map_or(row.created, |last| last.used);
                item.count = row.used.as_ref().map_or(0, |last| last.count);
                item.place = row.used.as_ref().map(|last| last.place.clone());
            }
            item.below = below.get(item.id.as_str()).copied().unwrap_or(0);
            items.push(item);
        }
        self.add(items);
        Ok(())
    }

    fn caches(&mut self, store: &Store, folders: Vec<CacheFolder>) -> Result<(), UpkeepError> {
        let known = store.index.cache_mounts()?;
        let items = folders.into_iter().map(|folder| {
            let mut item = Item::new(ItemKind::CacheMount, folder.name.clone(), folder.stat.bytes, folder.changed);
            // A private cache that several steps use has a number behind its name.
            let name = folder.name.split('.').next().unwrap_or(&folder.name);
            if let Some(mount) = known.get(name) {
                (item.used, item.count) = (mount.used.max(folder.changed), mount.count);
                item.place = mount.users.first().map(|(place, _)| place.clone());
                item.mount = Some(mount.clone());
            }
            item
        });
        let items = items.collect();
        self.add(items);
        Ok(())
    }

    /// The files or folders directly in `folder`.
    fn folder(&mut self, folder: &Path, kind: impl Fn(&str) -> ItemKind) -> Result<(), UpkeepError> {
        let mut items = Vec::new();
        for entry in fs::read_dir(folder).at("list", folder)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(meta) = entry.metadata() else { continue };
            let bytes = if meta.is_dir() { files_of(&entry.path()) } else { meta.len() };
            items.push(Item::new(kind(&name), name, bytes, changed(&meta)));
        }
        self.add(items);
        Ok(())
    }

    fn add(&mut self, items: Vec<Item>) {
        for mut item in items {
            item.images = self.held.get(&item.id).cloned().unwrap_or_default();
            let young = self.leased.may_own(UNIX_EPOCH + Duration::from_micros(item.created));
            let unnamed = item.kind != ItemKind::CacheMount && item.kind != ItemKind::StatIndex && item.below == 0;
            let base_name = item.id.split('.').next().unwrap_or(&item.id);
            item.leased = self.leased.names.contains(base_name) || (young && unnamed);
            self.items.push(item);
        }
    }
}

/// How many results stand on each layer without having made it.
pub(super) fn stood_on<'a>(results: impl IntoIterator<Item = &'a ResultRow>) -> BTreeMap<&'a str, usize> {
    let mut out = BTreeMap::new();
    for row in results {
        for layer in row.layers.iter().rev().skip(1) {
            *out.entry(layer.as_str()).or_default() += 1;
        }
    }
    out
}

/// 64 hex digits.
pub(super) fn is_digest(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn changed(meta: &fs::Metadata) -> u64 {
    let at = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH).duration_since(UNIX_EPOCH).unwrap_or_default();
    // A renamed directory keeps its mtime; when it appeared is its ctime.
    let appeared = meta.ctime().unsigned_abs() * 1_000_000 + meta.ctime_nsec().unsigned_abs() / 1000;
    (at.as_micros() as u64).max(appeared)
}

fn files_of(folder: &Path) -> u64 {
    let (mut todo, mut bytes) = (vec![folder.to_owned()], 0);
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => todo.push(entry.path()),
                Ok(meta) if meta.is_file() => bytes += meta.len(),
                _ => {}
            }
        }
    }
    bytes
}

fn caches(worker: &Worker) -> Result<Vec<CacheFolder>, UpkeepError> {
    match worker.call(Request::Caches { contents_of: None }, Vec::new())? {
        Reply::Caches { caches, .. } => Ok(caches),
        _ => Err(UpkeepError::Answer("a list of caches")),
    }
}

/// What images need: layers, and the hex names of their blobs.
pub(super) fn held(store: &Store) -> Result<BTreeMap<String, Vec<String>>, UpkeepError> {
    let mut out: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    // What a daemon of this machine has can be fetched from it again.
    let named = store.index.images()?.into_iter().filter(|(name, ..)| !name.starts_with(DAEMON_PREFIX));
    for (name, record, _) in named {
        for id in needs(&record) {
            out.entry(id).or_default().insert(name.clone());
        }
    }
    Ok(out.into_iter().map(|(id, names)| (id, names.into_iter().collect())).collect())
}

fn needs(record: &ImageRecord) -> impl Iterator<Item = String> + '_ {
    let blobs = record.layers.iter().filter_map(|layer| layer.blob.as_ref()).map(|blob| blob.digest.hex());
    let layers = record.layers.iter().map(|layer| layer.layer.to_string());
    [record.id.hex(), record.manifest.hex()].into_iter().chain(blobs).chain(layers)
}

pub(super) fn results(store: &Store) -> Result<Vec<ResultRow>, UpkeepError> {
    let mut uses = store.index.uses()?;
    let rows = store.index.with(|db| {
        let mut query = db.prepare("select id, layers, created, bytes from results order by created")?;
        let rows = query.query_map([], |row| {
            let (created, bytes) = (row.get::<_, i64>(2)? as u64, row.get::<_, i64>(3)? as u64);
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, created, bytes))
        })?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    })?;
    let parse = |(id, layers, created, bytes): (String, String, u64, u64)| {
        let used = uses.remove(&id);
        ResultRow { layers: serde_json::from_str(&layers).unwrap_or_default(), id, created, bytes, used }
    };
    Ok(rows.into_iter().map(parse).collect())
}

fn made(store: &Store) -> Result<BTreeMap<String, String>, UpkeepError> {
    let rows = store.index.with(|db| {
        let mut query = db.prepare("select digest, layer from blobs")?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<Vec<(String, String)>>>()
    })?;
    let hex = |digest: String| digest.strip_prefix("sha256:").map(str::to_owned).unwrap_or(digest);
    Ok(rows.into_iter().map(|(digest, layer)| (hex(digest), layer)).collect())
}

pub(super) fn builds(store: &Store) -> Result<BTreeMap<String, Vec<String>>, UpkeepError> {
    let rows = store.index.with(|db| {
        let mut query = db.prepare("select project, id from builds order by started desc")?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<Vec<(String, String)>>>()
    })?;
    let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (project, id) in rows {
        out.entry(project).or_default().push(id);
    }
    Ok(out)
}
