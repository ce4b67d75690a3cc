//! MaintainerDeprecated: The MAINTAINER instruction is deprecated, use a label instead to define an image author.

use crate::language::dockerfile::Keyword;
use crate::language::dockerfile::checks::{Check, Facts, Finding, Rule};

/// The rule.
pub struct MaintainerDeprecated;

static RULE: Rule = Rule {
    name: "MaintainerDeprecated",
    description: "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
    url: Some("https://docs.docker.com/go/dockerfile/rule/maintainer-deprecated/"),
    experimental: false,
    why: "A label says the same, and tools can look for it.",
    bad: "FROM alpine\nMAINTAINER me@example.org\n",
    good: "FROM alpine\nLABEL org.opencontainers.image.authors=\"me@example.org\"\n",
};

impl Check for MaintainerDeprecated {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let all = facts.dockerfile.instructions.iter().enumerate();
        all.filter(|(_, instruction)| instruction.keyword == Keyword::Maintainer)
            .map(|(at, instruction)| {
                let message = "Maintainer instruction is deprecated in favor of using label".to_owned();
                Finding::at(instruction, instruction.keyword_span, message).with_options_of(Some(at))
            })
            .collect()
    }
}
