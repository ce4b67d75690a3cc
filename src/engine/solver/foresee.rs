//! What a build would do, without doing it: the same probe, but a step that the cache has not is said to *run*, and what its
//! output decides is *unknown*. Nothing is executed, nothing is mounted, nothing is written.
//!
//! A step that will run gets a key of its own that no record has, so that what stands on it is found to run as well. Where a
//! content decides that nobody can know yet, the step is undecided only if some content could still lead to a record;
//! otherwise it runs whatever comes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use super::error::SolveError;
use super::execute::lock_name;
use super::probe::LinkUse;
use super::{Keys, Mode, Solver, guard};
use crate::engine::cache::{Content, KeyId, Link};
use crate::engine::context::Entry;
use crate::engine::event::{BuildEvent, Dependence, Outcome, Verdict, VertexId};
use crate::engine::graph::{Counts, Edge, SourceRef, Vertex};
use crate::engine::verdict::HitReason;
use crate::ground::digest::Digest;

/// How sure the keys of a step are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Fate {
    /// They are its keys.
    #[default]
    Known,
    /// It will run; its key is new.
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
    /// By the name of the step's lock: which step makes that result first.
    made: Mutex<BTreeMap<String, VertexId>>,
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
    pub(super) fn foresee(&self, vertex: &Vertex, digest: &Digest) -> Result<Keys, SolveError> {
        let mut links = self.links(vertex, LinkUse::Probe)?;
        if vertex.ignore_cache {
            return self.will_run(vertex, digest, &links);
        }
        let shaky = self.open_input(vertex)?;
        if shaky.is_none()
            && let Some(keys) = self.served(vertex, digest, &links, HitReason::Definition)?
        {
            return Ok(keys);
        }
        let by_content = self.content_can_decide(vertex, digest, &links)?;
        let mut free = Vec::new();
        if by_content {
            for (at, edge) in content_edges(vertex) {
                match self.foreseen_content(vertex, at, edge)? {
                    Ok(content) => links[at + 1].content = Some(KeyId::root(&content.digest)),
                    Err(dependence) => free.push((at as u32 + 1, dependence)),
                }
            }
        }
        let Some(on) = shaky.or_else(|| free.first().map(|(_, on)| on.clone())) else {
            let served = if by_content { self.served(vertex, digest, &links, HitReason::Content)? } else { None };
            return served.map_or_else(|| self.will_run(vertex, digest, &links), Ok);
        };
        let bound: Vec<Link> = links.iter().filter(|link| free.iter().all(|(at, _)| *at != link.input)).cloned().collect();
        let candidates = self.lookup(vertex, digest, &bound)?;
        if candidates.is_empty() {
            return self.will_run(vertex, digest, &links);
        }
        let offered = self.offered(vertex, digest, &bound)?;
        Ok(Keys { offered, ..self.open(vertex, candidates, on)? })
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
    fn foreseen_content(&self, vertex: &Vertex, at: usize, edge: &Edge) -> Result<Result<Content, Dependence>, SolveError> {
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
                match self.state_of(*id) {
                    Outlook::Lost => Ok(Err(output)),
                    Outlook::There => Ok(self.recorded_content(vertex, at).ok_or(Dependence::Unseen { vertex: *id })),
                }
            }
        }
    }

    fn will_run(&self, vertex: &Vertex, digest: &Digest, links: &[Link]) -> Result<Keys, SolveError> {
        for id in self.graph.inputs(vertex) {
            self.demand(id)?;
        }
        for (at, edge) in content_edges(vertex) {
            // Known already, or an error that ends the build here.
            let _ = self.foreseen_content(vertex, at, edge)?;
        }
        self.note_ingredients(vertex);
        let name = lock_name(digest, links);
        let ids = vec![KeyId(format!("foreseen:{name}"))];
        let withheld = vertex.ignore_cache || self.stands_on_withheld(vertex)?;
        let twin = guard(&self.state.foreseen.made).insert(name, vertex.id);
        match twin {
            Some(twin) => {
                let cause = self.cause(twin);
                let mut said = guard(&self.state(vertex.id).said);
                (said.probed, said.cause) = (true, cause);
                drop(said);
                let verdict = Verdict::Hit { how: HitReason::Merged, from: None };
                self.speaker.say(BuildEvent::CacheProbed { vertex: vertex.id, verdict });
                self.finish(vertex.id, Outcome::Cached, None, None, 0);
            }
            None => {
                let reasons = self.miss_reasons(vertex, &[]);
                self.say_miss(vertex, reasons);
            }
        }
        Ok(Keys { ids, withheld, fate: Fate::Runs, ..Keys::default() })
    }

    /// Whether an earlier step of this plan makes the same; else this is the first.
    pub(super) fn is_foreseen_twice(&self, key: &KeyId, vertex: &Vertex) -> bool {
        guard(&self.state.foreseen.made).insert(key.0.clone(), vertex.id).is_some()
    }

    fn open(&self, vertex: &Vertex, ids: Vec<KeyId>, on: Dependence) -> Result<Keys, SolveError> {
        for id in self.graph.inputs(vertex) {
            if matches!(self.state_of(id), Outlook::Lost) {
                guard(&self.state.foreseen.perhaps).push((id, on.clone()));
            }
        }
        self.note_ingredients(vertex);
        self.say_unknown(vertex.id, on.clone());
        Ok(Keys { ids, fate: Fate::Open(on), ..Keys::default() })
    }

    /// Somebody needs the result of a step. Where its key is known and its result is gone, it will run again, unless equal
    /// content leads to another result.
    fn demand(&self, id: VertexId) -> Result<(), SolveError> {
        let keys = self.keys(id)?;
        let vertex = self.vertex(id);
        if keys.fate != Fate::Known || keys.has_result() || vertex.operation.is_none() {
            return Ok(());
        }
        if guard(&self.state(id).said).probed {
            return Ok(());
        }
        if let Some(operation) = &vertex.operation {
            let digest = crate::engine::cache::preimage::operation_digest(operation);
            let mut links = self.links(vertex, LinkUse::Probe)?;
            let mut all = !vertex.edges.is_empty();
            for (at, edge) in content_edges(vertex) {
                match self.foreseen_content(vertex, at, edge)? {
                    Ok(content) => links[at + 1].content = Some(KeyId::root(&content.digest)),
                    Err(_) => all = false,
                }
            }
            if all
                && let Some(found) = self.served(vertex, &digest, &links, HitReason::Content)?
                && found.has_result()
            {
                return Ok(());
            }
        }
        for input in self.graph.inputs(vertex) {
            self.demand(input)?;
        }
        self.note_ingredients(vertex);
        let reasons = self.miss_reasons(vertex, &keys.ids);
        self.say_miss(vertex, reasons);
        Ok(())
    }

    /// Whether the result of a step that is not going to run is at hand.
    fn state_of(&self, id: VertexId) -> Outlook {
        match self.keys(id) {
            Ok(Keys { fate: Fate::Known, loadable: None, imported: None, .. }) if self.vertex(id).operation.is_some() => {
                Outlook::Lost
            }
            _ => Outlook::There,
        }
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

/// Whether a known result can be loaded.
enum Outlook {
    There,
    Lost,
}

fn content_edges(vertex: &Vertex) -> impl Iterator<Item = (usize, &Edge)> {
    vertex.edges.iter().enumerate().filter(|(_, edge)| edge.counts == Counts::Content)
}
