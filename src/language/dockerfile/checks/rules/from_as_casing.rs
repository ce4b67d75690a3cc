//! FromAsCasing: The 'as' keyword should match the case of the 'from' keyword.

use crate::language::dockerfile::Arguments;
use crate::language::dockerfile::checks::{Check, Facts, Finding, Rule};

/// The rule.
///
/// Source of the rule: `doesFromCaseMatchAsCase` of BuildKit's instructions.
pub struct FromAsCasing;

static RULE: Rule = Rule {
    name: "FromAsCasing",
    description: "The 'as' keyword should match the case of the 'from' keyword",
    url: Some("https://docs.docker.com/go/dockerfile/rule/from-as-casing/"),
    experimental: false,
    why: "`FROM image as name` and `from image AS name` build, but two spellings in one line read as if they meant two things.",
    bad: "FROM debian:latest as builder\n",
    good: "FROM debian:latest AS builder\n",
};

impl Check for FromAsCasing {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        for (at, instruction) in facts.dockerfile.instructions.iter().enumerate() {
            let Arguments::From { image, name: Some(name) } = &instruction.arguments else { continue };
            let from = facts.written(instruction);
            let between = facts.dockerfile.source.get(image.span.end..name.span.start).unwrap_or("");
            let Some(word) = between.split_whitespace().find(|word| word.eq_ignore_ascii_case("as")) else { continue };
            let (lower, upper) = (from == from.to_lowercase(), from == from.to_uppercase());
            // A keyword in mixed case is the concern of another rule.
            let matches = match (lower, upper) {
                (true, _) => word == word.to_lowercase(),
                (_, true) => word == word.to_uppercase(),
                _ => true,
            };
            if !matches {
                let message = format!("'{word}' and '{from}' keywords' casing do not match");
                found.push(Finding::at(instruction, instruction.keyword_span, message).with_options_of(Some(at)));
            }
        }
        found
    }
}
