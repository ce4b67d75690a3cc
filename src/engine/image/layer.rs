//! The tar of a layer: made when an image needs it, streamed once, remembered.

use std::os::fd::OwnedFd;

use rusqlite::OptionalExtension;

use crate::engine::oci::LayerId;
use crate::engine::oci::{Descriptor, media_type};
use crate::engine::protocol::{Compression, Failure, Reply, Request};
use crate::engine::store::{Store, StoreError};
use crate::engine::worker::{Worker, WorkerError};
use crate::ground::digest::Digest;
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
    /// Rewritten timestamps: nothing later than this.
    pub clamp_times: Option<u64>,
}

impl Form {
    fn name(self) -> String {
        let clamp = self.clamp_times.map_or_else(|| "-".to_owned(), |t| t.to_string());
        format!("{:?} {clamp}", self.compression)
    }
}

/// The DiffID and size of a layer, without keeping its tar.
pub fn measure(store: &Store, worker: &Worker, layer: &LayerId, clamp_times: Option<u64>) -> Result<Written, ImageError> {
    let form = Form { compression: Compression::None, clamp_times };
    if let Some(known) = known(store, layer, form)? {
        return Ok(known);
    }
    let sink = std::fs::File::options().write(true).open("/dev/null").at("open", "/dev/null")?;
    write_to(store, worker, layer, form, sink.into())
}

/// The DiffID of a layer as its files are now, whatever is remembered; nothing is remembered of it either.
pub fn measure_anew(worker: &Worker, layer: &LayerId) -> Result<Digest, ImageError> {
    let sink = std::fs::File::options().write(true).open("/dev/null").at("open", "/dev/null")?;
    let form = Form { compression: Compression::None, clamp_times: None };
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

fn write_to(store: &Store, worker: &Worker, layer: &LayerId, form: Form, to: OwnedFd) -> Result<Written, ImageError> {
    let written = stream(worker, layer, form, to)?;
    remember(store, layer, form, &written)?;
    Ok(written)
}

fn stream(worker: &Worker, layer: &LayerId, form: Form, to: OwnedFd) -> Result<Written, ImageError> {
    let request = Request::WriteLayer { layer: layer.clone(), compression: form.compression, clamp_times: form.clamp_times };
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
