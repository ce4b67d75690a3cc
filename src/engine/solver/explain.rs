//! Why a step has to run: its own ingredients against those of the last build, and the steps above it.

use super::{Solver, guard};
use crate::engine::cache::explain::{Evidence, own_reasons};
use crate::engine::cache::ingredients::KEY_FORMAT;
use crate::engine::cache::{Ingredients, KeyId, Source};
use crate::engine::context::{Entry, unpack_list};
use crate::engine::event::VertexId;
use crate::engine::graph::{Counts, Edge, SourceRef, Vertex};
use crate::engine::verdict::MissReason;
use crate::ground::digest::Digest;

impl Solver<'_> {
    /// Writes down what the key of a vertex is made of.
    pub(super) fn note_ingredients(&self, vertex: &Vertex) {
        let Some(operation) = &vertex.operation else { return };
        let source = |id: VertexId| {
            let other = self.vertex(id);
            Source { slot: other.slot.clone(), name: other.name.clone(), content: None, revision: None }
        };
        let mut sources = Vec::new();
        for (at, edge) in vertex.edges.iter().enumerate() {
            let mut entry = match &edge.source {
                SourceRef::Vertex(Some(id)) => source(*id),
                SourceRef::Vertex(None) => {
                    Source { slot: String::new(), name: "scratch".into(), content: None, revision: None }
                }
                SourceRef::Context(name) => {
                    let revision = self.context(&edge.source).and_then(|c| c.fetched.as_ref()).map(|(_, now)| now.clone());
                    Source { slot: String::new(), name: format!("context {name}"), content: None, revision }
                }
                SourceRef::Fetched(fetch) => {
                    let revision = self.context(&edge.source).and_then(|c| c.fetched.as_ref()).map(|(_, now)| now.clone());
                    Source { slot: String::new(), name: fetch.shown(), content: None, revision }
                }
            };
            // Served by definition: nobody looked at the content. It is that of the source's result, which need not be the
            // one of the last build; what that build knew stands in only where the result is gone.
            let before = || self.before(vertex).and_then(|then| then.sources.get(at)?.content.clone());
            let recorded = || self.recorded_content(vertex, at).or_else(before);
            entry.content = self.known_content(vertex, at).or_else(recorded);
            sources.push(entry);
        }
        let parent = vertex.parent.map(source);
        let ingredients = Ingredients { format: KEY_FORMAT, operation: operation.clone(), parent, sources };
        *guard(&self.state(vertex.id).ingredients) = Some(ingredients);
    }

    pub(super) fn before(&self, vertex: &Vertex) -> Option<&Ingredients> {
        self.previous?.ingredients.get(&vertex.slot)
    }

    /// The reasons, own ones first, and where the cascade began. `known` are the keys that were found without a result.
    pub(super) fn miss_reasons(&self, vertex: &Vertex, known: &[KeyId]) -> (Vec<MissReason>, VertexId) {
        if vertex.ignore_cache {
            return (vec![MissReason::NoCache], vertex.id);
        }
        if !known.is_empty() {
            return (self.gone(known), vertex.id);
        }
        let now = guard(&self.state(vertex.id).ingredients).clone();
        let (Some(now), Some(then)) = (now, self.before(vertex)) else {
            return (vec![MissReason::FirstTime], vertex.id);
        };
        let mut reasons = own_reasons(&now, then, self);
        name_downloads(vertex, &mut reasons);
        let parent = vertex.parent.and_then(|id| Some((id, self.cause(id)?)));
        let source = vertex.edges.iter().filter_map(Edge::vertex).find_map(|id| Some((id, self.cause(id)?)));
        if parent.is_some() {
            // The step above ran: that it is another one than before is part of that story.
            reasons.retain(|reason| !matches!(reason, MissReason::ParentChanged { .. }));
        }
        let content_differs =
            reasons.iter().any(|r| matches!(r, MissReason::FileChanged { .. } | MissReason::MoreFiles { .. }));
        let own_cause = reasons.iter().any(|reason| match reason {
            // What differs in a source that ran again has its cause there.
            MissReason::FileChanged { .. } | MissReason::MoreFiles { .. } => source.is_none(),
            _ => true,
        });
        let mut cause = own_cause.then_some(vertex.id);
        let by_definition = vertex.edges.iter().any(|edge| edge.counts == Counts::Definition);
        if let Some((id, origin)) = source.filter(|_| content_differs || by_definition) {
            reasons.push(MissReason::SourceRan { line: self.vertex(id).line });
            cause = cause.or(Some(origin));
        }
        if let Some((id, origin)) = parent {
            let alone = reasons.is_empty();
            reasons.push(MissReason::ParentRan { line: self.vertex(id).line, alone });
            cause = cause.or(Some(origin));
        }
        if let (true, Some(origin)) = (reasons.is_empty(), self.another_above(vertex)) {
            let line = vertex.parent.map_or(0, |id| self.vertex(id).line);
            reasons.push(MissReason::ParentDiffers { line });
            cause = Some(origin);
        }
        if reasons.is_empty() && self.previous.is_some_and(|previous| previous.traced.contains(&vertex.slot)) {
            reasons.push(MissReason::TracedBefore);
        }
        if reasons.is_empty() {
            let failed = self.previous.is_some_and(|previous| previous.failed.contains(&vertex.slot));
            reasons.push(if failed { MissReason::FailedBefore } else { MissReason::ResultGone { collected: None } });
        }
        (reasons, cause.unwrap_or(vertex.id))
    }

    /// The nearest step above that was served from the cache, but is another one than in the last build.
    fn another_above(&self, vertex: &Vertex) -> Option<VertexId> {
        let mut next = vertex.parent;
        while let Some(id) = next {
            let above = self.vertex(id);
            let now = guard(&self.state(id).ingredients).clone();
            let differs = |now: &Ingredients| self.before(above).is_none_or(|then| !own_reasons(now, then, self).is_empty());
            if now.as_ref().is_some_and(differs) {
                return Some(id);
            }
            next = above.parent;
        }
        None
    }

    /// Where the cascade of a vertex that had to run began.
    pub(super) fn cause(&self, id: VertexId) -> Option<VertexId> {
        guard(&self.state(id).said).cause
    }
}

/// A downloaded file is known by its address, not by the name that it gets.
fn name_downloads(vertex: &Vertex, reasons: &mut [MissReason]) {
    let files: Vec<_> = vertex
        .edges
        .iter()
        .filter_map(|edge| match &edge.source {
            SourceRef::Fetched(crate::engine::graph::Fetch::Web(file)) => Some(file),
            _ => None,
        })
        .collect();
    for reason in reasons {
        if let MissReason::FileChanged { path, .. } = reason
            && let Some(file) = files.iter().find(|file| file.name == *path)
        {
            *reason = MissReason::DownloadChanged { address: crate::engine::graph::redacted(&file.url) };
        }
    }
}

impl Evidence for Solver<'_> {
    fn tree(&self, digest: &Digest) -> Option<std::sync::Arc<[Entry]>> {
        match self.is_foreseeing() {
            true => self.state.foreseen.list(*digest, || unpack_list(&self.cache().tree(digest).ok()??)),
            false => unpack_list(&self.cache().tree(digest).ok()??).map(Into::into),
        }
    }

    fn ignored_then(&self, path: &str) -> bool {
        self.previous.is_some_and(|previous| previous.ignore.excluding_line(path).is_some())
    }

    fn ignored_now(&self, path: &str) -> bool {
        self.contexts.get("").is_some_and(|c| c.ignore.excluding_line(path).is_some() && c.root.join(path).exists())
    }
}
