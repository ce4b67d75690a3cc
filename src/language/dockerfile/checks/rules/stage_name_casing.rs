//! StageNameCasing: Stage names should be lowercase.

use crate::language::dockerfile::Arguments;
use crate::language::dockerfile::checks::{Check, Facts, Finding, Rule};

/// The rule.
pub struct StageNameCasing;

static RULE: Rule = Rule {
    name: "StageNameCasing",
    description: "Stage names should be lowercase",
    url: Some("https://docs.docker.com/go/dockerfile/rule/stage-name-casing/"),
    experimental: false,
    why: "Stage names know no case, so `Build` and `build` are one stage. In lower case they stand out from the keywords around them and look the same wherever COPY --from names them.",
    bad: "FROM alpine AS BuilderBase\n",
    good: "FROM alpine AS builder-base\n",
};

impl Check for StageNameCasing {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        for (at, instruction) in facts.dockerfile.instructions.iter().enumerate() {
            if let Arguments::From { name: Some(name), .. } = &instruction.arguments
                && name.text != name.text.to_lowercase()
            {
                let message = format!("Stage name '{}' should be lowercase", name.text);
                found.push(Finding::at(instruction, name.span, message).with_options_of(Some(at)));
            }
        }
        found
    }
}
