//! WorkdirRelativePath: Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes.

use crate::language::dockerfile::Arguments;
use crate::language::dockerfile::checks::{Check, Facts, Finding, Rule};

/// The rule.
///
/// Source of the rule: `dispatchWorkdir` of BuildKit.
pub struct WorkdirRelativePath;

static RULE: Rule = Rule {
    name: "WorkdirRelativePath",
    description: "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes",
    url: Some("https://docs.docker.com/go/dockerfile/rule/workdir-relative-path/"),
    experimental: false,
    why: "A relative first WORKDIR stands on whatever directory the base image ends in, and that may change with its next version.",
    bad: "FROM nginx AS web\nWORKDIR usr/share/nginx/html\n",
    good: "FROM nginx AS web\nWORKDIR /usr/share/nginx/html\n",
};

impl Check for WorkdirRelativePath {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        for (_, step) in facts.steps().filter(|(_, step)| !step.has_workdir) {
            let Arguments::Workdir(word) = &step.instruction.arguments else { continue };
            let Some(path) = step.words.first().filter(|path| !path.starts_with('/')) else { continue };
            let message = format!("Relative workdir {path:?} can have unexpected results if the base image changes");
            let span = if step.at.is_some() { word.span } else { step.place.span };
            found.push(Finding::at(step.place, span, message).with_options_of(step.at));
        }
        found
    }
}
