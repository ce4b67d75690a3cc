//! Random stages: whatever is offered can be read, gives each step what it read, keeps what has to be kept, and costs what was
//! said, all of it worked out once more from the text of the rewrite.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::subsequence;
use proptest::test_runner::TestRunner;

use super::super::super::{ContextView, Suggestion};
use super::super::copy_what_is_read::{Reads, RunReads};
use super::{Ledger, check};
use crate::language::dockerfile::{Arguments, Keyword, parse};

const FILES: [&str; 8] = ["Makefile", "docs/a", "docs/b", "readme", "src/a.c", "src/b.c", "src/deep/c.c", "vendor/list"];
const MADE: [&str; 4] = ["lib/a", "lib/b", "out", "out/x"];

struct Files;

impl ContextView for Files {
    fn exists(&self, path: &str) -> bool {
        FILES.contains(&path)
    }
    fn read(&self, _: &str) -> Option<String> {
        None
    }
    fn list(&self) -> Vec<String> {
        FILES.map(str::to_owned).into()
    }
}

/// What a RUN does: its time, what it reads of the context and of what others made, what it makes; and whether an ENV follows.
type Work = (u64, Vec<&'static str>, Vec<&'static str>, Vec<&'static str>, bool);

fn works() -> impl Strategy<Value = Vec<Work>> {
    let files = subsequence(FILES.to_vec(), 0..4);
    let seen = subsequence(MADE.to_vec(), 0..2);
    let wrote = subsequence(MADE.to_vec(), 0..2);
    proptest::collection::vec((1_u64..20, files, seen, wrote, proptest::bool::weighted(0.2)), 1..5)
}

fn commits() -> impl Strategy<Value = Vec<Vec<&'static str>>> {
    proptest::collection::vec(subsequence(FILES.to_vec(), 0..3), 1..12)
}

struct Case {
    source: String,
    works: BTreeMap<String, Work>,
    reads: Reads,
    ledger: Ledger,
}

