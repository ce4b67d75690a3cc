//! Results of caches that were brought in. A step that such a cache has is decided by its keys alone; its layers come into the
//! store when something needs them, and with them its record and those of the steps that it stands on.
//!
//! Source: BuildKit `solver/combinedcache.go` (`Load` saves what it loaded, with its parents, in the store's own cache) and
//! `cache/remotecache/v1/cachestorage.go` (`LoadWithParents`: parents are those whose layers are among the result's).

use super::error::{FailureSource, SolveError};
use super::probe::LinkUse;
use super::{Keys, Solver, guard};
use crate::engine::cache::links::{Link, Saved};
use crate::engine::cache::preimage::operation_digest;
use crate::engine::cache::{KeyId, ResultId, StepResult};
use crate::engine::event::{BuildEvent, LayerStat, Outcome, Verdict};
use crate::engine::exchange::import::{is_imported, is_offered, new_key};
use crate::engine::exchange::{ImportedLayer, ImportedResult, Lack};
use crate::engine::graph::{BaseLayer, Vertex};
use crate::engine::image::layer::{ImageError, adopt_blob, measure};
use crate::engine::oci::{LayerId, Packing, chain_ids};
use crate::engine::protocol::{Compression, Reply, Request};
use crate::engine::verdict::{HitReason, MissReason};
use crate::ground::digest::Digest;
use crate::ground::hint::Hint;

/// A layer that is in its place, or why its cache cannot give it.
type Placed = Result<LayerStat, String>;

