//! When each step ran, beside which others, and how much later it could have ended.

use crate::engine::event::VertexId;

use super::critical::CriticalPath;
use super::state::BuildState;
use super::step::Step;

/// A step's time in a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Which step.
    pub vertex: VertexId,
    /// Steps of one lane do not overlap; from 0.
    pub lane: usize,
    /// Microseconds since the build began.
    pub start: u64,
    /// Microseconds it took.
    pub micros: u64,
    /// No other step made the build longer than this one.
    pub critical: bool,
    /// Microseconds by which it could have taken longer.
    pub slack: u64,
}

/// The steps of a build that ran, by time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Timeline {
    /// In order of their start.
    pub spans: Vec<Span>,
    /// How many ran side by side at most.
    pub lanes: usize,
    /// The chain that decided.
    pub critical: CriticalPath,
    /// Microseconds of the whole build.
    pub total: u64,
    /// Microseconds of all steps, one after another.
    pub sum: u64,
}

impl Timeline {
    /// Of a build, as far as it went.
    pub fn of(state: &BuildState) -> Self {
        let total = state.finish.as_ref().map_or(state.now, |finish| finish.micros);
        let took = |step: &Step| step.started_at.map_or(0, |_| step.elapsed(total));
        let critical = CriticalPath::of(&state.steps, took);
        let mut ran: Vec<(u64, &Step)> = state.steps.iter().filter_map(|step| Some((step.started_at?, step))).collect();
        ran.sort_by_key(|(start, step)| (*start, step.vertex));
        let mut ends: Vec<u64> = Vec::new();
        let mut spans = Vec::new();
        for (start, step) in ran {
            let micros = took(step);
            let lane = match ends.iter().position(|end| *end <= start) {
                Some(free) => free,
                None => {
                    ends.push(0);
                    ends.len() - 1
                }
            };
            ends[lane] = start.saturating_add(micros);
            let slack = critical.slack.get(&step.vertex).copied().unwrap_or(0);
            let is_critical = critical.steps.contains(&step.vertex);
            spans.push(Span { vertex: step.vertex, lane, start, micros, critical: is_critical, slack });
        }
        let sum = spans.iter().map(|span| span.micros).sum();
        Self { lanes: ends.len(), spans, critical, total, sum }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::engine::event::{BuildEvent, Outcome, Role};

    #[test]
    fn steps_that_overlap_have_lanes_of_their_own() {
        let mut log = fixture::Log::default();
        for at in 0..3 {
            log.step(at, at + 1, (at, None), "RUN x", Role::Step);
        }
        let base = log.at;
        log.add(10, BuildEvent::VertexStarted { vertex: VertexId(0) });
        log.add(10, BuildEvent::VertexStarted { vertex: VertexId(1) });
        let finish = |vertex, micros| BuildEvent::VertexFinished {
            vertex: VertexId(vertex),
            outcome: Outcome::Ran,
            layer: None,
            usage: None,
            micros,
        };
        log.add(20, finish(0, 30));
        log.add(10, finish(1, 30));
        log.add(10, BuildEvent::VertexStarted { vertex: VertexId(2) });
        log.add(5, finish(2, 5));
        let timeline = Timeline::of(&BuildState::fold(&log.events));
        let shown: Vec<_> = timeline.spans.iter().map(|s| (s.vertex.0, s.lane, s.start - base)).collect();
        assert_eq!(shown, [(0, 0, 10), (1, 1, 20), (2, 0, 60)]);
        assert_eq!((timeline.lanes, timeline.sum), (2, 65));
        assert_eq!(Timeline::of(&BuildState::default()), Timeline::default());
    }
}
