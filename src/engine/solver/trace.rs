//! Which RUNs are watched, and what is told of it.

use super::Solver;
use crate::engine::cache::ResultId;
use crate::engine::event::BuildEvent;
use crate::engine::graph::{Operation, SourceRef, Vertex};
use crate::engine::reads::TraceWhen;

impl Solver<'_> {
    /// Whether a RUN is watched.
    pub(super) fn is_watched(&self, vertex: &Vertex) -> bool {
        match self.trace {
            TraceWhen::Always => true,
            TraceWhen::Never => false,
            TraceWhen::Auto => takes_from_context(vertex) || self.stands_on_context(vertex),
        }
    }

    /// Whether files of the build context were copied into what it stands on.
    fn stands_on_context(&self, vertex: &Vertex) -> bool {
        let mut next = vertex.parent;
        while let Some(id) = next {
            let above = self.vertex(id);
            let copied = match &above.operation {
                Some(Operation::Copy { .. }) => takes_from_context(above),
                // COPY --link: the copy itself is what is laid over the step above.
                Some(Operation::Merge { .. }) => {
                    above.edges.iter().filter_map(|edge| edge.vertex()).any(|copy| takes_from_context(self.vertex(copy)))
                }
                _ => false,
            };
            if copied {
                return true;
            }
            next = above.parent;
        }
        false
    }

    pub(super) fn is_run(&self, vertex: &Vertex) -> bool {
        matches!(vertex.operation, Some(Operation::Run { .. }))
    }

    /// What is on record of what a step read whose result is taken.
    pub(super) fn say_reads(&self, vertex: &Vertex, result: &ResultId) {
        if !self.is_run(vertex) {
            return;
        }
        if let Ok(Some(reads)) = self.cache().read_summary(result) {
            self.speaker.say(BuildEvent::VertexTraced { vertex: vertex.id, reads });
        }
    }
}

fn takes_from_context(vertex: &Vertex) -> bool {
    vertex.edges.iter().any(|edge| matches!(edge.source, SourceRef::Context(_)))
}
