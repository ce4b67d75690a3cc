//! Comments that describe a stage or an argument: `# NAME text` above the instruction that declares NAME.

use super::ast::{Dockerfile, PieceKind};

impl Dockerfile {
    /// The comment lines above an instruction, trimmed: those since the instruction before, or since an empty comment line.
    pub fn comments_above(&self, instruction: usize) -> Vec<&str> {
        let Some(start) = self.instructions.get(instruction).map(|instruction| instruction.span.start) else {
            return Vec::new();
        };
        let own = self.pieces.partition_point(|piece| piece.span.end <= start);
        let above = self.pieces.get(..own).unwrap_or(&[]);
        let mut comments = Vec::new();
        for piece in above.iter().rev() {
            match piece.kind {
                PieceKind::Comment => {
                    let text = piece.span.text(&self.source).trim();
                    let text = text.strip_prefix('#').unwrap_or(text).trim();
                    if text.is_empty() {
                        break;
                    }
                    comments.push(text);
                }
                PieceKind::Instruction(_) | PieceKind::Broken => break,
                _ => {}
            }
        }
        comments.reverse();
        comments
    }

    /// What a comment above an instruction says of `name` (a stage or an ARG): the text behind `# name `.
    ///
    /// Source of the rule: `getComment` of BuildKit's instructions.
    pub fn description(&self, instruction: usize, name: &str) -> Option<&str> {
        if name.is_empty() {
            return None;
        }
        let lines = self.comments_above(instruction);
        lines.into_iter().find_map(|line| line.strip_prefix(name).and_then(|rest| rest.strip_prefix(' ')))
    }
}
