//! The tar of a layer: made when an image needs it, streamed once, remembered.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use rusqlite::OptionalExtension;

use crate::engine::oci::LayerId;
use crate::engine::oci::{Descriptor, Packing, media_type};
use crate::engine::protocol::{Compression, Failure, Reply, Request};
use crate::engine::store::{Store, StoreError};
use crate::engine::worker::{Worker, WorkerError};
use crate::ground::digest::{Digest, Digester};
use crate::ground::fs::PathResultExt;

/// Why an image cannot be assembled or written.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The worker is gone.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// The worker refused.
    #[error("{0}")]
    Refused(Failure),
    /// A thread that wrote a layer ended early.
    #[error("a layer was not written to its end")]
    Interrupted,
    /// A destination cannot be written.
    #[error(transparent)]
    Path(#[from] crate::ground::fs::PathError),
}

impl crate::ground::hint::Hint for ImageError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Path(error) => error.hint(),
            Self::Refused(failure) => failure.hint.clone(),
            Self::Worker(error) => error.hint(),
            Self::Interrupted => None,
        }
    }
}

/// The tar of a layer in one form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Of the uncompressed tar.
    pub diff_id: Digest,
    /// The blob in the store (for `Compression::None` without a blob: what it would be).
    pub blob: Descriptor,
}

/// How a layer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Compression.
    pub compression: Compression,
    /// Its level; none for the usual one.
    pub level: Option<i32>,
    /// Rewritten timestamps: nothing later than this.
    pub clamp_times: Option<u64>,
}

impl Form {
    fn name(self) -> String {
        let clamp = self.clamp_times.map_or_else(|| "-".to_owned(), |t| t.to_string());
        let level = self.level.map_or_else(String::new, |level| format!(" level {level}"));
        format!("{:?} {clamp}{level}", self.compression)
    }
}

/// The DiffID and size of a layer, without keeping its tar.
pub fn measure(store: &Store, worker: &Worker, layer: &LayerId, clamp_times: Option<u64>) -> Result<Written, ImageError> {
    let form = Form { compression: Compression::None, level: None, clamp_times };
    if let Some(known) = known(store, layer, form)? {
        return Ok(known);
    }
    let sink = std::fs::File::options().write(true).open("/dev/null").at("open", "/dev/null")?;
    write_to(store, worker, layer, form, sink.into())
}

/// The DiffID of a layer as its files are now, whatever is remembered; nothing is remembered of it either.
pub fn measure_anew(worker: &Worker, layer: &LayerId) -> Result<Digest, ImageError> {
    let sink = std::fs::File::options().write(true).open("/dev/null").at("open", "/dev/null")?;
    let form = Form { compression: Compression::None, level: None, clamp_times: None };
    Ok(stream(worker, layer, form, sink.into())?.diff_id)
}

/// The blob of a layer in the content store.
pub fn blob(store: &Store, worker: &Worker, layer: &LayerId, form: Form) -> Result<Written, ImageError> {
    if let Some(known) = known(store, layer, form)?
        && store.content.contains(&known.blob.digest)
    {
        return Ok(known);
    }
    let ingest = store.content.ingest()?;
    let descriptor = ingest.file().try_clone().at("open", "the new blob")?;
    let written = write_to(store, worker, layer, form, descriptor.into())?;
    store.content.commit(ingest, &written.blob.digest)?;
    Ok(written)
}

/// A layer that came as a blob, packed in this form: the same tar, so the same DiffID. Errors: the blob is damaged.
pub fn repack(
    store: &Store,
    layer: &LayerId,
    diff_id: &Digest,
    from: &Descriptor,
    form: Form,
) -> Result<Descriptor, ImageError> {
    let form = Form { clamp_times: None, ..form };
    if let Some(known) = known(store, layer, form)?.filter(|known| store.content.contains(&known.blob.digest)) {
        return Ok(known.blob);
    }
    let ingest = store.content.ingest()?;
    let out = Tally::new(io::BufWriter::with_capacity(1 << 18, ingest.file().try_clone().at("open", "the new blob")?));
    let blob = store.content.open(&from.digest)?;
    let packed = pack_anew(unpacked(io::BufReader::new(blob), from).at("read", "the base layer")?, out, form);
    let (found, mut out) = packed.at("pack", "the base layer")?;
    out.flush().at("write", "the new blob")?;
    if found != *diff_id {
        let why = format!("its tar has the DiffID {found} instead of {diff_id}");
        return Err(StoreError::Mismatch { what: format!("the blob {}", from.digest), why }.into());
    }
    let (digest, size) = (out.digester.finish(), out.size);
    store.content.commit(ingest, &digest)?;
    let written = Written { diff_id: found, blob: descriptor(form.compression, digest, size) };
    remember(store, layer, form, &written)?;
    Ok(written.blob)
}

fn unpacked(blob: impl Read + 'static, descriptor: &Descriptor) -> io::Result<Box<dyn Read>> {
    Ok(match Packing::of(&descriptor.media_type).unwrap_or(Packing::Plain) {
        Packing::Plain => Box::new(blob),
        Packing::Gzip => Box::new(flate2::read::MultiGzDecoder::new(blob)),
        Packing::Zstd => Box::new(zstd::stream::read::Decoder::new(blob)?),
    })
}

