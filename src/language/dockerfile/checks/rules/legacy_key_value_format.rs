//! LegacyKeyValueFormat: Legacy key/value format with whitespace separator should not be used.

use crate::language::dockerfile::checks::{Check, Facts, Finding, Rule};
use crate::language::dockerfile::words::is_blank;
use crate::language::dockerfile::{Arguments, quoted_words};

/// The rule.
///
/// Source of the rule: `dispatchEnv` and `dispatchLabel` of BuildKit.
pub struct LegacyKeyValueFormat;

static RULE: Rule = Rule {
    name: "LegacyKeyValueFormat",
    description: "Legacy key/value format with whitespace separator should not be used",
    url: Some("https://docs.docker.com/go/dockerfile/rule/legacy-key-value-format/"),
    experimental: false,
    why: "`ENV name value` takes the whole rest of the line as the value, so a second pair on the line is not what it seems.",
    bad: "FROM alpine\nENV DEPS curl git\n",
    good: "FROM alpine\nENV DEPS=\"curl git\"\n",
};

impl Check for LegacyKeyValueFormat {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        for (_, step) in facts.steps() {
            let at = step.instruction;
            let (Arguments::Env(list) | Arguments::Label(list)) = &at.arguments else { continue };
            // In the old form the name is the first word, without a `=`.
            let first = at.text.split(is_blank).next().unwrap_or("");
            if list.len() != 1
                || list[0].name.text != first
                || quoted_words(&at.text, facts.dockerfile.escape).first().is_some_and(|word| word.contains('='))
            {
                continue;
            }
            let name = facts.written(at);
            let message = format!("\"{name} key=value\" should be used instead of legacy \"{name} key value\" format");
            found.push(Finding::at(step.place, step.place.span, message).with_options_of(step.at));
        }
        found
    }
}
