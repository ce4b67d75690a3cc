//! Writes an image as an OCI layout or a docker archive, each as a tar or (OCI) a directory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::layer::{Form, ImageError, blob, clamp_of, repack};
use crate::engine::oci::{Descriptor, ImageIndex, Manifest, Packing, Platform, media_type};
use crate::engine::protocol::Compression;
use crate::engine::store::image::{ImageLayer, ImageRecord};
use crate::engine::store::{Store, StoreError};
use crate::engine::worker::Worker;
use crate::ground::digest::{Digest, Digester};
use crate::ground::fs::{AtomicFile, PathResultExt};

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExportFormat {
    /// An OCI image layout.
    #[default]
    Oci,
    /// What `docker load` reads.
    Docker,
}

/// How layers are packed, and what is said about the image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packaging {
    /// `compression=`; none for the format's usual one.
    pub compression: Option<Compression>,
    /// `compression-level=`.
    pub level: Option<i32>,
    /// `force-compression=true`: layers that came with the base are packed anew, too.
    pub force: bool,
    /// `annotation.NAME=VALUE`: of the manifest.
    pub annotations: BTreeMap<String, String>,
}

/// Where to.
#[derive(Debug, Clone, Default)]
pub struct ExportRequest {
    /// Format.
    pub format: ExportFormat,
    /// A tar file; with `directory` a folder. For messages only where there is a stream.
    pub destination: PathBuf,
    /// An open file that gets the tar, whatever its name.
    pub stream: Option<Arc<File>>,
    /// Not packed into a tar (OCI only).
    pub directory: bool,
    /// Names that the image gets inside.
    pub names: Vec<String>,
    /// Rewritten timestamps.
    pub clamp_times: Option<u64>,
    /// How layers are packed.
    pub packaging: Packaging,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Manifest digest.
    pub digest: Digest,
    /// Bytes of all blobs.
    pub bytes: u64,
}

/// Exports an image of the store. A file appears whole, or not at all.
pub fn export(
    store: &Store,
    worker: &Worker,
    record: &ImageRecord,
    config: &[u8],
    request: &ExportRequest,
) -> Result<Exported, ImageError> {
    let usual = match request.format {
        ExportFormat::Oci => Compression::Gzip,
        ExportFormat::Docker => Compression::None,
    };
    let packaging = &request.packaging;
    let compression = packaging.compression.unwrap_or(usual);
    let form = Form { compression, level: packaging.level, clamp_times: request.clamp_times };
    let (manifest_bytes, Manifest { layers, .. }) = packed_manifest(store, worker, record, config, (form, packaging))?;
    let digest = Digest::of(&manifest_bytes);
    let bytes = layers.iter().map(|l| l.size).sum::<u64>() + (config.len() + manifest_bytes.len()) as u64;
    let documents = documents(request, record, &manifest_bytes, config, &layers);
    let mut sink = Sink::open(request)?;
    for (name, bytes) in documents {
        sink.bytes(&name, &bytes)?;
    }
    let mut done = std::collections::BTreeSet::new();
    for layer in &layers {
        if done.insert(layer.digest) {
            let mut file = Verified { inner: store.content.open(&layer.digest)?, digester: Digester::default() };
            sink.stream(&format!("blobs/sha256/{}", layer.digest.hex()), &mut file, layer.size)?;
            if file.digester.finish() != layer.digest {
                return Err(damaged(format!("the blob {}", layer.digest)));
            }
        }
    }
    sink.finish()?;
    Ok(Exported { digest, bytes })
}

/// The manifest of an image, and its bytes; the blobs of all its layers lie in the store then.
pub fn packed_manifest(
    store: &Store,
    worker: &Worker,
    record: &ImageRecord,
    config: &[u8],
    (form, packaging): (Form, &Packaging),
) -> Result<(Vec<u8>, Manifest), ImageError> {
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type::MANIFEST.into()),
        config: Descriptor {
            media_type: media_type::CONFIG.into(),
            digest: record.id,
            size: config.len() as u64,
            platform: None,
            annotations: BTreeMap::new(),
        },
        layers: layer_blobs(store, worker, record, form, packaging.force)?,
        annotations: packaging.annotations.clone(),
    };
    Ok((serde_json::to_vec(&manifest).unwrap_or_default(), manifest))
}

