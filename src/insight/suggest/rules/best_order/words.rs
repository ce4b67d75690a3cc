//! What is said about an order.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::{Proof, Suggestion, Trigger};
use super::super::draft::{advice, numbers};
use super::PAGE;
use super::independent::lists;
use super::plan::Plan;
use super::steps::{Kind, Table};

/// The end of each sentence about a listing.
const ONLY_BUILDING: &str = "only building both can tell whether that matters";
/// So many pairs that keep their order are named.
const PAIRS: usize = 3;

/// That the order there is need not be changed.
pub(super) fn nothing_better(now: u64, at_most: u64, orders: u64, commits: usize) -> String {
    let seconds = |micros: u64| format!("{:.1}s", micros as f64 / 1e6);
    let least = match at_most {
        less if less < super::NIL_MICROS => "no order costs less".to_owned(),
        more => format!("no order that can be written costs less, and none at all more than {} less", seconds(more)),
    };
    let now = seconds(now);
    format!(
        "over {commits} commits this order costs {now} a commit; of {orders} that keep what depends on each other, {least}"
    )
}

/// The suggestion of a plan; `now` and `later` are what each commit costs before and after.
pub(super) fn suggestion(table: &Table<'_>, plan: &Plan, now: &[u64], later: &[u64]) -> Suggestion {
    let mut out = advice(table.dockerfile, &PAGE, table.line());
    out.title = title(table, plan);
    out.evidence = evidence(table, plan);
    out.risks = risks(table, plan);
    out.proof = Proof::Traced;
    out.after.clone_from(&plan.after);
    out.trigger = match dearest(table, now, later) {
        Some(path) => Trigger::Files { paths: vec![path] },
        None => Trigger::Sources,
    };
    out
}

