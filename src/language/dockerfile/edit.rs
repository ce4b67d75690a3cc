//! Changes of a Dockerfile that leave every other byte alone. Comments directly above an instruction travel with it, and new
//! lines get the line ending that the file has.

use super::ast::{Dockerfile, PieceKind};
use super::span::Span;

/// One change. Instructions are meant by their index in `Dockerfile::instructions`, always that of the file before any edit;
/// an edit of an instruction that the file does not have changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Whole lines above an instruction and its comments.
    InsertBefore {
        /// The instruction.
        instruction: usize,
        /// One or more lines; the final line break may be left out.
        text: String,
    },
    /// Whole lines below an instruction.
    InsertAfter {
        /// The instruction.
        instruction: usize,
        /// One or more lines.
        text: String,
    },
    /// Takes an instruction with its comments from its place to below another one. Several moved to the same place keep the
    /// order of the edits.
    MoveAfter {
        /// What moves.
        instruction: usize,
        /// The instruction that will stand above it.
        after: usize,
    },
    /// Removes an instruction with its comments.
    Remove {
        /// The instruction.
        instruction: usize,
    },
    /// Replaces exactly these bytes of an instruction.
    ReplaceArgument {
        /// A span of a node in the tree.
        span: Span,
        /// The new text.
        text: String,
    },
}

/// Applies the edits and gives the new source. Where two argument spans overlap, the first edit wins.
pub fn apply(dockerfile: &Dockerfile, edits: &[Edit]) -> String {
    let ending = line_ending(&dockerfile.source);
    let blocks = blocks(dockerfile);
    let mut out = String::with_capacity(dockerfile.source.len() + 256);
    for block in &blocks {
        let Some(instruction) = block.instruction else {
            out.push_str(block.span.text(&dockerfile.source));
            continue;
        };
        for edit in edits {
            if let Edit::InsertBefore { instruction: target, text } = edit
                && *target == instruction
            {
                push_lines(&mut out, text, ending);
            }
        }
        if !is_taken_away(edits, instruction, &blocks) {
            push_block(&mut out, dockerfile, block, edits, ending);
        }
        for edit in edits {
            match edit {
                Edit::InsertAfter { instruction: target, text } if *target == instruction => {
                    push_lines(&mut out, text, ending)
                }
                Edit::MoveAfter { instruction: moved, after } if *after == instruction && moved != after => {
                    if let Some(block) = blocks.iter().find(|block| block.instruction == Some(*moved)) {
                        push_block(&mut out, dockerfile, block, edits, ending);
                    }
                }
                _ => {}
            }
        }
    }
    if !dockerfile.source.ends_with('\n') && out.ends_with('\n') {
        out.truncate(out.trim_end_matches('\n').trim_end_matches('\r').len().max(out.len() - ending.len()));
    }
    out
}

/// The line break that the file uses: that of its first line.
pub fn line_ending(source: &str) -> &'static str {
    match source.find('\n') {
        Some(at) if source[..at].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

/// Pieces, with the comments directly above an instruction joined to it.
struct Block {
    span: Span,
    instruction: Option<usize>,
}

fn blocks(dockerfile: &Dockerfile) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut comments: Option<Span> = None;
    for piece in &dockerfile.pieces {
        match piece.kind {
            PieceKind::Comment => {
                let start = comments.map_or(piece.span.start, |span| span.start);
                comments = Some(Span::new(start, piece.span.end));
            }
            PieceKind::Instruction(index) => {
                let start = comments.take().map_or(piece.span.start, |span| span.start);
                blocks.push(Block { span: Span::new(start, piece.span.end), instruction: Some(index) });
            }
            _ => {
                blocks.extend(comments.take().map(|span| Block { span, instruction: None }));
                blocks.push(Block { span: piece.span, instruction: None });
            }
        }
    }
    blocks.extend(comments.map(|span| Block { span, instruction: None }));
    blocks
}

fn is_taken_away(edits: &[Edit], instruction: usize, blocks: &[Block]) -> bool {
    let exists = |index: usize| blocks.iter().any(|block| block.instruction == Some(index));
    edits.iter().any(|edit| match edit {
        Edit::MoveAfter { instruction: moved, after } => *moved == instruction && moved != after && exists(*after),
        Edit::Remove { instruction: removed } => *removed == instruction,
        _ => false,
    })
}

fn push_block(out: &mut String, dockerfile: &Dockerfile, block: &Block, edits: &[Edit], ending: &str) {
    end_line(out, ending);
    let mut at = block.span.start;
    let mut replacements: Vec<(&Span, &str)> = edits
        .iter()
        .filter_map(|edit| match edit {
            Edit::ReplaceArgument { span, text } if block.span.start <= span.start && span.end <= block.span.end => {
                Some((span, text.as_str()))
            }
            _ => None,
        })
        .collect();
    replacements.sort_by_key(|(span, _)| span.start);
    for (span, text) in replacements {
        if span.start >= at {
            out.push_str(Span::new(at, span.start).text(&dockerfile.source));
            out.push_str(text);
            at = span.end;
        }
    }
    out.push_str(Span::new(at, block.span.end).text(&dockerfile.source));
    if block.span.end < dockerfile.source.len() {
        end_line(out, ending);
    }
}

fn push_lines(out: &mut String, text: &str, ending: &str) {
    end_line(out, ending);
    for line in text.lines() {
        out.push_str(line);
        out.push_str(ending);
    }
}

/// The last line of a file may have no line break; before anything is put behind it, it needs one.
fn end_line(out: &mut String, ending: &str) {
    if !out.is_empty() && !out.ends_with('\n') && out != "\u{feff}" {
        out.push_str(ending);
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn moves_with_comments_and_keeps_everything_else() {
        let source = "FROM a\r\n# all of it\r\nCOPY . .\r\n\r\n  RUN  x \\\r\n   y\r\nCMD z";
        let file = parse(source);
        let edits = [
            Edit::InsertBefore { instruction: 2, text: "COPY a b".to_owned() },
            Edit::MoveAfter { instruction: 1, after: 2 },
        ];
        let after = apply(&file, &edits);
        assert_eq!(after, "FROM a\r\n\r\nCOPY a b\r\n  RUN  x \\\r\n   y\r\n# all of it\r\nCOPY . .\r\nCMD z");
    }

    #[test]
    fn the_last_line_stays_without_a_line_break() {
        let file = parse("FROM a\nCOPY . .\nRUN x");
        let after = apply(&file, &[Edit::MoveAfter { instruction: 1, after: 2 }]);
        assert_eq!(after, "FROM a\nRUN x\nCOPY . .");
    }

    #[test]
    fn replaces_an_argument() {
        let file = parse("FROM  a   AS b\nRUN x\n");
        let super::super::Arguments::From { image, .. } = &file.instructions[0].arguments else { unreachable!() };
        let edits = [Edit::ReplaceArgument { span: image.span, text: "alpine".to_owned() }, Edit::Remove { instruction: 1 }];
        assert_eq!(apply(&file, &edits), "FROM  alpine   AS b\n");
    }
}
