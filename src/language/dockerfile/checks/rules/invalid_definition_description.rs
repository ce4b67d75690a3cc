//! InvalidDefinitionDescription: Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`.

use crate::language::dockerfile::Arguments;
use crate::language::dockerfile::checks::{Check, Facts, Finding, Rule};

/// The rule.
///
/// Source of the rule: `validateDefinitionDescription` of BuildKit's instructions.
pub struct InvalidDefinitionDescription;

static RULE: Rule = Rule {
    name: "InvalidDefinitionDescription",
    description: "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not intended to be a description comment, add an empty line or comment between the instruction and the comment.",
    url: Some("https://docs.docker.com/go/dockerfile/rule/invalid-definition-description/"),
    experimental: true,
    why: "`docker build --call=outline` shows the comment above a stage or an ARG as its description, if it begins with the name. This rule finds comments that look like descriptions and are not.",
    bad: "# check=experimental=InvalidDefinitionDescription\n# the version that is built\nARG VERSION=1\nFROM scratch\n",
    good: "# check=experimental=InvalidDefinitionDescription\n# VERSION is the version that is built\nARG VERSION=1\nFROM scratch\n",
};

impl Check for InvalidDefinitionDescription {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        for (at, instruction) in facts.dockerfile.instructions.iter().enumerate() {
            let (kind, names): (&str, Vec<&str>) = match &instruction.arguments {
                Arguments::Arg(list) => ("ARG", list.iter().map(|entry| entry.name.text.as_str()).collect()),
                Arguments::From { name: Some(name), .. } => ("FROM", vec![name.text.as_str()]),
                _ => continue,
            };
            let Some(comment) = facts.comments(at).last() else { continue };
            let first = comment.split(' ').next().unwrap_or("");
            // Stages are known by their names in lower case.
            let lower: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
            let fits = if kind == "FROM" { lower.iter().any(|name| name == first) } else { names.contains(&first) };
            if fits {
                continue;
            }
            let example = match (kind, names.as_slice()) {
                ("FROM", _) => lower.first().map_or("", String::as_str),
                (_, [one]) => one,
                _ => "<arg_key>",
            };
            let message = format!("Comment for {kind} should follow the format: `# {example} <description>`");
            found.push(Finding::at(instruction, instruction.span, message).with_options_of(Some(at)));
        }
        found
    }
}
