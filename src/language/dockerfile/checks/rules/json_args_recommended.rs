//! JSONArgsRecommended: JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals.

use crate::language::dockerfile::checks::{Check, Facts, Finding, Rule};
use crate::language::dockerfile::{Arguments, CommandForm};

/// The rule.
///
/// Source of the rule: `dispatchCmd` and `dispatchEntrypoint` of BuildKit.
pub struct JSONArgsRecommended;

static RULE: Rule = Rule {
    name: "JSONArgsRecommended",
    description: "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
    url: Some("https://docs.docker.com/go/dockerfile/rule/json-args-recommended/"),
    experimental: false,
    why: "In the shell form the process with number 1 is a shell, and many shells pass no signals on: `docker stop` waits ten seconds and then kills. The JSON form starts the program itself. A SHELL of your own says that you want a shell.",
    bad: "FROM alpine\nENTRYPOINT my-program start\n",
    good: "FROM alpine\nENTRYPOINT [\"my-program\", \"start\"]\n",
};

impl Check for JSONArgsRecommended {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        for (_, step) in facts.steps().filter(|(_, step)| !step.has_shell) {
            let (Arguments::Cmd(CommandForm::Shell(_)) | Arguments::Entrypoint(CommandForm::Shell(_))) =
                &step.instruction.arguments
            else {
                continue;
            };
            let name = facts.written(step.instruction);
            let message =
                format!("JSON arguments recommended for {name} to prevent unintended behavior related to OS signals");
            found.push(Finding::at(step.place, step.place.span, message).with_options_of(step.at));
        }
        found
    }
}
