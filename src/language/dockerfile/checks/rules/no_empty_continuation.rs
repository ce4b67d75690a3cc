//! NoEmptyContinuation: Empty continuation lines will become errors in a future release.

use crate::language::dockerfile::checks::{Check, Facts, Finding, Rule};
use crate::language::dockerfile::parser::EMPTY_CONTINUATION;
use crate::language::dockerfile::{Dockerfile, PieceKind};

/// The rule.
pub struct NoEmptyContinuation;

static RULE: Rule = Rule {
    name: "NoEmptyContinuation",
    description: "Empty continuation lines will become errors in a future release",
    url: Some("https://docs.docker.com/go/dockerfile/rule/no-empty-continuation/"),
    experimental: false,
    why: "After a line that ends with a backslash, an empty line is skipped today. It hides where the instruction ends, and BuildKit means to refuse it one day. A comment line in that place is fine.",
    bad: "FROM alpine\nEXPOSE \\\n\n80\n",
    good: "FROM alpine\nEXPOSE \\\n# the port of the page\n80\n",
};

impl Check for NoEmptyContinuation {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let file = facts.dockerfile;
        let empty = file.diagnostics.iter().filter(|finding| finding.message == EMPTY_CONTINUATION);
        empty
            .map(|finding| {
                let line = last_joined_line(file, finding.span.start);
                let message = "Empty continuation line".to_owned();
                Finding { span: finding.span, line, message, options_of: None, doubt: None }
            })
            .collect()
    }
}

/// BuildKit reports the last of the joined lines: that before the heredocs.
fn last_joined_line(file: &Dockerfile, offset: usize) -> u32 {
    let at = file.pieces.partition_point(|piece| piece.span.end <= offset);
    let Some(piece) = file.pieces.get(at) else { return file.lines.line(offset) };
    let heredoc = match piece.kind {
        PieceKind::Instruction(index) => file.instructions.get(index).and_then(|instruction| instruction.heredocs.first()),
        _ => None,
    };
    let end = heredoc.map_or(piece.span.end, |heredoc| heredoc.span.start);
    file.lines.line(end.saturating_sub(1))
}
