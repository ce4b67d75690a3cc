//! The sentences of causes.

use std::fmt;

use super::change::{ArgumentUse, Cause};

impl fmt::Display for Cause {
    /// A clause without a full stop, behind "it runs because" or by itself. Paths and names are as they are: who prints it makes
    /// them safe.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reads { path, more: 0 } => write!(f, "it reads `{path}`"),
            Self::Reads { path, more } => write!(f, "it reads `{path}` and {more} more of the touched files"),
            Self::Argument { name, how } => match how {
                ArgumentUse::Named => write!(f, "its command uses the argument {name}"),
                ArgumentUse::Unnamed => {
                    write!(
                        f,
                        "the argument {name} is in its environment, and so in its key, though the command does not name it"
                    )
                }
                ArgumentUse::Expanded => write!(f, "the instruction is written with the argument {name}"),
                ArgumentUse::Variable { name: variable } => {
                    write!(f, "the variable {variable}, which is in its environment, is made of the argument {name}")
                }
            },
            Self::BaseMoved { image } => write!(f, "the image `{image}` is taken as moved"),
            Self::Above { line, certain: true } => write!(f, "it stands on line {line}, which runs"),
            Self::Above { line, certain: false } => write!(f, "it stands on line {line}, which may run"),
            Self::Output { line } => write!(f, "it copies from the output of line {line}"),
        }
    }
}