/// The DiffID of what was read, and where it went.
fn pack_anew<W: Write>(mut plain: impl Read, out: Tally<W>, form: Form) -> io::Result<(Digest, Tally<W>)> {
    match form.compression {
        Compression::None => {
            let mut plain_out = Tally::new(out);
            io::copy(&mut plain, &mut plain_out)?;
            Ok((plain_out.digester.finish(), plain_out.inner))
        }
        Compression::Gzip => {
            let level = form.level.and_then(|level| u32::try_from(level).ok()).unwrap_or(6).min(9);
            let mut plain_out = Tally::new(flate2::write::GzEncoder::new(out, flate2::Compression::new(level)));
            io::copy(&mut plain, &mut plain_out)?;
            Ok((plain_out.digester.finish(), plain_out.inner.finish()?))
        }
        Compression::Zstd => {
            let mut plain_out = Tally::new(zstd::stream::write::Encoder::new(out, form.level.unwrap_or(3))?);
            io::copy(&mut plain, &mut plain_out)?;
            Ok((plain_out.digester.finish(), plain_out.inner.finish()?))
        }
    }
}

/// Hashes and counts what goes through.
struct Tally<W> {
    inner: W,
    digester: Digester,
    size: u64,
}

impl<W> Tally<W> {
    fn new(inner: W) -> Self {
        Self { inner, digester: Digester::default(), size: 0 }
    }
}

impl<W: Write> Write for Tally<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.inner.write(bytes)?;
        self.digester.update(&bytes[..length]);
        self.size += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn write_to(store: &Store, worker: &Worker, layer: &LayerId, form: Form, to: OwnedFd) -> Result<Written, ImageError> {
    let written = stream(worker, layer, form, to)?;
    remember(store, layer, form, &written)?;
    Ok(written)
}

fn stream(worker: &Worker, layer: &LayerId, form: Form, to: OwnedFd) -> Result<Written, ImageError> {
    let Form { compression, level, clamp_times } = form;
    let request = Request::WriteLayer { layer: layer.clone(), compression, level, clamp_times };
    match worker.call(request, vec![to])? {
        Reply::Written { diff_id, digest, size } => {
            Ok(Written { diff_id, blob: descriptor(form.compression, digest, size) })
        }
        Reply::Failed(failure) => Err(ImageError::Refused(failure)),
        other => {
            let kind = crate::engine::protocol::FailureKind::Internal;
            Err(ImageError::Refused(Failure { kind, message: format!("unexpected answer {other:?}"), hint: None }))
        }
    }
}

fn descriptor(compression: Compression, digest: Digest, size: u64) -> Descriptor {
    let media_type = match compression {
        Compression::None => media_type::LAYER,
        Compression::Gzip => media_type::LAYER_GZIP,
        Compression::Zstd => media_type::LAYER_ZSTD,
    };
    Descriptor { media_type: media_type.into(), digest, size, platform: None, annotations: Default::default() }
}

fn known(store: &Store, layer: &LayerId, form: Form) -> Result<Option<Written>, ImageError> {
    let row: Option<(String, String, i64)> = store.index.with(|db| {
        db.query_row(
            "select diff_id, digest, size from blobs where layer = ?1 and form = ?2",
            (layer.as_str(), form.name()),
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()
    })?;
    Ok(row.and_then(|(diff_id, digest, size)| {
        let (diff_id, digest) = (diff_id.parse().ok()?, digest.parse().ok()?);
        Some(Written { diff_id, blob: descriptor(form.compression, digest, size as u64) })
    }))
}

/// Notes the blob that a layer came as, so that no export packs it again. The blob lies in the store, and was verified.
pub fn adopt_blob(store: &Store, layer: &LayerId, diff_id: &Digest, blob: &Descriptor) -> Result<(), ImageError> {
    let compression = Packing::of(&blob.media_type).map_or(Compression::None, Into::into);
    let form = Form { compression, level: None, clamp_times: None };
    let blob = descriptor(compression, blob.digest, blob.size);
    remember(store, layer, form, &Written { diff_id: *diff_id, blob })
}

/// With which rewritten times a layer's tar had this DiffID, if it ever had; `Some(None)` is a tar with the times as they are.
pub fn clamp_of(store: &Store, layer: &LayerId, diff_id: &Digest) -> Result<Option<Option<u64>>, ImageError> {
    let form: Option<String> = store.index.with(|db| {
        let query = "select form from blobs where layer = ?1 and diff_id = ?2";
        db.query_row(query, (layer.as_str(), diff_id.to_string()), |row| row.get(0)).optional()
    })?;
    // The second word of `Form::name`.
    Ok(form.map(|form| form.split(' ').nth(1).and_then(|clamp| clamp.parse().ok())))
}

fn remember(store: &Store, layer: &LayerId, form: Form, written: &Written) -> Result<(), ImageError> {
    let row = (
        layer.as_str(),
        form.name(),
        written.diff_id.to_string(),
        written.blob.digest.to_string(),
        written.blob.size as i64,
    );
    store.index.transact(|db| db.execute("insert or replace into blobs values (?1, ?2, ?3, ?4, ?5)", row).map(|_| ()))?;
    Ok(())
}
