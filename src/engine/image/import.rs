//! Images from files: an OCI layout (folder or tar) or a docker archive. Every blob is verified on its way into the store.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::inspect::Tar;
use crate::engine::oci::{Descriptor, ImageConfig, ImageIndex, Manifest, Packing, Platform, Reference, media_type};
use crate::engine::store::image::ImageRecord;
use crate::engine::store::{Store, StoreError};
use crate::ground::digest::{Digest, Digester};
use crate::ground::fs::{PathError, PathResultExt};
use crate::ground::hint::Hint;

const MANIFEST_LIMIT: u64 = 4 << 20;
const CONFIG_LIMIT: u64 = 8 << 20;
const NESTING_LIMIT: u32 = 4;

/// Why an image cannot be brought in.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The store, or a blob that is not what it should be.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file cannot be read.
    #[error(transparent)]
    Path(#[from] PathError),
    /// It is no image.
    #[error("`{}` {why}", .path.display().to_string().escape_debug())]
    Malformed {
        /// What was opened.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl Hint for ImportError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Path(error) => error.hint(),
            Self::Malformed { .. } => Some("give an OCI image layout (folder or tar) or an archive of `docker save`".into()),
        }
    }
}

/// Files of a layout: a folder, or members of a tar.
enum Files {
    Folder(PathBuf),
    Tar { path: PathBuf, members: HashMap<String, (u64, u64)> },
}

