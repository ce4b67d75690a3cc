//! The OCI image specification as data: descriptors, manifests, configurations, references, platforms.

pub mod config;
pub mod layer_id;
pub mod manifest;
pub mod reference;

pub use config::{History, ImageConfig, RootFs, RunConfig};
pub use layer_id::{LayerId, LayerIdError};
pub use manifest::{Descriptor, ImageIndex, Manifest, media_type};
pub use reference::Reference;

use serde::{Deserialize, Serialize};

/// Operating system and architecture in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64` ...
    pub architecture: String,
    /// `v7` ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// Of this machine.
    pub fn host() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "aarch64" => ("arm64", None),
            "arm" => ("arm", Some("v7".to_owned())),
            "x86" => ("386", None),
            other => (other, None),
        };
        Self { os: "linux".into(), architecture: architecture.into(), variant }
    }

    /// `linux/amd64`, `linux/arm/v7`.
    pub fn text(&self) -> String {
        match &self.variant {
            Some(variant) => format!("{}/{}/{variant}", self.os, self.architecture),
            None => format!("{}/{}", self.os, self.architecture),
        }
    }
}

/// ChainIDs of a list of DiffIDs, lowest first: what identifies a stack of layers.
///
/// Source: OCI image specification, config.md, "Layer ChainID".
pub fn chain_ids(diff_ids: &[crate::ground::digest::Digest]) -> Vec<crate::ground::digest::Digest> {
    let mut out: Vec<crate::ground::digest::Digest> = Vec::new();
    for diff_id in diff_ids {
        let next = match out.last() {
            Some(below) => crate::ground::digest::Digest::of(format!("{below} {diff_id}")),
            None => *diff_id,
        };
        out.push(next);
    }
    out
}
