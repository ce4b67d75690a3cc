//! The table of a run.

use std::collections::BTreeMap;

use super::case::Group;
use super::play::Verdict;

#[derive(Default)]
struct Row {
    passed: usize,
    refused: Vec<String>,
    failed: Vec<String>,
    skipped: BTreeMap<String, Vec<String>>,
    deviating: Vec<String>,
    notes: Vec<String>,
}

/// Verdicts by set.
#[derive(Default)]
pub struct Table {
    rows: BTreeMap<String, Row>,
}

impl Table {
    pub fn note(&mut self, group: &Group, verdicts: Vec<(Verdict, Option<&'static str>)>) {
        for (case, (verdict, note)) in group.cases.iter().zip(verdicts) {
            let row = self.rows.entry(case.set().to_owned()).or_default();
            let name = case.name.clone();
            if let (Some(note), Verdict::Passed | Verdict::Refused(_)) = (note, &verdict) {
                row.notes.push(format!("{name}: {note}"));
            }
            match verdict {
                Verdict::Passed => row.passed += 1,
                Verdict::Refused(words) => row.refused.push(format!("{name}: {words}")),
                Verdict::Skipped(why) => row.skipped.entry(why).or_default().push(name),
                Verdict::Deviates(why) => row.deviating.push(format!("{name}: {why}")),
                Verdict::Failed(why) => row.failed.push(format!("{name}: {why}")),
            }
        }
    }

    /// Prints everything, the counts last; gives how many failed.
    pub fn print(&self) -> usize {
        for (set, row) in &self.rows {
            println!("\n== {set}");
            for (why, names) in &row.skipped {
                println!("   skipped, {why}: {}", names.join(" "));
            }
            row.refused.iter().for_each(|line| println!("   both refuse {line}"));
            row.notes.iter().for_each(|line| println!("   note {line}"));
            row.deviating.iter().for_each(|line| println!("   deviates: {line}"));
            row.failed.iter().for_each(|line| println!("   FAILED {line}"));
        }
        println!("\n{:<24}{:>8}{:>14}{:>8}{:>9}{:>11}", "set", "equal", "both refuse", "failed", "skipped", "deviating");
        let mut all = [0; 5];
        for (set, row) in &self.rows {
            let skipped = row.skipped.values().map(Vec::len).sum();
            let counts = [row.passed, row.refused.len(), row.failed.len(), skipped, row.deviating.len()];
            all.iter_mut().zip(counts).for_each(|(sum, n)| *sum += n);
            println!("{}", line(set, counts));
        }
        println!("{}", line("all", all));
        all[2]
    }
}

fn line(name: &str, [passed, refused, failed, skipped, deviating]: [usize; 5]) -> String {
    format!("{name:<24}{passed:>8}{refused:>14}{failed:>8}{skipped:>9}{deviating:>11}")
}
