//! A cache that was brought in, as a graph of keys beside that of the store.
//!
//! Source of the look-up: BuildKit `solver/combinedcache.go`: every cache is asked for itself, and what they know is put together.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use super::CacheMode;
use super::format::{CacheConfig, CachedInput, CachedResult};
use super::source::{Source, Why};
use crate::engine::cache::{KeyId, Link};
use crate::engine::oci::{Descriptor, Manifest};
use crate::engine::store::{Store, StoreError};
use crate::ground::digest::Digest;

/// The key of an empty file system.
pub const SCRATCH: &str = "scratch";

/// What the names of keys begin with that a cache offers. The store never has them: caches, and builds of other days, may mean
/// other content by them.
const OFFERED: &str = "offered-";

/// What the names of keys begin with under which the store keeps what came from elsewhere. No other key is named so.
const IMPORTED: &str = "imported-";

/// All caches of one build.
#[derive(Default)]
pub struct Imports {
    imports: Vec<Import>,
}

/// One cache.
pub struct Import {
    /// As it was named.
    shown: String,
    source: Source,
    mode: CacheMode,
    layers: Vec<ImportedLayer>,
    /// By place in `layers`: why one cannot be had.
    damage: Mutex<BTreeMap<usize, String>>,
    /// Keys that are reached from a key, through an input, by an operation and a selector.
    links: HashMap<(String, u32, String, Digest), BTreeSet<KeyId>>,
    steps: HashMap<KeyId, Option<CachedResult>>,
}

/// A layer that can be had.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportedLayer {
    /// Of its tar.
    pub diff_id: Digest,
    /// Its blob.
    pub blob: Descriptor,
    /// Its place in its cache.
    place: usize,
}

/// A result that can be had.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportedResult {
    /// DiffIDs of the base that it stands on.
    pub base: Vec<Digest>,
    /// What lies above, lowest first.
    pub layers: Vec<ImportedLayer>,
    /// Microseconds since 1970; not in the future.
    pub created: u64,
    /// Microseconds it took.
    pub micros: u64,
    /// Which of the caches.
    import: usize,
}

/// The keys that every cache has for a step, by its own links alone. Caches may know the same step with other content, where it
/// gave that on the machine that made them: what one of them says of a key is no answer of another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offered(BTreeMap<usize, BTreeSet<KeyId>>);

impl Offered {
    /// Of all caches.
    pub fn keys(&self) -> BTreeSet<KeyId> {
        self.0.values().flatten().cloned().collect()
    }

    /// Of one of them.
    pub fn of(&self, import: usize) -> Vec<KeyId> {
        self.0.get(&import).into_iter().flatten().cloned().collect()
    }
}

impl FromIterator<(usize, BTreeSet<KeyId>)> for Offered {
    fn from_iter<T: IntoIterator<Item = (usize, BTreeSet<KeyId>)>>(found: T) -> Self {
        Self(found.into_iter().filter(|(_, keys)| !keys.is_empty()).collect())
    }
}

/// A step that a cache knows, and whose result it does not give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// The cache.
    pub cache: String,
    /// How it was exported.
    pub mode: CacheMode,
    /// It has the result, but damaged: how.
    pub damage: Option<String>,
}

