//! A base image without a tag, or with `latest`: what it is changes without a word.

use super::super::{ContextView, Page, Rule, SuggestReport, Suggestion};
use super::draft::advice;
use crate::language::dockerfile::{Dockerfile, Stage, find_stage_by_name};

static PAGE: Page = Page {
    name: "unpinned-base",
    description: "Say which version of a base image is meant",
    why: "Without a tag, or with `latest`, the base is whatever was pushed last: the same Dockerfile builds another image tomorrow, everything on it runs again on the day it moves, and two machines build different things. A tag of a version narrows it, a digest pins it. It is advice only: which version is right is not in the file.",
    bad: "FROM node\n",
    good: "FROM node:22.11\n",
};

/// The rule.
pub struct UnpinnedBase;

impl Rule for UnpinnedBase {
    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn check(&self, dockerfile: &Dockerfile, _: &dyn ContextView) -> SuggestReport {
        let stages = dockerfile.stages();
        let mut report = SuggestReport::default();
        let mut seen = Vec::new();
        for stage in &stages {
            if let Some(found) = suggest(dockerfile, &stages, stage).filter(|_| !seen.contains(&stage.base())) {
                seen.push(stage.base());
                report.offered.push(found);
            }
        }
        report
    }
}

fn suggest(dockerfile: &Dockerfile, stages: &[Stage<'_>], stage: &Stage<'_>) -> Option<Suggestion> {
    let base = stage.base();
    let last = base.rsplit('/').next().unwrap_or("");
    let known = base == "scratch" || base.is_empty() || base.contains(['$', '@']);
    if known || find_stage_by_name(stages, base, stage.index).is_some() {
        return None;
    }
    let tag = last.split_once(':').map(|(_, tag)| tag);
    if !matches!(tag, None | Some("latest")) {
        return None;
    }
    let mut found = advice(dockerfile, &PAGE, stage.from.line);
    found.title = format!("say which version of {base} is meant");
    let what = if tag.is_none() { "has no tag" } else { "is `latest`" };
    found.evidence.push(format!("`{base}` (line {}) {what}, so it is whatever was pushed last.", stage.from.line));
    found.gain = Some("the same Dockerfile builds on the same base tomorrow; no time is saved".into());
    found.risks.push("A pinned base gets no fixes by itself.".into());
    Some(found)
}