fn case(works: &[Work], commits: &[Vec<&'static str>]) -> Case {
    let mut source = "FROM a\nWORKDIR /app\nCOPY . .\n".to_owned();
    let (mut reads, mut by_name) = (Reads::default(), BTreeMap::new());
    let owned = |paths: &Vec<&'static str>| paths.iter().map(|path| (*path).to_owned()).collect();
    let mut ledger = Ledger { commits: commits.iter().map(owned).collect(), ..Ledger::default() };
    let changed = commits.iter().enumerate().filter(|(_, paths)| !paths.is_empty()).map(|(at, _)| at);
    ledger.changed.insert(3, changed.collect());
    reads.destinations.insert(3, "app".to_owned());
    for (at, work) in works.iter().enumerate() {
        let line = source.lines().count() as u32 + 1;
        source.push_str(&format!("RUN step{at}\n"));
        let (seconds, files, seen, wrote, env) = work;
        let files: BTreeSet<String> = files.iter().map(|file| format!("app/{file}")).collect();
        let run = RunReads {
            seen: files.iter().cloned().chain(seen.iter().map(|path| (*path).to_owned())).collect(),
            wrote: wrote.iter().map(|path| (*path).to_owned()).collect(),
            from: BTreeMap::from([(3, files)]),
            ..RunReads::default()
        };
        reads.runs.insert(line, run);
        ledger.micros.insert(line, seconds * 1_000_000);
        by_name.insert(format!("RUN step{at}"), work.clone());
        if *env {
            source.push_str(&format!("ENV X{at}=1\n"));
        }
    }
    Case { source, works: by_name, reads, ledger }
}

/// Whether one is the other, or lies in it.
fn touches(one: &[&str], other: &[&str]) -> bool {
    let inside = |a: &str, b: &str| a == b || a.starts_with(&format!("{b}/"));
    one.iter().any(|path| other.iter().any(|wrote| inside(path, wrote)))
}

/// The instructions below WORKDIR, with the files that each COPY brings.
fn steps(source: &str) -> Vec<(String, Keyword, BTreeSet<&'static str>)> {
    let parsed = parse(source);
    assert!(!parsed.has_errors(), "{source}");
    let mut out = Vec::new();
    for instruction in parsed.instructions.iter().skip(2) {
        let brought = match &instruction.arguments {
            Arguments::Copy { sources, destination } => {
                let of = |file: &str| {
                    sources.iter().any(|word| {
                        let (name, to) = (word.text.as_str(), destination.text.trim_start_matches("./"));
                        let folder = file.starts_with(&format!("{name}/")) && to == format!("{name}/");
                        let parent = file.rsplit_once('/').map_or("", |(parent, _)| parent);
                        name == "." || folder || (file == name && to.trim_end_matches('/').trim_start_matches('.') == parent)
                    })
                };
                FILES.into_iter().filter(|file| of(file)).collect()
            }
            _ => BTreeSet::new(),
        };
        out.push((instruction.span.text(source).trim().to_owned(), instruction.keyword, brought));
    }
    out
}

/// What all commits cost, by the text.
fn cost(case: &Case, source: &str) -> u64 {
    let steps = steps(source);
    let of = |changed: &Vec<String>| -> u64 {
        let hit = |step: &&(String, Keyword, BTreeSet<&str>)| !changed.iter().any(|path| step.2.contains(path.as_str()));
        let first = steps.iter().take_while(hit).count();
        steps[first..].iter().filter_map(|(name, ..)| case.works.get(name)).map(|work| work.0 * 1_000_000).sum()
    };
    case.ledger.commits.iter().map(of).sum()
}

fn holds(case: &Case, offered: &Suggestion) -> Result<(), TestCaseError> {
    let (before, after) = (steps(&case.source), steps(&offered.after));
    let place = |name: &str| after.iter().position(|step| step.0 == name);
    let kept: Vec<&String> = before.iter().map(|step| &step.0).collect();
    prop_assert!(kept.iter().all(|name| place(name).is_some()), "{}", offered.after);
    prop_assert!(after.iter().all(|step| kept.contains(&&step.0) || step.1 == Keyword::Copy), "{}", offered.after);
    for (at, (name, keyword, _)) in before.iter().enumerate() {
        if let Some((_, files, ..)) = case.works.get(name) {
            let above = &after[..place(name).unwrap_or(0)];
            let there = |file: &str| above.iter().any(|step| step.2.contains(file));
            prop_assert!(files.iter().all(|file| there(file)), "{name} in\n{}", offered.after);
        }
        for (later, other_keyword, _) in &before[at + 1..] {
            let stays = match (case.works.get(name), case.works.get(later)) {
                (Some((_, _, seen, wrote, _)), Some((_, _, other_seen, other_wrote, _))) => {
                    touches(seen, other_wrote)
                        || touches(other_seen, wrote)
                        || touches(wrote, other_wrote)
                        || touches(other_wrote, wrote)
                }
                _ => *keyword != Keyword::Copy && *other_keyword != Keyword::Copy,
            };
            prop_assert!(!stays || place(name) < place(later), "{name}, {later} in\n{}", offered.after);
        }
    }
    let (count, expected) = (case.ledger.commits.len() as u64, offered.expected.clone().unwrap());
    prop_assert_eq!(expected.now_micros, cost(case, &case.source) / count);
    prop_assert_eq!(expected.after_micros, cost(case, &offered.after) / count, "{}", offered.after);
    prop_assert!(expected.after_micros < expected.now_micros);
    Ok(())
}

#[test]
fn what_is_offered_is_right_and_costs_what_is_said() {
    let config = ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() };
    let (offers, reordered) = (Cell::new(0), Cell::new(0));
    let check = |(works, commits): (Vec<Work>, Vec<Vec<&'static str>>)| {
        let case = case(&works, &commits);
        for offered in check(&parse(&case.source), &Files, &case.reads, &case.ledger).offered {
            offers.set(offers.get() + 1);
            reordered.set(reordered.get() + usize::from(offered.title.starts_with("run lines")));
            holds(&case, &offered)?;
        }
        Ok(())
    };
    TestRunner::new(config).run(&(works(), commits()), check).unwrap();
    // Not for want of offers.
    assert!(offers.get() > 100 && reordered.get() > 20, "{offers:?} {reordered:?}");
}
