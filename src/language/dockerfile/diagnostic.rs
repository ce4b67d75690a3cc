//! What is wrong in a Dockerfile, and where.

use serde::{Deserialize, Serialize};

pub use super::render::render;
use super::span::Span;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be built.
    Error,
    /// It can, but probably does not do what was meant.
    Warning,
}

/// One finding: a span, what is wrong there, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// The exact bytes that are meant.
    pub span: Span,
    /// Lower case, no full stop, objects in backticks.
    pub message: String,
    /// The next step, where one can be computed (`did you mean RUN?`).
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error without a suggestion.
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, span, message: message.into(), help: None }
    }

    /// A warning without a suggestion.
    pub fn warning(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, span, message: message.into(), help: None }
    }

    /// The same with a suggestion.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
