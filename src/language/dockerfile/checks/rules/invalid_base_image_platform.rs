//! InvalidBaseImagePlatform: Base image platform does not match expected target platform.

use crate::language::dockerfile::checks::platform::Platform;
use crate::language::dockerfile::checks::{Check, Facts, Finding, Rule};

/// The rule.
///
/// Source of the rule: `validateBaseImagePlatform` of BuildKit.
pub struct InvalidBaseImagePlatform;

static RULE: Rule = Rule {
    name: "InvalidBaseImagePlatform",
    description: "Base image platform does not match expected target platform",
    url: None,
    experimental: false,
    why: "The image that was found is made for another processor or system than the build: its programs will not start, or only in emulation.",
    bad: "FROM --platform=linux/arm64 amd64-only-image\n",
    good: "FROM --platform=linux/amd64 amd64-only-image\n",
};

impl Check for InvalidBaseImagePlatform {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        for from in facts.stages.iter().map(|stage| &stage.from) {
            let (Some(base), Some(actual)) = (&from.base, &from.base_platform) else { continue };
            let wanted = from.platform.as_ref().map_or(facts.platform, |platform| platform.text.as_str());
            let (Some(wanted), Some(actual)) =
                (Platform::parse(wanted, facts.platform), Platform::parse(actual, facts.platform))
            else {
                continue;
            };
            if (&wanted.system, &wanted.architecture) != (&actual.system, &actual.architecture) {
                let (actual, wanted) = (actual.to_string(), wanted.to_string());
                let message = format!(
                    "Base image {} was pulled with platform {actual:?}, expected {wanted:?} for current build",
                    base.text
                );
                found.push(Finding::at(from.instruction, from.instruction.span, message));
            }
        }
        found
    }
}
