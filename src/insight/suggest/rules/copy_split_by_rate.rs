//! One COPY of things that rarely change and of things that change all the time: each small change makes a layer of all of it.

use super::super::{ContextView, Page, Rule, SuggestReport, Suggestion};
use super::draft::rewrite;
use super::place::{join, unquoted};
use crate::language::dockerfile::{Arguments, Dockerfile, split_copy};

static PAGE: Page = Page {
    name: "copy-split-by-rate",
    description: "Copy what rarely changes in a layer of its own",
    why: "A COPY of several sources is one layer: when one of them changes, all of them are copied, exported, pushed and pulled again. Where the git history shows that large sources rarely change and small ones often, they get a COPY of their own above. It needs a history, and a megabyte at least.",
    bad: "FROM a:1\nCOPY app.py models /srv/\n",
    good: "FROM a:1\nCOPY models /srv/\nCOPY app.py /srv/\n",
};

/// Less is not worth a layer.
const WORTH_BYTES: u64 = 1_000_000;
/// What changes so many times less often than the rest stands still.
const TIMES: f64 = 5.0;

/// The rule.
pub struct CopySplitByRate;

impl Rule for CopySplitByRate {
    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn check(&self, dockerfile: &Dockerfile, context: &dyn ContextView) -> SuggestReport {
        let copies = 0..dockerfile.instructions.len();
        let offered = copies.filter_map(|at| suggest(dockerfile, at, context)).collect();
        SuggestReport { offered, refused: Vec::new() }
    }
}

/// A source with its rate and size.
struct Source {
    path: String,
    rate: f64,
    bytes: u64,
    /// What it brings, by the names below the destination.
    names: Vec<String>,
}

fn suggest(dockerfile: &Dockerfile, at: usize, context: &dyn ContextView) -> Option<Suggestion> {
    let copy = &dockerfile.instructions[at];
    let Arguments::Copy { sources, .. } = &copy.arguments else { return None };
    let filtered = ["from", "exclude", "parents"].iter().any(|flag| copy.flag(flag).is_some());
    if filtered || sources.len() < 2 {
        return None;
    }
    let files = context.list();
    let sources: Option<Vec<Source>> = sources.iter().map(|word| source(unquoted(&word.text), &files, context)).collect();
    let sources = sources?;
    let busiest = sources.iter().map(|source| source.rate).fold(0.0, f64::max);
    let still = |source: &Source| source.rate * TIMES <= busiest;
    let numbers: Vec<usize> = (0..sources.len()).filter(|at| still(&sources[*at])).collect();
    let bytes: u64 = numbers.iter().map(|at| sources[*at].bytes).sum();
    let brings_again = |name: &String| sources.iter().filter(|source| source.names.contains(name)).count() > 1;
    if busiest < 1.0 || bytes < WORTH_BYTES || sources.iter().flat_map(|source| &source.names).any(brings_again) {
        return None;
    }
    let edits = split_copy(dockerfile, at, &numbers)?;
    let mut found = rewrite(dockerfile, &PAGE, copy.line, &edits, 1)?;
    let (quiet, busy): (Vec<&Source>, Vec<&Source>) = sources.iter().partition(|source| still(source));
    let listed = |of: &[&Source]| of.iter().map(|source| format!("`{}`", source.path)).collect::<Vec<_>>().join(", ");
    found.title = format!("copy {} in a layer of its own", listed(&quiet));
    for source in quiet.iter().chain(&busy) {
        found.evidence.push(format!(
            "{:.1} of 100 commits change `{}`, which has {} kB.",
            source.rate,
            source.path,
            source.bytes / 1000
        ));
    }
    found.gain = Some(format!(
        "a change of {} no longer makes, exports and pushes {} kB again; time is not predicted",
        listed(&busy),
        bytes / 1000
    ));
    found.risks.push("One layer more; rates of the past need not be those of the future.".into());
    Some(found)
}

/// None where it is a pattern, comes from elsewhere, or has no history.
fn source(text: &str, files: &[String], context: &dyn ContextView) -> Option<Source> {
    if text.contains(['*', '?', '[', '$', '<', ':']) {
        return None;
    }
    let path = join("", text);
    let below = format!("{path}/");
    let own: Vec<&String> = files.iter().filter(|file| **file == path || file.starts_with(&below)).collect();
    let names = own.iter().map(|file| match file.strip_prefix(&below) {
        Some(rest) => rest.to_owned(),
        None => file.rsplit('/').next().unwrap_or("").to_owned(),
    });
    let rate = context.changes_per_hundred(&path)?;
    let bytes = own.iter().map(|file| context.size(file)).sum();
    (!path.is_empty() && !own.is_empty()).then(|| Source { rate, bytes, names: names.collect(), path })
}
