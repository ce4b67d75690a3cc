//! Rewrites of a Dockerfile with their evidence: one rule a file, pure functions.

use serde::Serialize;

use crate::language::dockerfile::Dockerfile;

pub mod diff;
mod proof;
pub mod rules;

pub use diff::{DiffLine, diff};
pub use proof::{Measured, Verification};

/// The build context as a rule sees it: what `.dockerignore` leaves of it. Paths are relative, with `/`, without a leading `./`.
pub trait ContextView {
    /// Whether a file or folder is there.
    fn exists(&self, path: &str) -> bool;
    /// The text of a small file; `None` when it is missing, too large or no text.
    fn read(&self, path: &str) -> Option<String>;
    /// All files.
    fn list(&self) -> Vec<String>;
}

/// One kind of rewrite. Pure: a rule looks at the syntax tree and the context, and prices and proves nothing.
pub trait Rule {
    /// Its stable name.
    fn name(&self) -> &'static str;
    /// What it offers (without saving) and what it considered and refused, in the order of the file.
    fn check(&self, dockerfile: &Dockerfile, context: &dyn ContextView) -> SuggestReport;
}

/// All rules.
pub fn rules() -> Vec<Box<dyn Rule>> {
    vec![Box::new(rules::broad_copy_before_install::BroadCopyBeforeInstall)]
}

/// Runs all rules. A file with errors gets none: what it means is not certain.
pub fn suggest(dockerfile: &Dockerfile, context: &dyn ContextView) -> SuggestReport {
    let mut report = SuggestReport::default();
    if dockerfile.has_errors() {
        return report;
    }
    for rule in rules() {
        let found = rule.check(dockerfile, context);
        report.offered.extend(found.offered);
        report.refused.extend(found.refused);
    }
    report
}

/// What the rules found.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct SuggestReport {
    /// On offer, largest saving first.
    pub offered: Vec<Suggestion>,
    /// Not offered, and why.
    pub refused: Vec<Refusal>,
}

/// One rewrite.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Suggestion {
    /// Stable name of the rule: `broad-copy-before-install`.
    pub rule: String,
    /// One line: `copy package.json and package-lock.json before npm ci`.
    pub title: String,
    /// Line of the instruction that is improved.
    pub line: u32,
    /// What the rule saw, a sentence each.
    pub evidence: Vec<String>,
    /// What would break it, a sentence each.
    pub risks: Vec<String>,
    /// How far it is proven.
    pub proof: Proof,
    /// What building both showed, where somebody asked for it.
    pub verified: Option<Verification>,
    /// Predicted saving; none without a recorded build.
    pub saving: Option<Saving>,
    /// The Dockerfile as it is.
    pub before: String,
    /// The Dockerfile as it would be.
    pub after: String,
}

/// How far a suggestion is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// Derived from a rule only: nothing was traced or built.
    NotProven,
    /// Derived from what the step read when it was watched: nothing was built yet.
    Traced,
}

/// The price of the same change before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Saving {
    /// Which files are taken as touched.
    pub touched: Vec<String>,
    /// Microseconds of steps that run now, from recorded times.
    pub now_micros: u64,
    /// Microseconds of steps that would run after the rewrite.
    pub after_micros: u64,
    /// Lines (of the present file) of the steps that would no longer run.
    pub spared_lines: Vec<u32>,
}

/// A rewrite that was considered and is not offered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Refusal {
    /// Name of the rule.
    pub rule: String,
    /// Line of the instruction.
    pub line: u32,
    /// Why not, in one sentence.
    pub reason: String,
}
