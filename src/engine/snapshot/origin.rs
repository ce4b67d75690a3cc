//! Which layer of a chain shows a path, of those that are no base image's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rustix::fs::{FileType, OFlags, Stat};

use super::layers::Layers;
use crate::engine::oci::LayerId;
use crate::engine::protocol::Failure;
use crate::ground::fs::RootDir;

/// The layers of a chain above those of its base image, lowest first.
pub struct Origins(Vec<(u32, RootDir)>);

impl Origins {
    /// Opens them.
    pub fn open(layers: &Layers, chain: &[LayerId]) -> Result<Self, Failure> {
        let own = |(at, layer): (usize, &LayerId)| {
            let place = u32::try_from(at).ok().filter(|_| !is_of_base(layer))?;
            Some(RootDir::open(&layers.path(layer)).map(|root| (place, root)))
        };
        Ok(Self(chain.iter().enumerate().filter_map(own).collect::<Result<_, _>>()?))
    }

    /// The topmost layer that has a path that the chain shows: its place in the chain, and what it has there.
    pub fn of(&self, path: &str) -> Option<(u32, Stat)> {
        self.0.iter().rev().find_map(|(place, layer)| Some((*place, there(layer, path)?)))
    }

    /// The same for many paths; those that only the base image shows are left out.
    pub fn of_all<'p>(&self, paths: impl Iterator<Item = &'p String>) -> BTreeMap<String, u32> {
        let paths: BTreeSet<&String> = paths.collect();
        let mut out = BTreeMap::new();
        let (mut folder, mut with_folder) = (None, Vec::new());
        for path in paths {
            // In order, so that those of one folder stand together: few layers have it at all.
            let above = path.rfind('/').map_or("", |at| &path[..at]);
            if folder != Some(above) {
                with_folder = self.0.iter().rev().filter(|(_, layer)| there(layer, above).is_some()).collect();
                folder = Some(above);
            }
            if let Some((place, _)) = with_folder.iter().find(|(_, layer)| there(layer, path).is_some()) {
                out.insert(path.clone(), *place);
            }
        }
        out
    }
}

/// What a layer itself has at a path.
fn there(layer: &RootDir, path: &str) -> Option<Stat> {
    let fd = layer.open_beneath(Path::new(path), OFlags::PATH | OFlags::NOFOLLOW).ok()?;
    let stat = rustix::fs::fstat(fd).ok()?;
    let removed = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0;
    (!removed).then_some(stat)
}

/// Layers that came with an image lie under a name of their own.
pub fn is_of_base(layer: &LayerId) -> bool {
    layer.as_str().starts_with("base-")
}
