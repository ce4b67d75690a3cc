//! A COPY that the next one makes superfluous: the same files to the same place, and no step in between.

use super::super::{ContextView, Page, Rule, SuggestReport, Suggestion};
use super::draft::rewrite;
use super::place::{BroadSource, copy_of_context, join, unquoted, working_folder};
use crate::language::dockerfile::{Dockerfile, Edit, Keyword, Stage};

static PAGE: Page = Page {
    name: "copied-twice",
    description: "Do not copy what the next COPY brings to the same place",
    why: "Copying manifests before the sources helps only when an install stands between the two. Without one, the first COPY is a layer and a step that the second one repeats.",
    bad: "FROM node:22\nWORKDIR /app\nCOPY package.json ./\nCOPY . .\nRUN npm ci\n",
    good: "FROM node:22\nWORKDIR /app\nCOPY . .\nRUN npm ci\n",
};

/// The rule.
pub struct CopiedTwice;

impl Rule for CopiedTwice {
    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn check(&self, dockerfile: &Dockerfile, _: &dyn ContextView) -> SuggestReport {
        let mut report = SuggestReport::default();
        let stages = dockerfile.stages();
        for stage in &stages {
            for at in 0..stage.instructions.len() {
                report.offered.extend(suggest(dockerfile, &stages, stage, at));
            }
        }
        report
    }
}

fn suggest(dockerfile: &Dockerfile, stages: &[Stage<'_>], stage: &Stage<'_>, at: usize) -> Option<Suggestion> {
    let first = stage.instructions[at];
    let folder = working_folder(stages, stage, at);
    let (sources, destination) = copy_of_context(first, &folder)?;
    if first.keyword != Keyword::Copy || !first.flags.is_empty() || !first.heredocs.is_empty() {
        return None;
    }
    let written = sources.iter().map(|word| unquoted(&word.text));
    let plain = written.clone().all(|source| !source.contains(['*', '?', '[', '$']));
    let in_folder = sources.len() == 1 && written.clone().all(|source| join("", source) == *source.trim_start_matches("./"));
    // The next instruction that does anything.
    let next = (at + 1..stage.instructions.len()).find(|next| {
        !matches!(stage.instructions[*next].keyword, Keyword::Label | Keyword::Expose | Keyword::Cmd | Keyword::Entrypoint)
    })?;
    let second = stage.instructions[next];
    let (broad, same) = copy_of_context(second, &working_folder(stages, stage, next))?;
    let [source] = broad else { return None };
    let source = BroadSource::of(&source.text)?;
    let covers = second.keyword == Keyword::Copy
        && second.flags.is_empty()
        && source.folder.is_empty()
        && !source.wildcard
        && same == destination
        && !destination.starts_with(['$', '\u{0}']);
    // Files keep their names below the folder only when they are copied from the top of the context.
    let flat = written.clone().all(|source| !source.trim_start_matches("./").trim_end_matches('/').contains('/'));
    let is_file = written.clone().all(|source| !source.ends_with('/') && source != "." && source.contains('.'));
    if !covers || !plain || !flat || !is_file || !(in_folder || sources.len() > 1) {
        return None;
    }
    let edits = [Edit::Remove { instruction: stage.first + 1 + at }];
    let mut found = rewrite(dockerfile, &PAGE, first.line, &edits, -1)?;
    found.title = format!("remove line {}, which line {} repeats", first.line, second.line);
    found.evidence.push(format!(
        "`{}` (line {}) copies the same files to the same place, and nothing runs in between.",
        second.one_line(),
        second.line
    ));
    found.gain = Some("one layer less; no time is saved".into());
    found.risks.push("Where the ignore file leaves these files out, neither line copies them.".into());
    Some(found)
}
