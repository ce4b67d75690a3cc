//! Rewrites of a Dockerfile with their evidence: one rule a file, pure functions.

use serde::Serialize;

use crate::language::dockerfile::Dockerfile;

pub mod diff;
pub mod order;
mod proof;
pub mod rules;

pub use diff::{DiffLine, diff};
pub use proof::{Measured, Verification};

/// The build context as a rule sees it: what `.dockerignore` leaves of it. Paths are relative, with `/`, without a leading `./`.
pub trait ContextView {
    /// The text of the ignore file in force; empty without one.
    fn ignore_text(&self) -> String {
        String::new()
    }
    /// How many of a hundred commits change a file, or anything in a folder; none without a history.
    fn changes_per_hundred(&self, _path: &str) -> Option<f64> {
        None
    }
    /// Bytes of a file; 0 where nobody knows.
    fn size(&self, _path: &str) -> u64 {
        0
    }
    /// Whether a file or folder is there.
    fn exists(&self, path: &str) -> bool;
    /// The text of a small file; `None` when it is missing, too large or no text.
    fn read(&self, path: &str) -> Option<String>;
    /// All files.
    fn list(&self) -> Vec<String>;
}

/// What is known of a rule without a file: its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Its stable name.
    pub name: &'static str,
    /// What it is about, in one sentence.
    pub description: &'static str,
    /// Why it matters, and when it stays silent.
    pub why: &'static str,
    /// A file for which it offers something.
    pub bad: &'static str,
    /// The same as it offers it.
    pub good: &'static str,
}

/// One kind of rewrite. Pure: a rule looks at the syntax tree and the context, and prices and proves nothing.
pub trait Rule: Sync {
    /// Its page.
    fn page(&self) -> &'static Page;
    /// Its stable name.
    fn name(&self) -> &'static str {
        self.page().name
    }
    /// What it offers (without saving) and what it considered and refused, in the order of the file.
    fn check(&self, dockerfile: &Dockerfile, context: &dyn ContextView) -> SuggestReport;
}

/// The pages of all rules, also of those that need more than a file and a context.
pub fn pages() -> impl Iterator<Item = &'static Page> + Clone {
    rules::ALL.iter().map(|rule| rule.page()).chain([&rules::copy_what_is_read::PAGE, &rules::best_order::PAGE])
}

/// The page of this name, in any case.
pub fn find_page(name: &str) -> Option<&'static Page> {
    pages().find(|page| page.name.eq_ignore_ascii_case(name))
}

/// Larger files are left alone: looking at each pair of instructions would take too long.
const INSTRUCTION_LIMIT: usize = 2_000;

/// Runs all rules. A file with errors gets none: what it means is not certain.
pub fn suggest(dockerfile: &Dockerfile, context: &dyn ContextView) -> SuggestReport {
    let mut report = SuggestReport::default();
    if dockerfile.has_errors() || dockerfile.instructions.len() > INSTRUCTION_LIMIT {
        return report;
    }
    for rule in rules::ALL {
        let found = rule.check(dockerfile, context);
        report.offered.extend(found.offered);
        report.refused.extend(found.refused);
    }
    report
}

/// What the rules found.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct SuggestReport {
    /// On offer: first what pays for a change that happened, then the rest, each by its saving.
    pub offered: Vec<Suggestion>,
    /// Not offered, and why.
    pub refused: Vec<Refusal>,
}

/// One rewrite.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Suggestion {
    /// Stable name of the rule: `broad-copy-before-install`.
    pub rule: String,
    /// Other rules that came to the same rewrite; what they saw is among the evidence.
    pub joined: Vec<String>,
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
    /// Which change it makes cheaper; none for what gains something else than time.
    pub trigger: Trigger,
    /// What it gains besides time, or instead of it, a sentence.
    pub gain: Option<String>,
    /// What building both showed, where somebody asked for it.
    pub verified: Option<Verification>,
    /// Predicted saving; none without a recorded build.
    pub saving: Option<Saving>,
    /// The same over a history, where somebody asked for it.
    pub replayed: Option<Replayed>,
    /// What a commit of the history costs on the average, where orders were compared.
    pub expected: Option<Expected>,
    /// Which file `before` and `after` are.
    pub file: Rewritten,
    /// The file as it is.
    pub before: String,
    /// The file as it would be; the same where nothing is rewritten: then it is advice, and never applied.
    pub after: String,
}

impl Suggestion {
    /// Whether there is anything to apply.
    pub fn is_advice(&self) -> bool {
        self.before == self.after
    }
}

/// What the builds of a history would have cost before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Replayed {
    /// Builds.
    pub builds: usize,
    /// Microseconds with the Dockerfile as it is.
    pub now_micros: u64,
    /// Microseconds with the rewrite.
    pub after_micros: u64,
    /// Runs of steps that have no time on record, before and after.
    pub untimed: (usize, usize),
}

/// What the commits of a history cost with the order that there is, and with the best one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Expected {
    /// Commits that were counted.
    pub commits: usize,
    /// Microseconds a commit, on the average, of the stage as it is.
    pub now_micros: u64,
    /// The same of the rewrite.
    pub after_micros: u64,
    /// Whether any order of the same steps costs less.
    pub order: BestOrder,
}

/// How good an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum BestOrder {
    /// None costs less, but for less than 0.05s a commit.
    Optimal {
        /// So many orders were compared; none: too many to look at each, but a bound says so.
        orders: Option<u64>,
    },
    /// One may cost less.
    Within {
        /// By so many microseconds a commit at most.
        micros: u64,
    },
}

/// Which change a suggestion makes cheaper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
#[serde(tag = "trigger", rename_all = "snake_case")]
pub enum Trigger {
    /// Sources change: which ones is known from the last build, or taken as the one that was edited last.
    Sources,
    /// One of these files changes.
    Files {
        /// Paths in the context, or beginnings of paths with a `/` at the end.
        paths: Vec<String>,
    },
    /// A build argument gets another value.
    Argument {
        /// Its name.
        name: String,
    },
    /// The base image moves.
    Base {
        /// Its name.
        image: String,
    },
    /// It is not about time.
    #[default]
    None,
}

/// A file that is rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Rewritten {
    /// The Dockerfile.
    #[default]
    Dockerfile,
    /// The ignore file.
    IgnoreFile,
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
