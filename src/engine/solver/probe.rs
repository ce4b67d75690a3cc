//! Asks the cache, by definition first and by content where that decides.

use super::error::SolveError;
use super::{Keys, Solver, guard};
use crate::engine::cache::preimage::{chain_digest, operation_digest};
use crate::engine::cache::{KeyId, Link, ResultId, StepResult};
use crate::engine::event::{BuildEvent, LayerStat, Outcome, Verdict, VertexId};
use crate::engine::exchange::Offered;
use crate::engine::graph::{Counts, Edge, Operation, SourceRef, Vertex};
use crate::engine::oci::LayerId;
use crate::engine::verdict::{HitReason, MissReason};
use crate::ground::digest::Digest;

impl Solver<'_> {
    /// The keys of a vertex. Decides it: a step for which no key can be found has to run, since nobody can know whether
    /// something below it matches before its result is there.
    pub(super) fn keys(&self, id: VertexId) -> Result<Keys, SolveError> {
        let mut slot = guard(&self.state(id).keys);
        if let Some(known) = slot.as_ref() {
            return known.clone();
        }
        let found = self.find_keys(id);
        if let Err(error) = &found {
            self.note_failure(id, error);
        }
        *slot = Some(found.clone());
        found
    }

    fn find_keys(&self, id: VertexId) -> Result<Keys, SolveError> {
        let vertex = self.vertex(id);
        self.check_cancelled(id)?;
        let Some(operation) = &vertex.operation else { return Ok(Keys::default()) };
        if vertex.base.is_some() {
            return self.base_keys(vertex, operation);
        }
        self.input_keys(vertex)?;
        let exact = operation_digest(operation);
        if self.is_foreseeing() {
            return self.foresee(vertex, &exact);
        }
        let spaces = if vertex.ignore_cache { Vec::new() } else { self.spaces(vertex, &exact)? };
        for (digest, traced) in spaces {
            let links = self.links(vertex, LinkUse::Probe)?;
            let how = |how| if traced && self.is_run(vertex) { HitReason::Traced } else { how };
            if let Some(keys) = self.served(vertex, &digest, &links, how(HitReason::Definition))? {
                return Ok(Keys { traced, ..keys });
            }
            if self.content_can_decide(vertex, &digest, &links)? {
                let links = self.links(vertex, LinkUse::ProbeContent)?;
                if let Some(keys) = self.served(vertex, &digest, &links, how(HitReason::Content))? {
                    return Ok(Keys { traced, ..keys });
                }
            }
        }
        if let Some(keys) = self.served_by_trace(vertex, &exact)? {
            return Ok(keys);
        }
        let (ids, result) = self.execute(vertex)?;
        *guard(&self.state(id).result) = Some(Ok(result));
        let withheld = vertex.ignore_cache || self.stands_on_withheld(vertex)?;
        Ok(Keys { ids, withheld, traced: self.stands_on_traced(vertex)?, ..Keys::default() })
    }

    /// Whether a step that it depends on by definition withholds its keys: then it has run again, and so does what follows.
    /// Seen with docker 28.5 and `--no-cache-filter`.
    pub(super) fn stands_on_withheld(&self, vertex: &Vertex) -> Result<bool, SolveError> {
        let by_definition = vertex.edges.iter().filter(|edge| edge.counts == Counts::Definition).filter_map(Edge::vertex);
        for id in vertex.parent.into_iter().chain(by_definition) {
            if self.keys(id)?.withheld {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Decides all inputs; independent ones in parallel.
    pub(super) fn input_keys(&self, vertex: &Vertex) -> Result<(), SolveError> {
        let inputs = self.graph.inputs(vertex);
        match inputs.as_slice() {
            [] => Ok(()),
            [only] => self.keys(*only).map(|_| ()),
            // Nothing runs that could go on beside; of two identical steps the first one is said to run.
            several if self.is_foreseeing() => several.iter().try_for_each(|id| self.keys(*id).map(|_| ())),
            several => std::thread::scope(|scope| {
                let spawn = |id: &VertexId| {
                    let id = *id;
                    std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, move || self.keys(id).map(|_| ()))
                };
                let threads: Vec<_> = several.iter().map(spawn).collect();
                let mut outcome = Ok(());
                for thread in threads {
                    let ended = match thread {
                        Ok(thread) => thread.join().unwrap_or(Ok(())),
                        Err(error) => Err(SolveError::environment(&self.speaker.file, vertex, error, None)),
                    };
                    if outcome.is_ok() {
                        outcome = ended;
                    }
                }
                outcome
            }),
        }
    }

    /// The links that lead to this vertex.
    pub(super) fn links(&self, vertex: &Vertex, purpose: LinkUse) -> Result<Vec<Link>, SolveError> {
        let keys_of = |id| -> Result<Vec<KeyId>, SolveError> {
            let keys = self.keys(id)?;
            Ok(if keys.withheld && !matches!(purpose, LinkUse::Record | LinkUse::Foresee) { Vec::new() } else { keys.ids })
        };
        // Scratch has no vertex, but it is something to stand on.
        let scratch = || vec![KeyId("scratch".into())];
        let parent = vertex.parent.map_or_else(|| Ok(scratch()), keys_of)?;
        let mut links = vec![Link { input: 0, definition: parent, selector: String::new(), content: None }];
        for (at, edge) in vertex.edges.iter().enumerate() {
            let definition = match &edge.source {
                SourceRef::Vertex(Some(id)) => keys_of(*id)?,
                SourceRef::Vertex(None) => scratch(),
                SourceRef::Context(_) => Vec::new(),
                SourceRef::Fetched(_) => {
                    let known = self.context(&edge.source).and_then(|context| context.fetched.as_ref());
                    known.map(|(definition, _)| KeyId::root(definition)).into_iter().collect()
                }
            };
            let content = match purpose {
                _ if edge.counts == Counts::Definition => None,
                LinkUse::Probe | LinkUse::Foresee => self.known_content(vertex, at),
                LinkUse::ProbeContent | LinkUse::Record => Some(self.content(vertex, at)?),
            };
            let content = content.map(|content| KeyId::root(&content.digest));
            links.push(Link { input: at as u32 + 1, definition, selector: selector_digest(edge), content });
        }
        Ok(links)
    }

    pub(super) fn lookup(&self, vertex: &Vertex, digest: &Digest, links: &[Link]) -> Result<Vec<KeyId>, SolveError> {
        let of_store = self.links_of_store(links);
        let complete = of_store.iter().all(|link| !link.definition.is_empty() || link.content.is_some());
        let found = match (complete, self.is_foreseeing()) {
            (false, _) => Ok(Vec::new()),
            (true, true) => self.cache().peek(digest, &of_store),
            (true, false) => self.cache().lookup(digest, &of_store),
        };
        let mut found = found.map_err(|e| SolveError::store(&self.speaker.file, vertex, &e))?;
        let imported = self.offered(vertex, digest, links)?.keys();
        found.extend(imported.difference(&found.iter().cloned().collect()).cloned().collect::<Vec<_>>());
        Ok(found)
    }

    /// The keys that the caches have which were brought in.
    pub(super) fn offered(&self, vertex: &Vertex, digest: &Digest, links: &[Link]) -> Result<Offered, SolveError> {
        let of = |import| {
            let links = links.iter().map(|link| self.link_within(vertex, link, import)).collect::<Result<Vec<_>, _>>()?;
            Ok((import, self.imports.candidates(import, digest, &links)))
        };
        (0..self.imports.len()).map(of).collect()
    }

    /// A link with the keys that one of the caches has for its input.
    fn link_within(&self, vertex: &Vertex, link: &Link, import: usize) -> Result<Link, SolveError> {
        let input = match (link.input as usize).checked_sub(1) {
            None => vertex.parent,
            Some(at) => vertex.edges.get(at).and_then(Edge::vertex),
        };
        let mut link = link.clone();
        // Keys that are withheld are not in the link. Those of a base are the same everywhere.
        if let Some(id) = input.filter(|id| self.vertex(*id).base.is_none())
            && !link.definition.is_empty()
        {
            link.definition = self.keys(id)?.offered.of(import);
        }
        Ok(link)
    }

    /// The keys that these links lead to, if there are any. A key may be known although its result is gone: steps below may
    /// still be served by it, so its result is made again only when somebody asks for it.
    pub(super) fn served(
        &self,
        vertex: &Vertex,
        digest: &Digest,
        links: &[Link],
        how: HitReason,
    ) -> Result<Option<Keys>, SolveError> {
        let ids = self.lookup(vertex, digest, links)?;
        if ids.is_empty() {
            return Ok(None);
        }
        let loadable = self.loadable(vertex, &ids)?;
        if let Some(result) = &loadable {
            self.note_ingredients(vertex);
            // An identical step of this very build made it, and had ended before this one was looked up.
            let maker = self.maker(result);
            if maker.is_some() {
                self.share_cause(vertex.id, maker);
            }
            self.say_hit(vertex, if maker.is_some() { HitReason::Merged } else { how }, result);
        }
        let offered = self.offered(vertex, digest, links)?;
        // The store first: what it has needs not be fetched.
        let imported = if loadable.is_none() { self.imports.result(&offered) } else { None };
        if let Some(imported) = &imported {
            self.note_ingredients(vertex);
            if self.is_foreseeing() {
                self.say_imported(vertex, imported, None);
            }
        }
        Ok(Some(Keys { ids, loadable, imported, offered, ..Keys::default() }))
    }

    pub(super) fn loadable(&self, vertex: &Vertex, ids: &[KeyId]) -> Result<Option<StepResult>, SolveError> {
        let fail = |e| SolveError::store(&self.speaker.file, vertex, &e);
        for result in self.cache().load(ids).map_err(fail)? {
            self.note(vertex, result.layers.iter().map(LayerId::as_str))?;
            // Asked again after the note: a collector that came first has removed the record, a later one sees the note.
            if self.is_present(&result.layers) && self.cache().has_result(&result.id).map_err(fail)? {
                return Ok(Some(result));
            }
        }
        Ok(None)
    }

    pub(super) fn say_hit(&self, vertex: &Vertex, how: HitReason, result: &StepResult) {
        let mut said = guard(&self.state(vertex.id).said);
        if said.probed {
            return;
        }
        said.probed = true;
        drop(said);
        self.speaker.say(BuildEvent::CacheProbed { vertex: vertex.id, verdict: Verdict::Hit { how, from: None } });
        if how != HitReason::Merged {
            self.say_doubts(vertex, result);
        }
        self.say_reads(vertex, &result.id);
        self.finish(vertex.id, Outcome::Cached, Some(result.stat), None, result.micros);
    }

    /// Content is worth computing only if the inputs that count by definition alone lead somewhere through this operation.
    pub(super) fn content_can_decide(&self, vertex: &Vertex, digest: &Digest, links: &[Link]) -> Result<bool, SolveError> {
        if !vertex.edges.iter().any(|edge| edge.counts == Counts::Content) {
            return Ok(false);
        }
        let parent = &links[0];
        for import in 0..self.imports.len() {
            if self.imports.has_child(import, digest, &self.link_within(vertex, parent, import)?) {
                return Ok(true);
            }
        }
        let parent = &self.links_of_store(std::slice::from_ref(parent))[0];
        self.cache().has_child(digest, parent).map_err(|e| SolveError::store(&self.speaker.file, vertex, &e))
    }

    /// A base has two root keys, its manifest and its ChainID, and its result needs no work: layers are unpacked when
    /// something mounts them.
    fn base_keys(&self, vertex: &Vertex, operation: &Operation) -> Result<Keys, SolveError> {
        let Operation::Base { chain, .. } = operation else { return Ok(Keys::default()) };
        let fail = |e| SolveError::store(&self.speaker.file, vertex, &e);
        let manifest_key = KeyId::root(&operation_digest(operation));
        let chain_key = KeyId::root(&chain_digest(chain.as_ref()));
        let by_manifest = self.cache().load(std::slice::from_ref(&manifest_key)).map_err(fail)?.into_iter().next();
        let by_chain = self.cache().load(std::slice::from_ref(&chain_key)).map_err(fail)?.into_iter().next();
        self.note_ingredients(vertex);
        let base = vertex.base.and_then(|at| self.graph.bases.get(at));
        let layers: Vec<LayerId> = base.map(|b| b.layers.iter().map(|l| l.layer.clone()).collect()).unwrap_or_default();
        self.note(vertex, layers.iter().map(LayerId::as_str))?;
        let how = match (&by_manifest, &by_chain) {
            (Some(_), _) => Some(HitReason::Manifest),
            (None, Some(_)) => Some(HitReason::ChainId),
            // A build writes it down at the first FROM of several.
            (None, None) if self.is_foreseeing() && self.is_foreseen_twice(&manifest_key) => Some(HitReason::Manifest),
            (None, None) => None,
        };
        let bytes = base.map_or(0, |b| b.layers.iter().filter_map(|l| l.blob.as_ref()).map(|(d, _)| d.size).sum());
        let result = by_manifest.clone().or(by_chain).unwrap_or_else(|| StepResult {
            id: ResultId(crate::ground::random_hex(16)),
            layers,
            created: now_micros(),
            micros: 0,
            stat: LayerStat { bytes, entries: 0, removed: 0 },
        });
        match how {
            Some(how) => self.say_hit(vertex, how, &result),
            None => {
                let reasons = self.miss_reasons(vertex, &[]);
                self.say_miss(vertex, reasons);
                if !self.is_foreseeing() {
                    self.finish(vertex.id, Outcome::Ran, Some(result.stat), None, 0);
                }
            }
        }
        if by_manifest.is_none() && !self.is_foreseeing() {
            let digest = operation_digest(operation);
            self.cache().save(&digest, &[], &manifest_key, &result).map_err(fail)?;
            self.cache().save(&digest, &[], &chain_key, &result).map_err(fail)?;
        }
        Ok(Keys { ids: vec![manifest_key, chain_key], loadable: Some(result), ..Keys::default() })
    }

    /// The result of a vertex: loaded if the cache has it, made otherwise.
    pub(super) fn result(&self, id: VertexId) -> Result<StepResult, SolveError> {
        let keys = self.keys(id)?;
        let mut slot = guard(&self.state(id).result);
        if let Some(known) = slot.as_ref() {
            return known.clone();
        }
        let found = match keys.loadable.clone() {
            Some(result) => Ok(result),
            // In a plan nobody makes anything: whoever asks learns that this is not known.
            None if self.is_foreseeing() => Err(SolveError::cancelled(id)),
            None => self.import(self.vertex(id), &keys).and_then(|result| match result {
                Some(result) => Ok(result),
                None => self.remake(self.vertex(id)),
            }),
        };
        if let Err(error) = &found {
            self.note_failure(id, error);
        }
        *slot = Some(found.clone());
        found
    }

    /// The key is known, the result is gone: content may lead to an equal one, else the step runs again.
    fn remake(&self, vertex: &Vertex) -> Result<StepResult, SolveError> {
        if let (Some(operation), false) = (&vertex.operation, vertex.edges.is_empty()) {
            let links = self.links(vertex, LinkUse::ProbeContent)?;
            for (digest, _) in self.spaces(vertex, &operation_digest(operation))? {
                let Some(keys) = self.served(vertex, &digest, &links, HitReason::Content)? else { continue };
                if let Some(result) = keys.loadable {
                    return Ok(result);
                }
                if let Some(result) = self.import(vertex, &keys)? {
                    return Ok(result);
                }
            }
        }
        self.execute(vertex).map(|(_, result)| result)
    }

    pub(super) fn say_miss(&self, vertex: &Vertex, (reasons, cause): (Vec<MissReason>, VertexId)) {
        let mut said = guard(&self.state(vertex.id).said);
        if said.probed {
            return;
        }
        said.probed = true;
        said.cause = Some(cause);
        drop(said);
        let verdict = Verdict::Miss { reasons: reasons.clone(), cause };
        self.speaker.say(BuildEvent::CacheProbed { vertex: vertex.id, verdict });
        self.say_differences(vertex, &reasons);
    }
}

/// What links are wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkUse {
    /// Asking by definition, and by content where it is known already.
    Probe,
    /// Asking with content.
    ProbeContent,
    /// Writing down: with content, and with keys that are withheld from asking.
    Record,
    /// Writing down what a plan foresees: with content where it is known.
    Foresee,
}

/// A chain of 500 instructions is decided by recursion.
pub const STACK: usize = 64 << 20;

/// The digest of the selected paths: where the definition keys of a source enter.
pub(super) fn selector_digest(edge: &Edge) -> String {
    let mut selectors = edge.selectors.clone();
    selectors.sort();
    Digest::of(serde_json::to_vec(&selectors).unwrap_or_default()).to_string()
}

/// Microseconds since 1970.
pub(super) fn now_micros() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_micros() as u64)
}
