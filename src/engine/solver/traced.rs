//! `--cache=traced`: a RUN that misses only because the steps above it changed is taken from the cache when nothing that it read
//! did. What it wrote then is laid over its new parent.
//!
//! The hard rule: an exact build never finds any of it. The records of traced hits, and of everything that stands on one, are
//! linked by other digests than those of an exact build, from keys that an exact build never has.

use super::error::SolveError;
use super::execute::lock_name;
use super::probe::{LinkUse, now_micros};
use super::{Keys, Mode, Solver, guard};
use crate::engine::cache::preimage::{operation_digest, traced_digest};
use crate::engine::cache::{KeyId, ResultId, StepResult};
use crate::engine::event::VertexId;
use crate::engine::graph::{Edge, Operation, Vertex};
use crate::engine::oci::LayerId;
use crate::engine::protocol::{Reply, Request};
use crate::engine::reads::{CacheUse, ReadSet};
use crate::engine::verdict::{HitReason, MissReason, TraceRefusal};
use crate::ground::digest::Digest;

/// What a RUN does, whatever it stands on: its operation, and the digests of what is mounted into it.
pub(super) fn digest_of_run(operation: &Operation, mounted: &[Digest]) -> Digest {
    let mut text = operation_digest(operation).to_string();
    for digest in mounted {
        text.push_str(&format!(" {digest}"));
    }
    Digest::of(text)
}

/// So many recorded runs are compared before the step runs after all.
const COMPARED: u32 = 8;

