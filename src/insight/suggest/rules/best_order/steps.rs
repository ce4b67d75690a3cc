//! A stage as a task of the search: its steps, the parts that its COPYs fall into, and what has to stay above what.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::ContextView;
use super::super::copy_what_is_read::{Case, Reads, RunReads};
use super::super::place::below;
use super::cargo::Cargo;
use super::independent::above;
use super::{Ledger, NIL_MICROS};
use crate::language::dockerfile::{Dockerfile, Instruction, Keyword, Stage};

/// More parts of one COPY are not looked at: what is read that differently is one part.
const PARTS: usize = 40;

/// What is one step of the order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// It keeps its place among RUNs and its like: ENV, WORKDIR and the like.
    Fixed,
    Run,
    /// A COPY or ADD as it stands there.
    Copy,
    /// Files of a COPY that the same RUNs read.
    Part {
        files: BTreeSet<String>,
        readers: BTreeSet<usize>,
    },
}

/// A step of the order.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    pub(super) kind: Kind,
    /// Its instruction in the stage; of a part, the COPY.
    pub(super) at: usize,
    pub(super) bill: Bill,
}

/// What a step costs when it runs, and which commits change what it takes in by itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Bill {
    pub(super) micros: u64,
    pub(super) changed_by: BTreeSet<usize>,
}

/// A stage, ready to be put in order.
pub(super) struct Table<'c> {
    pub(super) dockerfile: &'c Dockerfile,
    pub(super) stages: &'c [Stage<'c>],
    pub(super) stage: &'c Stage<'c>,
    pub(super) ledger: &'c Ledger,
    /// COPYs of folders, which may be split, by their instructions in the stage.
    pub(super) cases: BTreeMap<usize, Case<'c>>,
    /// In the author's order.
    pub(super) units: Vec<Unit>,
    /// Commits that change what the stage stands on.
    pub(super) below_all: BTreeSet<usize>,
    /// RUNs of which all is known that they read and wrote.
    pub(super) watched: BTreeMap<usize, &'c RunReads>,
    /// The files of the context.
    context: BTreeSet<String>,
    /// What COPYs bring, by their instructions in the stage.
    pub(super) cargo: BTreeMap<usize, Cargo>,
}

/// What a RUN reads of a COPY.
pub(super) struct ReadOf {
    pub(super) copy: usize,
    pub(super) files: usize,
    /// So many it brings.
    pub(super) of: usize,
    pub(super) changed_by: BTreeSet<usize>,
}

