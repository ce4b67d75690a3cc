//! Stages that the image does not need. BuildKit does not build them; whether somebody names them with --target is not in the
//! file, so it is advice only.

use std::collections::BTreeSet;

use super::super::{ContextView, Page, Rule, SuggestReport};
use super::draft::advice;
use crate::language::dockerfile::{Dockerfile, Stage, find_stage, find_stage_by_name};

static PAGE: Page = Page {
    name: "unused-stage",
    description: "Remove stages that nothing needs",
    why: "A stage without a name that no later one begins with or copies from cannot even be named by --target, except by its number: it is text that is never built by BuildKit, and built for nothing by the classic builder. Stages with a name are left alone: --target may name them.",
    bad: "FROM alpine\nRUN apk add git\nFROM debian:12\nCMD [\"sh\"]\n",
    good: "FROM debian:12\nCMD [\"sh\"]\n",
};

/// The rule.
pub struct UnusedStage;

impl Rule for UnusedStage {
    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn check(&self, dockerfile: &Dockerfile, _: &dyn ContextView) -> SuggestReport {
        let stages = dockerfile.stages();
        let mut report = SuggestReport::default();
        let Some(last) = stages.last() else { return report };
        let mut needed = BTreeSet::from([last.index]);
        let mut todo = vec![last.index];
        while let Some(stage) = todo.pop().and_then(|index| stages.get(index)) {
            for index in needs(&stages, stage) {
                if needed.insert(index) {
                    todo.push(index);
                }
            }
        }
        let named_by_variable = dockerfile.instructions.iter().any(|instruction| {
            instruction.flags.iter().any(|flag| flag.value.as_deref().is_some_and(|value| value.contains('$')))
        });
        let dynamic = named_by_variable || stages.iter().any(|stage| stage.base().contains('$'));
        for stage in stages.iter().filter(|stage| !needed.contains(&stage.index) && stage.name.is_none() && !dynamic) {
            let mut found = advice(dockerfile, &PAGE, stage.from.line);
            found.title = format!("remove the stage of line {}", stage.from.line);
            found.evidence.push("It has no name, no later stage begins with it, and nothing is copied from it.".into());
            found.gain = Some("BuildKit does not build it anyway; the classic builder does, for nothing".into());
            found.risks.push("A build may name it by its number: `--target`.".into());
            report.offered.push(found);
        }
        report
    }
}

fn needs(stages: &[Stage<'_>], stage: &Stage<'_>) -> Vec<usize> {
    let mut out: Vec<usize> = find_stage_by_name(stages, stage.base(), stage.index).into_iter().collect();
    for flag in stage.instructions.iter().flat_map(|instruction| &instruction.flags) {
        let value = flag.value.as_deref().unwrap_or("");
        let name = match flag.name.as_str() {
            "from" => Some(value),
            "mount" => value.split(',').find_map(|field| field.strip_prefix("from=")),
            _ => None,
        };
        out.extend(name.and_then(|name| find_stage(stages, name, stage.index)));
    }
    out
}