/// `line 4`, `lines 4 and 6`.
fn named(table: &Table<'_>, of: &[usize]) -> String {
    let lines: Vec<u32> = of.iter().map(|at| table.instruction(*at).line).collect();
    format!("{} {}", if lines.len() == 1 { "line" } else { "lines" }, numbers(&lines))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn title(table: &Table<'_>, plan: &Plan) -> String {
    let mut before: Vec<usize> = plan.portions.iter().map(|portion| portion.before).collect();
    before.dedup();
    let copies: BTreeSet<usize> = plan.portions.iter().map(|portion| portion.copy).collect();
    let copies: Vec<usize> = copies.into_iter().collect();
    let run = || format!("run {} in this order", named(table, &plan.runs));
    let lower = lower(plan);
    let more = match lower.keys().copied().collect::<Vec<_>>().as_slice() {
        [] => String::new(),
        copies => format!(", and {} below", named(table, copies)),
    };
    match (plan.runs.is_sorted(), before.as_slice()) {
        (true, []) => match lower.first_key_value() {
            Some((copy, runs)) => format!("copy {} below {}", named(table, &[*copy]), named(table, runs)),
            None => "copy what changes often below what takes long".to_owned(),
        },
        (true, [one]) => {
            let (one, copies) = (named(table, &[*one]), named(table, &copies));
            format!("copy what {one} reads above it, the rest of {copies} below{more}")
        }
        (true, _) => {
            let (before, copies) = (named(table, &before), named(table, &copies));
            format!("copy what {before} read above each, the rest of {copies} below{more}")
        }
        (false, []) => run(),
        (false, _) => format!("{}, each below what it reads of {}", run(), named(table, &copies)),
    }
}

fn evidence(table: &Table<'_>, plan: &Plan) -> Vec<String> {
    let mut out = Vec::new();
    let commits = table.ledger.commits.len();
    for at in &plan.runs {
        let instruction = table.instruction(*at);
        let Some(read) = table.read_by(*at) else { continue };
        let mut changed: BTreeSet<usize> = table.ledger.changed.get(&instruction.line).cloned().unwrap_or_default();
        read.iter().for_each(|read| changed.extend(&read.changed_by));
        let parts: Vec<String> = read
            .iter()
            .map(|read| format!("{} of the {} files of {}", read.files, read.of, named(table, &[read.copy])))
            .collect();
        let what = if parts.is_empty() { "nothing that is copied".to_owned() } else { parts.join(" and ") };
        let micros = table.ledger.micros.get(&instruction.line).copied().unwrap_or(0) as f64 / 1e6;
        out.push(format!(
            "`{}` (line {}) took {micros:.1}s and read {what}; {} of {commits} commits changed what it reads.",
            instruction.one_line(),
            instruction.line,
            changed.len(),
        ));
    }
    // Those that went above the same others are named together.
    let mut passed: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
    for (place, run) in plan.runs.iter().enumerate() {
        let earlier: Vec<usize> = plan.runs[place..].iter().copied().filter(|other| other < run).collect();
        passed.entry(earlier).or_default().push(*run);
    }
    for (earlier, runs) in passed.into_iter().filter(|(earlier, _)| !earlier.is_empty()) {
        out.push(format!(
            "{} used nothing that {} wrote, nor the other way round: all of them were watched.",
            capital(&named(table, &runs)),
            named(table, &earlier)
        ));
    }
    for (copy, runs) in lower(plan) {
        let changed = table.whole().find(|unit| unit.at == copy).map_or(0, |unit| unit.bill.changed_by.len());
        let (copy, runs) = (capital(&named(table, &[copy])), named(table, &runs));
        out.push(format!("{copy} is changed by {changed} of {commits} commits, and {runs} used nothing of it."));
    }
    out.extend(kept(table));
    out
}

/// Whole COPYs that go below RUNs, and which.
fn lower(plan: &Plan) -> BTreeMap<usize, Vec<usize>> {
    let mut out: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (run, copy) in plan.passed.iter().filter(|(run, copy)| copy < run) {
        out.entry(*copy).or_default().push(*run);
    }
    out
}

/// Why RUNs keep their order.
fn kept(table: &Table<'_>) -> Vec<String> {
    let runs: Vec<usize> = table.whole().filter(|unit| unit.kind == Kind::Run).map(|unit| unit.at).collect();
    let mut out = Vec::new();
    for pair in runs.windows(2) {
        let (above, below) = (table.instruction(pair[0]).line, table.instruction(pair[1]).line);
        match table.conflict(pair[0], pair[1]) {
            Some(Some(path)) => {
                out.push(format!("Lines {above} and {below} keep their order: both use `/{path}`, which one of them wrote."))
            }
            Some(None) => out.push(format!(
                "Lines {above} and {below} keep their order: what they read and wrote is not known completely."
            )),
            None => {}
        }
    }
    let more = out.len().saturating_sub(PAIRS);
    out.truncate(PAIRS);
    if more > 0 {
        out.push(format!("{more} more pairs keep their order for such reasons."));
    }
    out
}

fn risks(table: &Table<'_>, plan: &Plan) -> Vec<String> {
    let mut out = Vec::new();
    let mut fewer: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for lack in &plan.lacks {
        let (Some(run), Some(case)) = (table.watched.get(&lack.run), table.cases.get(&lack.copy)) else { continue };
        for folder in case.listed(run, &lack.covered) {
            fewer.entry(folder).or_default().insert(lack.run);
        }
    }
    for (runs, folders) in together(fewer) {
        let (who, folders) = (capital(&named(table, &runs)), folders.join(", "));
        out.push(format!("{who} listed the names in {folders}, and would see fewer of them; {ONLY_BUILDING}."));
    }
    out.extend(other_names(table, plan));
    if !plan.portions.is_empty() {
        out.push(
            "What a step reads may depend on the files themselves: a new file, or one that it reads the next time, has to be added to the COPY above it."
                .to_owned(),
        );
    }
    out.extend(moved(table));
    out.push("The next commits may change other files than those of the history.".to_owned());
    out
}

/// That files of the history have other names now, or are gone: what reads them may run more often than was counted.
fn moved(table: &Table<'_>) -> Option<String> {
    let commits = table.ledger.commits.len();
    let gone = table.ledger.commits.iter().filter(|changed| changed.iter().any(|path| !table.has(path))).count();
    (gone > 0).then(|| {
        format!(
            "{gone} of {commits} commits changed files that are not there any more: renames are not followed, and what reads such a file under its new name changes more often than was counted."
        )
    })
}

/// Whose names come or go, with those who list them: by folder, in the order of the folders.
fn together(by_folder: BTreeMap<String, BTreeSet<usize>>) -> BTreeMap<Vec<usize>, Vec<String>> {
    let mut out: BTreeMap<Vec<usize>, Vec<String>> = BTreeMap::new();
    for (folder, runs) in by_folder {
        out.entry(runs.into_iter().collect()).or_default().push(folder);
    }
    out
}

/// RUNs that would see other names in folders that they listed, because of what changes places with them.
fn other_names(table: &Table<'_>, plan: &Plan) -> Vec<String> {
    let mut found: Vec<(usize, usize, &str)> = Vec::new();
    for (place, later) in plan.runs.iter().enumerate() {
        for earlier in plan.runs[place..].iter().filter(|earlier| *earlier < later) {
            let (Some(one), Some(other)) = (table.watched.get(later), table.watched.get(earlier)) else { continue };
            found.extend(lists(one, other.wrote.iter()).map(|path| (*later, *earlier, path)));
            found.extend(lists(other, one.wrote.iter()).map(|path| (*earlier, *later, path)));
        }
    }
    for (run, copy) in &plan.passed {
        let files = table.cargo.get(copy).and_then(|cargo| cargo.files.as_ref());
        let path = table.watched.get(run).zip(files).and_then(|(run, files)| lists(run, files.iter()));
        found.extend(path.map(|path| (*run, *copy, path)));
    }
    // One example a folder.
    let mut folders: BTreeMap<&str, (BTreeSet<usize>, usize, &str)> = BTreeMap::new();
    for (run, other, path) in found {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        folders.entry(folder).or_insert_with(|| (BTreeSet::new(), other, name)).0.insert(run);
    }
    let say = |(folder, (runs, other, name)): (&str, (BTreeSet<usize>, usize, &str))| {
        let who = capital(&named(table, &runs.into_iter().collect::<Vec<_>>()));
        let line = table.instruction(other).line;
        format!(
            "{who} listed the names in /{folder}, and would see others, such as `{name}` of line {line}; {ONLY_BUILDING}."
        )
    };
    folders.into_iter().map(say).collect()
}

/// The file with which the commits were that become cheaper by most.
fn dearest(table: &Table<'_>, now: &[u64], later: &[u64]) -> Option<String> {
    let mut saved: BTreeMap<&String, u64> = BTreeMap::new();
    for (at, changed) in table.ledger.commits.iter().enumerate() {
        let less = now.get(at).zip(later.get(at)).map_or(0, |(now, later)| now.saturating_sub(*later));
        let here = changed.iter().filter(|path| table.is_there(path));
        here.for_each(|path| *saved.entry(path).or_default() += less);
    }
    let most = saved
        .iter()
        .filter(|(_, micros)| **micros > 0)
        .max_by_key(|(path, micros)| (**micros, std::cmp::Reverse(**path)))?;
    Some((*most.0).clone())
}
