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
    let given = epoch.map(rfc3339);
    for step in &graph.history {
        let made = step.vertex.and_then(layer_of);
        let mut created = given.clone();
        if let Some((layer, micros)) = made {
            let written = measure(store, worker, &layer, clamp_times)?;
            size += written.blob.size;
            layers.push(ImageLayer { layer, diff_id: written.diff_id, blob: None });
            created = created.or_else(|| Some(rfc3339_micros(micros)));
        }
        config.history.push(History {
            created,
            created_by: Some(step.created_by.clone()),
            comment: Some("buildkit.dockerfile.v0".into()),
            empty_layer: step.vertex.is_none(),
            ..History::default()
        });
    }
    fill_times(&mut config.history);
    config.created = config.history.iter().rev().find_map(|entry| entry.created.clone()).or(config.created);
    config.rootfs.diff_ids = layers.iter().map(|layer| layer.diff_id).collect();
    let bytes = serde_json::to_vec(&config).unwrap_or_default();
    let id = Digest::of(&bytes);
    store.content.put_bytes(&bytes)?;
    Ok(Assembled { record: ImageRecord { id, manifest: id, layers, size }, config: bytes, clamp_times })
}

/// Gives every entry a time: those before the first layer of this build its time, later ones that of the layer below, so that
/// two builds that made their layers at other times are two images.
///
/// Source: BuildKit `normalizeLayersAndHistory`, `exporter/containerimage/writer.go`.
fn fill_times(history: &mut [History]) {
    let mut created = None;
    let mut lacking = false;
    for entry in history.iter() {
        match &entry.created {
            Some(time) => {
                created = Some(time.clone());
                if lacking {
                    break;
                }
            }
            None => lacking = true,
        }
    }
    lacking = false;
    for entry in history {
        match &entry.created {
            Some(time) if lacking => created = Some(time.clone()),
            Some(_) => {}
            None => {
                lacking = true;
                entry.created.clone_from(&created);
            }
        }
    }
}

/// The same for microseconds.
fn rfc3339_micros(micros: u64) -> String {
    humantime::format_rfc3339_micros(UNIX_EPOCH + Duration::from_micros(micros)).to_string()
}

/// Seconds since 1970 in the notation of configurations.
pub fn rfc3339(seconds: u64) -> String {
    // Beyond the year 9999 the notation ends.
    let capped = seconds.min(253_402_300_799);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(capped)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_of_a_history_has_a_time() {
        let filled = |times: &[&str]| -> Vec<String> {
            let entry = |time: &&str| History {
                created: Some((*time).to_owned()).filter(|time| !time.is_empty()),
                ..History::default()
            };
            let mut history: Vec<History> = times.iter().map(entry).collect();
            fill_times(&mut history);
            history.into_iter().map(|entry| entry.created.unwrap_or_default()).collect()
        };
        assert_eq!(filled(&["", "1", "", "2", ""]), ["1", "1", "1", "2", "2"]);
        assert_eq!(filled(&["base", "", "1"]), ["base", "1", "1"], "of the first layer of this build, not of the base");
        assert_eq!(filled(&["base", ""]), ["base", "base"]);
        assert_eq!(filled(&[""]), [""]);
    }
}
