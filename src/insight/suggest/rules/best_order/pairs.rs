//! What has to stay above what, and what is liked above what.

use std::collections::BTreeSet;

use super::super::super::order::{Step, Task};
use super::super::copy_what_is_read::{Case, RunReads};
use super::super::place::{self, below, overlap, unquoted, working_folder};
use super::cargo::in_image;
use super::independent::{Brought, USERS, above, conflict, wrote_users};
use super::steps::{Bill, Kind, Table, Unit};
use crate::language::dockerfile::{Arguments, Instruction, Keyword};

impl Table<'_> {
    /// The task of the search.
    pub(super) fn task(&self) -> Task {
        let mut task = Task { below_all: self.below_all.clone(), ..Task::default() };
        for (at, unit) in self.units.iter().enumerate() {
            let needs = (0..at).filter(|above| self.stays_above(&self.units[*above], unit)).collect();
            let Bill { micros, changed_by } = unit.bill.clone();
            task.steps.push(Step { micros, needs, changed_by });
            for other in (0..self.units.len()).filter(|other| *other != at) {
                let dislike = self.dislike(at, other);
                if dislike > 0 {
                    task.dislikes.insert((at, other), dislike);
                }
            }
        }
        task
    }

    /// How much it is disliked that `one` stands above `other`, where that costs the same: RUNs keep the author's order first of
    /// all, then COPYs; what a step does not need goes below it, since what never changed may change one day.
    fn dislike(&self, one: usize, other: usize) -> u64 {
        let (above, below) = (&self.units[one], &self.units[other]);
        let upturned = above.at > below.at;
        let splits = |unit: &Unit| self.cases.contains_key(&unit.at);
        match (&above.kind, &below.kind) {
            (Kind::Run, Kind::Run) => u64::from(upturned) * 10_000,
            (Kind::Part { .. } | Kind::Copy, Kind::Run) if splits(above) => match upturned {
                true => 200,
                false => u64::from(!self.needs(above, below.at)) * 10,
            },
            (Kind::Run, Kind::Part { .. } | Kind::Copy) if splits(below) => 0,
            (Kind::Part { .. }, Kind::Part { .. }) | (Kind::Fixed, Kind::Part { .. }) => 0,
            // Directly above the step that reads it, rather than above what stands between.
            (Kind::Part { .. }, Kind::Fixed) => 1,
            _ if splits(above) || splits(below) => u64::from(upturned),
            _ => u64::from(upturned) * 100,
        }
    }

    /// Whether a step has to stay above one that stands below it.
    fn stays_above(&self, above: &Unit, below: &Unit) -> bool {
        match (&above.kind, &below.kind) {
            (Kind::Run, Kind::Run) => self.conflict(above.at, below.at).is_some(),
            (Kind::Fixed, _) | (Kind::Run, Kind::Fixed) => true,
            (_, Kind::Fixed) => self.stays_above_fixed(above.at, self.instruction(below.at)),
            (_, Kind::Run) => self.needs(above, below.at),
            (Kind::Run, _) => {
                let cargo = self.cargo.get(&below.at);
                let owner = cargo.is_some_and(|cargo| cargo.named_owner);
                self.watched.get(&above.at).is_none_or(|run| {
                    self.with_brought(below, |brought| brought.concern(run)) || (owner && wrote_users(run))
                })
            }
            (Kind::Part { .. }, Kind::Part { .. }) if above.at == below.at => false,
            (_, _) if above.at == below.at => true,
            (_, _) => {
                self.with_brought(above, |brought| self.with_brought(below, |other| brought.meets(other)))
                    || self.names_its_owner(above.at, below.at)
                    || self.owns_its_folders(above.at, below.at)
            }
        }
    }

    /// Whether files of a COPY have to wait for a step that is not placed yet and that stands above the COPY.
    pub(super) fn has_to_wait(&self, copy: usize, files: BTreeSet<String>, placed: &dyn Fn(usize) -> bool) -> bool {
        let kind = Kind::Part { files, readers: BTreeSet::new() };
        let part = Unit { kind, at: copy, bill: Bill::default() };
        self.whole().any(|unit| unit.at < copy && !placed(unit.at) && self.stays_above(unit, &part))
    }

    /// Whether a COPY brings the users of whom another one names an owner.
    fn names_its_owner(&self, above: usize, below: usize) -> bool {
        let (Some(users), Some(owned)) = (self.cargo.get(&above), self.cargo.get(&below)) else { return true };
        let brings = |file: &&str| match &users.files {
            Some(files) => files.contains(*file),
            None => overlap(&users.folder, file),
        };
        owned.named_owner && USERS.iter().any(brings)
    }

    /// Whether two COPYs give the same folder, which no WORKDIR made, to different owners: the last, or the first, decides.
    fn owns_its_folders(&self, one: usize, other: usize) -> bool {
        let flags = |at: usize| {
            let value = |name| self.instruction(at).flag(name).and_then(|flag| flag.value.clone());
            [value("chown"), value("chmod")]
        };
        if flags(one) == flags(other) {
            return false;
        }
        let made = working_folder(self.stages, self.stage, one.min(other));
        let folders = |at: usize| -> BTreeSet<&str> {
            let files = self.cargo.get(&at).and_then(|cargo| cargo.files.as_ref()).into_iter().flatten();
            files.flat_map(|file| above(file)).filter(|folder| place::below(folder, &made).is_none()).collect()
        };
        !folders(one).is_disjoint(&folders(other))
    }

    /// Why two RUNs keep their order: the path on account of which, or none where it is not known what they read and wrote.
    pub(super) fn conflict(&self, above: usize, below: usize) -> Option<Option<&str>> {
        let (Some(one), Some(other)) = (self.watched.get(&above), self.watched.get(&below)) else { return Some(None) };
        // A kind in a variable may be this one.
        let is_cache = |value: &str| value.contains('$') || value.to_ascii_lowercase().contains("type=cache");
        let caches = |at| {
            let mut mounts = self.instruction(at).flags.iter().filter(|flag| flag.name == "mount");
            mounts.any(|flag| flag.value.as_deref().is_some_and(is_cache))
        };
        // What one leaves in a cache the other may find.
        if caches(above) && caches(below) {
            return Some(None);
        }
        conflict(one, other).map(Some)
    }

    /// Whether a RUN needs a COPY, or a part of one, above it.
    pub(super) fn needs(&self, copy: &Unit, run_at: usize) -> bool {
        let (Some(run), Some(cargo)) = (self.watched.get(&run_at), self.cargo.get(&copy.at)) else { return true };
        if let Kind::Part { readers, .. } = &copy.kind {
            return readers.contains(&run_at);
        }
        if cargo.named_owner && wrote_users(run) {
            return true;
        }
        if !self.cases.contains_key(&copy.at) {
            let seen = run.from.get(&self.instruction(copy.at).line).into_iter().flatten();
            // The folder that it copies into, and those above, are there in any case.
            let own = |path: &&String| {
                below(path, &cargo.folder).is_none() || cargo.files.as_ref().is_some_and(|f| f.contains(*path))
            };
            return seen.filter(own).count() > 0 || self.with_brought(copy, |brought| brought.concern(run));
        }
        // Where it fell into too many parts, it stays whole.
        let line = self.instruction(copy.at).line;
        let split = self.units.iter().any(|unit| unit.at == copy.at && matches!(unit.kind, Kind::Part { .. }));
        let reads = |case: &Case<'_>| case.wanted(run, line).map_or(true, |files| !files.is_empty());
        if !split && self.cases.get(&copy.at).is_none_or(reads) {
            return true;
        }
        // What it changed would be copied over; and a folder that nothing else makes has to be there.
        self.with_brought(copy, |brought| brought.changed_by(run)) || self.makes_its_folder(copy.at, run_at, run)
    }

    /// Whether a RUN works in the folder of a COPY which nothing but the COPY makes.
    fn makes_its_folder(&self, copy: usize, run_at: usize, run: &RunReads) -> bool {
        let Some(cargo) = self.cargo.get(&copy) else { return true };
        let inside = |path: &String| below(&cargo.folder, path).is_some();
        let works = run.wrote.iter().chain(&run.seen).any(inside);
        let made = working_folder(self.stages, self.stage, run_at);
        let reads_of_it = self.units.iter().any(|unit| match &unit.kind {
            Kind::Part { readers, .. } => unit.at == copy && readers.contains(&run_at),
            _ => false,
        });
        works && !reads_of_it && below(&cargo.folder, &made).is_none()
    }

    /// Whether a COPY has to stay above an ENV, a WORKDIR and the like.
    fn stays_above_fixed(&self, copy: usize, fixed: &Instruction) -> bool {
        let instruction = self.instruction(copy);
        let owned = instruction.flag("chown").is_some() || instruction.flag("chmod").is_some();
        match fixed.keyword {
            Keyword::Env | Keyword::Arg => instruction.span.text(&self.dockerfile.source).contains('$'),
            Keyword::Workdir => {
                let Arguments::Copy { destination, .. } = &instruction.arguments else { return true };
                // What is split is written anew, with another folder where it has to be.
                owned || (!self.cases.contains_key(&copy) && !unquoted(&destination.text).starts_with('/'))
            }
            Keyword::User | Keyword::Shell => false,
            _ => true,
        }
    }

    fn with_brought<T>(&self, unit: &Unit, then: impl FnOnce(&Brought<'_>) -> T) -> T {
        let Some(cargo) = self.cargo.get(&unit.at) else { return then(&Brought { files: None, folder: "" }) };
        match (&unit.kind, self.cases.get(&unit.at)) {
            (Kind::Part { files, .. }, Some(case)) => {
                let files = files.iter().filter_map(|file| in_image(case, file)).collect();
                then(&Brought { files: Some(&files), folder: &cargo.folder })
            }
            _ => then(&Brought { files: cargo.files.as_ref(), folder: &cargo.folder }),
        }
    }
}