impl Solver<'_> {
    /// The digests by which a step is looked up, and whether each belongs to the space of traced hits.
    pub(super) fn spaces(&self, vertex: &Vertex, exact: &Digest) -> Result<Vec<(Digest, bool)>, SolveError> {
        let both = self.cache_use != CacheUse::Exact || self.stands_on_traced(vertex)?;
        Ok([Some((*exact, false)), both.then(|| (traced_digest(exact), true))].into_iter().flatten().collect())
    }

    /// The digest by which a step that runs is recorded.
    pub(super) fn own_space(&self, vertex: &Vertex, exact: &Digest) -> Result<Digest, SolveError> {
        Ok(if self.stands_on_traced(vertex)? { traced_digest(exact) } else { *exact })
    }

    /// Whether anything that it needs is a traced hit, or stands on one.
    pub(super) fn stands_on_traced(&self, vertex: &Vertex) -> Result<bool, SolveError> {
        if self.cache_use == CacheUse::Exact {
            return Ok(false);
        }
        for id in vertex.parent.into_iter().chain(vertex.edges.iter().filter_map(Edge::vertex)) {
            if self.keys(id)?.traced {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What a RUN does, whatever it stands on: its operation, and the content of what is mounted into it.
    pub(super) fn run_digest(&self, vertex: &Vertex) -> Result<Digest, SolveError> {
        let mounted = (0..vertex.edges.len()).map(|edge| Ok(self.content(vertex, edge)?.digest));
        let mounted: Vec<Digest> = mounted.collect::<Result<_, SolveError>>()?;
        Ok(vertex.operation.as_ref().map_or_else(|| Digest::of(""), |operation| digest_of_run(operation, &mounted)))
    }

    /// Recorded runs of the same on whatever parent, that of the last build first: what differs from it is what people want to
    /// hear. Beside them, which one that is.
    pub(super) fn recorded_runs(
        &self,
        vertex: &Vertex,
        run: &Digest,
    ) -> Result<(Vec<StepResult>, Option<ResultId>), SolveError> {
        let last = self.previous.and_then(|previous| previous.results.get(&vertex.slot));
        let found = self.cache().runs(run, last, COMPARED);
        Ok((found.map_err(|e| SolveError::store(&self.speaker.file, vertex, &e))?, last.cloned()))
    }

    /// The keys of a traced hit. None: there is none; why not, where a run was at hand, is kept for the miss.
    pub(super) fn served_by_trace(&self, vertex: &Vertex, exact: &Digest) -> Result<Option<Keys>, SolveError> {
        let wanted = self.cache_use != CacheUse::Exact && self.state.mode == Mode::Build && self.is_run(vertex);
        let (Some(parent), true) = (vertex.parent, wanted && !vertex.ignore_cache) else { return Ok(None) };
        if self.stands_on_withheld(vertex)? {
            return Ok(None);
        }
        let fail = |e| SolveError::store(&self.speaker.file, vertex, &e);
        let run = self.run_digest(vertex)?;
        let (candidates, _) = self.recorded_runs(vertex, &run)?;
        if candidates.is_empty() {
            return Ok(None);
        }
        let parents = self.result(parent)?.layers;
        self.unpack(vertex, &parents)?;
        let name = lock_name(&traced_digest(exact), &self.links(vertex, LinkUse::Record)?);
        let _lock = self.lock_step(vertex.id, &name)?;
        // Looked up again under the lock: an identical step may have ended meanwhile, in this build or beside it.
        let links = self.links(vertex, LinkUse::ProbeContent)?;
        for (digest, traced) in self.spaces(vertex, exact)? {
            let how = if traced { HitReason::Traced } else { HitReason::Merged };
            if let Some(keys) = self.served(vertex, &digest, &links, how)? {
                return Ok(Some(Keys { traced, ..keys }));
            }
        }
        let mut refused = None;
        for old in candidates {
            self.note(vertex, old.layers.iter().map(LayerId::as_str))?;
            let still = self.is_present(&old.layers) && self.cache().has_result(&old.id).map_err(fail)?;
            let Some(set) = self.cache().read_set(&old.id).map_err(fail)?.filter(|_| still) else { continue };
            match self.stands_in(vertex, &parents, &old, &set)? {
                Ok(set) => return self.lay_over(vertex, exact, &run, parents, &old, &set).map(Some),
                Err(why) => refused = refused.or(Some(why)),
            }
        }
        *guard(&self.state(vertex.id).refused) = refused;
        Ok(None)
    }

    /// The reasons of a miss, and why no recorded run stood in for it.
    pub(super) fn all_reasons(&self, vertex: &Vertex, known: &[KeyId]) -> (Vec<MissReason>, VertexId) {
        let (mut reasons, cause) = self.miss_reasons(vertex, known);
        reasons.extend(guard(&self.state(vertex.id).refused).take().map(|why| MissReason::NotTraced { why }));
        (reasons, cause)
    }

    /// Whether a recorded run gives on other parents what it gave: what it read, as it lies on those; or why not.
    fn stands_in(
        &self,
        vertex: &Vertex,
        parents: &[LayerId],
        old: &StepResult,
        set: &ReadSet,
    ) -> Result<Result<ReadSet, TraceRefusal>, SolveError> {
        if let Some(why) = self.refused_by_set(set) {
            return Ok(Err(why));
        }
        let Some((layer, stood_on)) = old.layers.split_last() else { return Ok(Err(TraceRefusal::OtherBase)) };
        let (mounts, user) = match &vertex.operation {
            Some(Operation::Run { mounts, user, .. }) => {
                (mounts.iter().map(|mount| mount.target.clone()).collect(), user.clone())
            }
            _ => (Vec::new(), String::new()),
        };
        let request = Request::Compare {
            old: stood_on.to_vec(),
            new: parents.to_vec(),
            layer: layer.clone(),
            reads: Box::new(set.clone()),
            mounts,
            user,
        };
        match self.ask(vertex, request, Vec::new())? {
            Reply::Compared { refusal: Some(why), .. } => Ok(Err(why)),
            Reply::Compared { refusal: None, origin } => Ok(Ok(ReadSet { origin, ..set.clone() })),
            other => Err(self.unexpected(vertex, &other)),
        }
    }

    /// Records what a run wrote as the result on other parents.
    fn lay_over(
        &self,
        vertex: &Vertex,
        exact: &Digest,
        run: &Digest,
        mut layers: Vec<LayerId>,
        old: &StepResult,
        set: &ReadSet,
    ) -> Result<Keys, SolveError> {
        layers.extend(old.layers.last().cloned());
        let id = ResultId(crate::ground::random_hex(16));
        let result = StepResult { id, layers, created: now_micros(), micros: old.micros, stat: old.stat };
        let key = KeyId(format!("traced-{}", crate::ground::random_hex(16)));
        let links = self.links_of_store(&self.links(vertex, LinkUse::Record)?);
        let saved = self.cache().save_traced(&traced_digest(exact), &links, &key, &result, Some((run, set)));
        saved.map_err(|e| SolveError::store(&self.speaker.file, vertex, &e))?;
        self.note_ingredients(vertex);
        self.say_hit(vertex, HitReason::Traced, &result);
        Ok(Keys { ids: vec![key], traced: true, loadable: Some(result), ..Keys::default() })
    }
}
