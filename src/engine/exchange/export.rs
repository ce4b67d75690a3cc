//! Packs a cache, and writes it into a folder: blobs first, then the documents that name them, the index last. A reader sees the
//! former cache or the new one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::FlockOperation;

use super::folder::{Folder, MARK, REF_NAME, blob_path, has_tag};
use super::format::{CONFIG_TYPE, CacheConfig, CachedResult, CachedStep, VERSION};
use super::{CacheMode, ExchangeError};
use crate::engine::cache::ingredients::KEY_FORMAT;
use crate::engine::image::layer::{Form, ImageError, Written, blob};
use crate::engine::oci::{Descriptor, ImageIndex, LayerId, Manifest, media_type};
use crate::engine::protocol::Compression;
use crate::engine::store::{Store, StoreError};
use crate::engine::worker::Worker;
use crate::ground::digest::{Digest, Digester};
use crate::ground::fs::{AtomicFile, PathResultExt};
use serde_json::Value;

pub use super::format::CachedInput as StepInput;

/// A step of a build; its inputs name earlier ones by place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Digest of its operation.
    pub operation: Digest,
    /// By what it is reached.
    pub inputs: Vec<StepInput>,
    /// Its result, where it is to be in the cache.
    pub result: Option<StepLayers>,
}

/// The result of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepLayers {
    /// DiffIDs of the base's layers.
    pub base: Vec<Digest>,
    /// What lies above, lowest first.
    pub layers: Vec<LayerId>,
    /// Microseconds since 1970.
    pub created: u64,
    /// Microseconds it took.
    pub micros: u64,
}

/// A cache whose layers lie in the store as blobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The bytes of its configuration.
    pub config: Vec<u8>,
    /// Its manifest.
    pub manifest: Manifest,
    /// Steps that it knows.
    pub steps: u64,
    /// Of these, the ones with a result.
    pub results: u64,
}

impl Packed {
    /// Packs the layers of all results. Errors: one of them cannot be packed.
    pub fn new(store: &Store, worker: &Worker, steps: &[Step], mode: CacheMode) -> Result<Self, ExchangeError> {
        let packed = pack(store, worker, steps)?;
        let (config, layers) = document(steps, &packed, mode);
        let results = config.steps.iter().filter(|step| step.result.is_some()).count();
        let known = config.steps.len();
        let config = serde_json::to_vec(&config).unwrap_or_default();
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media_type::MANIFEST.into()),
            config: descriptor(CONFIG_TYPE, &config),
            layers,
            annotations: BTreeMap::new(),
        };
        Ok(Self { config, manifest, steps: known as u64, results: results as u64 })
    }

    /// Bytes of all layers.
    pub fn bytes(&self) -> u64 {
        self.manifest.layers.iter().map(|layer| layer.size).sum()
    }

    /// The bytes of the manifest.
    pub fn manifest_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.manifest).unwrap_or_default()
    }

    /// Writes it into a folder under a tag. Other tags stay, and so do blobs that nothing names any more (as with BuildKit):
    /// somebody may be reading them. Errors: the folder cannot be written, or the tag is something else's.
    pub fn write(&self, store: &Store, folder: &Path, tag: &str) -> Result<(), ExchangeError> {
        present_index(folder, tag)?;
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).at("create", &blobs)?;
        for layer in &self.manifest.layers {
            copy(store, layer, folder)?;
        }
        let manifest = self.manifest_bytes();
        let mut entry = descriptor(media_type::MANIFEST, &manifest);
        write(&folder.join(blob_path(&self.manifest.config.digest)), &self.config)?;
        write(&folder.join(blob_path(&entry.digest)), &manifest)?;
        entry.annotations = [(REF_NAME, tag), (MARK, "1")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        // Of two builds that write beside each other neither loses what the other one wrote.
        let lock = fs::File::open(folder).at("open", folder)?;
        // A file system without locks is written all the same.
        let _ = rustix::fs::flock(&lock, FlockOperation::LockExclusive);
        let mut index = present_index(folder, tag)?;
        if let Some(entries) = index.get_mut("manifests").and_then(Value::as_array_mut) {
            entries.retain(|entry| entry.pointer(&format!("/annotations/{REF_NAME}")).and_then(Value::as_str) != Some(tag));
            entries.push(serde_json::to_value(&entry).unwrap_or_default());
        }
        write(&folder.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        write(&folder.join("index.json"), &serde_json::to_vec(&index).unwrap_or_default())
    }
}

fn descriptor(kind: &str, bytes: &[u8]) -> Descriptor {
    let (media_type, digest, size) = (kind.to_owned(), Digest::of(bytes), bytes.len() as u64);
    Descriptor { media_type, digest, size, platform: None, annotations: BTreeMap::new() }
}

