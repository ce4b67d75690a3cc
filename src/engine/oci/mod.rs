//! The OCI image specification as data: descriptors, manifests, configurations, references, platforms.

pub mod config;
pub mod layer_id;
pub mod manifest;
pub mod reference;

pub use config::{History, ImageConfig, RootFs, RunConfig};
pub use layer_id::{LayerId, LayerIdError};
pub use manifest::{Descriptor, ImageIndex, Manifest, Packing, media_type};
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

impl Platform {
    /// How well an image for `other` runs here, or none: smaller is better. An image without variant runs everywhere, `arm64`
    /// is `arm64/v8`, `amd64` is `amd64/v1`, and a newer `arm` runs what was made for an older one.
    ///
    /// Source: containerd `platforms/compare.go`.
    pub fn runs(&self, other: &Self) -> Option<u32> {
        if self.os != other.os || self.architecture != other.architecture {
            return None;
        }
        let level = |platform: &Self| -> Option<u32> {
            match (platform.architecture.as_str(), platform.variant.as_deref().filter(|v| !v.is_empty())) {
                ("arm64", None) => Some(8),
                ("amd64", None) => Some(1),
                ("arm", None) => Some(7),
                (_, Some(variant)) => variant.strip_prefix('v')?.parse().ok(),
                (_, None) => Some(0),
            }
        };
        match (level(self), level(other)) {
            (Some(own), Some(their)) => own.checked_sub(their),
            _ => (self.variant == other.variant).then_some(0),
        }
    }

    /// Reads `linux/amd64`, `linux/arm/v7`, `arm64`, `linux`; what is left out is this machine's.
    ///
    /// Source: containerd `platforms.Parse`.
    pub fn parse(text: &str) -> Option<Self> {
        let host = Self::host();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let parts: Vec<String> = text.split('/').map(str::to_ascii_lowercase).collect();
        if parts.iter().any(|part| part.is_empty() || !part.chars().all(plain)) {
            return None;
        }
        let known = ["linux", "windows", "darwin", "freebsd"];
        let (os, architecture, variant) = match parts.as_slice() {
            [one] if known.contains(&one.as_str()) => return Some(Self { os: one.clone(), ..host }),
            [one] => (host.os, one.clone(), None),
            [architecture, variant] if !known.contains(&architecture.as_str()) => {
                (host.os, architecture.clone(), Some(variant.clone()))
            }
            [os, architecture] => (os.clone(), architecture.clone(), None),
            [os, architecture, variant] => (os.clone(), architecture.clone(), Some(variant.clone())),
            _ => return None,
        };
        let (architecture, variant) = match (architecture.as_str(), variant.as_deref()) {
            ("x86_64" | "x86-64", v) => ("amd64".to_owned(), v.map(str::to_owned)),
            ("aarch64", v) => ("arm64".to_owned(), v.map(str::to_owned)),
            ("armhf", None) => ("arm".to_owned(), Some("v7".to_owned())),
            ("armel", None) => ("arm".to_owned(), Some("v6".to_owned())),
            ("arm", None) => ("arm".to_owned(), Some("v7".to_owned())),
            _ => (architecture, variant),
        };
        let usual = matches!((architecture.as_str(), variant.as_deref()), ("arm64", Some("v8")) | ("amd64", Some("v1")));
        Some(Self { os, architecture, variant: variant.filter(|_| !usual) })
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

#[cfg(test)]
mod tests {
    use super::Platform;

    #[test]
    fn variants_of_platforms() {
        let parse = |text: &str| Platform::parse(text).unwrap();
        assert_eq!(parse("linux/arm64/v8").text(), "linux/arm64");
        assert_eq!(parse("aarch64").text(), "linux/arm64");
        assert_eq!(parse("linux/arm").text(), "linux/arm/v7");
        assert_eq!(parse("linux"), Platform::host());
        for bad in ["", "/", "linux/", "a/b/c/d", "linux/am d64", "\u{1b}"] {
            assert_eq!(Platform::parse(bad), None, "{bad:?}");
        }
        let raw = |architecture: &str, variant: Option<&str>| Platform {
            os: "linux".into(),
            architecture: architecture.into(),
            variant: variant.map(Into::into),
        };
        assert_eq!(parse("arm64").runs(&raw("arm64", Some("v8"))), Some(0));
        assert_eq!(parse("arm/v7").runs(&raw("arm", Some("v6"))), Some(1));
        assert_eq!(parse("arm/v6").runs(&raw("arm", Some("v7"))), None);
        assert_eq!(parse("amd64").runs(&raw("amd64", Some("v3"))), None);
        assert_eq!(parse("amd64").runs(&raw("arm64", None)), None);
        assert_eq!(raw("unknown", None).runs(&raw("unknown", None)), Some(0));
    }
}
