//! InvalidDefaultArgInFrom: Default value for global ARG results in an empty or invalid base image name.

use crate::language::dockerfile::Arguments;
use crate::language::dockerfile::checks::{Check, Facts, Finding, Rule};
use crate::language::dockerfile::reference::ImageName;

/// The rule.
///
/// Source of the rule: `validateBaseImagesWithDefaultArgs` of BuildKit.
pub struct InvalidDefaultArgInFrom;

static RULE: Rule = Rule {
    name: "InvalidDefaultArgInFrom",
    description: "Default value for global ARG results in an empty or invalid base image name",
    url: Some("https://docs.docker.com/go/dockerfile/rule/invalid-default-arg-in-from/"),
    experimental: false,
    why: "Without any --build-arg the file should build. A default that gives no image name makes it depend on its caller.",
    bad: "ARG TAG\nFROM busybox:${TAG}\n",
    good: "ARG TAG=latest\nFROM busybox:${TAG}\n",
};

impl Check for InvalidDefaultArgInFrom {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        for from in facts.stages.iter().map(|stage| &stage.from) {
            let (Arguments::From { image, .. }, Some(name)) = (&from.instruction.arguments, &from.default_base) else {
                continue;
            };
            if ImageName::parse_normalized(name).is_err() {
                let message = format!("Default value for ARG {} results in empty or invalid base image name", image.text);
                found.push(Finding::at(from.instruction, image.span, message));
            }
        }
        found
    }
}
