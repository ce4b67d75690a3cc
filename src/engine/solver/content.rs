//! The content of what a step copies.

use super::error::SolveError;
use super::{Solver, guard};
use crate::engine::cache::Content;
use crate::engine::context::{Entry, RootHeader, Tree, content_key, pack_list};
use crate::engine::graph::{BaseLayer, Edge, SourceRef, Vertex};
use crate::engine::oci::LayerId;
use crate::engine::oci::Packing;
use crate::engine::protocol::{Compression, Reply, Request};
use crate::ground::digest::Digest;

/// Names a look at the selected paths of a result.
fn scan_id(layers: &[LayerId], edge: &Edge) -> String {
    let names: Vec<&str> = layers.iter().map(LayerId::as_str).collect();
    Digest::of(format!("{names:?}{:?}", edge.selectors)).to_string()
}

impl Solver<'_> {
    /// The content of an edge, when somebody looked at it in this build.
    pub(super) fn known_content(&self, vertex: &Vertex, edge: usize) -> Option<Content> {
        guard(&self.state(vertex.id).content).get(&edge)?.clone().ok()
    }

    /// The content of an edge, if an earlier look at the very result that its source has in this build is on record.
    pub(super) fn recorded_content(&self, vertex: &Vertex, edge: usize) -> Option<Content> {
        let edge = vertex.edges.get(edge)?;
        let layers = self.keys(edge.vertex()?).ok()?.loadable?.layers;
        let (digest, tree) = self.cache().scan(&scan_id(&layers, edge)).ok()??;
        Some(Content { digest, tree })
    }

    /// Digest of the selected paths of an edge, and the name of their list. The list is kept as evidence for the next
    /// comparison.
    pub(super) fn content(&self, vertex: &Vertex, edge: usize) -> Result<Content, SolveError> {
        let mut known = guard(&self.state(vertex.id).content);
        if let Some(known) = known.get(&edge) {
            return known.clone();
        }
        let found = self.find_content(vertex, &vertex.edges[edge]);
        known.insert(edge, found.clone());
        found
    }

    fn find_content(&self, vertex: &Vertex, edge: &Edge) -> Result<Content, SolveError> {
        let fail = |e| SolveError::store(&self.speaker.file, vertex, &e);
        match &edge.source {
            SourceRef::Context(_) | SourceRef::Fetched(_) => {
                let Some(context) = self.context(&edge.source) else { return Err(self.missing(vertex, edge, &[])) };
                self.content_of(vertex, edge, &context.tree)
            }
            SourceRef::Vertex(Some(id)) => {
                let layers = self.result(*id)?.layers;
                let id = scan_id(&layers, edge);
                if let Some((digest, tree)) = self.cache().scan(&id).map_err(fail)? {
                    return Ok(Content { digest, tree });
                }
                let tree = self.scan(vertex, edge, &layers)?;
                let content = self.content_of(vertex, edge, &tree)?;
                self.cache().put_scan(&id, &content.digest, &content.tree).map_err(fail)?;
                Ok(content)
            }
            SourceRef::Vertex(None) => {
                let paths: Vec<String> = edge.selectors.iter().map(|s| s.path.clone()).collect();
                Err(self.missing(vertex, edge, &paths))
            }
        }
    }

    fn content_of(&self, vertex: &Vertex, edge: &Edge, tree: &Tree) -> Result<Content, SolveError> {
        let digest = content_key(tree, &edge.selectors).map_err(|paths| self.missing(vertex, edge, &paths))?;
        let name = Digest::of(format!("{digest}{:?}", edge.selectors));
        if self.is_foreseeing() {
            self.state.foreseen.keep(name, || selected(tree, edge));
            return Ok(Content { digest, tree: name });
        }
        let fail = |e| SolveError::store(&self.speaker.file, vertex, &e);
        if self.cache().tree(&name).map_err(fail)?.is_none() {
            let list = selected(tree, edge);
            self.keep_texts(vertex, edge, &list)?;
            self.cache().put_tree(&name, &pack_list(&list)).map_err(fail)?;
        }
        Ok(Content { digest, tree: name })
    }

    /// Mounts a chain and lists what an edge selects of it.
    pub(super) fn scan(&self, vertex: &Vertex, edge: &Edge, layers: &[LayerId]) -> Result<Tree, SolveError> {
        self.unpack(vertex, layers)?;
        let request = Request::Scan { layers: layers.to_vec(), selectors: edge.selectors.clone() };
        match self.ask(vertex, request, Vec::new())? {
            Reply::Entries { entries, .. } => Ok(Tree::new(entries, RootHeader::Real)),
            other => Err(self.unexpected(vertex, &other)),
        }
    }

    /// Asks the worker; a failure becomes the step's.
    pub(super) fn ask(
        &self,
        vertex: &Vertex,
        request: Request,
        descriptors: Vec<std::os::fd::OwnedFd>,
    ) -> Result<Reply, SolveError> {
        let file = &self.speaker.file;
        let Some(worker) = self.worker else {
            return Err(SolveError::environment(file, vertex, "a plan asks the worker nothing", None));
        };
        match worker.call(request, descriptors) {
            Ok(Reply::Failed(failure)) => Err(SolveError::failure(file, vertex, &failure)),
            Ok(reply) => Ok(reply),
            Err(error) => Err(SolveError::worker(file, vertex, &error)),
        }
    }

    pub(super) fn unexpected(&self, vertex: &Vertex, reply: &Reply) -> SolveError {
        let message = format!("the worker gave an answer that does not fit the question ({reply:?})");
        SolveError::environment(&self.speaker.file, vertex, message, None)
    }

    /// The same for what is done with the result of a step.
    pub fn unpack_for(&self, id: crate::engine::event::VertexId, layers: &[LayerId]) -> Result<(), SolveError> {
        self.unpack(self.vertex(id), layers)
    }

    /// Unpacks those layers of the base that a mount needs and that are not there yet.
    pub(super) fn unpack(&self, vertex: &Vertex, layers: &[LayerId]) -> Result<(), SolveError> {
        let _one_at_a_time = guard(&self.state.unpacking);
        let find = |layer: &LayerId| self.graph.bases.iter().flat_map(|b| &b.layers).find(|l| l.layer == *layer);
        let total = layers.iter().filter(|layer| !self.store.layout.layer(layer).exists()).count() as u64;
        let mut done = 0;
        for (at, layer) in layers.iter().enumerate() {
            if self.store.layout.layer(layer).exists() {
                continue;
            }
            self.check_cancelled(vertex.id)?;
            let Some(BaseLayer { diff_id, blob: Some((blob, path)), .. }) = find(layer) else { continue };
            let what = "unpacking base".to_owned();
            self.speaker.say(crate::engine::event::BuildEvent::Progress {
                vertex: Some(vertex.id),
                what,
                done,
                total: Some(total),
            });
            done += 1;
            let request = Request::Unpack {
                layer: layer.clone(),
                parents: layers[..at].to_vec(),
                blob: path.clone(),
                compression: Packing::of(&blob.media_type).map_or(Compression::None, Into::into),
                digest: blob.digest,
                size: blob.size,
                diff_id: *diff_id,
            };
            self.ask(vertex, request, Vec::new()).map_err(|error| self.damaged_base(vertex, layer, error))?;
        }
        Ok(())
    }

    /// A base whose blob is gone or damaged: which image, and what to do.
    fn damaged_base(&self, vertex: &Vertex, layer: &LayerId, error: SolveError) -> SolveError {
        if self.is_ending() {
            return error;
        }
        let has = |base: &&crate::engine::graph::ResolvedBase| base.layers.iter().any(|l| l.layer == *layer);
        let image = self.graph.bases.iter().find(has).map_or("?", |base| base.image.as_str());
        let cause = error.message.split_once(": ").map_or(error.message.as_str(), |(_, cause)| cause);
        let message = format!("cannot unpack the base image `{}`: {cause}", image.escape_debug());
        let hint = error.hint.clone().unwrap_or_else(|| "load the image again (`rbuild-tui image load`)".into());
        SolveError::environment(&self.speaker.file, vertex, message, Some(hint))
    }

    /// A source that does not exist: where it was looked for, and what may have been meant.
    fn missing(&self, vertex: &Vertex, edge: &Edge, paths: &[String]) -> SolveError {
        let shown: Vec<String> = paths.iter().map(|path| format!("`{}`", path.escape_debug())).collect();
        let (place, hint) = match &edge.source {
            SourceRef::Context(name) => {
                let place = if name.is_empty() { "the build context".to_owned() } else { format!("the context `{name}`") };
                (place, self.contexts.get(name).and_then(|c| paths.first().and_then(|path| c.hint(path))))
            }
            SourceRef::Vertex(_) => ("what it copies from".to_owned(), None),
            SourceRef::Fetched(fetch) => (format!("`{}`", fetch.shown().escape_debug()), None),
        };
        let outside =
            vertex.name.split_whitespace().any(|word| word == ".." || word.starts_with("../") || word.contains("/../"));
        let hint = match hint {
            None if outside && matches!(edge.source, SourceRef::Context(_)) => Some(
                "paths stay inside of the build context, whatever `..` says: give a folder further up as context".into(),
            ),
            hint => hint,
        };
        let verb = if paths.len() == 1 { "does" } else { "do" };
        let message = format!("{} {verb} not exist in {place}", shown.join(", "));
        SolveError::user(&self.speaker.file, vertex, message, hint)
    }
}

