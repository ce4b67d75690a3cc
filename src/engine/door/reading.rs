//! What the steps of a project's last build read.

use std::collections::BTreeMap;

use super::error::EngineError;
use super::project::Project;
use crate::engine::cache::Cache;
use crate::engine::reads::ReadSet;
use crate::engine::store::Store;

/// What a step read, and who provided it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepReads {
    /// What it read.
    pub set: ReadSet,
    /// By place in the chain that it stood on, as in `ReadSet::origin`: the slot that made the layer. Layers that no step of the
    /// last build made are not in here.
    pub makers: BTreeMap<u32, String>,
}

impl Project {
    /// What the step of a slot read whose result the last build used. None: it was not watched, or its result is gone.
    pub fn step_reads(&self, store: &Store, slot: &str) -> Result<Option<StepReads>, EngineError> {
        let Some((_, record)) = self.last_record(store)? else { return Ok(None) };
        let cache = Cache::new(&store.index);
        let Some(id) = record.results.get(slot) else { return Ok(None) };
        let (Some(set), Some(result)) = (cache.read_set(id)?, cache.result(id)?) else { return Ok(None) };
        let made: BTreeMap<&str, &String> = record.layers.iter().map(|(slot, layer)| (layer.as_str(), slot)).collect();
        let maker = |(at, layer): (usize, &crate::engine::oci::LayerId)| {
            Some((u32::try_from(at).ok()?, made.get(layer.as_str()).map(|slot| (*slot).clone())?))
        };
        let makers = result.layers.iter().enumerate().filter_map(maker).collect();
        Ok(Some(StepReads { set, makers }))
    }
}
