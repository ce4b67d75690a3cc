//! A base image, found before the graph is made: a tag becomes a digest first, as in BuildKit.

use std::path::PathBuf;

use crate::engine::oci::LayerId;
use crate::engine::oci::{Descriptor, ImageConfig};
use crate::ground::digest::Digest;

/// An image with its parts at hand.
#[derive(Debug, Clone)]
pub struct ResolvedBase {
    /// As written.
    pub image: String,
    /// Digest of the manifest of the platform.
    pub manifest: Digest,
    /// Configuration.
    pub config: ImageConfig,
    /// Lowest first.
    pub layers: Vec<BaseLayer>,
}

/// A layer of a base.
#[derive(Debug, Clone, PartialEq)]
pub struct BaseLayer {
    /// Its directory, which may not be unpacked yet.
    pub layer: LayerId,
    /// Of the uncompressed tar.
    pub diff_id: Digest,
    /// The blob and its file; none for a layer that was built here and lies unpacked in the store.
    pub blob: Option<(Descriptor, PathBuf)>,
}

impl ResolvedBase {
    /// ChainID of all layers.
    pub fn chain(&self) -> Option<Digest> {
        let diff_ids: Vec<Digest> = self.layers.iter().map(|layer| layer.diff_id).collect();
        crate::engine::oci::chain_ids(&diff_ids).pop()
    }
}
