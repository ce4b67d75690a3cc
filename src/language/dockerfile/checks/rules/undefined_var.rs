//! UndefinedVar: Variables should be defined before their use.

use crate::language::dockerfile::checks::{Check, Facts, Finding, Rule, UndefinedName};

/// The rule.
///
/// Source of the rule: `reportUnmatchedVariables` of BuildKit.
pub struct UndefinedVar;

static RULE: Rule = Rule {
    name: "UndefinedVar",
    description: "Variables should be defined before their use",
    url: Some("https://docs.docker.com/go/dockerfile/rule/undefined-var/"),
    experimental: false,
    why: "A variable that is not set is replaced by nothing, without a word. Declare it with ARG, set it with ENV, or correct the name.",
    bad: "FROM alpine AS base\nCOPY $foo .\n",
    good: "FROM alpine AS base\nARG foo\nCOPY $foo .\n",
};

impl Check for UndefinedVar {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        for (stage, step) in facts.steps() {
            for UndefinedName { name, meant, span } in &step.undefined {
                // A trigger's words stand in another stage.
                let span = if step.at.is_some() { *span } else { step.place.span };
                let hint = meant.as_ref().map(|meant| format!(" (did you mean ${meant}?)")).unwrap_or_default();
                let message = format!("Usage of undefined variable '${name}'{hint}");
                let mut finding = Finding::at(step.place, span, message).with_options_of(step.at);
                let base = stage.unknown_base.as_ref();
                finding.doubt = base.map(|image| format!("the base image `{image}` is not at hand and may define it"));
                found.push(finding);
            }
        }
        found
    }
}
