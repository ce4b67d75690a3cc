//! What steps took when they ran last.

use std::collections::BTreeMap;

use crate::engine::graph::{Vertex, slots};
use crate::engine::solver::record::BuildRecord;

/// Times of one project, by who a step is: its text first, then its slot, where that was like it.
pub struct Times<'a> {
    record: &'a BuildRecord,
    by_name: BTreeMap<&'a str, u64>,
}

impl<'a> Times<'a> {
    /// Of a record. Slots must be those that were aligned with it.
    pub fn new(record: &'a BuildRecord) -> Self {
        let time = |slot: &'a slots::SlotRecord| Some((slot.name.as_str(), *record.times.get(&slot.slot)?));
        Self { record, by_name: record.slots.iter().filter_map(time).collect() }
    }

    /// Microseconds of the last run of a step, or of the step that it was before it was reworded.
    pub fn of(&self, vertex: &Vertex) -> Option<u64> {
        self.by_name.get(vertex.name.as_str()).copied().or_else(|| {
            let now = slots::describe(vertex);
            let then = self.record.slots.iter().find(|slot| slot.slot == vertex.slot)?;
            // Any RUN may have got the slot of any other that is gone; what that one took says nothing about it.
            slots::is_reworded(&now, then).then(|| self.record.times.get(&vertex.slot).copied())?
        })
    }

    /// Whether any step has one.
    pub fn is_empty(&self) -> bool {
        self.record.times.is_empty()
    }
}