impl Files {
    fn open(path: &Path) -> Result<Self, ImportError> {
        if path.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        let file = File::open(path).at("read", path)?;
        let mut archive = tar::Archive::new(file);
        let mut members = HashMap::new();
        let malformed = |why: String| ImportError::Malformed { path: path.to_owned(), why };
        for entry in archive.entries_with_seek().at("read", path)? {
            let entry = entry.map_err(|e| malformed(format!("is no tar archive: {e}")))?;
            if entry.header().entry_type() != tar::EntryType::Regular {
                continue;
            }
            let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
            members.insert(name, (entry.raw_file_position(), entry.size()));
            if members.len() > 10_000 {
                return Err(malformed("has more than 10,000 members".into()));
            }
        }
        Ok(Self::Tar { path: path.to_owned(), members })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Folder(path) | Self::Tar { path, .. } => path,
        }
    }

    fn has(&self, name: &str) -> bool {
        match self {
            Self::Folder(path) => path.join(name).is_file(),
            Self::Tar { members, .. } => members.contains_key(name),
        }
    }

    /// Opens a file of it. Names come from digests, or (docker archives) from a document: those must stay inside.
    fn file(&self, name: &str) -> Result<Box<dyn Read>, ImportError> {
        let absent = || self.malformed(format!("has no `{}`", name.escape_debug()));
        if name.split('/').any(|part| part == ".." || part.is_empty()) {
            return Err(absent());
        }
        match self {
            Self::Folder(path) => {
                let path = path.join(name);
                if !path.is_file() {
                    return Err(absent());
                }
                Ok(Box::new(File::open(&path).at("read", &path)?))
            }
            Self::Tar { path, members } => {
                let (at, size) = *members.get(name).ok_or_else(absent)?;
                let mut file = File::open(path).at("read", path)?;
                file.seek(SeekFrom::Start(at)).at("read", path)?;
                Ok(Box::new(file.take(size)))
            }
        }
    }

    /// Where a file of it lies: path, first byte, bytes.
    fn part(&self, name: &str) -> Result<Part, ImportError> {
        // Opened first: names are checked there.
        drop(self.file(name)?);
        match self {
            Self::Folder(path) => {
                let path = path.join(name);
                let size = std::fs::metadata(&path).at("read", &path)?.len();
                Ok((path, 0, size))
            }
            Self::Tar { path, members } => {
                let (at, size) = members.get(name).copied().unwrap_or_default();
                Ok((path.clone(), at, size))
            }
        }
    }

    fn bytes(&self, name: &str, limit: u64) -> Result<Vec<u8>, ImportError> {
        let mut out = Vec::new();
        self.file(name)?.take(limit + 1).read_to_end(&mut out).at("read", self.path())?;
        if out.len() as u64 > limit {
            return Err(self.malformed(format!("has a `{}` of more than {limit} bytes", name.escape_debug())));
        }
        Ok(out)
    }

    fn blob(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, ImportError> {
        let bytes = self.bytes(&blob_name(&descriptor.digest), limit)?;
        if Digest::of(&bytes) != descriptor.digest || bytes.len() as u64 != descriptor.size {
            return Err(self.malformed(format!("has a damaged blob {}", descriptor.digest)));
        }
        Ok(bytes)
    }

    fn malformed(&self, why: String) -> ImportError {
        ImportError::Malformed { path: self.path().to_owned(), why }
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, what: &str, bytes: &[u8]) -> Result<T, ImportError> {
        serde_json::from_slice(bytes).map_err(|e| self.malformed(format!("has a malformed {what}: {e}")))
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Brings all images of a file in. Returns name and record of each; a name that is only a tag gets the file's name before it.
pub fn import(store: &Store, path: &Path) -> Result<Vec<(String, ImageRecord)>, ImportError> {
    let files = Files::open(path)?;
    if files.has("index.json") {
        let index: ImageIndex = files.parse("index.json", &files.bytes("index.json", MANIFEST_LIMIT)?)?;
        if index.manifests.is_empty() {
            return Err(files.malformed("holds no image".into()));
        }
        let mut out = Vec::new();
        for entry in &index.manifests {
            let record = from_descriptor(store, &files, entry, 0)?;
            out.push((image_name(&files, entry), record));
        }
        return Ok(out);
    }
    if files.has("manifest.json") {
        return from_archive(store, &files);
    }
    Err(files.malformed("is neither an OCI image layout nor a docker archive".into()))
}

/// One image of a layout: by tag or digest, or the only one.
pub fn layout_image(store: &Store, path: &Path, wanted: Option<&str>) -> Result<ImageRecord, ImportError> {
    let files = Files::open(path)?;
    let index: ImageIndex = files.parse("index.json", &files.bytes("index.json", MANIFEST_LIMIT)?)?;
    from_descriptor(store, &files, pick(&files, &index, wanted)?, 0)
}

/// The same, only looked at: nothing enters the store. Returns its record and its configuration.
pub fn peek_layout(path: &Path, wanted: Option<&str>) -> Result<(ImageRecord, ImageConfig), ImportError> {
    let files = Files::open(path)?;
    let index: ImageIndex = files.parse("index.json", &files.bytes("index.json", MANIFEST_LIMIT)?)?;
    let Found { manifest, digest, config, .. } = find(&files, pick(&files, &index, wanted)?, 0)?;
    Ok((record(&files, &config, manifest.config.digest, digest, manifest.layers)?, config))
}

/// The entry that is meant.
fn pick<'i>(files: &Files, index: &'i ImageIndex, wanted: Option<&str>) -> Result<&'i Descriptor, ImportError> {
    let named = |entry: &&Descriptor| {
        let name = entry.annotations.get("org.opencontainers.image.ref.name").map(String::as_str);
        wanted.is_none_or(|wanted| name == Some(wanted) || entry.digest.to_string() == wanted)
    };
    let found: Vec<&Descriptor> = index.manifests.iter().filter(named).collect();
    match (found.as_slice(), wanted) {
        ([only], _) => Ok(only),
        ([], Some(wanted)) => Err(files.malformed(format!("holds no image `{}`", wanted.escape_debug()))),
        ([], None) => Err(files.malformed("holds no image".into())),
        ([first, rest @ ..], _) if rest.iter().all(|e| e.digest == first.digest) => Ok(first),
        _ => Err(files.malformed("holds several images: add `:TAG` or `@DIGEST` to its path".into())),
    }
}

fn image_name(files: &Files, entry: &Descriptor) -> String {
    let annotation = |key: &str| entry.annotations.get(key).filter(|text| !text.is_empty());
    if let Some(full) = annotation("io.containerd.image.name")
        && let Ok(reference) = Reference::parse(full)
    {
        return reference.to_string();
    }
    let stem = files.path().file_stem().map(|s| s.to_string_lossy().to_lowercase()).unwrap_or_default();
    let stem = if Reference::parse(&stem).is_ok() { stem } else { "image".to_owned() };
    let tag = annotation("org.opencontainers.image.ref.name").map_or("latest", String::as_str);
    let candidates = [tag.to_owned(), format!("{stem}:{tag}"), stem.clone()];
    let is_full = tag.contains('/') || tag.contains(':');
    let pick = candidates.iter().skip(usize::from(!is_full)).find_map(|name| Reference::parse(name).ok());
    pick.map_or(stem, |reference| reference.to_string())
}

