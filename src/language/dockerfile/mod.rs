//! A Dockerfile as text: a lossless, spanned, error-tolerant syntax tree, expansion, `.dockerignore`, edits that keep every
//! other byte. The hard rule: a broken line never hides the rest of the file, and `print(parse(x)) == x`.

mod arguments;
pub mod ast;
pub mod checks;
pub mod compose;
mod describe;
pub mod diagnostic;
pub mod directive;
pub mod edit;
pub mod encoding;
pub mod expand;
pub mod file_mode;
mod flags;
pub mod git_reference;
pub mod glob;
pub mod heredoc;
pub mod ignore;
mod logical;
pub mod mount;
pub mod nearest;
pub mod outline;
pub mod parser;
mod pattern;
pub mod ports;
pub mod reference;
pub mod render;
pub mod span;
pub mod stage;
pub mod values;
mod words;

pub use ast::{
    Arguments, Assignment, CommandForm, Directive, Dockerfile, Flag, Heredoc, Instruction, Keyword, Piece, PieceKind, Word,
};
pub use compose::{add_flag, split_copy};
pub use diagnostic::{Diagnostic, Severity};
pub use directive::{DetectedDirective, detect_check, detect_syntax};
pub use edit::{Edit, apply, line_ending};
pub use expand::{Environment, ExpandError, Expanded, ExpandedWords, expand_heredoc, expand_word, expand_words, names_in};
pub use file_mode::{FileMode, FileModeError};
pub use glob::{BadPattern, check_pattern, go_match};
pub use heredoc::{RunScript, heredocs_of_line, parse_heredoc_word, run_script};
pub use ignore::{IgnoreError, IgnoreErrorKind, IgnoreRules, RuleHit};
pub use mount::{MountError, MountKind, RunMount, Sharing, parse_mount};
pub use nearest::nearest;
pub use parser::{FILE_LIMIT, LINE_LIMIT, parse};
pub use render::render;
pub use span::{LineIndex, Position, Span};
pub use stage::{Stage, StageIndex, find_stage, find_stage_by_name};
pub use words::quoted_words;

#[cfg(test)]
mod limits_tests;
#[cfg(test)]
mod random_tests;