/// The blobs of all layers; those that came with the base are passed on as they are, unless all are to be packed alike.
fn layer_blobs(
    store: &Store,
    worker: &Worker,
    record: &ImageRecord,
    form: Form,
    force: bool,
) -> Result<Vec<Descriptor>, ImageError> {
    let one = |layer: &ImageLayer| match &layer.blob {
        Some(known) if force && store.content.contains(&known.digest) => {
            repack(store, &layer.layer, &layer.diff_id, known, form)
        }
        Some(known) if store.content.contains(&known.digest) => {
            let media_type = Packing::of(&known.media_type).unwrap_or(Packing::Plain).media_type();
            Ok(Descriptor { media_type: media_type.into(), annotations: BTreeMap::new(), platform: None, ..known.clone() })
        }
        _ => built_blob(store, worker, layer, form),
    };
    // Layers are made side by side: compression is what takes the time.
    std::thread::scope(|scope| {
        let threads: Vec<_> = record.layers.chunks(1).map(|l| scope.spawn(|| one(&l[0]))).collect();
        let gone = || ImageError::Interrupted;
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(gone()))).collect()
    })
}

/// The blob of a layer that was made here; it must be the layer that the image's configuration names.
fn built_blob(store: &Store, worker: &Worker, layer: &ImageLayer, form: Form) -> Result<Descriptor, ImageError> {
    let written = blob(store, worker, &layer.layer, form)?;
    if written.diff_id == layer.diff_id {
        return Ok(written.blob);
    }
    // An image with rewritten times keeps them wherever it goes.
    let again = clamp_of(store, &layer.layer, &layer.diff_id)?.map(|clamp_times| Form { clamp_times, ..form });
    match again.map(|form| blob(store, worker, &layer.layer, form)).transpose()? {
        Some(written) if written.diff_id == layer.diff_id => Ok(written.blob),
        _ => Err(damaged(format!("the layer {}", layer.layer))),
    }
}

fn damaged(what: String) -> ImageError {
    let why = "its content is not what the image says".to_owned();
    ImageError::Store(StoreError::Mismatch { what, why })
}

/// Digests what passes.
struct Verified<R> {
    inner: R,
    digester: Digester,
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.digester.update(&buffer[..n]);
        Ok(n)
    }
}

/// The small files of the result. A docker archive is an OCI layout with a `manifest.json` for older readers.
fn documents(
    request: &ExportRequest,
    record: &ImageRecord,
    manifest: &[u8],
    config: &[u8],
    layers: &[Descriptor],
) -> Vec<(String, Vec<u8>)> {
    let digest = Digest::of(manifest);
    let mut entries = Vec::new();
    let entry = |annotations| Descriptor {
        media_type: media_type::MANIFEST.into(),
        digest,
        size: manifest.len() as u64,
        platform: Some(Platform::host()),
        annotations,
    };
    for name in &request.names {
        let reference = crate::engine::oci::Reference::parse(name).ok();
        let full = reference.as_ref().map_or_else(|| name.clone(), ToString::to_string);
        let tag = reference.and_then(|r| r.tag).unwrap_or_else(|| "latest".into());
        entries.push(entry(BTreeMap::from([
            ("io.containerd.image.name".to_owned(), full),
            ("org.opencontainers.image.ref.name".to_owned(), tag),
        ])));
    }
    if entries.is_empty() {
        entries.push(entry(BTreeMap::new()));
    }
    let index = ImageIndex { schema_version: 2, media_type: Some(media_type::INDEX.into()), manifests: entries };
    let blob = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
    let mut out = vec![
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ("index.json".to_owned(), serde_json::to_vec(&index).unwrap_or_default()),
        (blob(&digest), manifest.to_vec()),
        (blob(&record.id), config.to_vec()),
    ];
    if request.format == ExportFormat::Docker {
        let names: Vec<String> = request
            .names
            .iter()
            .map(|name| crate::engine::oci::Reference::parse(name).map_or_else(|_| name.clone(), |r| r.familiar()))
            .collect();
        let list = json!([{
            "Config": blob(&record.id),
            "RepoTags": names,
            "Layers": layers.iter().map(|l| blob(&l.digest)).collect::<Vec<_>>(),
        }]);
        out.push(("manifest.json".to_owned(), list.to_string().into_bytes()));
    }
    out
}

