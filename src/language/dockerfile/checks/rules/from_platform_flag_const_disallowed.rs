//! FromPlatformFlagConstDisallowed: FROM --platform flag should not use a constant value.

use crate::language::dockerfile::Arguments;
use crate::language::dockerfile::checks::platform::Platform;
use crate::language::dockerfile::checks::{Check, Facts, Finding, Rule};

/// The rule.
///
/// Source of the rule: `reportConstPlatformDisallowed` of BuildKit.
pub struct FromPlatformFlagConstDisallowed;

static RULE: Rule = Rule {
    name: "FromPlatformFlagConstDisallowed",
    description: "FROM --platform flag should not use a constant value",
    url: Some("https://docs.docker.com/go/dockerfile/rule/from-platform-flag-const-disallowed/"),
    experimental: false,
    why: "A constant platform makes the image wrong on every other machine. Leave the flag out, or write --platform=$BUILDPLATFORM for a stage that runs where the build runs. A stage whose name says its system or processor may be constant.",
    bad: "FROM --platform=linux/amd64 alpine AS base\n",
    good: "FROM alpine AS base\n",
};

impl Check for FromPlatformFlagConstDisallowed {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        for from in facts.stages.iter().map(|stage| &stage.from) {
            let (Some(flag), Some(platform)) = (from.instruction.flag("platform"), &from.platform) else { continue };
            let Arguments::From { name, .. } = &from.instruction.arguments else { continue };
            if !platform.used.is_empty() || !platform.unmatched.is_empty() {
                continue;
            }
            let Some(parsed) = Platform::parse(&platform.text, facts.platform) else { continue };
            let name = name.as_ref().map(|name| name.text.to_lowercase()).unwrap_or_default();
            if name.contains(&parsed.system) || name.contains(&parsed.architecture) {
                continue;
            }
            let message = format!("FROM --platform flag should not use constant value {:?}", platform.text);
            found.push(Finding::at(from.instruction, flag.span, message).with_options_of(Some(from.at)));
        }
        found
    }
}
