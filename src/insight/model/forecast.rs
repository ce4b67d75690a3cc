//! What the next build will do and how long it will take, from the state of a plan.

use crate::engine::event::{Dependence, Role, Verdict, VertexId};

use super::critical::CriticalPath;
use super::state::BuildState;
use super::step::Step;

/// What a plan says of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Served, or not needed.
    Hit,
    /// It will run.
    WillRun,
    /// Something that is not known yet decides.
    Unknown,
    /// There is nothing to run.
    Config,
}

impl Fate {
    /// Of a step of a plan.
    pub fn of(step: &Step) -> Self {
        match (&step.role, &step.verdict) {
            (Role::Config { .. } | Role::Start, _) => Self::Config,
            (_, Some(Verdict::Miss { .. })) => Self::WillRun,
            (_, Some(Verdict::Unknown { .. })) => Self::Unknown,
            (_, Some(Verdict::Hit { .. }) | None) => Self::Hit,
        }
    }

    /// The word of reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::WillRun => "will run",
            Self::Unknown => "unknown",
            Self::Config => "config",
        }
    }
}

/// The outlook of a whole build.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Forecast {
    /// Steps that will run.
    pub will_run: Vec<VertexId>,
    /// Steps of which nobody can say.
    pub unknown: Vec<VertexId>,
    /// Steps served.
    pub hits: usize,
    /// Microseconds of the steps that will run, one after another.
    pub micros: u64,
    /// The same if all that is unknown runs, too.
    pub at_most: u64,
    /// The chain that decides how long the build takes, counting what will run.
    pub path: CriticalPath,
    /// The same if all that is unknown runs, too.
    pub longest: CriticalPath,
    /// Lines of steps that will or may run and that no record has a time for.
    pub untimed: Vec<u32>,
    /// Microseconds that the served steps took when they ran.
    pub saved: u64,
}

impl Forecast {
    /// Of the state that a plan's events fold to.
    pub fn of(state: &BuildState) -> Self {
        let mut out = Self::default();
        for step in &state.steps {
            match Fate::of(step) {
                Fate::Config => continue,
                Fate::Hit => {
                    out.hits += 1;
                    out.saved = out.saved.saturating_add(step.micros);
                    continue;
                }
                Fate::WillRun => out.will_run.push(step.vertex),
                Fate::Unknown => out.unknown.push(step.vertex),
            }
            // A base is not executed: it is at hand, or a build pulls it before its steps.
            if step.usual.is_none() && step.role != Role::Base {
                out.untimed.push(step.line);
            }
        }
        let certain = |step: &Step| if Fate::of(step) == Fate::WillRun { step.usual.unwrap_or(0) } else { 0 };
        let possible = |step: &Step| match Fate::of(step) {
            Fate::WillRun | Fate::Unknown => step.usual.unwrap_or(0),
            Fate::Hit | Fate::Config => 0,
        };
        out.micros = state.steps.iter().map(certain).sum();
        out.at_most = state.steps.iter().map(possible).sum();
        out.path = CriticalPath::of(&state.steps, certain);
        out.longest = CriticalPath::of(&state.steps, possible);
        out
    }
}

/// What an undecided step depends on, in words that follow "unknown: ". Addresses and paths in it are untrusted.
pub fn dependence(state: &BuildState, on: &Dependence) -> String {
    let line = |vertex: VertexId| state.step(vertex).map_or_else(|| "?".to_owned(), |step| step.line.to_string());
    match on {
        Dependence::Output { vertex } => format!("it depends on what line {} gives", line(*vertex)),
        Dependence::Unseen { vertex } => {
            format!("it depends on what lies in the result of line {}, which nobody has looked at yet", line(*vertex))
        }
        Dependence::Reads { vertex, path: Some(path) } => format!(
            "a recorded run may stand in for it; what it read at `/{path}` then is of line {}, which gives something else now",
            line(*vertex)
        ),
        Dependence::Reads { vertex, path: None } => {
            format!("a recorded run may stand in for it, if line {} leaves alone what it read then", line(*vertex))
        }
        Dependence::Server { address } => format!("it depends on what {address} has now, and a plan asks nobody"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::engine::event::BuildEvent;
    use crate::engine::verdict::{HitReason, MissReason};

    fn plan() -> BuildState {
        let mut log = fixture::Log::default();
        for (at, line) in [(0, 3), (1, 4), (2, 8), (3, 9)] {
            log.step(at, line, (0, None), "RUN x", Role::Step);
        }
        let verdicts = [
            Verdict::Hit { how: HitReason::Definition, from: None },
            Verdict::Miss { reasons: vec![MissReason::FirstTime], cause: VertexId(1) },
            Verdict::Unknown { on: Dependence::Output { vertex: VertexId(1) } },
            Verdict::Miss { reasons: vec![MissReason::NoCache], cause: VertexId(3) },
        ];
        for (at, verdict) in verdicts.into_iter().enumerate() {
            log.add(1, BuildEvent::CacheProbed { vertex: VertexId(at as u32), verdict });
        }
        BuildState::fold(&log.events)
    }

    #[test]
    fn what_is_certain_and_what_is_possible_are_kept_apart() {
        let mut state = plan();
        state.steps[2].usual = Some(1_000_000);
        let forecast = Forecast::of(&state);
        assert_eq!(
            (forecast.hits, &forecast.will_run[..], &forecast.unknown[..]),
            (1, &[VertexId(1), VertexId(3)][..], &[VertexId(2)][..])
        );
        assert_eq!((forecast.micros, forecast.at_most), (38_900_000, 39_900_000));
        assert_eq!((forecast.path.micros, forecast.longest.micros), (38_900_000, 39_900_000));
        assert_eq!(forecast.untimed, [9]);
        let Some(Verdict::Unknown { on }) = &state.steps[2].verdict else { panic!() };
        assert_eq!(dependence(&state, on), "it depends on what line 4 gives");
    }
}
