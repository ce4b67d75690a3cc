//! What the interface knows of the project and its build, beside the views.

use crate::insight::model::{BuildState, Fate, Mark, Step};
use crate::insight::suggest::SuggestReport;

/// What is known about fixes.
#[derive(Debug, Clone, Default)]
pub enum Fixes {
    /// Nobody looked yet.
    #[default]
    Unknown,
    /// Somebody looks.
    Looking,
    /// Looked.
    Known(SuggestReport),
    /// Could not look; the message.
    Failed(String),
}

/// What is known about the next build.
#[derive(Debug, Clone, Default)]
pub enum Outlook {
    /// Nobody looked yet, or a build runs.
    #[default]
    Unknown,
    /// The state of a plan.
    Known(Box<BuildState>),
    /// It cannot be said; the message.
    Failed(String),
}

/// One line for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// It went well.
    Good(String),
    /// It did not.
    Bad(String),
}

/// Where the running build stands for the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activity {
    /// No build runs.
    #[default]
    Idle,
    /// One runs.
    Building,
    /// One was asked to end.
    Cancelling,
}

/// What all views draw from.
#[derive(Debug, Default)]
pub struct Model {
    /// Name of the project.
    pub name: String,
    /// The build shown: running, last, or only the outline.
    pub state: BuildState,
    /// Whether a build runs.
    pub activity: Activity,
    /// Microseconds since the running build began.
    pub clock: u64,
    /// Fixes.
    pub fixes: Fixes,
    /// The next build.
    pub outlook: Outlook,
    /// The last thing to tell.
    pub message: Option<Message>,
    /// Line of the selected step.
    pub selected: Option<u32>,
    /// Only steps that contain this are listed.
    pub filter: String,
}

impl Model {
    /// The selected step.
    pub fn step(&self) -> Option<&Step> {
        self.selected.and_then(|line| self.state.at_line(line))
    }

    /// Whether nothing of what is shown was ever built.
    pub fn is_outline(&self) -> bool {
        self.state.build.is_empty()
    }

    /// Listed steps, in order.
    pub fn listed(&self) -> impl Iterator<Item = &Step> {
        let filter = self.filter.to_lowercase();
        self.state.steps.iter().filter(move |step| {
            let mark = self.state.mark(step).word();
            filter.is_empty() || step.name.to_lowercase().contains(&filter) || mark.contains(&filter)
        })
    }

    /// What the next build will do with the step of a line.
    pub fn fate(&self, line: u32) -> Option<Fate> {
        match &self.outlook {
            Outlook::Known(plan) => plan.at_line(line).map(Fate::of),
            Outlook::Unknown | Outlook::Failed(_) => None,
        }
    }

    /// The report on fixes, when there is one.
    pub fn report(&self) -> Option<&SuggestReport> {
        match &self.fixes {
            Fixes::Known(report) => Some(report),
            _ => None,
        }
    }

    /// The largest saving on offer, in microseconds; `Some(0)` when an offer has no known saving.
    pub fn avoidable(&self) -> Option<u64> {
        let offered = &self.report()?.offered;
        let saving = |s: &crate::insight::suggest::Suggestion| {
            s.saving.as_ref().map_or(0, |saving| saving.now_micros.saturating_sub(saving.after_micros))
        };
        offered.iter().map(saving).max()
    }

    /// The step to look at after a build: the failed one, or the root cause that cost most.
    pub fn telling_line(&self) -> Option<u32> {
        let failed = self.state.steps.iter().find(|s| s.mark() == Mark::Failed).map(|s| s.line);
        failed.or_else(|| {
            let cascade = crate::insight::model::Cascade::of(&self.state);
            let roots = cascade.roots.iter().filter_map(|root| self.state.step(root.vertex));
            roots.map(|s| s.line).next()
        })
    }
}