impl Import {
    /// Reads a cache: its documents are verified, and its layers are looked for. `shown` is how it was named. Errors: why it
    /// cannot be used.
    pub fn read(store: &Store, shown: String, (source, manifest): (Source, Manifest)) -> Result<Self, Why> {
        let config = CacheConfig::parse(&source.config(store, &manifest)?)?;
        if config.layers.len() != manifest.layers.len() {
            let (named, have) = (config.layers.len(), manifest.layers.len());
            return Err(format!("is damaged: its configuration names {named} layers, its manifest {have}"));
        }
        let layer = |(place, (blob, diff_id)): (usize, (Descriptor, Digest))| ImportedLayer { diff_id, blob, place };
        let layers = manifest.layers.into_iter().zip(config.layers).enumerate().map(layer).collect();
        let mut import = Self {
            shown,
            source,
            mode: config.mode,
            layers,
            damage: Mutex::default(),
            links: HashMap::new(),
            steps: HashMap::new(),
        };
        import.look_for_layers();
        let mut names: Vec<KeyId> = Vec::new();
        for step in config.steps {
            let inputs: Vec<Ends> = step.inputs.iter().map(|input| Ends::of(input, &names)).collect();
            let name = name(&step.operation, &inputs);
            for (input, ends) in inputs.into_iter().enumerate() {
                for (parent, selector) in ends.all() {
                    let link = (parent, input as u32, selector, step.operation);
                    import.links.entry(link).or_default().insert(name.clone());
                }
            }
            let known = import.steps.entry(name.clone()).or_default();
            if known.is_none() {
                *known = step.result;
            }
            names.push(name);
        }
        Ok(import)
    }

    fn look_for_layers(&self) {
        let mut damage = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        for layer in &self.layers {
            if let Err(why) = self.source.look(&layer.blob) {
                damage.insert(layer.place, why);
            }
        }
    }

    /// As it was named.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// How it was exported.
    pub fn mode(&self) -> CacheMode {
        self.mode
    }

    /// How many steps it knows, and of how many it has the results.
    pub fn counts(&self) -> (u64, u64) {
        let results = self.steps.values().flatten().filter(|result| self.damage_of(result).is_none());
        (self.steps.len() as u64, results.count() as u64)
    }

    /// What is wrong with its layers: the first finding, and how many there are.
    pub fn damaged(&self) -> Option<(String, usize)> {
        let damage = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        damage.values().next().map(|first| (first.clone(), damage.len()))
    }

    fn damage_of(&self, result: &CachedResult) -> Option<String> {
        let damage = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        result.layers.iter().find_map(|layer| damage.get(layer)).cloned()
    }

    fn children(&self, operation: &Digest, link: &Link) -> BTreeSet<KeyId> {
        let ends = link.definition.iter().map(|key| (key, link.selector.as_str()));
        let ends = ends.chain(link.content.iter().map(|key| (key, "")));
        let reached =
            ends.filter_map(|(key, selector)| self.links.get(&(key.0.clone(), link.input, selector.to_owned(), *operation)));
        reached.flatten().cloned().collect()
    }

    fn candidates(&self, operation: &Digest, links: &[Link]) -> BTreeSet<KeyId> {
        let mut reached = links.iter().map(|link| self.children(operation, link));
        let Some(first) = reached.next() else { return BTreeSet::new() };
        reached.fold(first, |found, other| found.intersection(&other).cloned().collect())
    }

    fn result(&self, import: usize, key: &KeyId) -> Option<ImportedResult> {
        let result = self.steps.get(key)?.as_ref().filter(|result| self.damage_of(result).is_none())?;
        let layers = result.layers.iter().map(|place| self.layers.get(*place).cloned()).collect::<Option<_>>()?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let created = result.created.min(now.map_or(0, |now| now.as_micros() as u64));
        // Nobody waits for a step longer than a month: more would only make sums of times overflow.
        let micros = result.micros.min(31 * 86_400 * 1_000_000);
        Some(ImportedResult { base: result.base.clone(), layers, created, micros, import })
    }
}

/// Whether a key is one that a cache offers, and that the store does not know.
pub fn is_offered(key: &KeyId) -> bool {
    key.0.starts_with(OFFERED)
}

/// Whether a key came from a cache.
pub fn is_imported(key: &KeyId) -> bool {
    is_offered(key) || key.0.starts_with(IMPORTED)
}

/// A new key under which the store keeps what a cache offers.
pub fn new_key() -> KeyId {
    KeyId(format!("{IMPORTED}{}", crate::ground::random_hex(16)))
}

impl Imports {
    /// Nothing was brought in.
    pub fn is_empty(&self) -> bool {
        self.imports.is_empty()
    }

    /// Of these caches, in the order in which they are asked.
    pub fn new(imports: Vec<Import>) -> Self {
        Self { imports }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.imports.len()
    }

