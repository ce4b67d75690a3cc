//! Why a step failed, with its place in the Dockerfile.

use crate::engine::event::VertexId;
use crate::engine::graph::Vertex;
use crate::engine::protocol::{Failure, FailureKind};
use crate::engine::store::StoreError;
use crate::engine::worker::WorkerError;
use crate::ground::hint::Hint;

/// Whose fault it is: it decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureSource {
    /// The Dockerfile's, the context's, or the command's.
    User,
    /// The machine's.
    Environment,
    /// Somebody cancelled.
    Cancelled,
}

/// A failed step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SolveError {
    /// Which.
    pub vertex: VertexId,
    /// `Dockerfile:7 COPY src/ /app/: cannot ...`.
    pub message: String,
    /// The next step.
    pub hint: Option<String>,
    /// Whose fault.
    pub fault: FailureSource,
}

impl SolveError {
    pub(in crate::engine) fn cancelled(vertex: VertexId) -> Self {
        Self { vertex, message: "the build was cancelled".into(), hint: None, fault: FailureSource::Cancelled }
    }

    fn at(
        file: &str,
        vertex: &Vertex,
        message: impl std::fmt::Display,
        hint: Option<String>,
        source: FailureSource,
    ) -> Self {
        let mut name: String = vertex.name.chars().take(80).collect();
        if name.len() < vertex.name.len() {
            name.push('…');
        }
        let visible = |c: char| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() };
        let name: String = name.chars().map(visible).collect();
        let message = format!("{file}:{} {name}: {message}", vertex.line);
        Self { vertex: vertex.id, message, hint, fault: source }
    }

    /// The user has to change something.
    pub(in crate::engine) fn user(
        file: &str,
        vertex: &Vertex,
        message: impl std::fmt::Display,
        hint: Option<String>,
    ) -> Self {
        Self::at(file, vertex, message, hint, FailureSource::User)
    }

    /// The machine refused.
    pub(in crate::engine) fn environment(
        file: &str,
        vertex: &Vertex,
        message: impl std::fmt::Display,
        hint: Option<String>,
    ) -> Self {
        Self::at(file, vertex, message, hint, FailureSource::Environment)
    }

    pub(super) fn store(file: &str, vertex: &Vertex, error: &StoreError) -> Self {
        Self::environment(file, vertex, error, error.hint())
    }

    pub(super) fn worker(file: &str, vertex: &Vertex, error: &WorkerError) -> Self {
        match error {
            WorkerError::Failed(failure) => Self::failure(file, vertex, failure),
            _ => Self::environment(file, vertex, error, error.hint()),
        }
    }

    pub(super) fn failure(file: &str, vertex: &Vertex, failure: &Failure) -> Self {
        let source = match failure.kind {
            FailureKind::User => FailureSource::User,
            FailureKind::Environment | FailureKind::Internal => FailureSource::Environment,
        };
        Self::at(file, vertex, &failure.message, failure.hint.clone(), source)
    }
}
