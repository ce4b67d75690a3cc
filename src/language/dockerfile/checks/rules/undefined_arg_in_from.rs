//! UndefinedArgInFrom: FROM command must use declared ARGs.

use crate::language::dockerfile::checks::{Check, Facts, Finding, Rule};

/// The rule.
///
/// Source of the rule: `reportUnusedFromArgs` of BuildKit.
pub struct UndefinedArgInFrom;

static RULE: Rule = Rule {
    name: "UndefinedArgInFrom",
    description: "FROM command must use declared ARGs",
    url: Some("https://docs.docker.com/go/dockerfile/rule/undefined-arg-in-from/"),
    experimental: false,
    why: "A variable in FROM that no ARG above the first FROM declares is empty: a slip of the pen becomes another image.",
    bad: "FROM node:22${VARIANT} AS jsbuilder\n",
    good: "ARG VARIANT=\"-alpine3.20\"\nFROM node:22${VARIANT} AS jsbuilder\n",
};

impl Check for UndefinedArgInFrom {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        for from in facts.stages.iter().map(|stage| &stage.from) {
            for (name, meant) in &from.undeclared {
                let hint = meant.as_ref().map(|meant| format!(" (did you mean {meant}?)")).unwrap_or_default();
                let message = format!("FROM argument '{name}' is not declared{hint}");
                found.push(Finding::at(from.instruction, from.instruction.span, message).with_options_of(Some(from.at)));
            }
        }
        found
    }
}
