//! The syntax tree. Every node has its span in the source; the pieces cover the source without a gap, so that printing
//! them gives back the same bytes.

use std::sync::Arc;

use super::diagnostic::{Diagnostic, Severity};
use super::span::{LineIndex, Span};

/// A parsed Dockerfile, whole even where lines are broken: what could not be understood is a diagnostic.
#[derive(Debug, Clone)]
pub struct Dockerfile {
    /// The exact source.
    pub source: Arc<str>,
    /// Line starts of the source.
    pub lines: LineIndex,
    /// `# syntax=`, `# escape=`, `# check=` at the head.
    pub directives: Vec<Directive>,
    /// The escape character in force: `\` or a backtick.
    pub escape: char,
    /// Everything in the file in order, covering it without a gap.
    pub pieces: Vec<Piece>,
    /// The instructions in order, also those that stand before the first FROM; broken ones have a diagnostic and are left out.
    pub instructions: Vec<Instruction>,
    /// All findings, in order of place.
    pub diagnostics: Vec<Diagnostic>,
}

impl Dockerfile {
    /// The source again, put together from the pieces.
    pub fn print(&self) -> String {
        self.pieces.iter().map(|piece| piece.span.text(&self.source)).collect()
    }

    /// Whether it can be built as far as syntax goes.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }
}

/// A stretch of the source: whole lines with their line breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The bytes.
    pub span: Span,
    /// What they are.
    pub kind: PieceKind,
}

/// What a stretch of source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceKind {
    /// A byte order mark.
    ByteOrderMark,
    /// A parser directive.
    Directive,
    /// A comment line.
    Comment,
    /// A line of blanks.
    Blank,
    /// An instruction with its continuation lines and heredoc bodies: index into `Dockerfile::instructions`.
    Instruction(usize),
    /// Lines that could not be understood; a diagnostic says why.
    Broken,
}

/// `# name=value` at the head of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// Lower-case name.
    pub name: String,
    /// Value, trimmed.
    pub value: String,
    /// The whole line.
    pub span: Span,
}

/// One instruction.
#[derive(Debug, Clone, PartialEq)]
pub struct Instruction {
    /// From the keyword to the end of its last line (heredoc bodies included), without the final line break.
    pub span: Span,
    /// First line, from 1.
    pub line: u32,
    /// Last line, from 1.
    pub end_line: u32,
    /// Which one.
    pub keyword: Keyword,
    /// The keyword as written.
    pub keyword_span: Span,
    /// `--name=value` in order, as data: what a flag means is decided where it is acted on.
    pub flags: Vec<Flag>,
    /// The rest, understood.
    pub arguments: Arguments,
    /// Heredocs in order of their redirections.
    pub heredocs: Vec<Heredoc>,
    /// The logical line after the keyword and the flags: continuations joined as BuildKit joins them (the backslash, what
    /// blanks follow it and the newline vanish, the next line's indentation stays; comment and blank lines inside vanish).
    pub text: String,
}

impl Instruction {
    /// The value of the last flag `name`, if it is given; `Some("")` for one without `=`.
    pub fn flag(&self, name: &str) -> Option<&Flag> {
        self.flags.iter().rev().find(|flag| flag.name == name)
    }

    /// Keyword, flags and text on one line, as shown in lists and image histories.
    pub fn one_line(&self) -> String {
        let mut out = self.keyword.as_str().to_owned();
        for flag in &self.flags {
            out.push_str(" --");
            out.push_str(&flag.name);
            if let Some(value) = &flag.value {
                out.push('=');
                out.push_str(value);
            }
        }
        let text = self.text.trim();
        if !text.is_empty() {
            out.push(' ');
            out.push_str(text);
        }
        out
    }
}

macro_rules! keywords {
    ($($variant:ident $text:literal,)*) => {
        /// The instructions of the language.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum Keyword { $($variant,)* }
        impl Keyword {
            /// All of them.
            pub const ALL: &'static [Keyword] = &[$(Keyword::$variant,)*];
            /// In capitals.
            pub fn as_str(self) -> &'static str { match self { $(Keyword::$variant => $text,)* } }
        }
    };
}
keywords! {
    Add "ADD", Arg "ARG", Cmd "CMD", Copy "COPY", Entrypoint "ENTRYPOINT", Env "ENV", Expose "EXPOSE", From "FROM",
    Healthcheck "HEALTHCHECK", Label "LABEL", Maintainer "MAINTAINER", Onbuild "ONBUILD", Run "RUN", Shell "SHELL",
    Stopsignal "STOPSIGNAL", User "USER", Volume "VOLUME", Workdir "WORKDIR",
}

/// `--name` or `--name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// Without the dashes.
    pub name: String,
    /// After the `=`, not expanded; quotes and backslashes are already removed, as BuildKit's parser does.
    pub value: Option<String>,
    /// The whole flag.
    pub span: Span,
}

/// A word as written: quotes and variables are still in it (continuations are not).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The text, not expanded.
    pub text: String,
    /// Where it stands; from its first to its last byte in the source.
    pub span: Span,
}

/// `NAME=value` of ENV, LABEL and ARG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The name as written (LABEL and ENV names are expanded too).
    pub name: Word,
    /// The value as written; `None` for an ARG without default.
    pub value: Option<Word>,
}

/// A command in one of its two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandForm {
    /// Given to the shell as one text; never expanded by the builder.
    Shell(String),
    /// A JSON array of words.
    Exec(Vec<String>),
}

/// What an instruction says.
#[derive(Debug, Clone, PartialEq)]
pub enum Arguments {
    /// `FROM image [AS name]`.
    From {
        /// The image, not expanded.
        image: Word,
        /// The stage's name as written.
        name: Option<Word>,
    },
    /// RUN.
    Run(CommandForm),
    /// CMD.
    Cmd(CommandForm),
    /// ENTRYPOINT.
    Entrypoint(CommandForm),
    /// SHELL, always a JSON array.
    Shell(Vec<String>),
    /// COPY and ADD: sources (heredoc words such as `<<EOF` among them) and destination.
    Copy {
        /// At least one.
        sources: Vec<Word>,
        /// The last word.
        destination: Word,
    },
    /// ENV in either form.
    Env(Vec<Assignment>),
    /// LABEL.
    Label(Vec<Assignment>),
    /// ARG; several on one line are allowed.
    Arg(Vec<Assignment>),
    /// WORKDIR.
    Workdir(Word),
    /// USER.
    User(Word),
    /// EXPOSE.
    Expose(Vec<Word>),
    /// VOLUME.
    Volume(Vec<Word>),
    /// STOPSIGNAL.
    Stopsignal(Word),
    /// MAINTAINER.
    Maintainer(String),
    /// HEALTHCHECK; `None` for `HEALTHCHECK NONE`. Its timings are flags.
    Healthcheck(Option<CommandForm>),
    /// ONBUILD: the instruction that a later build runs.
    Onbuild(Box<Instruction>),
}

/// `<<WORD` and its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The delimiter without quotes.
    pub name: String,
    /// False when the delimiter was quoted: then the body is taken literally.
    pub expand: bool,
    /// `<<-`: leading tabs are removed.
    pub chomp: bool,
    /// File descriptor in front of `<<`; 0 when not given.
    pub file_descriptor: u32,
    /// The body with its line breaks (tabs already removed for `<<-`), without the delimiter line.
    pub content: String,
    /// The body's lines in the source; their text still has the leading tabs of `<<-`.
    pub span: Span,
}