impl super::ScannedContext {
    /// Why a path may be missing: a rule excludes it, it lies outside, or it has another name.
    fn hint(&self, path: &str) -> Option<String> {
        if self.root.join(path).exists() {
            if let Some(line) = self.ignore.excluding_line(path) {
                return Some(format!("line {line} of {} excludes it", self.ignore.name));
            }
            return Some("paths of COPY are relative to the build context, and stay inside of it".into());
        }
        let parent = std::path::Path::new(path).parent().unwrap_or(std::path::Path::new(""));
        let wanted = path.rsplit('/').next().unwrap_or(path);
        let names = std::fs::read_dir(self.root.join(parent)).ok()?;
        let names: Vec<String> = names.flatten().filter_map(|n| n.file_name().into_string().ok()).collect();
        let near = crate::language::dockerfile::nearest(wanted, names.iter().map(String::as_str))?;
        Some(format!("did you mean `{}`?", parent.join(near).display().to_string().escape_debug()))
    }
}

/// The entries that an edge selects.
pub fn selected(tree: &Tree, edge: &Edge) -> Vec<Entry> {
    let mut out: Vec<Entry> = Vec::new();
    for selector in &edge.selectors {
        for (path, entries) in tree.selected(selector) {
            // A link that is followed is copied as what it points to, which may lie outside of what matched, behind further
            // links: all of them are needed.
            out.extend(tree.get(&path).cloned());
            tree.resolve_through(&path, selector.follow_links, |link| out.push(link.clone()));
            out.extend(entries.into_iter().cloned());
        }
    }
    out.sort_by(|a, b| a.path.cmp(&b.path));
    out.dedup_by(|a, b| a.path == b.path);
    out
}
