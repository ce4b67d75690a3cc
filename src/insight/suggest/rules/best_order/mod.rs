//! The cheapest order of a stage's steps over the history: what was read says what may move, recorded times say what a step
//! costs, the commits say how often it would run. COPYs are split into what each step reads, and steps of which neither needs
//! what the other wrote may change places.
//!
//! Nothing is guessed: a RUN without a complete read set stays where it is among all others, and every ENV, ARG, WORKDIR, USER
//! and SHELL stays where it is among the RUNs.

mod cargo;
mod independent;
mod pairs;
mod plan;
#[cfg(test)]
mod random_tests;
mod steps;
#[cfg(test)]
mod tests;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use super::super::order::{Limits, Quality, search};
use super::super::{BestOrder, ContextView, Expected, Page, SuggestReport};
use super::copy_what_is_read::Reads;
use super::draft::refusal;
use crate::language::dockerfile::Dockerfile;
use plan::{Plan, bill};
use steps::Table;

/// The rule's stable name.
pub const NAME: &str = "best-order";

/// Its page.
pub static PAGE: Page = Page {
    name: NAME,
    description: "Put steps and copies in the order that costs least over the history",
    why: "A commit runs the first step whose files it changes, and all below it. With what each RUN read and wrote (`build --trace`), what it took, and which files each commit of the git history changed, every order of a stage has a price; this is the least one, and it is said whether that is certain. A RUN that was not watched completely keeps its place, and so does every ENV, ARG, WORKDIR and USER among the RUNs. It stays silent without a history, without times, and where a commit would be cheaper by less than 0.05s.",
    bad: "FROM gcc:15\nWORKDIR /app\nCOPY . .\nRUN make app\nRUN make vendor\n",
    good: "FROM gcc:15\nWORKDIR /app\nCOPY Makefile vendor.list ./\nRUN make vendor\nCOPY . .\nRUN make app\n",
};

/// Less a commit is no saving: it would be shown as 0.0s.
const NIL_MICROS: u64 = 50_000;

/// Stages with more steps, or parts of COPYs, are left alone: looking at each pair would take too long.
const STEPS: usize = 200;

/// What orders are priced with.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// The paths of the context that each commit changed, without those that the ignore file leaves out.
    pub commits: Vec<Vec<String>>,
    /// What steps took, in microseconds, by line.
    pub micros: BTreeMap<u32, u64>,
    /// Commits that change what a step takes in beside the step above it, by line.
    pub changed: BTreeMap<u32, BTreeSet<usize>>,
    /// Commits that change what stands above a step, by line.
    pub above: BTreeMap<u32, BTreeSet<usize>>,
}

/// Runs the rule. Pure: looks at the file, the context, what was watched and what is on record.
pub fn check(dockerfile: &Dockerfile, context: &dyn ContextView, reads: &Reads, ledger: &Ledger) -> SuggestReport {
    let mut report = SuggestReport::default();
    if reads.runs.is_empty() || ledger.commits.is_empty() || dockerfile.has_errors() {
        return report;
    }
    let stages = dockerfile.stages();
    for stage in &stages {
        let table = Table::of(dockerfile, &stages, stage, context, reads, ledger);
        let Some(table) = table.filter(|table| table.units.len() <= STEPS) else { continue };
        if let Some(line) = table.untimed() {
            let reason = format!("line {line} has no time on record, so that orders cannot be compared: build once");
            report.refused.push(refusal(&PAGE, line, reason));
            continue;
        }
        look(&table, &mut report);
    }
    report
}

/// Looks for the best order of one stage.
fn look(table: &Table<'_>, report: &mut SuggestReport) {
    let commits = table.ledger.commits.len();
    let now = bill(&table.as_written(), &table.below_all, commits);
    let before: u64 = now.iter().sum();
    let task = table.task();
    let found = search(&task, Limits::of(task.steps.len()));
    let plan = match Plan::of(table, &found.order) {
        Ok(plan) => plan,
        Err(reason) => {
            report.refused.push(refusal(&PAGE, table.line(), reason));
            return;
        }
    };
    let later = bill(&plan.steps, &table.below_all, commits);
    let after: u64 = later.iter().sum();
    // Folders that are taken whole bring more than was read: then it may cost more than what was found.
    let bound = match found.quality {
        Quality::Optimal { .. } => found.micros,
        Quality::Within { micros } => found.micros.saturating_sub(micros),
    };
    let each = |micros: u64| micros / commits.max(1) as u64;
    let order = match (each(after.saturating_sub(bound)), found.quality) {
        (NIL_MICROS.., _) => BestOrder::Within { micros: each(after.saturating_sub(bound)) },
        (_, Quality::Optimal { orders }) => BestOrder::Optimal { orders },
        (_, Quality::Within { .. }) => BestOrder::Optimal { orders: None },
    };
    if each(before.saturating_sub(after)) < NIL_MICROS {
        // What cannot be put otherwise needs no word.
        if let (Quality::Optimal { orders: Some(orders @ 2..) }, true) = (found.quality, before > 0) {
            let reason = words::nothing_better(each(before), each(before.saturating_sub(bound)), orders, commits);
            report.refused.push(refusal(&PAGE, table.line(), reason));
        }
        return;
    }
    let mut suggestion = words::suggestion(table, &plan, &now, &later);
    suggestion.expected = Some(Expected { commits, now_micros: each(before), after_micros: each(after), order });
    report.offered.push(suggestion);
}
