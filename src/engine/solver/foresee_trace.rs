//! Whether a recorded run will stand in for a step (`--cache=traced`), as far as it can be told without running or mounting
//! anything: from the layers that stay, the lists of what COPYs above it copied and will copy, and what the step read.
//!
//! A build compares two mounted chains. Here they are known to differ only where a COPY above gives something else: in the
//! paths of `Changes`. What is not touched there is the same in both; what is touched is decided only where the one layer
//! alone says what the step met. All else is left open.

use super::changes::{Changes, Fit, Touch};
use super::execute::unpacked;
use super::foresee::Fate;
use super::probe::{LinkUse, now_micros};
use super::traced::digest_of_run;
use super::{Keys, SolveError, Solver, guard};
use crate::engine::cache::preimage::{operation_digest, traced_digest};
use crate::engine::cache::{Content, StepResult};
use crate::engine::event::{Dependence, VertexId};
use crate::engine::graph::{Operation, Vertex};
use crate::engine::oci::LayerId;
use crate::engine::reads::{CacheUse, ReadSet};
use crate::engine::verdict::{HitReason, TraceRefusal};
use crate::ground::digest::Digest;

/// What becomes of a step that no key leads to.
pub(super) enum Outlook {
    /// This recorded run stands in for it.
    Hit(StepResult),
    /// None does.
    Runs,
    /// It cannot be told.
    Open(Dependence),
}

/// A step above, and how it differs from the one that a recorded run stood on.
enum Above {
    Same,
    /// It copies other files.
    Copies(Changes),
    Unclear,
}

