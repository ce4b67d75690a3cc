//! A Dockerfile as text: a lossless, spanned, error-tolerant syntax tree, expansion, `.dockerignore`, edits that keep every
//! other byte. The hard rule: a broken line never hides the rest of the file, and `print(parse(x)) == x`.

pub mod ast;
pub mod diagnostic;
pub mod ignore;
pub mod span;

pub use ast::{
    Arguments, Assignment, CommandForm, Directive, Dockerfile, Flag, Heredoc, Instruction, Keyword, Piece, PieceKind, Word,
};
pub use diagnostic::{Diagnostic, Severity};
pub use span::{LineIndex, Position, Span};
