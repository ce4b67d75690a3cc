//! Root causes with the steps that ran because of them, and their price.

use std::collections::BTreeMap;

use crate::engine::event::VertexId;
use crate::engine::verdict::HitReason;

use super::state::BuildState;
use super::step::{Mark, Step};

/// A step that ran for a reason of its own, and what it pulled along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootCause {
    /// Where it began.
    pub vertex: VertexId,
    /// Steps that ran only because of it, in Dockerfile order.
    pub followers: Vec<VertexId>,
    /// Microseconds of the cause and its followers together.
    pub micros: u64,
}

/// A step that copies from one that ran again and gave the same content (C3): what stands on it was spared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cutoff {
    /// The step that ran again.
    pub source: VertexId,
    /// The step that copies from it and was a hit.
    pub step: VertexId,
    /// That step and all hits that stand on it, in Dockerfile order.
    pub spared: Vec<VertexId>,
    /// Microseconds that they took when they ran.
    pub micros: u64,
}

/// All root causes of a build.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cascade {
    /// Dearest first.
    pub roots: Vec<RootCause>,
    /// Microseconds that hits saved.
    pub saved_micros: u64,
    /// Where equal content ended a cascade.
    pub cutoffs: Vec<Cutoff>,
}

impl Cascade {
    /// Derives the cascade of a state.
    pub fn of(state: &BuildState) -> Self {
        let mut roots: BTreeMap<VertexId, RootCause> = BTreeMap::new();
        let mut saved_micros = 0u64;
        for step in &state.steps {
            let mark = state.mark(step);
            if mark == Mark::Cached {
                saved_micros = saved_micros.saturating_add(step.micros);
            }
            let counts = mark.ran() || matches!(mark, Mark::Running | Mark::Failed);
            let Some(cause) = root_of(state, step).filter(|_| counts) else { continue };
            let root = roots.entry(cause).or_insert(RootCause { vertex: cause, followers: Vec::new(), micros: 0 });
            root.micros = root.micros.saturating_add(step.micros);
            if step.vertex != cause {
                root.followers.push(step.vertex);
            }
        }
        let mut roots: Vec<_> = roots.into_values().collect();
        roots.sort_by_key(|root| std::cmp::Reverse(root.micros));
        Self { roots, saved_micros, cutoffs: cutoffs(state) }
    }

    /// The cutoff at a step.
    pub fn cutoff(&self, vertex: VertexId) -> Option<&Cutoff> {
        self.cutoffs.iter().find(|cutoff| cutoff.step == vertex)
    }

    /// The root cause that begins at a vertex.
    pub fn root(&self, vertex: VertexId) -> Option<&RootCause> {
        self.roots.iter().find(|root| root.vertex == vertex)
    }
}

fn cutoffs(state: &BuildState) -> Vec<Cutoff> {
    let ran = |id: &VertexId| state.step(*id).is_some_and(|step| state.mark(step).ran());
    let mut out = Vec::new();
    for step in state.steps.iter().filter(|step| step.hit() == Some(HitReason::Content)) {
        let Some(source) = step.inputs.iter().copied().find(ran) else { continue };
        let mut spared = vec![step.vertex];
        // Steps are in Dockerfile order, so that what stands on a step comes after it.
        for other in state.steps.iter().filter(|other| state.mark(other) == Mark::Cached) {
            if !spared.contains(&other.vertex) && other.inputs.iter().any(|input| spared.contains(input)) {
                spared.push(other.vertex);
            }
        }
        let micros = spared.iter().filter_map(|id| state.step(*id)).map(|step| step.micros).sum();
        out.push(Cutoff { source, step: step.vertex, spared, micros });
    }
    out
}

/// The vertex where the cascade of a step began; follows causes of causes, and stops at circles and unknown vertices.
pub fn root_of(state: &BuildState, step: &Step) -> Option<VertexId> {
    let mut at = step.cause()?;
    for _ in 0..state.steps.len() {
        match state.step(at).and_then(Step::cause) {
            Some(next) if next != at => at = next,
            _ => break,
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn the_changed_copy_pays_for_the_install() {
        let state = BuildState::fold(&fixture::second_build());
        let cascade = Cascade::of(&state);
        let copy = state.at_line(3).unwrap();
        let root = cascade.root(copy.vertex).unwrap();
        let lines: Vec<u32> = root.followers.iter().map(|v| state.step(*v).unwrap().line).collect();
        assert_eq!(lines, [4, 8]);
        assert_eq!(root.micros, 800_000 + 41_200_000 + 18_600_000);
        assert_eq!(cascade.saved_micros, 12_000_000);
        assert_eq!(root_of(&state, state.at_line(8).unwrap()), Some(copy.vertex));
    }

    #[test]
    fn equal_content_of_a_stage_that_ran_again_spares_what_stands_on_it() {
        let mut log = fixture::second_build();
        for stamped in &mut log {
            if let crate::engine::event::BuildEvent::VertexRegistered { vertex: VertexId(8), inputs, .. } =
                &mut stamped.event
            {
                *inputs = vec![VertexId(7), VertexId(5)];
            }
        }
        let cutoff = Cascade::of(&BuildState::fold(&log)).cutoffs;
        assert_eq!(cutoff.len(), 1);
        assert_eq!((cutoff[0].source, cutoff[0].step), (VertexId(5), VertexId(8)));
    }

    #[test]
    fn an_empty_state_has_no_cascade() {
        assert_eq!(Cascade::of(&BuildState::default()), Cascade::default());
    }
}