impl Solver<'_> {
    /// Says that a cache gave a step; once.
    pub(super) fn say_imported(&self, vertex: &Vertex, imported: &ImportedResult, stat: Option<LayerStat>) {
        let mut said = guard(&self.state(vertex.id).said);
        if said.probed {
            return;
        }
        said.probed = true;
        drop(said);
        let from = Some(self.imports.shown(imported).to_owned());
        let verdict = Verdict::Hit { how: HitReason::Imported, from };
        self.speaker.say(BuildEvent::CacheProbed { vertex: vertex.id, verdict });
        let (created, micros) = (imported.created, imported.micros);
        let result =
            StepResult { id: ResultId(String::new()), layers: Vec::new(), created, micros, stat: LayerStat::default() };
        self.say_doubts(vertex, &result);
        self.finish(vertex.id, Outcome::Cached, stat, None, micros);
    }

    /// Says of all steps that a cache has, and that nothing needed, that it has them.
    pub(super) fn say_unneeded(&self) {
        for vertex in &self.graph.vertices {
            let keys = guard(&self.state(vertex.id).keys).clone();
            if let Some(Ok(Keys { imported: Some(imported), .. })) = keys {
                self.say_imported(vertex, &imported, None);
            }
        }
    }

    /// The result of a step from whatever cache has it. None: no cache can give it, so it has to be made.
    pub(super) fn import(&self, vertex: &Vertex, keys: &Keys) -> Result<Option<StepResult>, SolveError> {
        if self.imports.is_empty() || self.is_foreseeing() {
            return Ok(None);
        }
        let _one_at_a_time = guard(&self.state.importing);
        // Somebody who needed a step that stands on this one may have brought it in meanwhile.
        let ids: Vec<KeyId> = keys.ids.iter().cloned().chain(self.stored(&keys.ids)).collect();
        if let Some(result) = self.loadable(vertex, &ids)? {
            return Ok(Some(result));
        }
        while let Some(imported) = self.imports.result(&keys.offered) {
            if let Some(result) = self.bring_in(vertex, &imported)? {
                return Ok(Some(result));
            }
        }
        Ok(None)
    }

    /// Brings all layers of a result in, then its record. None: its cache is damaged, which was said.
    fn bring_in(&self, vertex: &Vertex, imported: &ImportedResult) -> Result<Option<StepResult>, SolveError> {
        let base = self.base_layers(vertex);
        let diff_ids: Vec<Digest> = base.iter().map(|layer| layer.diff_id).collect();
        if diff_ids != imported.base {
            self.give_up(imported, &imported.layers, "it stands on another base than its keys say");
            return Ok(None);
        }
        let own = imported.layers.iter().map(|layer| layer.diff_id);
        let chain = chain_ids(&diff_ids.iter().copied().chain(own).collect::<Vec<_>>());
        let mut layers: Vec<LayerId> = base.iter().map(|layer| layer.layer.clone()).collect();
        for id in &chain[base.len()..] {
            // As layers of a base: the same stack has one name, wherever it comes from.
            let name = format!("import-{}", id.hex()).parse();
            layers.push(name.map_err(|error| SolveError::environment(&self.speaker.file, vertex, error, None))?);
        }
        self.note(vertex, layers.iter().map(LayerId::as_str))?;
        self.unpack(vertex, &layers[..base.len()])?;
        let mut stats = Vec::new();
        for (at, layer) in imported.layers.iter().enumerate() {
            self.check_cancelled(vertex.id)?;
            let (what, total) =
                (format!("fetching from {}", self.imports.shown(imported)), Some(imported.layers.len() as u64));
            self.speaker.say(BuildEvent::Progress { vertex: Some(vertex.id), what, done: at as u64, total });
            match self.place_layer(vertex, imported, layer, &layers[..base.len() + at + 1])? {
                Ok(stat) => stats.push(stat),
                Err(why) => {
                    self.give_up(imported, std::slice::from_ref(layer), &why);
                    return Ok(None);
                }
            }
        }
        self.record_imported(vertex, imported, &layers, &stats).map(Some)
    }

    fn base_layers(&self, vertex: &Vertex) -> Vec<BaseLayer> {
        let mut next = Some(vertex);
        while let Some(vertex) = next {
            if let Some(base) = vertex.base.and_then(|at| self.graph.bases.get(at)) {
                return base.layers.clone();
            }
            next = vertex.parent.map(|id| self.vertex(id));
        }
        Vec::new()
    }

    /// DiffIDs of the base that a step's result stands on: its lowest layers.
    pub(super) fn base_diff_ids(&self, vertex: &Vertex) -> Vec<Digest> {
        self.base_layers(vertex).iter().map(|layer| layer.diff_id).collect()
    }

    fn give_up(&self, imported: &ImportedResult, layers: &[ImportedLayer], why: &str) {
        for layer in layers {
            self.imports.give_up(imported, layer, why.to_owned());
        }
        let text = format!(
            "warning: the cache at `{}` {why}; what cannot be taken from it is built",
            self.imports.shown(imported).escape_debug()
        );
        self.speaker.say(BuildEvent::Diagnosed { text, error: false, line: 0 });
    }

    /// Makes the last of `layers` out of its blob, unless it is there. What was unpacked is packed again before it counts: a
    /// tar of other makers would not be the layer that the store says it is.
    fn place_layer(
        &self,
        vertex: &Vertex,
        imported: &ImportedResult,
        layer: &ImportedLayer,
        layers: &[LayerId],
    ) -> Result<Placed, SolveError> {
        let Some((id, parents)) = layers.split_last() else { return Ok(Err("has no layers".into())) };
        let fail = |error| SolveError::store(&self.speaker.file, vertex, &error);
        let was_there = self.store.layout.layer(id).exists();
        if !was_there && let Err(why) = self.imports.fetch(self.store, imported, layer).map_err(fail)? {
            return Ok(Err(why));
        }
        let request = Request::Unpack {
            layer: id.clone(),
            parents: parents.to_vec(),
            blob: self.store.content.path(&layer.blob.digest),
            compression: Packing::of(&layer.blob.media_type).map_or(Compression::None, Into::into),
            digest: layer.blob.digest,
            size: layer.blob.size,
            diff_id: layer.diff_id,
        };
        let stat = match self.ask(vertex, request, Vec::new()) {
            Ok(Reply::Layer { stat }) => stat,
            Ok(other) => return Err(self.unexpected(vertex, &other)),
            Err(error) if error.fault == FailureSource::Cancelled => return Err(error),
            // Where the machine cannot do it (an owner that it has no id for), the step itself may do without.
            Err(error) => {
                let cause = error.message.split_once(": ").map_or(error.message.as_str(), |(_, cause)| cause);
                let damaged = if error.fault == FailureSource::User { "is damaged" } else { "cannot be unpacked" };
                return Ok(Err(format!("{damaged}: {cause}")));
            }
        };
        let Some(worker) = self.worker else { return Ok(Err("cannot be unpacked without a worker".into())) };
        let fail = |error: ImageError| SolveError::environment(&self.speaker.file, vertex, &error, error.hint());
        let measured = measure(self.store, worker, id, None).map_err(fail)?;
        if measured.diff_id != layer.diff_id {
            self.ask(vertex, Request::Remove { layers: vec![id.clone()] }, Vec::new())?;
            return Ok(Err("has a layer that another builder packed".into()));
        }
        if self.store.content.contains(&layer.blob.digest) {
            adopt_blob(self.store, id, &layer.diff_id, &layer.blob).map_err(fail)?;
        }
        Ok(Ok(stat))
    }

    /// One transaction: the result, the results of steps above it whose layers are its lower ones, and all links between them.
    fn record_imported(
        &self,
        vertex: &Vertex,
        imported: &ImportedResult,
        layers: &[LayerId],
        stats: &[LayerStat],
    ) -> Result<StepResult, SolveError> {
        let fail = |error| SolveError::store(&self.speaker.file, vertex, &error);
        let depth = layers.len() - stats.len();
        let result_of = |of: &ImportedResult| {
            let length = of.layers.len();
            let diff_ids = |list: &[ImportedLayer]| list.iter().map(|layer| layer.diff_id).collect::<Vec<_>>();
            let lower = imported.layers.get(..length)?;
            (of.base == imported.base && diff_ids(lower) == diff_ids(&of.layers)).then(|| StepResult {
                id: ResultId(crate::ground::random_hex(16)),
                layers: layers[..depth + length].to_vec(),
                created: of.created,
                micros: of.micros,
                stat: stats[..length].last().copied().unwrap_or_default(),
            })
        };
        let (mut saved, mut brought) = (Vec::new(), Vec::new());
        for id in self.standing_on(vertex.id) {
            let (above, keys) = (self.vertex(id), self.keys(id)?);
            // What no cache offers is on record already, or is kept apart: a traced hit.
            let is_offered = above.base.is_none() && !keys.traced && keys.ids.iter().any(is_offered);
            let Some(operation) = above.operation.as_ref().filter(|_| is_offered) else { continue };
            let key = self.key_in_store(&keys.ids, new_key);
            let of = if id == vertex.id { Some(imported.clone()) } else { self.imports.result(&keys.offered) };
            let result = of.as_ref().and_then(&result_of);
            let known = self.cache().load(std::slice::from_ref(&key)).map_err(fail)?;
            let known = result.as_ref().and_then(|result| known.into_iter().find(|known| known.layers == result.layers));
            let links = self.links_of_store(&self.links(above, LinkUse::Probe)?);
            let operation = operation_digest(operation);
            let new = result.clone().filter(|_| known.is_none());
            saved.push(Saved { operation, links, key, result: new });
            brought.extend(known.or(result).zip(of).map(|(result, of)| (id, result, of)));
        }
        self.cache().save_all(&saved).map_err(fail)?;
        let mut own = None;
        for (id, result, of) in brought {
            self.say_imported(self.vertex(id), &of, Some(result.stat));
            if id == vertex.id {
                own = Some(result.clone());
            }
            // A step is decided before those that stand on it: nobody is at this one any more.
            if let Some(Ok(keys)) = guard(&self.state(id).keys).as_mut() {
                keys.loadable.get_or_insert(result);
            }
        }
        own.ok_or_else(|| SolveError::environment(&self.speaker.file, vertex, "a cache gave a step without a key", None))
    }

    /// Links as the store knows them: with its own keys for what caches offer, as far as it has some.
    pub(super) fn links_of_store(&self, links: &[Link]) -> Vec<Link> {
        let of = |link: &Link| {
            let stored = self.stored(&link.definition);
            let own = link.definition.iter().filter(|key| !is_offered(key)).cloned();
            let definition = own.chain(stored.filter(|key| !link.definition.contains(key))).collect();
            Link { definition, ..link.clone() }
        };
        links.iter().map(of).collect()
    }

    /// The key of the store for a step that has these, if this build gave it one.
    fn stored(&self, ids: &[KeyId]) -> Option<KeyId> {
        guard(&self.state.stored).get(&offered_of(ids)).cloned()
    }

    /// The key of the store for a step that has these keys; one is made where it has none, and kept for this build.
    pub(super) fn key_in_store(&self, ids: &[KeyId], make: impl FnOnce() -> KeyId) -> KeyId {
        let own = ids.iter().find(|key| !is_offered(key)).cloned();
        let offered = offered_of(ids);
        match own {
            Some(own) => own,
            None if offered.is_empty() => make(),
            None => guard(&self.state.stored).entry(offered).or_insert_with(make).clone(),
        }
    }

    /// Why the result of a step is not there whose key is known: the store lost it, or a cache came without it.
    pub(super) fn gone(&self, keys: &[KeyId]) -> Vec<MissReason> {
        let collected = self.store.index.collected(keys.iter().map(|key| key.0.as_str())).ok().flatten();
        let lack = self.imports.lack(keys).map(|Lack { cache, mode, damage }| MissReason::NotImported {
            cache,
            mode: mode.word().to_owned(),
            damage,
        });
        let foreign = keys.iter().all(is_imported) && collected.is_none();
        match (foreign, lack) {
            (true, Some(lack)) => vec![lack],
            (true, None) => {
                vec![MissReason::NotImported { cache: String::new(), mode: String::new(), damage: None }]
            }
            (false, lack) => [MissReason::ResultGone { collected }].into_iter().chain(lack).collect(),
        }
    }
}

fn offered_of(ids: &[KeyId]) -> Vec<KeyId> {
    let mut offered: Vec<KeyId> = ids.iter().filter(|key| is_offered(key)).cloned().collect();
    offered.sort();
    offered
}
