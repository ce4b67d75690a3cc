//! RedundantTargetPlatform: Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior.

use crate::language::dockerfile::checks::{Check, Facts, Finding, Rule};

/// The rule.
///
/// Source of the rule: `reportRedundantTargetPlatform` of BuildKit.
pub struct RedundantTargetPlatform;

static RULE: Rule = Rule {
    name: "RedundantTargetPlatform",
    description: "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
    url: Some("https://docs.docker.com/go/dockerfile/rule/redundant-target-platform/"),
    experimental: false,
    why: "A FROM without --platform already builds for the target platform.",
    bad: "FROM --platform=$TARGETPLATFORM alpine AS builder\n",
    good: "FROM alpine AS builder\n",
};

impl Check for RedundantTargetPlatform {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        for from in facts.stages.iter().map(|stage| &stage.from) {
            let (Some(flag), Some(platform)) = (from.instruction.flag("platform"), &from.platform) else { continue };
            let alone = platform.used.as_slice() == ["TARGETPLATFORM"] && platform.unmatched.is_empty();
            if alone && platform.text == from.target_platform {
                let written = flag.value.as_deref().unwrap_or("");
                let message =
                    format!("Setting platform to predefined {written} in FROM is redundant as this is the default behavior");
                found.push(Finding::at(from.instruction, flag.span, message).with_options_of(Some(from.at)));
            }
        }
        found
    }
}
