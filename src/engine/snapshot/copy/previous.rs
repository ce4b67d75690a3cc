//! The slot's last layer: its files are linked instead of written again where nothing about them has changed.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::PathBuf;

use super::super::Layers;
use super::plan::Plan;
use crate::engine::oci::LayerId;
use crate::engine::protocol::EntryKind;
use crate::ground::digest::Digest;
use crate::ground::fs::RootDir;

/// A layer made by a copy, with the record digests of its files. They are a list beside the layer; without it nothing is linked.
#[derive(Default)]
pub(super) struct Previous {
    pub(super) root: Option<RootDir>,
    pub(super) digests: HashMap<Vec<u8>, Digest>,
}

impl Previous {
    pub(super) fn open(layers: &Layers, id: &LayerId) -> Self {
        let Ok(text) = std::fs::read(path(layers, id)) else { return Self::default() };
        let line = |line: &[u8]| {
            let (digest, path) = (std::str::from_utf8(line.get(..71)?).ok()?.parse().ok()?, line.get(72..)?);
            Some((path.to_vec(), digest))
        };
        let digests = text.split(|b| *b == 0).filter_map(line).collect();
        Self { root: RootDir::open(&layers.path(id)).ok(), digests }
    }
}

/// Where the list lies.
pub(super) fn path(layers: &Layers, id: &LayerId) -> PathBuf {
    layers.path(id).with_extension("digests")
}

/// The list: `<digest> <path>\0`. Paths that are written twice are left out.
pub(super) fn text(plan: &Plan) -> Vec<u8> {
    let mut times: HashMap<Vec<u8>, u32> = HashMap::new();
    for (place, _) in &plan.files {
        *times.entry(place.bytes()).or_default() += 1;
    }
    let mut out = Vec::new();
    for (place, node) in plan.files.iter().filter(|(_, node)| node.kind == EntryKind::File) {
        let path = place.bytes();
        if let (Some(digest), Some(1)) = (super::source::known_digest(node), times.get(&path)) {
            let mut head = String::new();
            let _ = write!(head, "{digest} ");
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(&path);
            out.push(0);
        }
    }
    out
}
