//! The short answers: how many steps of each kind, and one sentence for the whole build.

use super::cascade::Cascade;
use super::state::BuildState;
use super::step::Mark;
use crate::engine::verdict::MissReason;

/// The order in which counts are shown.
pub const SHOWN: [Mark; 9] = [
    Mark::Failed,
    Mark::Running,
    Mark::Cached,
    Mark::Changed,
    Mark::Reran,
    Mark::New,
    Mark::Waiting,
    Mark::Skipped,
    Mark::Cancelled,
];

/// Steps by state; instructions that only configure are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Served from the cache.
    pub cached: usize,
    /// Ran for the first time.
    pub new: usize,
    /// Ran for reasons of their own.
    pub changed: usize,
    /// Ran only because of a step before them.
    pub reran: usize,
    /// Run now.
    pub running: usize,
    /// Wait.
    pub waiting: usize,
    /// Failed.
    pub failed: usize,
    /// Not tried.
    pub skipped: usize,
    /// Cancelled.
    pub cancelled: usize,
    /// Nothing to run.
    pub config: usize,
}

impl Counts {
    /// Counts the steps of a state.
    pub fn of(state: &BuildState) -> Self {
        let mut counts = Self::default();
        for step in &state.steps {
            *counts.slot(state.mark(step)) += 1;
        }
        counts
    }

    fn slot(&mut self, mark: Mark) -> &mut usize {
        match mark {
            Mark::Cached => &mut self.cached,
            Mark::New => &mut self.new,
            Mark::Changed => &mut self.changed,
            Mark::Reran => &mut self.reran,
            Mark::Running => &mut self.running,
            Mark::Waiting => &mut self.waiting,
            Mark::Failed => &mut self.failed,
            Mark::Skipped => &mut self.skipped,
            Mark::Cancelled => &mut self.cancelled,
            Mark::Config => &mut self.config,
        }
    }

    /// How many steps have a mark.
    pub fn get(mut self, mark: Mark) -> usize {
        *self.slot(mark)
    }

    /// Steps that were executed to their end.
    pub fn ran(&self) -> usize {
        self.new + self.changed + self.reran
    }
}

/// One sentence for a whole build. Names in it are untrusted. Empty before the first event.
pub fn headline(state: &BuildState) -> String {
    let counts = Counts::of(state);
    let Some(finish) = &state.finish else { return running_line(state, counts) };
    if finish.cancelled {
        return "Cancelled. Finished steps are kept: build again to go on from there.".to_owned();
    }
    if finish.error.is_some() {
        return match state.steps.iter().find(|s| s.failure().is_some()) {
            Some(step) => format!("Failed at line {}: {}. Finished steps are kept.", step.line, step.name),
            None => finish.error.iter().flat_map(|e| e.lines()).next().unwrap_or("The build failed.").to_owned(),
        };
    }
    if counts.ran() == 0 {
        return "Everything came from the cache: nothing was executed.".to_owned();
    }
    let cascade = Cascade::of(state);
    let dearest = cascade.roots.first().and_then(|root| Some((root, state.step(root.vertex)?)));
    match dearest {
        Some((root, step)) if step.ran_unchanged().is_some() => {
            let reason = step.ran_unchanged().map_or_else(String::new, ToString::to_string);
            if let Some(MissReason::NotImported { .. }) = step.ran_unchanged() {
                // Here it may never have run before.
                return format!("{} ran: {reason}.", step.name);
            }
            match root.followers.len() {
                0 => format!("{} ran again: {reason}.", step.name),
                more => format!("{} ran again, and {more} more with it: {reason}.", step.name),
            }
        }
        Some((root, step)) if step.mark() == Mark::Changed => match root.followers.len() {
            0 => format!("{} changed. No other step ran because of it.", step.name),
            1 => format!("{} changed, so 1 more step ran again.", step.name),
            more => format!("{} changed, so {more} more steps ran again.", step.name),
        },
        _ if counts.cached == 0 => {
            "First build: every step ran. Edit a file and build again to see what is cached.".to_owned()
        }
        _ => {
            let ran = counts.ran();
            format!("{ran} step{} ran, {} came from the cache.", if ran == 1 { "" } else { "s" }, counts.cached)
        }
    }
}

fn running_line(state: &BuildState, counts: Counts) -> String {
    if state.build.is_empty() {
        return String::new();
    }
    if let Some(step) = state.steps.iter().rev().find(|s| s.mark() == Mark::Running) {
        return match counts.running {
            1 => format!("Running line {}: {}", step.line, step.name),
            many => format!("Running {many} steps, the latest is line {}: {}", step.line, step.name),
        };
    }
    match &state.progress {
        Some(progress) => match progress.total {
            Some(total) => format!("{} {} of {total}", progress.what, progress.done),
            None => format!("{} {}", progress.what, progress.done),
        },
        None => "Preparing the build".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn counts_and_headline_of_the_second_build() {
        let state = BuildState::fold(&fixture::second_build());
        let counts = Counts::of(&state);
        assert_eq!((counts.cached, counts.changed, counts.reran, counts.config), (5, 1, 2, 3));
        assert_eq!(headline(&state), "COPY . . changed, so 2 more steps ran again.");
    }

    #[test]
    fn no_cache_is_no_change() {
        let mut log = fixture::Log::default();
        log.add(0, fixture::second_build()[0].event.clone());
        log.step(0, 1, (0, None), "RUN make", crate::engine::event::Role::Step);
        log.miss(0, 0, vec![MissReason::NoCache], 1, 9);
        log.add(1, fixture::second_build().pop().unwrap().event);
        let words = headline(&BuildState::fold(&log.events));
        assert_eq!(words, "RUN make ran again: --no-cache was given.");
    }

    #[test]
    fn the_first_build_has_nothing_to_compare_with() {
        let state = BuildState::fold(&fixture::first_build());
        assert_eq!(Counts::of(&state).changed, 0);
        assert!(headline(&state).starts_with("First build"));
    }
}