fn from_descriptor(store: &Store, files: &Files, entry: &Descriptor, depth: u32) -> Result<ImageRecord, ImportError> {
    let Found { bytes, manifest, digest, config_bytes, config } = find(files, entry, depth)?;
    for layer in &manifest.layers {
        if !store.content.contains(&layer.digest) {
            let what = format!("the layer {}", layer.digest);
            store.content.put(files.file(&blob_name(&layer.digest))?, &layer.digest, layer.size, &what)?;
        }
    }
    store.content.put_bytes(&config_bytes)?;
    store.content.put_bytes(&bytes)?;
    record(files, &config, manifest.config.digest, digest, manifest.layers)
}

/// The documents of an image.
struct Found {
    bytes: Vec<u8>,
    manifest: Manifest,
    digest: Digest,
    config_bytes: Vec<u8>,
    config: ImageConfig,
}

/// The documents of an entry; of an index those for this machine. All layers are of a type that is read.
fn find(files: &Files, entry: &Descriptor, depth: u32) -> Result<Found, ImportError> {
    let bytes = files.blob(entry, MANIFEST_LIMIT)?;
    if matches!(entry.media_type.as_str(), media_type::INDEX | media_type::DOCKER_INDEX) {
        let index: ImageIndex = files.parse("index", &bytes)?;
        let host = Platform::host();
        let fit = |d: &&Descriptor| d.platform.as_ref().map_or(Some(0), |p| host.runs(p));
        let fitting = index.manifests.iter().filter(|d| fit(d).is_some());
        let Some(found) = fitting.min_by_key(fit).filter(|_| depth < NESTING_LIMIT) else {
            return Err(files.malformed(format!("holds no image for {}", host.text())));
        };
        return find(files, found, depth + 1);
    }
    let manifest: Manifest = files.parse("manifest", &bytes)?;
    let config_bytes = files.blob(&manifest.config, CONFIG_LIMIT)?;
    let config: ImageConfig = files.parse("image configuration", &config_bytes)?;
    if let Some(layer) = manifest.layers.iter().find(|layer| Packing::of(&layer.media_type).is_none()) {
        let kind = layer.media_type.escape_debug();
        return Err(files.malformed(format!("has a layer of type `{kind}`, which is not read yet")));
    }
    Ok(Found { bytes, manifest, digest: entry.digest, config_bytes, config })
}

/// An image of a file that is only looked at: nothing enters the store.
pub struct FileImage {
    /// Its configuration.
    pub config: ImageConfig,
    /// Its layers, lowest first, which are verified when they are read.
    pub layers: Vec<Tar>,
}

/// Opens one image of an OCI layout or a docker archive: by tag, digest or name, or the only one.
pub fn look(path: &Path, wanted: Option<&str>) -> Result<FileImage, ImportError> {
    let files = Files::open(path)?;
    if files.has("index.json") {
        let index: ImageIndex = files.parse("index.json", &files.bytes("index.json", MANIFEST_LIMIT)?)?;
        let Found { manifest, config, .. } = find(&files, pick(&files, &index, wanted)?, 0)?;
        return looked(&files, config, &manifest.layers, |layer, diff_id| {
            let (path, at, _) = files.part(&blob_name(&layer.digest))?;
            let packing = Packing::of(&layer.media_type).unwrap_or(Packing::Plain);
            Ok(Tar::Blob { path, at, size: layer.size, digest: Some(layer.digest), packing, diff_id })
        });
    }
    if files.has("manifest.json") {
        let entry = pick_archived(&files, wanted)?;
        let config = files.parse("image configuration", &files.bytes(&entry.config, CONFIG_LIMIT)?)?;
        return looked(&files, config, &entry.layers, |name, diff_id| {
            let mut magic = Vec::new();
            files.file(name)?.take(4).read_to_end(&mut magic).at("read", files.path())?;
            let (path, at, size) = files.part(name)?;
            Ok(Tar::Blob { path, at, size, digest: None, packing: packing_of(&magic), diff_id })
        });
    }
    Err(files.malformed("is neither an OCI image layout nor a docker archive".into()))
}

/// Layers with the DiffIDs that the configuration names.
fn looked<L>(
    files: &Files,
    config: ImageConfig,
    layers: &[L],
    tar: impl Fn(&L, Option<Digest>) -> Result<Tar, ImportError>,
) -> Result<FileImage, ImportError> {
    let (have, named) = (layers.len(), config.rootfs.diff_ids.len());
    if have != named {
        return Err(files.malformed(format!("has {have} layers, but its configuration names {named}")));
    }
    let diff_ids = config.rootfs.diff_ids.iter().copied().map(Some);
    let layers = layers.iter().zip(diff_ids).map(|(layer, diff_id)| tar(layer, diff_id)).collect::<Result<_, _>>()?;
    Ok(FileImage { config, layers })
}

