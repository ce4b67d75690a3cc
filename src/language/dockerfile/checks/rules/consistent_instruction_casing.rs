//! ConsistentInstructionCasing: All commands within the Dockerfile should use the same casing (either upper or lower).

use crate::language::dockerfile::checks::{Check, Facts, Finding, Rule};
use crate::language::dockerfile::{Instruction, Keyword};

/// The rule.
///
/// Source of the rule: `validateCommandCasing` of BuildKit.
pub struct ConsistentInstructionCasing;

static RULE: Rule = Rule {
    name: "ConsistentInstructionCasing",
    description: "All commands within the Dockerfile should use the same casing (either upper or lower)",
    url: Some("https://docs.docker.com/go/dockerfile/rule/consistent-instruction-casing/"),
    experimental: false,
    why: "Keywords know no case. One spelling throughout lets the eye find where an instruction begins; most files use capitals.",
    bad: "FROM alpine\nrun echo hello\nRUN echo again\n",
    good: "FROM alpine\nRUN echo hello\nRUN echo again\n",
};

impl Check for ConsistentInstructionCasing {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let file = facts.dockerfile;
        if file.has_errors() {
            return Vec::new();
        }
        // ARGs before the first FROM do not count.
        let begin = file.instructions.iter().position(|instruction| instruction.keyword == Keyword::From);
        let counted = file.instructions.get(begin.unwrap_or(0)..).unwrap_or(&[]);
        let written = |instruction: &Instruction| facts.written(instruction);
        let lower = counted.iter().filter(|i| written(i) == written(i).to_lowercase()).count();
        let upper = counted.iter().filter(|i| written(i) == written(i).to_uppercase()).count();
        let (meant, name) = if lower > upper { (Case::Lower, "lowercase") } else { (Case::Upper, "uppercase") };
        let differs = |text: &str| match meant {
            Case::Lower => text != text.to_lowercase(),
            Case::Upper => text != text.to_uppercase(),
        };
        counted
            .iter()
            .filter(|instruction| differs(written(instruction)))
            .map(|instruction| {
                let text = written(instruction);
                let message = format!("Command '{text}' should match the case of the command majority ({name})");
                Finding::at(instruction, instruction.keyword_span, message)
            })
            .collect()
    }
}

/// The case that the file should have.
enum Case {
    Lower,
    Upper,
}