/// The index of the folder as it is, with all that others wrote into it; an empty one where there is none yet.
fn present_index(folder: &Path, tag: &str) -> Result<Value, ExchangeError> {
    let occupied = |why: String| ExchangeError::Occupied { folder: folder.to_owned(), why };
    let none = serde_json::json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": []});
    if !folder.join("index.json").exists() {
        return Ok(none);
    }
    let opened = Folder::open(folder).map_err(occupied)?;
    let index: ImageIndex = opened.index().map_err(occupied)?;
    match index.manifests.iter().find(|entry| has_tag(entry, tag)) {
        Some(entry) if !entry.annotations.contains_key(MARK) => {
            Err(occupied(format!("holds something else under the tag `{tag}`, which the cache would replace")))
        }
        _ => opened.index().map_err(occupied),
    }
}

/// The blobs of all layers, side by side: compression is what takes the time.
fn pack(store: &Store, worker: &Worker, steps: &[Step]) -> Result<BTreeMap<LayerId, Written>, ImageError> {
    let layers: BTreeSet<&LayerId> = steps.iter().filter_map(|step| step.result.as_ref()).flat_map(|r| &r.layers).collect();
    let layers: Vec<&LayerId> = layers.into_iter().collect();
    let form = Form { compression: Compression::Gzip, level: None, clamp_times: None };
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(LayerId, Written)>, ImageError> {
        let mut done = Vec::new();
        while let Some(layer) = layers.get(next.fetch_add(1, Ordering::SeqCst)) {
            done.push(((*layer).clone(), blob(store, worker, layer, form)?));
        }
        Ok(done)
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(layers.len().max(1));
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut packed = BTreeMap::new();
        for thread in threads {
            packed.extend(thread.join().unwrap_or(Err(ImageError::Interrupted))?);
        }
        Ok(packed)
    })
}

/// The configuration, and the layers in the order that it counts them in.
fn document(steps: &[Step], packed: &BTreeMap<LayerId, Written>, mode: CacheMode) -> (CacheConfig, Vec<Descriptor>) {
    let mut places: BTreeMap<Digest, usize> = BTreeMap::new();
    let (mut diff_ids, mut layers) = (Vec::new(), Vec::new());
    let mut place = |layer: &LayerId| -> Option<usize> {
        let written = packed.get(layer)?;
        Some(*places.entry(written.blob.digest).or_insert_with(|| {
            diff_ids.push(written.diff_id);
            layers.push(written.blob.clone());
            layers.len() - 1
        }))
    };
    let mut result = |of: &StepLayers| {
        let StepLayers { base, layers, created, micros } = of;
        let layers = layers.iter().map(&mut place).collect::<Option<Vec<usize>>>()?;
        Some(CachedResult { base: base.clone(), layers, created: *created, micros: *micros })
    };
    let step = |step: &Step| CachedStep {
        operation: step.operation,
        inputs: step.inputs.clone(),
        result: step.result.as_ref().and_then(&mut result),
    };
    let steps = steps.iter().map(step).collect();
    (CacheConfig { version: VERSION, key_format: KEY_FORMAT, mode, layers: diff_ids, steps }, layers)
}

/// A blob of the store, verified on its way.
fn copy(store: &Store, layer: &Descriptor, folder: &Path) -> Result<(), ExchangeError> {
    let path = folder.join(blob_path(&layer.digest));
    if is_there(&path, layer) {
        return Ok(());
    }
    let mut from = store.content.open(&layer.digest)?;
    let mut file = AtomicFile::create(&path)?;
    let (mut digester, mut buffer) = (Digester::default(), vec![0; 256 << 10]);
    loop {
        match from.read(&mut buffer).at("read", store.content.path(&layer.digest))? {
            0 => break,
            n => {
                digester.update(&buffer[..n]);
                file.write_all(&buffer[..n]).at("write", &path)?;
            }
        }
    }
    if digester.finish() != layer.digest {
        let why = "its content is not what its name says".to_owned();
        return Err(StoreError::Mismatch { what: format!("the blob {}", layer.digest), why }.into());
    }
    Ok(file.commit()?)
}

/// Whether the blob lies there as it should be: one that was damaged since is written again.
fn is_there(path: &Path, layer: &Descriptor) -> bool {
    let has_size = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == layer.size);
    has_size && digest_of(path).is_ok_and(|digest| digest == layer.digest)
}

fn digest_of(path: &Path) -> io::Result<Digest> {
    let (mut file, mut digester, mut buffer) = (fs::File::open(path)?, Digester::default(), vec![0; 256 << 10]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(digester.finish()),
            n => digester.update(&buffer[..n]),
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ExchangeError> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).at("write", path)?;
    Ok(file.commit()?)
}
