//! MultipleInstructionsDisallowed: Multiple instructions of the same type should not be used in the same stage.

use crate::language::dockerfile::Keyword;
use crate::language::dockerfile::checks::{Check, Facts, Finding, Rule};

/// The rule.
///
/// Source of the rule: `validateUsedOnce` of BuildKit.
pub struct MultipleInstructionsDisallowed;

static RULE: Rule = Rule {
    name: "MultipleInstructionsDisallowed",
    description: "Multiple instructions of the same type should not be used in the same stage",
    url: Some("https://docs.docker.com/go/dockerfile/rule/multiple-instructions-disallowed/"),
    experimental: false,
    why: "Of several CMD, ENTRYPOINT or HEALTHCHECK in a stage only the last holds; the others mislead who reads them.",
    bad: "FROM alpine\nENTRYPOINT [\"echo\", \"Hello\"]\nENTRYPOINT [\"echo\", \"Later\"]\n",
    good: "FROM alpine\nENTRYPOINT [\"echo\", \"Later\"]\n",
};

impl Check for MultipleInstructionsDisallowed {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        for stage in &facts.stages {
            for kind in [Keyword::Cmd, Keyword::Entrypoint, Keyword::Healthcheck] {
                let of_kind: Vec<_> = stage.steps.iter().filter(|step| step.instruction.keyword == kind).collect();
                for pair in of_kind.windows(2) {
                    let [ignored, winner] = pair else { continue };
                    let name = facts.written(winner.instruction);
                    let message = format!(
                        "Multiple {name} instructions should not be used in the same stage because only the last one will be used"
                    );
                    // The options are those of the later one, as BuildKit has it.
                    found.push(Finding::at(ignored.place, ignored.place.span, message).with_options_of(winner.at));
                }
            }
        }
        found
    }
}
