//! The chain of steps that decides how long a build takes: no other step makes it longer.

use std::collections::HashMap;

use crate::engine::event::VertexId;

use super::step::Step;

/// A chain of steps and what it takes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CriticalPath {
    /// From the first to the last; only steps that take time.
    pub steps: Vec<VertexId>,
    /// Microseconds.
    pub micros: u64,
    /// By step: microseconds by which it could take longer without the whole taking longer.
    pub slack: HashMap<VertexId, u64>,
}

impl CriticalPath {
    /// Of steps with the time that each takes, along what each needs. Steps that need each other in a circle (which no build
    /// has) count once.
    pub fn of(steps: &[Step], duration: impl Fn(&Step) -> u64) -> Self {
        let by_id: HashMap<VertexId, &Step> = steps.iter().map(|step| (step.vertex, step)).collect();
        let order = order(steps, &by_id);
        let time = |id: &VertexId| by_id.get(id).map_or(0, |step| duration(step));
        // The earliest end of each step, and the step that it waits for.
        let mut end: HashMap<VertexId, (u64, Option<VertexId>)> = HashMap::new();
        for id in &order {
            let inputs = by_id.get(id).map(|step| step.inputs.as_slice()).unwrap_or_default();
            let known = inputs.iter().filter_map(|input| Some((end.get(input)?.0, *input)));
            let (begin, waits) = known.max_by_key(|(at, _)| *at).map_or((0, None), |(at, input)| (at, Some(input)));
            end.insert(*id, (begin.saturating_add(time(id)), waits));
        }
        let last = order.iter().rev().max_by_key(|id| end.get(id).map_or(0, |(at, _)| *at));
        let micros = last.and_then(|id| end.get(id)).map_or(0, |(at, _)| *at);
        let mut path = Vec::new();
        let mut at = last.copied();
        while let Some(id) = at.filter(|_| path.len() <= steps.len()) {
            if time(&id) > 0 {
                path.push(id);
            }
            at = end.get(&id).and_then(|(_, waits)| *waits);
        }
        path.reverse();
        Self { steps: path, micros, slack: slack(&order, &by_id, &end, micros, &duration) }
    }
}

/// The latest end of each step that does not delay the whole, less its earliest.
fn slack(
    order: &[VertexId],
    by_id: &HashMap<VertexId, &Step>,
    end: &HashMap<VertexId, (u64, Option<VertexId>)>,
    whole: u64,
    duration: &impl Fn(&Step) -> u64,
) -> HashMap<VertexId, u64> {
    let mut latest: HashMap<VertexId, u64> = HashMap::new();
    let mut out = HashMap::new();
    for id in order.iter().rev() {
        let Some(step) = by_id.get(id) else { continue };
        let may_end = latest.get(id).copied().unwrap_or(whole);
        let may_begin = may_end.saturating_sub(duration(step));
        for input in &step.inputs {
            let known = latest.entry(*input).or_insert(may_begin);
            *known = (*known).min(may_begin);
        }
        out.insert(*id, may_end.saturating_sub(end.get(id).map_or(0, |(at, _)| *at)));
    }
    out
}

/// Every step after all that it needs.
fn order(steps: &[Step], by_id: &HashMap<VertexId, &Step>) -> Vec<VertexId> {
    let mut out = Vec::with_capacity(steps.len());
    let mut seen: HashMap<VertexId, bool> = HashMap::new();
    // A step is left once its inputs were entered.
    let mut todo: Vec<(VertexId, bool)> = steps.iter().rev().map(|step| (step.vertex, false)).collect();
    while let Some((id, leaving)) = todo.pop() {
        match (leaving, seen.get(&id)) {
            (true, Some(false)) => {
                seen.insert(id, true);
                out.push(id);
            }
            (false, None) => {
                seen.insert(id, false);
                todo.push((id, true));
                let inputs = by_id.get(&id).map(|step| step.inputs.as_slice()).unwrap_or_default();
                todo.extend(inputs.iter().filter(|input| by_id.contains_key(input)).map(|input| (*input, false)));
            }
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{BuildState, fixture};
    use super::*;
    use crate::engine::event::Role;

    fn steps(inputs: &[&[u32]]) -> Vec<Step> {
        let mut log = fixture::Log::default();
        for at in 0..inputs.len() as u32 {
            log.step(at, at + 1, (0, None), "RUN x", Role::Step);
        }
        let mut steps = BuildState::fold(&log.events).steps;
        for (step, inputs) in steps.iter_mut().zip(inputs) {
            step.inputs = inputs.iter().map(|id| VertexId(*id)).collect();
        }
        steps
    }

    #[test]
    fn the_longer_of_two_branches_decides_and_the_other_has_slack() {
        let steps = steps(&[&[], &[0], &[0], &[1, 2]]);
        let times = [5, 10, 3, 2];
        let path = CriticalPath::of(&steps, |step| times[step.vertex.0 as usize]);
        assert_eq!(path.micros, 17);
        assert_eq!(path.steps, [VertexId(0), VertexId(1), VertexId(3)]);
        let slack = |id| path.slack[&VertexId(id)];
        assert_eq!([slack(0), slack(1), slack(2), slack(3)], [0, 0, 7, 0]);
    }

    #[test]
    fn unknown_inputs_circles_and_nothing_do_not_matter() {
        assert_eq!(CriticalPath::of(&[], |_| 1), CriticalPath::default());
        let path = CriticalPath::of(&steps(&[&[1, 9], &[0]]), |_| 1);
        assert_eq!(path.micros, 2);
    }
}