impl Solver<'_> {
    /// Whether a recorded run stands in for a step; why not, where one was at hand, is kept for the miss.
    pub(super) fn foresee_trace(&self, vertex: &Vertex) -> Result<Outlook, SolveError> {
        let wanted = self.cache_use != CacheUse::Exact && self.is_run(vertex) && !vertex.ignore_cache;
        let (Some(parent), true) = (vertex.parent, wanted) else { return Ok(Outlook::Runs) };
        if self.stands_on_withheld(vertex)? {
            return Ok(Outlook::Runs);
        }
        let run = match self.foreseen_run(vertex)? {
            Ok(run) => run,
            Err(on) => return Ok(Outlook::Open(on)),
        };
        let fail = |e| SolveError::store(&self.speaker.file, vertex, &e);
        let (runs, last) = self.recorded_runs(vertex, &run)?;
        let (mut refused, mut open, mut met) = (None, None, None);
        for old in runs {
            let still = self.is_present(&old.layers) && self.cache().has_result(&old.id).map_err(fail)?;
            let Some(set) = self.cache().read_set(&old.id).map_err(fail)?.filter(|_| still) else { continue };
            if let Some(why) = self.refused_by_set(&set) {
                refused = refused.or(Some(why));
                continue;
            }
            let is_last = last.as_ref() == Some(&old.id);
            match self.fit(vertex, parent, &old, &set, is_last, met.as_ref())? {
                Ok(Fit::Fits) => return Ok(Outlook::Hit(old)),
                Ok(Fit::Refused(why, touch)) => {
                    met = met.or(touch);
                    refused = refused.or(Some(why));
                }
                Ok(Fit::Unclear(path)) => {
                    open = open.or(Some(Dependence::Reads { vertex: parent, path }));
                }
                Err(on) => open = open.or(Some(on)),
            }
        }
        if let Some(on) = open {
            return Ok(Outlook::Open(on));
        }
        *guard(&self.state(vertex.id).refused) = refused;
        Ok(Outlook::Runs)
    }

    /// What a RUN does, whatever it stands on, or on what that depends.
    fn foreseen_run(&self, vertex: &Vertex) -> Result<Result<Digest, Dependence>, SolveError> {
        let mut mounted = Vec::new();
        for (at, edge) in vertex.edges.iter().enumerate() {
            match self.foreseen_content(vertex, at, edge)? {
                Ok(content) => mounted.push(content.digest),
                Err(on) => return Ok(Err(on)),
            }
        }
        Ok(Ok(vertex.operation.as_ref().map_or_else(|| Digest::of(""), |operation| digest_of_run(operation, &mounted))))
    }

    /// The step of this very plan whose run may stand in for another one: nobody knows what it will read.
    pub(super) fn stands_in_here(&self, vertex: &Vertex) -> Result<Option<Dependence>, SolveError> {
        let wanted = self.cache_use != CacheUse::Exact && self.is_run(vertex) && !vertex.ignore_cache;
        if !wanted || self.stands_on_withheld(vertex)? {
            return Ok(None);
        }
        let Ok(run) = self.foreseen_run(vertex)? else { return Ok(None) };
        Ok(guard(&self.state.foreseen.watched).get(&run).map(|maker| Dependence::Output { vertex: *maker }))
    }

    /// Remembers a step that will leave a recorded run, or may.
    pub(super) fn note_watched(&self, vertex: &Vertex) -> Result<(), SolveError> {
        if self.cache_use != CacheUse::Exact
            && self.is_run(vertex)
            && self.is_watched(vertex)
            && let Ok(run) = self.foreseen_run(vertex)?
        {
            guard(&self.state.foreseen.watched).entry(run).or_insert(vertex.id);
        }
        Ok(())
    }

    /// The keys of a step for which a recorded run stands in.
    pub(super) fn foreseen_stand_in(&self, vertex: &Vertex, exact: &Digest, old: &StepResult) -> Result<Keys, SolveError> {
        self.note_ingredients(vertex);
        let shown = StepResult { created: now_micros(), ..old.clone() };
        self.say_hit(vertex, HitReason::Traced, &shown);
        let mut links = self.links(vertex, LinkUse::Foresee)?;
        let free = self.fill_contents(vertex, &mut links)?;
        let made = (&traced_digest(exact), links.as_slice(), free.as_slice());
        let (ids, stands_in) = self.keys_of_stand_in(vertex, made, old.layers.last().cloned());
        Ok(Keys { ids, traced: true, fate: Fate::Runs, stands_in, ..Keys::default() })
    }

    /// Whether a recorded run fits, or on what it depends. `met`: what another run was refused for already.
    fn fit(
        &self,
        vertex: &Vertex,
        parent: VertexId,
        old: &StepResult,
        set: &ReadSet,
        is_last: bool,
        met: Option<&Touch>,
    ) -> Result<Result<Fit, Dependence>, SolveError> {
        if let Some(touch) = met.filter(|touch| touch.refuses_too(&self.store.layout, old, set)) {
            return Ok(Ok(Fit::Refused(touch.why(), None)));
        }
        let chain = self.chain(parent);
        let unclear = |id: VertexId| Ok(Err(Dependence::Reads { vertex: id, path: None }));
        let Some((_, stood_on)) = old.layers.split_last() else { return unclear(parent) };
        let below = stood_on.len().checked_sub(chain.len().saturating_sub(1));
        let Some(below) = below else { return unclear(parent) };
        let mut changes = Vec::new();
        for (at, id) in chain.iter().enumerate() {
            let then = match at {
                0 => &stood_on[..below],
                _ => &stood_on[below + at - 1..below + at],
            };
            match self.above(*id, below + at, then, is_last)? {
                Above::Same => {}
                Above::Copies(found) => changes.push((*id, found)),
                Above::Unclear => return unclear(*id),
            }
        }
        let has_mounts = matches!(&vertex.operation, Some(Operation::Run { mounts, .. }) if !mounts.is_empty());
        for (id, found) in &changes {
            match found.fit(&self.store.layout, stood_on, set, has_mounts) {
                Fit::Fits => {}
                Fit::Unclear(path) => return Ok(Err(Dependence::Reads { vertex: *id, path })),
                refused => return Ok(Ok(refused)),
            }
        }
        Ok(Ok(Fit::Fits))
    }

    /// The steps that a step stands on, the base first.
    fn chain(&self, parent: VertexId) -> Vec<VertexId> {
        let mut out: Vec<VertexId> = std::iter::successors(Some(parent), |id| self.vertex(*id).parent).collect();
        out.reverse();
        // On scratch the lowest step has a layer of its own, as all others.
        if self.vertex(out[0]).base.is_none() {
            out.insert(0, VertexId(u32::MAX));
        }
        out
    }

    /// How a step differs from what made the layers that a recorded run had in its place. `height`: of all layers up to it.
    fn above(&self, id: VertexId, height: usize, then: &[LayerId], is_last: bool) -> Result<Above, SolveError> {
        if id.0 == u32::MAX {
            return Ok(if then.is_empty() { Above::Same } else { Above::Unclear });
        }
        let keys = self.keys(id)?;
        let now: Vec<LayerId> = match (&keys.loadable, &keys.stands_in) {
            (Some(result), _) if result.layers.len() != height => return Ok(Above::Unclear),
            (Some(result), _) => result.layers[height - then.len()..].to_vec(),
            (None, Some(layer)) => vec![layer.clone()],
            (None, None) => Vec::new(),
        };
        if now == then {
            return Ok(Above::Same);
        }
        let (vertex, [then]) = (self.vertex(id), then) else { return Ok(Above::Unclear) };
        // Only of the last build it is on record what made a layer.
        let known = self.previous.filter(|previous| is_last && previous.layers.get(&vertex.slot) == Some(then));
        let (Some(operation), Some(before)) = (&vertex.operation, known.and_then(|_| self.before(vertex))) else {
            return Ok(Above::Unclear);
        };
        if operation_digest(operation) != operation_digest(&before.operation) {
            return Ok(Above::Unclear);
        }
        match operation {
            Operation::MakeDirectory { .. } => Ok(Above::Same),
            Operation::Copy { .. } => self.copies(vertex, operation, &before.sources, then, height - 1),
            _ => Ok(Above::Unclear),
        }
    }

    /// What a COPY will give that it did not give then.
    fn copies(
        &self,
        vertex: &Vertex,
        operation: &Operation,
        before: &[crate::engine::cache::Source],
        then: &LayerId,
        place: usize,
    ) -> Result<Above, SolveError> {
        if vertex.edges.len() != before.len() || unpacked(operation) {
            return Ok(Above::Unclear);
        }
        let mut pairs = Vec::new();
        for ((at, edge), before) in vertex.edges.iter().enumerate().zip(before) {
            let (Ok(now), Some(was)) = (self.foreseen_content(vertex, at, edge)?, &before.content) else {
                return Ok(Above::Unclear);
            };
            if now.digest == was.digest {
                continue;
            }
            // The name of a list is made of its selectors, too: what else was selected then is not compared here.
            let name = |content: &Content| Digest::of(format!("{}{:?}", content.digest, edge.selectors));
            let list = |content: &Content| crate::engine::cache::explain::Evidence::tree(self, &content.tree);
            let (true, Some(old), Some(new)) = (name(was) == was.tree, list(was), list(&now)) else {
                return Ok(Above::Unclear);
            };
            pairs.push((edge, old, new));
        }
        let changes = Changes::of(&self.store.layout, operation, &pairs, vertex.edges.len(), (then, place));
        Ok(changes.map_or(Above::Unclear, Above::Copies))
    }

    /// Why a recorded run stands in for none other, whatever that stands on.
    pub(super) fn refused_by_set(&self, set: &ReadSet) -> Option<TraceRefusal> {
        if let Some(why) = set.summary().why_incomplete() {
            return Some(TraceRefusal::Incomplete { why });
        }
        let may_use_network = matches!(self.cache_use, CacheUse::Traced { network: true });
        (set.network && !may_use_network && set.lock_file().is_none()).then_some(TraceRefusal::Network)
    }
}
