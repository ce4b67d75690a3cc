//! DuplicateStageName: Stage names should be unique.

use std::collections::BTreeSet;

use crate::language::dockerfile::Arguments;
use crate::language::dockerfile::checks::{Check, Facts, Finding, Rule};

/// The rule.
///
/// Source of the rule: `validateStageNames` of BuildKit.
pub struct DuplicateStageName;

static RULE: Rule = Rule {
    name: "DuplicateStageName",
    description: "Stage names should be unique",
    url: Some("https://docs.docker.com/go/dockerfile/rule/duplicate-stage-name/"),
    experimental: false,
    why: "Of two stages with one name COPY --from finds the last, and --target too: the other can only be reached by its number.",
    bad: "FROM debian:latest AS builder\nRUN apt-get update\n\nFROM golang:latest AS builder\n",
    good: "FROM debian:latest AS deb-builder\nRUN apt-get update\n\nFROM golang:latest AS go-builder\n",
};

impl Check for DuplicateStageName {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        for from in facts.stages.iter().map(|stage| stage.from.instruction) {
            let Arguments::From { name: Some(name), .. } = &from.arguments else { continue };
            let lower = name.text.to_lowercase();
            let message = format!("Duplicate stage name {lower:?}, stage names should be unique");
            if !seen.insert(lower) {
                found.push(Finding::at(from, name.span, message));
            }
        }
        found
    }
}