/// Path, first byte and bytes of a member.
type Part = (PathBuf, u64, u64);

fn pick_archived(files: &Files, wanted: Option<&str>) -> Result<ArchiveEntry, ImportError> {
    let list: Vec<ArchiveEntry> = files.parse("manifest.json", &files.bytes("manifest.json", MANIFEST_LIMIT)?)?;
    let named = |entry: &ArchiveEntry, wanted: &str| {
        let tag = |tag: &String| tag == wanted || tag.rsplit_once(':').is_some_and(|(_, tag)| tag == wanted);
        entry.repo_tags.iter().flatten().any(tag)
    };
    let mut fitting = list.into_iter().filter(|entry| wanted.is_none_or(|wanted| named(entry, wanted)));
    match (fitting.next(), fitting.next(), wanted) {
        (Some(only), None, _) => Ok(only),
        (None, _, Some(wanted)) => Err(files.malformed(format!("holds no image `{}`", wanted.escape_debug()))),
        (None, _, None) => Err(files.malformed("holds no image".into())),
        (Some(_), Some(_), _) => Err(files.malformed("holds several images: add `:TAG` to its path".into())),
    }
}

/// How a layer that comes without a type is packed.
fn packing_of(magic: &[u8]) -> Packing {
    match magic {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd] => Packing::Zstd,
        _ => Packing::Plain,
    }
}

fn record(
    files: &Files,
    config: &ImageConfig,
    id: Digest,
    manifest: Digest,
    blobs: Vec<Descriptor>,
) -> Result<ImageRecord, ImportError> {
    ImageRecord::of_blobs(config, id, manifest, blobs).map_err(|why| files.malformed(why))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ArchiveEntry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// `docker save`'s older form: no manifests of the image, so one is made.
fn from_archive(store: &Store, files: &Files) -> Result<Vec<(String, ImageRecord)>, ImportError> {
    let list: Vec<ArchiveEntry> = files.parse("manifest.json", &files.bytes("manifest.json", MANIFEST_LIMIT)?)?;
    let mut out = Vec::new();
    for entry in list {
        let config_bytes = files.bytes(&entry.config, CONFIG_LIMIT)?;
        let config: ImageConfig = files.parse("image configuration", &config_bytes)?;
        let mut layers = Vec::new();
        for name in &entry.layers {
            let descriptor = describe(files, name)?;
            store.content.put(files.file(name)?, &descriptor.digest, descriptor.size, name)?;
            layers.push(descriptor);
        }
        let id = store.content.put_bytes(&config_bytes)?;
        let config_descriptor = Descriptor {
            media_type: media_type::CONFIG.into(),
            digest: id,
            size: config_bytes.len() as u64,
            platform: None,
            annotations: BTreeMap::new(),
        };
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media_type::MANIFEST.into()),
            config: config_descriptor,
            layers: layers.clone(),
            annotations: BTreeMap::new(),
        };
        let manifest = store.content.put_bytes(&serde_json::to_vec(&manifest).unwrap_or_default())?;
        let record = record(files, &config, id, manifest, layers)?;
        let tags = entry.repo_tags.unwrap_or_default();
        let named = |tag: &String| Reference::parse(tag).ok().map(|r| r.to_string());
        let mut names: Vec<String> = tags.iter().filter_map(named).collect();
        if names.is_empty() {
            names.push(image_name(
                files,
                &Descriptor { media_type: String::new(), digest: id, size: 0, platform: None, annotations: BTreeMap::new() },
            ));
        }
        out.extend(names.into_iter().map(|name| (name, record.clone())));
    }
    Ok(out)
}

/// Digest, size and type of a layer that comes without a descriptor.
fn describe(files: &Files, name: &str) -> Result<Descriptor, ImportError> {
    let mut reader = files.file(name)?;
    let mut magic = [0; 4];
    let mut digester = Digester::default();
    let mut size = 0;
    if reader.read_exact(&mut magic).is_ok() {
        digester.update(magic);
        size = 4 + io::copy(&mut reader, &mut digester).at("read", files.path())?;
    }
    let media_type = packing_of(&magic).media_type();
    Ok(Descriptor {
        media_type: media_type.into(),
        digest: digester.finish(),
        size,
        platform: None,
        annotations: BTreeMap::new(),
    })
}
