//! Identical steps of one build: the first runs, the others take its result. A build finds that out when they meet; a plan, from
//! what it knows of their inputs.

use super::foresee::content_edges;
use super::{SolveError, Solver, guard};
use crate::engine::cache::{KeyId, Link, StepResult};
use crate::engine::event::{BuildEvent, Dependence, Outcome, Verdict, VertexId};
use crate::engine::graph::Vertex;
use crate::engine::oci::LayerId;
use crate::engine::verdict::HitReason;
use crate::ground::digest::Digest;

/// A step of a plan that will run, or may, as others would find its result.
pub(super) struct Maker {
    by: VertexId,
    digest: Digest,
    links: Vec<Link>,
    ids: Vec<KeyId>,
    /// Inputs whose content is not known yet, and what decides it.
    free: Vec<(u32, Dependence)>,
    /// On what it depends whether it runs.
    open: Option<Dependence>,
}

/// What a step is known by: its operation, its inputs, and those of them whose content is not known yet.
pub(super) type Made<'m> = (&'m Digest, &'m [Link], &'m [(u32, Dependence)]);

/// How far a step is the same as an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    Another,
    /// A content that nobody knows yet decides.
    Perhaps,
    Same,
}

impl Maker {
    fn is_like(&self, digest: &Digest, links: &[Link], free: &[(u32, Dependence)]) -> Likeness {
        if self.digest != *digest || self.links.len() != links.len() {
            return Likeness::Another;
        }
        let is_free = |input: u32| self.free.iter().chain(free).any(|(at, _)| *at == input);
        let pairs = self.links.iter().zip(links);
        let same = |(mine, other): (&Link, &Link)| match mine.meets(other) {
            true => Likeness::Same,
            false if is_free(other.input) => Likeness::Perhaps,
            false => Likeness::Another,
        };
        let least = pairs.map(same).min().unwrap_or(Likeness::Same);
        if self.open.is_some() { least.min(Likeness::Perhaps) } else { least }
    }
}

impl Solver<'_> {
    /// The step of this very build that made a result.
    pub(super) fn maker(&self, result: &StepResult) -> Option<VertexId> {
        guard(&self.state.made).values().find(|made| made.result.id == result.id).map(|made| made.by)
    }

    /// A step that takes the result of an identical one was a miss as much as that one: what stands on it runs for the same
    /// cause. Where another build made it, the cause is not known here, and the cascade begins with this step.
    pub(super) fn share_cause(&self, id: VertexId, maker: Option<VertexId>) {
        let cause = maker.and_then(|maker| self.cause(maker)).unwrap_or(id);
        guard(&self.state(id).said).cause = Some(cause);
    }

    /// Remembers a step of a plan that will run, or may.
    pub(super) fn note_maker(
        &self,
        vertex: &Vertex,
        (digest, links, free): Made<'_>,
        ids: &[KeyId],
        open: Option<Dependence>,
    ) {
        let (links, ids, free) = (links.to_vec(), ids.to_vec(), free.to_vec());
        guard(&self.state.foreseen.makers).push(Maker { by: vertex.id, digest: *digest, links, ids, free, open });
    }

    /// The keys of an earlier step of this plan that certainly makes the same, after it is said that the two are merged.
    pub(super) fn merged_in_plan(&self, vertex: &Vertex, digest: &Digest, links: &[Link]) -> Option<Vec<KeyId>> {
        let found = {
            let makers = guard(&self.state.foreseen.makers);
            let same = makers.iter().find(|maker| maker.is_like(digest, links, &[]) == Likeness::Same);
            same.map(|maker| (maker.by, maker.ids.clone()))
        };
        let (by, ids) = found?;
        self.share_cause(vertex.id, Some(by));
        guard(&self.state(vertex.id).said).probed = true;
        let verdict = Verdict::Hit { how: HitReason::Merged, from: None };
        self.speaker.say(BuildEvent::CacheProbed { vertex: vertex.id, verdict });
        self.finish(vertex.id, Outcome::Cached, None, None, 0);
        Some(ids)
    }

    /// On what it depends whether an earlier step of this plan makes the same; none when none can. `shaky`: on what it depends
    /// which keys its own inputs have.
    pub(super) fn perhaps_merged(&self, (digest, links, free): Made<'_>, shaky: Option<&Dependence>) -> Option<Dependence> {
        let makers = guard(&self.state.foreseen.makers);
        let mut alike = makers.iter().filter(|maker| maker.is_like(digest, links, free) > Likeness::Another).peekable();
        alike.peek()?;
        let theirs = alike.find_map(|maker| maker.open.as_ref().or(maker.free.first().map(|(_, on)| on)));
        shaky.or(free.first().map(|(_, on)| on)).or(theirs).cloned()
    }

    /// The keys of earlier steps of this plan that make the same, or may.
    pub(super) fn keys_of_alike(&self, (digest, links, free): Made<'_>) -> Vec<KeyId> {
        let makers = guard(&self.state.foreseen.makers);
        let alike = makers.iter().filter(|maker| maker.is_like(digest, links, free) > Likeness::Another);
        alike.flat_map(|maker| maker.ids.iter().cloned()).collect()
    }

    /// The keys of a step for which a recorded run stands in, and the layer that this gives: those of an identical step above,
    /// whose record it finds, else new ones.
    pub(super) fn keys_of_stand_in(
        &self,
        vertex: &Vertex,
        (digest, links, free): Made<'_>,
        layer: Option<LayerId>,
    ) -> (Vec<KeyId>, Option<LayerId>) {
        let mut known = guard(&self.state.foreseen.stand_ins);
        if let Some((same, layer)) = known.iter().find(|(one, _)| one.is_like(digest, links, free) == Likeness::Same) {
            return (same.ids.clone(), layer.clone());
        }
        let ids = vec![KeyId(format!("foreseen:{}", vertex.id.0))];
        let (links, free) = (links.to_vec(), free.to_vec());
        known.push((Maker { by: vertex.id, digest: *digest, links, ids: ids.clone(), free, open: None }, layer.clone()));
        (ids, layer)
    }

    /// Fills in the contents that can be known without running anything; returns the inputs whose content cannot, and what
    /// decides it.
    pub(super) fn fill_contents(&self, vertex: &Vertex, links: &mut [Link]) -> Result<Vec<(u32, Dependence)>, SolveError> {
        let mut free = Vec::new();
        for (at, edge) in content_edges(vertex) {
            match self.foreseen_content(vertex, at, edge)? {
                Ok(content) => links[at + 1].content = Some(KeyId::root(&content.digest)),
                Err(dependence) => free.push((at as u32 + 1, dependence)),
            }
        }
        Ok(free)
    }
}