/// A folder that goes away unless it was renamed.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A folder or a tar.
enum Sink {
    Folder { temporary: Temporary, destination: PathBuf },
    Tar { builder: Box<tar::Builder<BufWriter<Out>>>, destination: PathBuf, folders: bool },
}

/// A file that appears when it is whole, or an open one of the caller's.
enum Out {
    File(AtomicFile),
    Stream(Arc<File>),
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Stream(file) => (&**file).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink {
    fn open(request: &ExportRequest) -> Result<Self, ImageError> {
        let destination = request.destination.clone();
        if request.directory {
            if destination.exists() && destination.read_dir().map_or(true, |mut dir| dir.next().is_some()) {
                let cause = io::Error::new(io::ErrorKind::AlreadyExists, "it exists and is not empty");
                return Err(cause).at("write", &destination)?;
            }
            let name = destination.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            let temporary = destination.with_file_name(format!(".{name}.{}.tmp", crate::ground::random_hex(6)));
            let blobs = temporary.join("blobs/sha256");
            std::fs::create_dir_all(&blobs).at("create", &blobs)?;
            return Ok(Self::Folder { temporary: Temporary(temporary), destination });
        }
        let file = match &request.stream {
            Some(stream) => Out::Stream(Arc::clone(stream)),
            None => Out::File(AtomicFile::create(&destination)?),
        };
        let builder = Box::new(tar::Builder::new(BufWriter::with_capacity(1 << 20, file)));
        Ok(Self::Tar { builder, destination, folders: false })
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), ImageError> {
        self.stream(name, bytes, bytes.len() as u64)
    }

    fn stream(&mut self, name: &str, mut from: impl Read, size: u64) -> Result<(), ImageError> {
        match self {
            Self::Folder { temporary, .. } => {
                let path = temporary.0.join(name);
                let mut file = File::create(&path).at("create", &path)?;
                io::copy(&mut from, &mut file).at("write", &path)?;
                Ok(file.sync_all().at("sync", &path)?)
            }
            Self::Tar { builder, destination, folders } => {
                if !*folders && name.starts_with("blobs/") {
                    *folders = true;
                    for folder in ["blobs/", "blobs/sha256/"] {
                        let mut header = header(0, 0o755, tar::EntryType::Directory);
                        builder.append_data(&mut header, folder, io::empty()).at("write", &*destination)?;
                    }
                }
                let mut header = header(size, 0o644, tar::EntryType::Regular);
                Ok(builder.append_data(&mut header, name, from.take(size)).at("write", &*destination)?)
            }
        }
    }

    fn finish(self) -> Result<(), ImageError> {
        match self {
            Self::Folder { temporary, destination } => {
                let _ = std::fs::remove_dir(&destination);
                Ok(std::fs::rename(&temporary.0, &destination).at("create", &destination)?)
            }
            Self::Tar { builder, destination, .. } => {
                let mut writer = builder.into_inner().at("write", &destination)?;
                writer.flush().at("write", &destination)?;
                let file = writer.into_inner().map_err(io::IntoInnerError::into_error).at("write", &destination)?;
                match file {
                    Out::File(file) => Ok(file.commit()?),
                    Out::Stream(_) => Ok(()),
                }
            }
        }
    }
}

/// The same image gives the same bytes: no times, no owners.
fn header(size: u64, mode: u32, kind: tar::EntryType) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_size(size);
    header.set_mode(mode);
    header.set_entry_type(kind);
    header.set_mtime(0);
    header
}

/// Whether a folder looks like an OCI layout.
pub fn is_layout(path: &Path) -> bool {
    path.join("oci-layout").is_file() && path.join("index.json").is_file()
}
