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
///
/// A file may end inside of an instruction, with a continuation that nothing follows: where an edit puts something behind
/// it, that continuation is taken away.
pub fn apply(dockerfile: &Dockerfile, edits: &[Edit]) -> String {
    let blocks = blocks(dockerfile);
    let mut out = Output::new(dockerfile);
    for block in &blocks {
        let Some(instruction) = block.instruction else {
            // What was moved up from the end of the file may have no line break, or an open continuation.
            out.begin();
            out.text.push_str(block.span.text(&dockerfile.source));
            continue;
        };
        for edit in edits {
            if let Edit::InsertBefore { instruction: target, text } = edit
                && *target == instruction
            {
                out.push_lines(text);
            }
        }
        if !is_taken_away(edits, instruction, &blocks) {
            out.push_block(dockerfile, block, edits);
        }
        for edit in edits {
            match edit {
                Edit::InsertAfter { instruction: target, text } if *target == instruction => out.push_lines(text),
                Edit::MoveAfter { instruction: moved, after } if *after == instruction && moved != after => {
                    if let Some(block) = blocks.iter().find(|block| block.instruction == Some(*moved)) {
                        out.push_block(dockerfile, block, edits);
                    }
                }
                _ => {}
            }
        }
    }
    out.finish(&dockerfile.source)
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

/// Where in the source the continuations stand with which the file ends, the last first, if it ends inside of this block.
/// There are several where lines have nothing else: without its continuation such a line is blank, and passed over.
fn open_end(dockerfile: &Dockerfile, block: &Block) -> Vec<usize> {
    let mut open = Vec::new();
    let Some(instruction) = block.instruction.and_then(|at| dockerfile.instructions.get(at)) else { return open };
    if block.span.end < dockerfile.source.len() || !instruction.heredocs.is_empty() {
        return open;
    }
    let text = Span::new(instruction.span.start, block.span.end).text(&dockerfile.source);
    let mut end = block.span.end;
    for line in text.split_inclusive('\n').rev() {
        end -= line.len();
        let shown = line.trim();
        if shown.is_empty() || shown.starts_with('#') {
            continue;
        }
        let line = line.trim_end_matches(['\r', '\n']).trim_end_matches([' ', '\t']);
        let before = line.strip_suffix(dockerfile.escape).filter(|before| !before.ends_with(dockerfile.escape));
        open.extend(before.map(|before| end + before.len()));
        if before.is_none_or(|before| !before.trim().is_empty()) {
            break;
        }
    }
    open
}

/// The new source as it grows.
struct Output {
    text: String,
    ending: &'static str,
    escape: char,
    /// Where in `text` continuations stand that nothing may follow, the last first.
    open: Vec<usize>,
}

impl Output {
    fn new(dockerfile: &Dockerfile) -> Self {
        let text = String::with_capacity(dockerfile.source.len() + 256);
        Self { text, ending: line_ending(&dockerfile.source), escape: dockerfile.escape, open: Vec::new() }
    }

    fn push_block(&mut self, dockerfile: &Dockerfile, block: &Block, edits: &[Edit]) {
        self.begin();
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
                self.text.push_str(Span::new(at, span.start).text(&dockerfile.source));
                self.text.push_str(text);
                at = span.end;
            }
        }
        self.text.push_str(Span::new(at, block.span.end).text(&dockerfile.source));
        if block.span.end < dockerfile.source.len() {
            self.end_line();
        }
        // Nothing behind the continuation is ever replaced.
        let open = open_end(dockerfile, block).into_iter().filter(|open| *open >= at);
        self.open = open.map(|open| self.text.len() - (block.span.end - open)).collect();
    }

    fn push_lines(&mut self, text: &str) {
        self.begin();
        for line in text.lines() {
            self.text.push_str(line);
            self.text.push_str(self.ending);
        }
    }

    /// Before anything is put behind what there is.
    fn begin(&mut self) {
        for open in std::mem::take(&mut self.open) {
            if self.text.get(open..).is_some_and(|text| text.starts_with(self.escape)) {
                self.text.remove(open);
            }
        }
        self.end_line();
    }

    /// The last line of a file may have no line break; before anything is put behind it, it needs one.
    fn end_line(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with('\n') && self.text != "\u{feff}" {
            self.text.push_str(self.ending);
        }
    }

    /// A file without a final line break stays one.
    fn finish(mut self, source: &str) -> String {
        if !source.ends_with('\n') && self.text.ends_with('\n') {
            let bare = self.text.trim_end_matches('\n').trim_end_matches('\r').len();
            self.text.truncate(bare.max(self.text.len() - self.ending.len()));
        }
        self.text
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
    fn the_last_line_moved_above_a_lone_comment_does_not_swallow_it() {
        let file = parse("FROM a\n# far\n\nRUN npm ci");
        let after = apply(&file, &[Edit::MoveAfter { instruction: 1, after: 0 }]);
        assert_eq!(after, "FROM a\nRUN npm ci\n# far\n");
    }

    #[test]
    fn a_continuation_that_nothing_follows_does_not_swallow_an_insertion() {
        let file = parse("FROM a\nRUN x \\\n# why\n  \\\n# so");
        let edits = [Edit::InsertAfter { instruction: 1, text: "USER me".to_owned() }];
        let after = apply(&file, &edits);
        assert_eq!(after, "FROM a\nRUN x \n# why\n  \n# so\nUSER me");
        assert_eq!(parse(&after).instructions.len(), 3);
        let edits = [Edit::InsertBefore { instruction: 1, text: "USER me".to_owned() }];
        assert!(apply(&file, &edits).ends_with("  \\\n# so"), "what nothing follows stays as it is");
    }

    #[test]
    fn replaces_an_argument() {
        let file = parse("FROM  a   AS b\nRUN x\n");
        let super::super::Arguments::From { image, .. } = &file.instructions[0].arguments else { unreachable!() };
        let edits = [Edit::ReplaceArgument { span: image.span, text: "alpine".to_owned() }, Edit::Remove { instruction: 1 }];
        assert_eq!(apply(&file, &edits), "FROM  alpine   AS b\n");
    }
}
