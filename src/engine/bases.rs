//! Where base images come from: a named build context, then the store.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::graph::lower::{BaseError, Bases};
use super::graph::{BaseLayer, ResolvedBase};
use super::image::layout_image;
use super::oci::{ImageConfig, Reference};
use super::store::Store;
use super::store::image::ImageRecord;
use crate::ground::hint::Hint;

/// `--build-context NAME=...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedContext {
    /// A directory.
    Directory(PathBuf),
    /// An OCI image layout; tag or digest where it holds several images.
    Layout(PathBuf, Option<String>),
}

impl NamedContext {
    /// Reads the value of `--build-context`: `oci-layout://PATH[:TAG|@DIGEST]` or a directory. Errors: the message.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("oci-layout://") {
            if let Some((path, digest)) = rest.split_once("@sha256:") {
                return Ok(Self::Layout(path.into(), Some(format!("sha256:{digest}"))));
            }
            return Ok(match rest.rsplit_once(':') {
                Some((path, tag)) if !tag.contains('/') => Self::Layout(path.into(), Some(tag.to_owned())),
                _ => Self::Layout(rest.into(), None),
            });
        }
        if text.contains("://") || text.starts_with("git@") {
            let text: String = text.chars().take(120).collect();
            return Err(format!("`{}` is not acted on yet: give a directory or oci-layout://PATH", text.escape_debug()));
        }
        Ok(Self::Directory(text.into()))
    }
}

/// Resolves names for one build.
pub(super) struct Resolver<'a> {
    pub store: &'a Store,
    pub named: &'a BTreeMap<String, NamedContext>,
}

impl Bases for Resolver<'_> {
    fn resolve(&mut self, name: &str) -> Result<ResolvedBase, BaseError> {
        let reference =
            Reference::parse(name).map_err(|e| BaseError { message: e.to_string(), hint: None, environment: false })?;
        let full = reference.to_string();
        let same = |known: &&String| *known == name || Reference::parse(known).is_ok_and(|r| r.to_string() == full);
        if let Some(NamedContext::Layout(path, wanted)) = self.named.keys().find(same).and_then(|key| self.named.get(key)) {
            let record = layout_image(self.store, path, wanted.as_deref()).map_err(|e| BaseError {
                message: e.to_string(),
                hint: e.hint(),
                environment: true,
            })?;
            return self.base(name, &record);
        }
        let found = self.store.index.image(&full).map_err(|e| BaseError {
            message: e.to_string(),
            hint: e.hint(),
            environment: true,
        })?;
        match found {
            Some(record) => self.base(name, &record),
            None => Err(self.unknown(name, &full)),
        }
    }
}

impl Resolver<'_> {
    fn base(&self, name: &str, record: &ImageRecord) -> Result<ResolvedBase, BaseError> {
        let environment = |message: String, hint| BaseError { message, hint, environment: true };
        let bytes = self.store.content.read(&record.id, 8 << 20).map_err(|e| environment(e.to_string(), e.hint()))?;
        let config: ImageConfig = serde_json::from_slice(&bytes)
            .map_err(|e| environment(format!("the configuration of `{name}` is malformed: {e}"), None))?;
        let mut layers = Vec::new();
        for layer in &record.layers {
            let at_hand = |d: &super::oci::Descriptor| self.store.content.contains(&d.digest);
            let blob = layer.blob.clone().filter(at_hand).map(|d| (d.clone(), self.store.content.path(&d.digest)));
            if blob.is_none() && !self.store.layout.layer(&layer.layer).exists() {
                let message = format!("the image `{name}` misses the layer {}", layer.diff_id.short());
                return Err(environment(message, Some("load or build the image again".into())));
            }
            layers.push(BaseLayer { layer: layer.layer.clone(), diff_id: layer.diff_id, blob });
        }
        Ok(ResolvedBase { image: name.to_owned(), manifest: record.manifest, config, layers })
    }

    fn unknown(&self, name: &str, full: &str) -> BaseError {
        let images = self.store.index.images().unwrap_or_default();
        let short = |full: &str| Reference::parse(full).map_or_else(|_| full.to_owned(), |r| r.familiar());
        let path = Reference::parse(full).map(|r| r.path).unwrap_or_default();
        let same_name: Vec<String> = images
            .iter()
            .filter(|(known, ..)| Reference::parse(known).is_ok_and(|r| r.path == path))
            .map(|(known, ..)| format!("`{}`", short(known)))
            .collect();
        let mut hint = format!(
            "provide it: `rbuild-tui image load PATH` for an OCI layout or a `docker save` archive, or --build-context {name}=oci-layout://PATH"
        );
        if !same_name.is_empty() {
            hint = format!("the store has {}; or {hint}", same_name.join(", "));
        }
        let message =
            format!("the base image `{}` is not in the store, and registries are not asked yet", name.escape_debug());
        BaseError { message, hint: Some(hint), environment: true }
    }
}
