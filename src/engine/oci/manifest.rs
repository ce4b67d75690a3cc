//! Descriptors, manifests and indexes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Platform;
use crate::ground::digest::Digest;

/// Media types that are read or written.
#[allow(missing_docs)]
pub mod media_type {
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
}

/// How the tar of a layer is packed, by the type of its blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

impl Packing {
    /// None for a type that is not read: foreign layers, encrypted ones, artifacts.
    pub fn of(media_type: &str) -> Option<Self> {
        Some(match media_type {
            media_type::LAYER | media_type::DOCKER_LAYER => Self::Plain,
            media_type::LAYER_GZIP | media_type::DOCKER_LAYER_GZIP => Self::Gzip,
            // Docker's own list has no zstd, but images with this type exist.
            media_type::LAYER_ZSTD | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Self::Zstd,
            _ => return None,
        })
    }

    /// The type in an OCI manifest.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Plain => media_type::LAYER,
            Self::Gzip => media_type::LAYER_GZIP,
            Self::Zstd => media_type::LAYER_ZSTD,
        }
    }
}

/// A blob by digest, size and type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Type of the blob.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// Platform, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Name and the like, in an index.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// The manifest of one image for one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// Type of this document.
    #[serde(default)]
    pub media_type: Option<String>,
    /// The configuration.
    pub config: Descriptor,
    /// Lowest first.
    pub layers: Vec<Descriptor>,
}

/// A list of manifests: `index.json`, or a multi-platform image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageIndex {
    /// Always 2.
    pub schema_version: u32,
    /// Type of this document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Its entries.
    pub manifests: Vec<Descriptor>,
}
