//! ReservedStageName: Reserved words should not be used as stage names.

use crate::language::dockerfile::Arguments;
use crate::language::dockerfile::checks::{Check, Facts, Finding, Rule};

/// The rule.
///
/// Source of the rule: `validateStageNames` of BuildKit.
pub struct ReservedStageName;

static RULE: Rule = Rule {
    name: "ReservedStageName",
    description: "Reserved words should not be used as stage names",
    url: Some("https://docs.docker.com/go/dockerfile/rule/reserved-stage-name/"),
    experimental: false,
    why: "`scratch` is the empty image and `context` the build context. A stage with such a name cannot be told from them.",
    bad: "FROM alpine AS scratch\n",
    good: "FROM alpine AS base\n",
};

impl Check for ReservedStageName {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        for from in facts.stages.iter().map(|stage| stage.from.instruction) {
            let Arguments::From { name: Some(name), .. } = &from.arguments else { continue };
            let lower = name.text.to_lowercase();
            if lower == "scratch" || lower == "context" {
                let message = format!("Stage name should not use the same name as reserved stage {lower:?}");
                found.push(Finding::at(from, name.span, message));
            }
        }
        found
    }
}
