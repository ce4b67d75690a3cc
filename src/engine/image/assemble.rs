//! Puts the image together: configuration, history, layers. Built the same way twice, it is the same image: times are those
//! at which the layers were made.

use std::time::{Duration, UNIX_EPOCH};

use super::layer::{ImageError, measure};
use crate::engine::event::VertexId;
use crate::engine::graph::BuildGraph;
use crate::engine::oci::LayerId;
use crate::engine::oci::{Descriptor, History, ImageConfig};
use crate::engine::store::Store;
use crate::engine::store::image::{ImageLayer, ImageRecord};
use crate::engine::worker::Worker;
use crate::ground::digest::Digest;

/// An image that is ready to be named and written.
#[derive(Debug, Clone, PartialEq)]
pub struct Assembled {
    /// The record for the store.
    pub record: ImageRecord,
    /// The exact bytes of its configuration.
    pub config: Vec<u8>,
    /// SOURCE_DATE_EPOCH, when layers are written with rewritten times.
    pub clamp_times: Option<u64>,
}

/// The layer that a step of the history made: its directory and when it was made, in microseconds since 1970.
pub type LayerOf<'a> = dyn Fn(VertexId) -> Option<(LayerId, u64)> + 'a;

/// Assembles. `epoch` is SOURCE_DATE_EPOCH: the times in the history become it; with `rewrite` those of files too.
pub fn assemble(
    store: &Store,
    worker: &Worker,
    graph: &BuildGraph,
    layer_of: &LayerOf<'_>,
    epoch: Option<u64>,
    rewrite: bool,
) -> Result<Assembled, ImageError> {
    let mut config = graph.config.clone().unwrap_or_else(|| ImageConfig::scratch(&crate::engine::oci::Platform::host()));
    let clamp_times = epoch.filter(|_| rewrite);
    let mut layers = Vec::new();
    let mut size = 0;
    if let Some(base) = graph.target_base.and_then(|at| graph.bases.get(at)) {
        for layer in &base.layers {
            let blob = layer.blob.as_ref().map(|(descriptor, _)| descriptor.clone());
            size += blob.as_ref().map_or(0, |b: &Descriptor| b.size);
            layers.push(ImageLayer { layer: layer.layer.clone(), diff_id: layer.diff_id, blob });
        }
    }
    let base_time = config.created.clone();
    let mut last = epoch.map(rfc3339);
    for step in &graph.history {
        let made = step.vertex.and_then(layer_of);
        if let Some((layer, created)) = made {
            let written = measure(store, worker, &layer, clamp_times)?;
            size += written.blob.size;
            layers.push(ImageLayer { layer, diff_id: written.diff_id, blob: None });
            if epoch.is_none() {
                last = Some(rfc3339(created / 1_000_000));
            }
        }
        config.history.push(History {
            created: last.clone().or_else(|| base_time.clone()),
            created_by: Some(step.created_by.clone()),
            comment: Some("buildkit.dockerfile.v0".into()),
            empty_layer: step.vertex.is_none(),
            ..History::default()
        });
    }
    config.created = last.or(base_time);
    config.rootfs.diff_ids = layers.iter().map(|layer| layer.diff_id).collect();
    let bytes = serde_json::to_vec(&config).unwrap_or_default();
    let id = Digest::of(&bytes);
    store.content.put_bytes(&bytes)?;
    Ok(Assembled { record: ImageRecord { id, manifest: id, layers, size }, config: bytes, clamp_times })
}

/// Seconds since 1970 in the notation of configurations.
pub fn rfc3339(seconds: u64) -> String {
    // Beyond the year 9999 the notation ends.
    let capped = seconds.min(253_402_300_799);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(capped)).to_string()
}
