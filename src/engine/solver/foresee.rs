//! What a build would do, without doing it: the same probe, but a step that the cache has not is said to *run*, and what its
//! output decides is *unknown*. Nothing is executed, nothing is mounted, nothing is written.
//!
//! A step that will run gets a key of its own that no record has, so that what stands on it is found to run as well. Where a
//! content decides that nobody can know yet, the step is undecided only if some content could still lead to a record;
//! otherwise it runs whatever comes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use super::error::SolveError;
use super::foresee_trace::Outlook;
use super::probe::LinkUse;
use super::twins::{Made, Maker};
use super::{Keys, Mode, Solver, guard};
use crate::engine::cache::preimage::traced_digest;
use crate::engine::cache::{Content, KeyId, Link};
use crate::engine::context::Entry;
use crate::engine::event::{BuildEvent, Dependence, Outcome, Verdict, VertexId};
use crate::engine::graph::{Counts, Edge, SourceRef, Vertex};
use crate::engine::oci::LayerId;
use crate::engine::reads::CacheUse;
use crate::engine::verdict::HitReason;
use crate::ground::digest::Digest;

/// How sure the keys of a step are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Fate {
    /// They are its keys.
    #[default]
    Known,
    /// It will run, or a recorded run will stand in for it: its key is new.
    Runs,
    /// They are all keys that it may have if it does not run.
    Open(Dependence),
}

/// Lists of files by name, kept from plan to plan: reading a long one takes longer than the plan itself.
pub type Lists = Arc<Mutex<BTreeMap<Digest, Arc<[Entry]>>>>;

/// What was found out beside the keys.
#[derive(Default)]
pub(super) struct Foreseen {
    lists: Lists,
    /// Names of the lists that this plan looked at.
    used: Mutex<BTreeSet<Digest>>,
    /// Steps that will or may run, in the order of the plan.
    pub(super) makers: Mutex<Vec<Maker>>,
    /// Steps for which a recorded run will stand in, and the layer that it gives.
    pub(super) stand_ins: Mutex<Vec<(Maker, Option<LayerId>)>>,
    /// Steps of this plan that will or may run and be watched, by what they run whatever they stand on.
    pub(super) watched: Mutex<BTreeMap<Digest, VertexId>>,
    /// Keys of base images that a build would write down.
    bases: Mutex<BTreeSet<String>>,
    /// Steps whose lost result is needed if something undecided runs.
    perhaps: Mutex<Vec<(VertexId, Dependence)>>,
}

impl Foreseen {
    pub(super) fn new(lists: Lists) -> Self {
        Self { lists, ..Self::default() }
    }

    /// Keeps a list that a build would have written down.
    pub(super) fn keep(&self, name: Digest, list: impl FnOnce() -> Vec<Entry>) {
        guard(&self.used).insert(name);
        guard(&self.lists).entry(name).or_insert_with(|| list().into());
    }

    /// A list, from memory or from the store.
    pub(super) fn list(&self, name: Digest, read: impl FnOnce() -> Option<Vec<Entry>>) -> Option<Arc<[Entry]>> {
        guard(&self.used).insert(name);
        let mut lists = guard(&self.lists);
        if let Some(known) = lists.get(&name) {
            return Some(Arc::clone(known));
        }
        let list: Arc<[Entry]> = read()?.into();
        lists.insert(name, Arc::clone(&list));
        Some(list)
    }
}

