//! The document of a cache: steps in an order in which inputs come first.

use serde::{Deserialize, Serialize};

use super::{CacheMode, in_short};
use crate::engine::cache::ingredients::KEY_FORMAT;
use crate::ground::digest::Digest;

/// Type of the configuration blob.
pub const CONFIG_TYPE: &str = "application/vnd.rbuild-tui.cache.config.v1+json";

/// The version of [`CacheConfig`] that is written, and the last one that is read.
pub const VERSION: u32 = 1;

/// More of anything is no cache.
const STEP_LIMIT: usize = 100_000;
const INPUT_LIMIT: usize = 1_000;
/// Ways from one step to another; each takes a few hundred bytes of memory.
const LINK_LIMIT: usize = 200_000;
/// So many layers the kernel can stack.
const LAYER_LIMIT: usize = 500;

/// The configuration blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheConfig {
    /// [`VERSION`].
    pub version: u32,
    /// [`KEY_FORMAT`] of the digests of operations in it.
    pub key_format: u32,
    /// How it was exported.
    pub mode: CacheMode,
    /// DiffIDs of the layers of the manifest, in its order.
    pub layers: Vec<Digest>,
    /// Steps; each names only earlier ones.
    pub steps: Vec<CachedStep>,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CachedStep {
    /// Digest of its operation without its inputs.
    pub operation: Digest,
    /// By what it is reached: the parent first.
    pub inputs: Vec<CachedInput>,
    /// None: it is known, and its result is not in this cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<CachedResult>,
}

/// One input of a step, with every way to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CachedInput {
    /// Steps of this document, by place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<usize>,
    /// Keys without inputs: digests, or `scratch`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roots: Vec<String>,
    /// What is selected of the definition; empty for a whole input, else a digest.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub selector: String,
    /// The key of its content, where that counts and was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Digest>,
}

/// A result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CachedResult {
    /// DiffIDs of the base image's layers, which are not in this cache: whoever uses it has the base.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub base: Vec<Digest>,
    /// The layers above, lowest first, by place in `CacheConfig::layers`.
    pub layers: Vec<usize>,
    /// Microseconds since 1970.
    pub created: u64,
    /// Microseconds it took.
    pub micros: u64,
}

/// The part that every version has.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    version: u32,
    #[serde(default)]
    key_format: u32,
}

impl CacheConfig {
    /// Reads a document and checks that all places in it exist. Errors: why it cannot be used, as the end of a sentence that
    /// begins with the cache.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let malformed =
            |error: serde_json::Error| format!("is damaged: its configuration is malformed ({})", in_short(&error));
        let versions: Versions = serde_json::from_slice(bytes).map_err(malformed)?;
        if versions.version != VERSION {
            return Err(format!("is of version {}, and this program reads version {VERSION}", versions.version));
        }
        if versions.key_format != KEY_FORMAT {
            let (found, known) = (versions.key_format, KEY_FORMAT);
            return Err(format!("has keys of version {found}, and this program has keys of version {known}"));
        }
        let config: Self = serde_json::from_slice(bytes).map_err(malformed)?;
        config.check().map_err(|why| format!("is damaged: {why}"))?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if self.steps.len() > STEP_LIMIT || self.layers.len() > STEP_LIMIT {
            return Err(format!("it has more than {STEP_LIMIT} steps or layers"));
        }
        let links = |input: &CachedInput| input.steps.len() + input.roots.len() + 1;
        if self.steps.iter().flat_map(|step| &step.inputs).map(links).sum::<usize>() > LINK_LIMIT {
            return Err(format!("its steps are reached in more than {LINK_LIMIT} ways"));
        }
        for (at, step) in self.steps.iter().enumerate() {
            if step.inputs.is_empty() || step.inputs.len() > INPUT_LIMIT {
                return Err(format!("step {at} has {} inputs", step.inputs.len()));
            }
            step.inputs.iter().try_for_each(|input| input.check(at))?;
            let Some(result) = &step.result else { continue };
            if result.layers.iter().any(|layer| *layer >= self.layers.len()) {
                return Err(format!("step {at} has a layer that is not there"));
            }
            if result.layers.is_empty() || result.layers.len() + result.base.len() > LAYER_LIMIT {
                return Err(format!("step {at} has {} layers", result.layers.len() + result.base.len()));
            }
        }
        Ok(())
    }
}

impl CachedInput {
    fn check(&self, at: usize) -> Result<(), String> {
        let is_digest = |text: &String| text.parse::<Digest>().is_ok();
        if self.steps.iter().any(|step| *step >= at) {
            return Err(format!("step {at} stands on one that does not come before it"));
        }
        if self.steps.len() + self.roots.len() > INPUT_LIMIT {
            return Err(format!("step {at} has too many inputs"));
        }
        let known = |root: &String| root == super::import::SCRATCH || is_digest(root);
        if !self.roots.iter().all(known) || !(self.selector.is_empty() || is_digest(&self.selector)) {
            return Err(format!("step {at} has a key that is none"));
        }
        if self.steps.is_empty() && self.roots.is_empty() && self.content.is_none() {
            return Err(format!("step {at} has an input without a key"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> CacheConfig {
        let input = CachedInput { roots: vec!["scratch".into()], ..CachedInput::default() };
        let result = CachedResult { base: Vec::new(), layers: vec![0], created: 1, micros: 2 };
        CacheConfig {
            version: VERSION,
            key_format: KEY_FORMAT,
            mode: CacheMode::Max,
            layers: vec![Digest::of("tar")],
            steps: vec![CachedStep { operation: Digest::of("op"), inputs: vec![input], result: Some(result) }],
        }
    }

    fn parse(config: &CacheConfig) -> Result<CacheConfig, String> {
        CacheConfig::parse(&serde_json::to_vec(config).unwrap())
    }

    #[test]
    fn what_is_written_is_read_and_what_does_not_fit_is_refused() {
        assert_eq!(parse(&config()).unwrap(), config());
        let broken = |change: fn(&mut CacheConfig)| {
            let mut config = config();
            change(&mut config);
            parse(&config).unwrap_err()
        };
        assert!(broken(|c| c.version = 2).contains("is of version 2"));
        assert!(broken(|c| c.key_format += 1).contains("has keys of version"));
        let damaged: [fn(&mut CacheConfig); 8] = [
            |c| c.steps[0].inputs.clear(),
            |c| c.steps[0].inputs[0].steps.push(0),
            |c| c.steps[0].inputs[0].roots = vec!["../../etc".into()],
            |c| c.steps[0].inputs[0].selector = "x".into(),
            |c| c.steps[0].inputs[0].roots.clear(),
            |c| c.layers.clear(),
            |c| {
                c.steps[0].inputs[0].roots = vec!["scratch".into(); 900];
                c.steps[0].inputs = vec![c.steps[0].inputs[0].clone(); 900];
            },
            |c| c.steps[0].result.as_mut().unwrap().layers = vec![0; 501],
        ];
        for change in damaged {
            assert!(broken(change).contains("is damaged"), "{}", broken(change));
        }
        assert!(CacheConfig::parse(b"{}").unwrap_err().contains("malformed"));
    }

    #[test]
    fn a_later_version_is_told_apart_from_a_damaged_one() {
        let later = br#"{"version":7,"mode":"everything","steps":{}}"#;
        assert!(CacheConfig::parse(later).unwrap_err().contains("is of version 7"));
    }
}
