//! ExposeProtoCasing: Protocol in EXPOSE instruction should be lowercase.

use crate::language::dockerfile::Keyword;
use crate::language::dockerfile::checks::{Check, Facts, Finding, Rule};
use crate::language::dockerfile::ports::PortSpec;

/// The rule.
///
/// Source of the rule: `parsePort` of BuildKit's `convert_expose.go`.
pub struct ExposeProtoCasing;

static RULE: Rule = Rule {
    name: "ExposeProtoCasing",
    description: "Protocol in EXPOSE instruction should be lowercase",
    url: Some("https://docs.docker.com/go/dockerfile/rule/expose-proto-casing/"),
    experimental: false,
    why: "Protocols know no case; one spelling makes them easy to find.",
    bad: "FROM alpine\nEXPOSE 80/TcP\n",
    good: "FROM alpine\nEXPOSE 80/tcp\n",
};

impl Check for ExposeProtoCasing {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        for (_, step) in facts.steps().filter(|(_, step)| step.instruction.keyword == Keyword::Expose) {
            for text in &step.words {
                let Ok(spec) = PortSpec::parse(text) else { continue };
                if spec.protocol != spec.protocol.to_lowercase() {
                    let message = format!("Defined protocol '{text}' in EXPOSE instruction should be lowercase");
                    found.push(Finding::at(step.place, step.place.span, message).with_options_of(step.at));
                }
            }
        }
        found
    }
}
