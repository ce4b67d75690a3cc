//! ExposeInvalidFormat: IP address and host-port mapping should not be used in EXPOSE instruction.

use crate::language::dockerfile::Keyword;
use crate::language::dockerfile::checks::{Check, Facts, Finding, Rule};
use crate::language::dockerfile::ports::PortSpec;

/// The rule.
///
/// Source of the rule: `parsePort` of BuildKit's `convert_expose.go`.
pub struct ExposeInvalidFormat;

static RULE: Rule = Rule {
    name: "ExposeInvalidFormat",
    description: "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release",
    url: Some("https://docs.docker.com/go/dockerfile/rule/expose-invalid-format/"),
    experimental: false,
    why: "EXPOSE says which ports the program listens on. Where they appear on the host is said when the container is started; here it has no effect.",
    bad: "FROM alpine\nEXPOSE 127.0.0.1:80:80\n",
    good: "FROM alpine\nEXPOSE 80\n",
};

impl Check for ExposeInvalidFormat {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        for (_, step) in facts.steps().filter(|(_, step)| step.instruction.keyword == Keyword::Expose) {
            for text in step.words.iter().filter(|text| PortSpec::parse(text).is_ok_and(|spec| spec.mapped)) {
                let message =
                    format!("EXPOSE instruction should not define an IP address or host-port mapping, found '{text}'");
                found.push(Finding::at(step.place, step.place.span, message).with_options_of(step.at));
            }
        }
        found
    }
}
