//! Images by name.

use rusqlite::OptionalExtension;
use serde::{Deserialize, Serialize};

use super::{Index, StoreError};
use crate::engine::oci::Descriptor;
use crate::engine::oci::{ImageConfig, LayerId, chain_ids};
use crate::ground::digest::Digest;

/// Marks records of images that a daemon of this machine has, under the daemon's id of them: they only save fetching again.
pub const DAEMON_PREFIX: &str = "daemon ";

/// An image of the store: enough to build on it and to export it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Digest of its configuration: the image's id.
    pub id: Digest,
    /// Digest of the manifest it came with or was assembled into.
    pub manifest: Digest,
    /// Lowest first.
    pub layers: Vec<ImageLayer>,
    /// Bytes of all blobs, or of all files where there is no blob yet.
    pub size: u64,
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageLayer {
    /// Its directory, which may not be unpacked yet.
    pub layer: LayerId,
    /// Of its uncompressed tar.
    pub diff_id: Digest,
    /// The blob it came as; none for a layer that was built here.
    pub blob: Option<Descriptor>,
}

impl ImageRecord {
    /// The record of an image that came as blobs. A layer of it lies under its ChainID: images that share layers share
    /// directories. Errors: what is wrong, as the end of a sentence.
    pub fn of_blobs(config: &ImageConfig, id: Digest, manifest: Digest, blobs: Vec<Descriptor>) -> Result<Self, String> {
        if config.rootfs.diff_ids.len() != blobs.len() {
            let (layers, diffs) = (blobs.len(), config.rootfs.diff_ids.len());
            return Err(format!("has {layers} layers, but its configuration names {diffs}"));
        }
        let size = blobs.iter().fold(0u64, |sum, blob| sum.saturating_add(blob.size));
        let chains = chain_ids(&config.rootfs.diff_ids);
        let mut layers = Vec::new();
        for ((blob, diff_id), chain) in blobs.into_iter().zip(&config.rootfs.diff_ids).zip(chains) {
            let layer = format!("base-{}", chain.hex()).parse().map_err(|_| "has a layer without a name".to_owned())?;
            layers.push(ImageLayer { layer, diff_id: *diff_id, blob: Some(blob) });
        }
        Ok(Self { id, manifest, layers, size })
    }
}

impl Index {
    /// Takes a name away; whether it was there. The blobs stay until they are collected.
    pub fn remove_image(&self, name: &str) -> Result<bool, StoreError> {
        self.transact(|db| db.execute("delete from images where name = ?1", [name]).map(|rows| rows > 0))
    }

    /// Stores an image under a name, replacing the one that had it.
    pub fn put_image(&self, name: &str, record: &ImageRecord, created: u64) -> Result<(), StoreError> {
        let text = serde_json::to_string(record).unwrap_or_default();
        self.transact(|db| {
            db.execute("insert or replace into images values (?1, ?2, ?3)", (name, &text, created as i64)).map(|_| ())
        })
    }

    /// The image of a name.
    pub fn image(&self, name: &str) -> Result<Option<ImageRecord>, StoreError> {
        let text: Option<String> =
            self.with(|db| db.query_row("select record from images where name = ?1", [name], |row| row.get(0)).optional())?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// All images by name: name, record, seconds since 1970 when it was stored.
    pub fn images(&self) -> Result<Vec<(String, ImageRecord, u64)>, StoreError> {
        let rows = self.with(|db| {
            let mut query = db.prepare("select name, record, created from images order by name")?;
            let rows = query.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?)))?;
            rows.collect::<rusqlite::Result<Vec<(String, String, i64)>>>()
        })?;
        let parse = |(name, text, created): (String, String, i64)| {
            serde_json::from_str(&text).ok().map(|record| (name, record, created as u64))
        };
        Ok(rows.into_iter().filter_map(parse).collect())
    }
}
