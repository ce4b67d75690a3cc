//! What goes wrong, as front ends need it: whose fault, the message, the next step.

use crate::ground::fs::PathError;
use crate::ground::hint::Hint;

use crate::engine::context::ignore_file::IgnoreFileError;
use crate::engine::image::inspect::InspectError;
use crate::engine::image::layer::ImageError;
use crate::engine::image::{HostBaseError, ImportError};
use crate::engine::solver::{FailureSource, SolveError};
use crate::engine::store::StoreError;
use crate::engine::upkeep::UpkeepError;
use crate::engine::worker::WorkerError;

/// Whose fault: it decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Dockerfile, context or command: exit code 1.
    User,
    /// Wrong arguments: exit code 2.
    Usage,
    /// Permission, space, a missing image: exit code 3.
    Environment,
    /// Somebody cancelled: exit code 130.
    Cancelled,
}

/// A failure with its next step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EngineError {
    /// Whose fault.
    pub kind: ErrorKind,
    /// Lower case, no full stop, with the place in the Dockerfile where there is one.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl EngineError {
    /// The user has to change something.
    pub fn user(message: impl Into<String>, hint: Option<String>) -> Self {
        Self { kind: ErrorKind::User, message: message.into(), hint }
    }

    /// The arguments make no sense.
    pub fn usage(message: impl Into<String>, hint: Option<String>) -> Self {
        Self { kind: ErrorKind::Usage, message: message.into(), hint }
    }

    /// The machine refused.
    pub fn environment(message: impl Into<String>, hint: Option<String>) -> Self {
        Self { kind: ErrorKind::Environment, message: message.into(), hint }
    }

    /// Message and hint in one text, as it is shown.
    pub fn text(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{}\nhelp: {hint}", self.message),
            None => self.message.clone(),
        }
    }
}

macro_rules! environment {
    ($($kind:ty),*) => {$(
        impl From<$kind> for EngineError {
            fn from(error: $kind) -> Self {
                Self::environment(error.to_string(), error.hint())
            }
        }
    )*};
}
environment!(StoreError, PathError, ImageError, WorkerError, HostBaseError, UpkeepError, InspectError);

impl From<ImportError> for EngineError {
    fn from(error: ImportError) -> Self {
        match &error {
            ImportError::Malformed { .. } => Self::user(error.to_string(), error.hint()),
            _ => Self::environment(error.to_string(), error.hint()),
        }
    }
}

impl From<IgnoreFileError> for EngineError {
    fn from(error: IgnoreFileError) -> Self {
        Self::user(error.to_string(), None)
    }
}

impl From<SolveError> for EngineError {
    fn from(error: SolveError) -> Self {
        let kind = match error.fault {
            FailureSource::User => ErrorKind::User,
            FailureSource::Environment => ErrorKind::Environment,
            FailureSource::Cancelled => ErrorKind::Cancelled,
        };
        Self { kind, message: error.message, hint: error.hint }
    }
}
