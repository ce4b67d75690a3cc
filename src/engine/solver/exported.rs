//! What of a build goes into a cache: all steps that it used, with every way in which their keys were reached, and the results
//! that the mode asks for.
//!
//! Source: BuildKit `solver/exporter.go`, `ExportTo`. With `min`, BuildKit gives the results whose layers have blobs when the
//! image was packed: those of the final image.

use std::collections::{BTreeMap, BTreeSet};

use super::Solver;
use super::error::SolveError;
use super::probe::selector_digest;
use crate::engine::cache::KeyId;
use crate::engine::cache::preimage::operation_digest;
use crate::engine::event::VertexId;
use crate::engine::exchange::import::SCRATCH;
use crate::engine::exchange::{CacheMode, Step, StepInput, StepLayers};
use crate::engine::graph::{Counts, SourceRef, Vertex};
use crate::engine::oci::LayerId;

/// Places of the steps that are exported, by vertex.
type Places = BTreeMap<u32, usize>;

impl Solver<'_> {
    /// The steps of a build that has succeeded, inputs first. Errors: a result that another cache has, and that is to be
    /// exported with `max`, cannot be brought in.
    pub fn steps_to_export(&self, mode: CacheMode) -> Result<Vec<Step>, SolveError> {
        let target = self.graph.target.and_then(|id| self.known_result(id));
        let image: BTreeSet<LayerId> = target.map(|result| result.layers.into_iter().collect()).unwrap_or_default();
        let (mut places, mut out) = (Places::new(), Vec::new());
        for id in self.graph.target.map(|id| self.standing_on(id)).unwrap_or_default() {
            let vertex = self.vertex(id);
            let Some(operation) = vertex.operation.as_ref().filter(|_| vertex.base.is_none() && !self.is_traced(id)) else {
                continue;
            };
            let Some(inputs) = self.ways(vertex, &places)? else { continue };
            let result = self.result_to_export(vertex, mode, &image)?;
            places.insert(id.0, out.len());
            out.push(Step { operation: operation_digest(operation), inputs, result });
        }
        Ok(out)
    }

    /// A step and everything that it stands on, inputs first.
    pub(super) fn standing_on(&self, id: VertexId) -> Vec<VertexId> {
        let (mut out, mut seen, mut todo) = (Vec::new(), BTreeSet::new(), vec![(id, false)]);
        while let Some((id, inputs_are_done)) = todo.pop() {
            if inputs_are_done {
                out.push(id);
            } else if seen.insert(id.0) {
                todo.push((id, true));
                todo.extend(self.graph.inputs(self.vertex(id)).into_iter().map(|input| (input, false)));
            }
        }
        out
    }

    /// By what a step is reached; none where an input has no key that means anything elsewhere.
    fn ways(&self, vertex: &Vertex, places: &Places) -> Result<Option<Vec<StepInput>>, SolveError> {
        let scratch = || StepInput { roots: vec![SCRATCH.into()], ..StepInput::default() };
        let mut out = vec![match vertex.parent {
            Some(parent) => self.definition(parent, places)?,
            None => scratch(),
        }];
        for (at, edge) in vertex.edges.iter().enumerate() {
            let mut input = match &edge.source {
                SourceRef::Vertex(Some(id)) => self.definition(*id, places)?,
                SourceRef::Vertex(None) => scratch(),
                SourceRef::Context(_) => StepInput::default(),
                SourceRef::Fetched(_) => {
                    let known = self.context(&edge.source).and_then(|context| context.fetched.as_ref());
                    let roots = known.map(|(definition, _)| KeyId::root(definition).0).into_iter().collect();
                    StepInput { roots, ..StepInput::default() }
                }
            };
            input.selector = selector_digest(edge);
            if edge.counts == Counts::Content {
                let content = self.known_content(vertex, at).or_else(|| self.recorded_content(vertex, at));
                input.content = content.and_then(|content| KeyId::root(&content.digest).0.parse().ok());
            }
            out.push(input);
        }
        let has_key = |input: &StepInput| !input.steps.is_empty() || !input.roots.is_empty() || input.content.is_some();
        Ok(out.iter().all(has_key).then_some(out))
    }

    fn definition(&self, id: VertexId, places: &Places) -> Result<StepInput, SolveError> {
        if self.vertex(id).base.is_some() {
            let roots = self.keys(id)?.ids.into_iter().map(|key| key.0).collect();
            return Ok(StepInput { roots, ..StepInput::default() });
        }
        Ok(StepInput { steps: places.get(&id.0).copied().into_iter().collect(), ..StepInput::default() })
    }

    fn result_to_export(
        &self,
        vertex: &Vertex,
        mode: CacheMode,
        image: &BTreeSet<LayerId>,
    ) -> Result<Option<StepLayers>, SolveError> {
        let known = match self.known_result(vertex.id) {
            None if mode == CacheMode::Max => self.import(vertex, &self.keys(vertex.id)?)?,
            known => known,
        };
        let Some(result) = known.filter(|result| self.is_present(&result.layers)) else { return Ok(None) };
        let base = self.base_diff_ids(vertex);
        let own = result.layers.get(base.len()..).unwrap_or_default().to_vec();
        let wanted = match mode {
            CacheMode::Min => own.iter().all(|layer| image.contains(layer)),
            CacheMode::Max => true,
        };
        // When its own layer was made, which a merge has from its copy: it is what the history of an image says.
        let made = result.layers.last().map(|layer| self.cache().layer_created(layer)).transpose();
        let made = made.map_err(|error| SolveError::store(&self.speaker.file, vertex, &error))?.flatten();
        let (created, micros) = (made.unwrap_or(result.created), result.micros);
        Ok((wanted && !own.is_empty()).then_some(StepLayers { base, layers: own, created, micros }))
    }
}