    /// The keys of one of the caches that are reachable from all inputs at once.
    pub fn candidates(&self, import: usize, operation: &Digest, links: &[Link]) -> BTreeSet<KeyId> {
        self.imports.get(import).map(|import| import.candidates(operation, links)).unwrap_or_default()
    }

    /// Whether any key of one of the caches leads from this input through `operation` at all.
    pub fn has_child(&self, import: usize, operation: &Digest, link: &Link) -> bool {
        self.imports.get(import).is_some_and(|import| !import.children(operation, link).is_empty())
    }

    /// The newest result of any of these keys, each in the caches that offer it.
    pub fn result(&self, offered: &Offered) -> Option<ImportedResult> {
        let of = |(at, keys): (&usize, &BTreeSet<KeyId>)| {
            let import = self.imports.get(*at)?;
            Some(keys.iter().filter_map(|key| import.result(*at, key)).collect::<Vec<_>>())
        };
        let found = offered.0.iter().filter_map(of).flatten();
        // Of equally old ones the one of the cache that was named first.
        found.min_by_key(|result| (std::cmp::Reverse(result.created), result.import))
    }

    /// A cache that knows any of these keys; asked when none gave a result.
    pub fn lack(&self, keys: &[KeyId]) -> Option<Lack> {
        let of = |import: &Import| {
            let known = keys.iter().find_map(|key| import.steps.get(key))?;
            let damage = known.as_ref().and_then(|result| import.damage_of(result));
            if known.is_some() && damage.is_none() {
                // It has a result, for other content.
                return None;
            }
            Some(Lack { cache: import.shown.clone(), mode: import.mode, damage })
        };
        self.imports.iter().find_map(of)
    }

    /// The cache that a result is in.
    pub fn shown(&self, result: &ImportedResult) -> &str {
        self.imports.get(result.import).map_or("?", |import| import.shown.as_str())
    }

    /// Brings the blob of a layer into the store, verified. Errors: of the store; what is wrong with the cache is its answer.
    pub fn fetch(
        &self,
        store: &Store,
        of: &ImportedResult,
        layer: &ImportedLayer,
    ) -> Result<Result<(), String>, StoreError> {
        let Some(import) = self.imports.get(of.import) else { return Ok(Err("is gone".into())) };
        import.source.fetch(store, &layer.blob)
    }

    /// From now on a layer is not given any more.
    pub fn give_up(&self, of: &ImportedResult, layer: &ImportedLayer, why: String) {
        if let Some(import) = self.imports.get(of.import) {
            import.damage.lock().unwrap_or_else(PoisonError::into_inner).insert(layer.place, why);
        }
    }
}

/// Where one input is reached from.
struct Ends {
    definition: Vec<String>,
    selector: String,
    content: Option<String>,
}

impl Ends {
    fn of(input: &CachedInput, names: &[KeyId]) -> Self {
        let steps = input.steps.iter().filter_map(|step| names.get(*step)).map(|key| key.0.clone());
        let mut definition: Vec<String> = steps.chain(input.roots.iter().cloned()).collect();
        definition.sort();
        definition.dedup();
        let content = input.content.as_ref().map(|content| content.to_string());
        Self { definition, selector: input.selector.clone(), content }
    }

    fn all(self) -> Vec<(String, String)> {
        let Self { definition, selector, content } = self;
        let content = content.map(|key| (key, String::new()));
        definition.into_iter().map(|key| (key, selector.clone())).chain(content).collect()
    }
}

/// A key is named by what it is made of: the same step has the same name from every machine and every export, whether the
/// content of a source was known to it or not.
fn name(operation: &Digest, inputs: &[Ends]) -> KeyId {
    let mut text = operation.to_string();
    for Ends { definition, selector, content } in inputs {
        let content = content.as_ref().filter(|_| definition.is_empty());
        text.push_str(&format!("\n{definition:?} {selector:?} {content:?}"));
    }
    KeyId(format!("{OFFERED}{}", Digest::of(text).hex()))
}