impl<'c> Table<'c> {
    /// None where no RUN of the stage was watched completely.
    pub(super) fn of(
        dockerfile: &'c Dockerfile,
        stages: &'c [Stage<'c>],
        stage: &'c Stage<'c>,
        context: &dyn ContextView,
        reads: &'c Reads,
        ledger: &'c Ledger,
    ) -> Option<Self> {
        let count = stage.instructions.len();
        let find = |at| Some((at, Case::find(dockerfile, stages, stage, at, context, reads)?));
        let cases: BTreeMap<usize, Case<'c>> = (0..count).filter_map(find).collect();
        let mut watched = BTreeMap::new();
        for (at, run) in stage.instructions.iter().enumerate() {
            let found = reads.runs.get(&run.line).filter(|found| found.incomplete.is_none());
            // What it read and is no longer there says that the set is of another context.
            let fits = |found: &&RunReads| cases.values().all(|case| case.wanted(found, run.line).is_ok());
            if let Some(found) = found.filter(fits) {
                watched.insert(at, found);
            }
        }
        let first = stage.instructions.iter().find_map(|instruction| ledger.above.get(&instruction.line));
        let mut table = Self {
            below_all: first.cloned().unwrap_or_default(),
            context: context.list().into_iter().collect(),
            cargo: BTreeMap::new(),
            units: Vec::new(),
            dockerfile,
            stages,
            stage,
            ledger,
            cases,
            watched,
        };
        for (at, copy) in stage.instructions.iter().enumerate() {
            if let Some(cargo) = Cargo::of(copy, table.cases.get(&at), reads, &table.context) {
                table.cargo.insert(at, cargo);
            }
        }
        for at in 0..count {
            table.add(at);
        }
        (!table.watched.is_empty()).then_some(table)
    }

    /// The line that stands for the stage: of the first COPY, else of the first step.
    pub(super) fn line(&self) -> u32 {
        let copy = self.units.iter().find(|unit| unit.kind == Kind::Copy).or(self.units.first());
        copy.map_or(self.stage.from.line, |unit| self.instruction(unit.at).line)
    }

    pub(super) fn instruction(&self, at: usize) -> &'c Instruction {
        self.stage.instructions[at]
    }

    /// The line of a RUN without a time on record.
    pub(super) fn untimed(&self) -> Option<u32> {
        let mut runs = self.units.iter().filter(|unit| unit.kind == Kind::Run).map(|unit| self.instruction(unit.at).line);
        runs.find(|line| !self.ledger.micros.contains_key(line))
    }

    /// The bills of the steps as they are written.
    pub(super) fn as_written(&self) -> Vec<Bill> {
        self.whole().map(|unit| unit.bill.clone()).collect()
    }

    /// The steps as they are written.
    pub(super) fn whole(&self) -> impl Iterator<Item = &Unit> {
        self.units.iter().filter(|unit| !matches!(unit.kind, Kind::Part { .. }))
    }

    /// Whether a file is in the context.
    pub(super) fn is_there(&self, path: &str) -> bool {
        self.context.contains(path)
    }

    /// What a RUN reads of what is copied; none where that is not known.
    pub(super) fn read_by(&self, run_at: usize) -> Option<Vec<ReadOf>> {
        let run = self.watched.get(&run_at)?;
        let of = |copy: &Unit| {
            let whole = copy.bill.changed_by.clone();
            let Some(case) = self.cases.get(&copy.at) else {
                let of = self.cargo.get(&copy.at)?.files.as_ref().map_or(0, BTreeSet::len);
                let files = run.from.get(&self.instruction(copy.at).line).map_or(0, BTreeSet::len).min(of);
                return Some(ReadOf { copy: copy.at, files, of, changed_by: whole });
            };
            let wanted = case.wanted(run, self.instruction(run_at).line).ok()?;
            let changed_by = self.commits_of(copy.at, &wanted, &BTreeSet::new());
            Some(ReadOf { copy: copy.at, files: wanted.len(), of: case.files.len(), changed_by })
        };
        let copies = self.whole().filter(|unit| unit.kind == Kind::Copy && unit.at < run_at && self.takes(unit, run_at));
        Some(copies.filter_map(of).collect())
    }

    /// Whether a RUN needs a COPY or any part of it.
    fn takes(&self, copy: &Unit, run_at: usize) -> bool {
        self.units.iter().any(|unit| unit.at == copy.at && self.needs(unit, run_at))
    }

    fn add(&mut self, at: usize) {
        let instruction = self.instruction(at);
        let kind = match instruction.keyword {
            Keyword::Run => Kind::Run,
            Keyword::Copy | Keyword::Add if self.cargo.contains_key(&at) => Kind::Copy,
            // In no key, and nothing that runs sees them.
            Keyword::Label | Keyword::Cmd | Keyword::Entrypoint | Keyword::Expose | Keyword::Stopsignal => return,
            Keyword::Healthcheck | Keyword::Maintainer => return,
            _ => Kind::Fixed,
        };
        let micros = self.ledger.micros.get(&instruction.line).copied().unwrap_or(0);
        let changed_by = self.ledger.changed.get(&instruction.line).cloned().unwrap_or_default();
        for (readers, files) in self.parts(at) {
            let bill =
                Bill { micros: self.share(at, files.len()), changed_by: self.commits_of(at, &files, &BTreeSet::new()) };
            self.units.push(Unit { kind: Kind::Part { files, readers }, at, bill });
        }
        self.units.push(Unit { kind, at, bill: Bill { micros, changed_by } });
    }

    /// What so many files of a COPY take of its time. A few files are copied in no time that is worth a word: then their place
    /// is decided by the steps.
    pub(super) fn share(&self, copy: usize, files: usize) -> u64 {
        let all = self.cases.get(&copy).map_or(1, |case| case.files.len().max(1));
        let micros = self.ledger.micros.get(&self.instruction(copy).line).copied().unwrap_or(0);
        Some(micros.saturating_mul(files as u64) / all as u64).filter(|share| *share >= NIL_MICROS).unwrap_or(0)
    }

    /// The files of a COPY by the RUNs that read them; what none reads is in none.
    fn parts(&self, copy: usize) -> Vec<(BTreeSet<usize>, BTreeSet<String>)> {
        let Some(case) = self.cases.get(&copy) else { return Vec::new() };
        let mut readers: BTreeMap<&String, BTreeSet<usize>> = BTreeMap::new();
        let wanted: Vec<(usize, BTreeSet<String>)> = self
            .watched
            .range(copy..)
            .filter_map(|(at, found)| Some((*at, case.wanted(found, self.instruction(*at).line).ok()?)))
            .collect();
        for (at, files) in &wanted {
            for file in files {
                readers.entry(file).or_default().insert(*at);
            }
        }
        let mut parts: BTreeMap<BTreeSet<usize>, BTreeSet<String>> = BTreeMap::new();
        for (file, runs) in readers {
            parts.entry(runs).or_default().insert(file.clone());
        }
        if parts.len() > PARTS {
            return Vec::new();
        }
        parts.into_iter().collect()
    }

    /// Whether the context has a file.
    pub(super) fn has(&self, path: &str) -> bool {
        self.context.contains(path)
    }

    /// Commits that change these files of a COPY, or anything in these folders. A file that is gone counts like those that are
    /// left in its folder, where they are all of the same kind.
    pub(super) fn commits_of(&self, copy: usize, files: &BTreeSet<String>, folders: &BTreeSet<String>) -> BTreeSet<usize> {
        let Some(case) = self.cases.get(&copy) else { return BTreeSet::new() };
        let root = &case.source.folder;
        // Of each folder, whether all files in it are among these.
        let mut whole: BTreeMap<&str, bool> = BTreeMap::new();
        for file in &case.files {
            let own = files.contains(file);
            above(file).for_each(|folder| *whole.entry(folder).or_insert(true) &= own);
        }
        let counts = |path: &String| {
            if below(root, path).is_none_or(str::is_empty) {
                return false;
            }
            if files.contains(path) || folders.iter().any(|folder| below(folder, path).is_some()) {
                return true;
            }
            let nearest = || {
                above(path).collect::<Vec<_>>().into_iter().rev().find_map(|folder| {
                    whole.get(folder).copied().filter(|_| below(root, folder).is_some_and(|rest| !rest.is_empty()))
                })
            };
            !case.files.contains(path) && nearest() == Some(true)
        };
        let commits = self.ledger.commits.iter().enumerate();
        commits.filter(|(_, changed)| changed.iter().any(counts)).map(|(at, _)| at).collect()
    }
}
