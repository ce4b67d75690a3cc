//! The store, looked after: what takes space, what may go, what is damaged.

use super::{Engine, EngineError};
use crate::engine::event::LayerStat;
use crate::engine::oci::LayerId;
use crate::engine::protocol::{Reply, Request};
use crate::engine::store::{Leased, StoreError};
use crate::engine::upkeep::check::Report;
use crate::engine::upkeep::{self, Collected, Inventory, Limits, Selection, UpkeepError};

impl Engine {
    /// What is in the store.
    pub fn disk_use(&self) -> Result<Inventory, EngineError> {
        Ok(Inventory::take(&self.store, &self.worker)?)
    }

    /// What takes the space in a cache mount: paths, the largest first.
    pub fn cache_contents(&self, name: &str) -> Result<Vec<(String, LayerStat)>, EngineError> {
        match self.worker.call(Request::Caches { contents_of: Some(name.to_owned()) }, Vec::new())? {
            Reply::Caches { contents, .. } => Ok(contents),
            _ => Err(UpkeepError::Answer("the contents of a cache").into()),
        }
    }

    /// What `prune` would take away.
    pub fn selection(&self, limits: &Limits) -> Result<Selection, EngineError> {
        Ok(upkeep::select(&self.disk_use()?, limits, super::build::unix_micros()))
    }

    /// Takes it away; `why` goes into the ledger.
    pub fn collect(&self, selection: Selection, why: &str) -> Result<Collected, EngineError> {
        Ok(upkeep::collect(&self.store, &self.worker, selection, super::build::unix_micros(), why)?)
    }

    /// Takes away what failed runs of earlier builds left. Call when no record names it any more; what a shell stands in
    /// stays until somebody prunes.
    pub(super) fn forget_left(&self, mut layers: Vec<LayerId>) -> Result<(), EngineError> {
        if layers.is_empty() {
            return Ok(());
        }
        let leased = Leased::read(&self.store.layout.leases()).map_err(StoreError::from)?;
        layers.retain(|layer| !leased.names.contains(layer.as_str()));
        self.worker.call(Request::Remove { layers }, Vec::new())?;
        Ok(())
    }

    /// Verifies everything, and repairs.
    pub fn check(&self, repair: bool) -> Result<Report, EngineError> {
        Ok(upkeep::check(&self.store, &self.worker, repair, super::build::unix_micros())?)
    }
}