impl Solver<'_> {
    pub(super) fn is_foreseeing(&self) -> bool {
        self.state.mode == Mode::Foresee
    }

    /// Keeps no list for the next plan that this one had no use for.
    pub fn forget_unused_lists(&self) {
        let used = guard(&self.state.foreseen.used);
        guard(&self.state.foreseen.lists).retain(|name, _| used.contains(name));
    }

    /// Foresees the whole build. Errors: what would end the build before or instead of a step (a source that does not exist).
    pub fn foresee_all(&self) -> Result<(), SolveError> {
        if let Some(target) = self.graph.target {
            self.keys(target)?;
            self.demand(target)?;
        }
        for (id, on) in std::mem::take(&mut *guard(&self.state.foreseen.perhaps)) {
            self.say_unknown(id, on);
        }
        for vertex in &self.graph.vertices {
            let said = guard(&self.state(vertex.id).said).probed;
            match &vertex.operation {
                None => self.finish(vertex.id, Outcome::Config, None, None, 0),
                // Nobody has to look at it: a step below it is served.
                Some(_) if !said => self.finish(vertex.id, Outcome::Cached, None, None, 0),
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// The keys of a step whose inputs are foreseen.
    pub(super) fn foresee(&self, vertex: &Vertex, exact: &Digest) -> Result<Keys, SolveError> {
        let own = self.own_space(vertex, exact)?;
        if vertex.ignore_cache {
            return self.will_run(vertex, &own);
        }
        for (digest, traced) in self.spaces(vertex, exact)? {
            if let Some(keys) = self.foresee_in(vertex, &digest, traced)? {
                return Ok(keys);
            }
        }
        match self.foresee_trace(vertex)? {
            Outlook::Hit(old) => self.foreseen_stand_in(vertex, exact, &old),
            Outlook::Runs => self.will_run(vertex, &own),
            Outlook::Open(on) => {
                let links = self.links(vertex, LinkUse::Foresee)?;
                let ids = vec![KeyId(format!("foreseen:{}", vertex.id.0))];
                self.open(vertex, ids, on, (&own, &links, &[]))
            }
        }
    }

    /// The keys of a step by the records of one space; none when no record can lead to it.
    fn foresee_in(&self, vertex: &Vertex, digest: &Digest, traced: bool) -> Result<Option<Keys>, SolveError> {
        let mut links = self.links(vertex, LinkUse::Probe)?;
        let how = |how| if traced && self.is_run(vertex) { HitReason::Traced } else { how };
        let of_space = |keys: Option<Keys>| keys.map(|keys| Keys { traced, ..keys });
        let shaky = self.open_input(vertex)?;
        if shaky.is_none()
            && let Some(keys) = self.served(vertex, digest, &links, how(HitReason::Definition))?
        {
            return Ok(of_space(Some(keys)));
        }
        let by_content = self.content_can_decide(vertex, digest, &links)?;
        let free = if by_content { self.fill_contents(vertex, &mut links)? } else { Vec::new() };
        let Some(on) = shaky.or_else(|| free.first().map(|(_, on)| on.clone())) else {
            let content = how(HitReason::Content);
            return Ok(of_space(if by_content { self.served(vertex, digest, &links, content)? } else { None }));
        };
        let bound: Vec<Link> = links.iter().filter(|link| free.iter().all(|(at, _)| *at != link.input)).cloned().collect();
        let mut candidates = self.lookup(vertex, digest, &bound)?;
        if candidates.is_empty() {
            return Ok(None);
        }
        // What no exact record decides may still be a traced hit.
        if !traced && self.cache_use != CacheUse::Exact {
            candidates.extend(self.lookup(vertex, &traced_digest(digest), &bound)?);
        }
        let offered = self.offered(vertex, digest, &bound)?;
        let keys = self.open(vertex, candidates, on, (digest, &links, &free))?;
        Ok(Some(Keys { offered, ..keys }))
    }

    /// What an input depends on whose own keys are not sure.
    fn open_input(&self, vertex: &Vertex) -> Result<Option<Dependence>, SolveError> {
        for id in self.graph.inputs(vertex) {
            if let Fate::Open(_) = self.keys(id)?.fate {
                return Ok(Some(Dependence::Output { vertex: id }));
            }
        }
        Ok(None)
    }

    /// The content of an edge as far as it can be known without running or mounting anything; else what it depends on.
    pub(super) fn foreseen_content(
        &self,
        vertex: &Vertex,
        at: usize,
        edge: &Edge,
    ) -> Result<Result<Content, Dependence>, SolveError> {
        match &edge.source {
            SourceRef::Context(_) | SourceRef::Vertex(None) => self.content(vertex, at).map(Ok),
            SourceRef::Fetched(fetch) => Ok(Err(Dependence::Server { address: fetch.shown() })),
            SourceRef::Vertex(Some(id)) => {
                let output = Dependence::Output { vertex: *id };
                let keys = self.keys(*id)?;
                if keys.fate != Fate::Known {
                    return Ok(Err(output));
                }
                // A build makes a lost result again at this point.
                self.demand(*id)?;
                if self.is_lost(*id) {
                    return Ok(Err(output));
                }
                Ok(self.recorded_content(vertex, at).ok_or(Dependence::Unseen { vertex: *id }))
            }
        }
    }

    /// The keys of a step that no record has: it will run, unless an earlier step of this very plan makes the same.
    fn will_run(&self, vertex: &Vertex, digest: &Digest) -> Result<Keys, SolveError> {
        for id in self.graph.inputs(vertex) {
            self.demand(id)?;
        }
        let mut links = self.links(vertex, LinkUse::Foresee)?;
        // Known already, or an error that ends the build here.
        let free = self.fill_contents(vertex, &mut links)?;
        self.note_ingredients(vertex);
        let withheld = vertex.ignore_cache || self.stands_on_withheld(vertex)?;
        let shaky = self.open_input(vertex)?;
        if shaky.is_none()
            && let Some(ids) = self.merged_in_plan(vertex, digest, &links)
        {
            return Ok(Keys { ids, withheld, fate: Fate::Runs, traced: self.stands_on_traced(vertex)?, ..Keys::default() });
        }
        if let Some(on) = self.perhaps_merged((digest, &links, &free), shaky.as_ref()) {
            let keys = self.open(vertex, Vec::new(), on, (digest, &links, &free))?;
            return Ok(Keys { withheld, ..keys });
        }
        let ids = vec![KeyId(format!("foreseen:{}", vertex.id.0))];
        if let Some(on) = self.stands_in_here(vertex)? {
            return self.open(vertex, ids, on, (digest, &links, &free));
        }
        self.note_maker(vertex, (digest, &links, &free), &ids, None);
        self.note_watched(vertex)?;
        let reasons = self.all_reasons(vertex, &[]);
        self.say_miss(vertex, reasons);
        Ok(Keys { ids, withheld, fate: Fate::Runs, traced: self.stands_on_traced(vertex)?, ..Keys::default() })
    }

    /// Whether an earlier FROM of this plan is of the same image; else this is the first.
    pub(super) fn is_foreseen_twice(&self, key: &KeyId) -> bool {
        !guard(&self.state.foreseen.bases).insert(key.0.clone())
    }

    fn open(&self, vertex: &Vertex, mut ids: Vec<KeyId>, on: Dependence, as_others: Made<'_>) -> Result<Keys, SolveError> {
        // It may also be merged with a step above that runs.
        for id in self.keys_of_alike(as_others) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        for id in self.graph.inputs(vertex) {
            if self.is_lost(id) {
                guard(&self.state.foreseen.perhaps).push((id, on.clone()));
            }
        }
        self.note_ingredients(vertex);
        self.note_maker(vertex, as_others, &ids, Some(on.clone()));
        self.note_watched(vertex)?;
        self.say_unknown(vertex.id, on.clone());
        Ok(Keys { ids, fate: Fate::Open(on), ..Keys::default() })
    }

    /// Somebody needs the result of a step. Where its key is known and its result is gone, it will run again, unless equal
    /// content leads to another result.
    fn demand(&self, id: VertexId) -> Result<(), SolveError> {
        let keys = self.keys(id)?;
        let vertex = self.vertex(id);
        let Some(operation) = &vertex.operation else { return Ok(()) };
        if keys.fate != Fate::Known || keys.has_result() {
            return Ok(());
        }
        if guard(&self.state(id).said).probed {
            return Ok(());
        }
        let digest = crate::engine::cache::preimage::operation_digest(operation);
        let mut links = self.links(vertex, LinkUse::Probe)?;
        let all = self.fill_contents(vertex, &mut links)?.is_empty() && !vertex.edges.is_empty();
        if all
            && let Some(found) = self.served(vertex, &digest, &links, HitReason::Content)?
            && found.has_result()
        {
            return Ok(());
        }
        for input in self.graph.inputs(vertex) {
            self.demand(input)?;
        }
        self.note_ingredients(vertex);
        let mut links = self.links(vertex, LinkUse::Foresee)?;
        let free = self.fill_contents(vertex, &mut links)?;
        if self.merged_in_plan(vertex, &digest, &links).is_none() {
            self.note_maker(vertex, (&digest, &links, &free), &keys.ids, None);
            let reasons = self.miss_reasons(vertex, &keys.ids);
            self.say_miss(vertex, reasons);
        }
        Ok(())
    }

    /// Whether the result of a step is gone whose key is known.
    fn is_lost(&self, id: VertexId) -> bool {
        let lost = matches!(self.keys(id), Ok(Keys { fate: Fate::Known, loadable: None, imported: None, .. }));
        lost && self.vertex(id).operation.is_some()
    }

    fn say_unknown(&self, id: VertexId, on: Dependence) {
        let mut said = guard(&self.state(id).said);
        if said.probed {
            return;
        }
        said.probed = true;
        drop(said);
        self.speaker.say(BuildEvent::CacheProbed { vertex: id, verdict: Verdict::Unknown { on } });
    }
}

pub(super) fn content_edges(vertex: &Vertex) -> impl Iterator<Item = (usize, &Edge)> {
    vertex.edges.iter().enumerate().filter(|(_, edge)| edge.counts == Counts::Content)
}
