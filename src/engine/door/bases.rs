//! Where base images come from: a named build context, the store, a daemon of this machine, a registry.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::error::EngineError;
use super::sources::{Remote, is_whole, stored_name};
use crate::engine::graph::fetch::elsewhere;
use crate::engine::graph::lower::{BaseError, Bases};
use crate::engine::graph::{BaseLayer, Fetch, ResolvedBase, redacted};
use crate::engine::image::{import, layout_image, peek_layout};
use crate::engine::oci::{ImageConfig, Platform, Reference};
use crate::engine::store::Store;
use crate::engine::store::image::{DAEMON_PREFIX, ImageRecord};
use crate::ground::fs::{AtomicFile, PathResultExt};
use crate::ground::hint::Hint;

/// `--build-context NAME=...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedContext {
    /// A directory.
    Directory(PathBuf),
    /// An OCI image layout; tag or digest where it holds several images.
    Layout(PathBuf, Option<String>),
    /// Another image.
    Image(String),
    /// A git repository, or an archive of a server.
    Elsewhere(Fetch),
}

impl NamedContext {
    /// What has to be fetched for it.
    pub fn fetch(&self) -> Option<&Fetch> {
        match self {
            Self::Elsewhere(fetch) => Some(fetch),
            Self::Directory(_) | Self::Layout(..) | Self::Image(_) => None,
        }
    }

    /// Reads the value of `--build-context`: `oci-layout://PATH[:TAG|@DIGEST]`, `docker-image://NAME`, a URL, a git repository or
    /// a directory. Errors: the message.
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
        if let Some(name) = text.strip_prefix("docker-image://") {
            return Reference::parse(name).map(|_| Self::Image(name.to_owned())).map_err(|e| e.to_string());
        }
        let shown = || redacted(&text.chars().take(120).collect::<String>()).escape_debug().to_string();
        if text.starts_with("target:") {
            return Err(format!(
                "`{}` names a target, which only bake files have: name the stage in the Dockerfile",
                shown()
            ));
        }
        let local = std::path::Path::new(text).is_dir();
        if let Some(fetch) = elsewhere(text).map_err(|why| format!("`{}`: {why}", shown()))?.filter(|_| !local) {
            return Ok(Self::Elsewhere(fetch));
        }
        if text.contains("://") {
            let there_is =
                "give a directory, oci-layout://PATH, docker-image://NAME, the URL of an archive or a git repository";
            return Err(format!("`{}` is no context: {there_is}", shown()));
        }
        Ok(Self::Directory(text.into()))
    }
}

/// Resolves names for one build.
pub(in crate::engine) struct Resolver<'a> {
    pub store: &'a Store,
    pub named: &'a BTreeMap<String, NamedContext>,
    /// None where nothing but the store may be asked, as for a forecast.
    pub remote: Option<&'a Remote<'a>>,
}

impl Bases for Resolver<'_> {
    fn resolve(&mut self, name: &str, platform: &Platform, strict: bool) -> Result<ResolvedBase, BaseError> {
        let parse = |name: &str| {
            Reference::parse(name).map_err(|e| BaseError { message: e.to_string(), hint: None, environment: false })
        };
        let reference = parse(name)?;
        let full = reference.to_string();
        let same = |known: &&String| *known == name || Reference::parse(known).is_ok_and(|r| r.to_string() == full);
        match self.named.keys().find(same).and_then(|key| self.named.get(key)) {
            // A forecast writes nothing: its layers are those of the file until a build brings them in.
            Some(NamedContext::Layout(path, wanted)) if self.remote.is_none() => {
                let found = peek_layout(path, wanted.as_deref()).map_err(|e| environment(e.to_string(), e.hint()))?;
                Ok(self.peeked(name, found))
            }
            Some(NamedContext::Layout(path, wanted)) => {
                let record = layout_image(self.store, path, wanted.as_deref());
                self.base(name, &record.map_err(|e| environment(e.to_string(), e.hint()))?)
            }
            Some(NamedContext::Image(other)) => self.image(other, &parse(other)?, platform, strict),
            _ => self.image(name, &reference, platform, strict),
        }
    }
}

fn environment(message: String, hint: Option<String>) -> BaseError {
    BaseError { message, hint, environment: true }
}

impl Resolver<'_> {
    /// The store first, unless `--pull` asks for what a tag means now; then a daemon, then the registry.
    fn image(
        &self,
        name: &str,
        reference: &Reference,
        platform: &Platform,
        strict: bool,
    ) -> Result<ResolvedBase, BaseError> {
        let pull = reference.digest.is_none() && self.remote.is_some_and(|remote| remote.pull);
        let stored = self.stored(reference, platform, strict)?;
        if let Some(record) = stored.as_ref().filter(|_| !pull) {
            // Whatever is damaged is named, not fetched behind the user's back, where nothing else can be asked.
            if self.remote.is_none() || is_whole(self.store, record) {
                return self.base(name, record);
            }
        }
        let Some(remote) = self.remote else { return Err(self.unknown(name, reference)) };
        if !pull && let Some(record) = self.of_daemon(remote, name, reference)? {
            return self.base(name, &record);
        }
        let pulled = remote.pull(self.store, reference, platform);
        let found = pulled.map_err(|error| self.not_pulled(name, reference, error, stored.is_some()))?;
        for note in &found.notes {
            (remote.report)(note, 0, None);
        }
        self.base(name, &found.record)
    }

    /// The image of the store under this very name, or under this very digest.
    fn stored(&self, reference: &Reference, platform: &Platform, strict: bool) -> Result<Option<ImageRecord>, BaseError> {
        let fail = |e: crate::engine::store::StoreError| environment(e.to_string(), e.hint());
        if let Some(found) = self.store.index.image(&stored_name(reference, platform)).map_err(fail)? {
            return Ok(Some(found));
        }
        let fits = |record: &ImageRecord| !strict || self.platform(record).is_some_and(|own| platform.runs(&own).is_some());
        let full = self.store.index.image(&reference.to_string()).map_err(fail)?;
        if let Some(found) = full.filter(fits) {
            return Ok(Some(found));
        }
        let Some(digest) = reference.digest else { return Ok(None) };
        let all = self.store.index.images().map_err(fail)?;
        let is_it = |record: &ImageRecord| record.manifest == digest && record.manifest != record.id && fits(record);
        Ok(all.into_iter().map(|(_, record, _)| record).find(is_it))
    }

    fn platform(&self, record: &ImageRecord) -> Option<Platform> {
        let bytes = self.store.content.read(&record.id, 8 << 20).ok()?;
        let config: ImageConfig = serde_json::from_slice(&bytes).ok()?;
        Some(Platform { os: config.os, architecture: config.architecture, variant: config.variant })
    }

    /// The image that a daemon of this machine has under this name, as it is now. What is fetched is kept under its id.
    fn of_daemon(&self, remote: &Remote<'_>, name: &str, reference: &Reference) -> Result<Option<ImageRecord>, BaseError> {
        // A daemon packs an image anew: its manifest cannot be held against a digest.
        if reference.digest.is_some() {
            return Ok(None);
        }
        let fail = |error: EngineError| {
            let message = format!("the base image `{}` cannot be fetched: {}", name.escape_debug(), error.message);
            environment(message, error.hint)
        };
        let Some(daemon) = remote.daemon() else { return Ok(None) };
        let familiar = reference.familiar();
        let Some(id) = daemon.image_id(&familiar).map_err(fail)? else { return Ok(None) };
        let key = format!("{DAEMON_PREFIX}{id}");
        let known = self.store.index.image(&key).map_err(|e| fail(e.into()))?;
        if let Some(record) = known.filter(|record| is_whole(self.store, record)) {
            return Ok(Some(record));
        }
        (remote.report)(&format!("fetching {familiar} from the daemon at {}", daemon.shown()), 0, None);
        let archive = self.store.layout.root().join("tmp").join(format!("daemon-{}.tar", crate::ground::random_hex(6)));
        let fetch = || -> Result<Option<ImageRecord>, EngineError> {
            let mut file = AtomicFile::create(&archive)?;
            daemon.save(&familiar, &mut file)?;
            file.commit()?;
            let found = import(self.store, &archive);
            std::fs::remove_file(&archive).at("remove", &archive)?;
            let full = reference.to_string();
            let found = found?;
            let picked = found.iter().find(|(known, _)| *known == full).or(found.first());
            let Some((_, record)) = picked else { return Ok(None) };
            self.store.index.put_image(&key, record, super::build::unix_micros() / 1_000_000)?;
            Ok(Some(record.clone()))
        };
        fetch().map_err(fail)
    }

    fn base(&self, name: &str, record: &ImageRecord) -> Result<ResolvedBase, BaseError> {
        let bytes = self.store.content.read(&record.id, 8 << 20).map_err(|e| environment(e.to_string(), e.hint()))?;
        let config: ImageConfig = serde_json::from_slice(&bytes)
            .map_err(|e| environment(format!("the configuration of `{name}` is malformed: {e}"), None))?;
        let mut layers = Vec::new();
        for layer in &record.layers {
            let at_hand = |d: &crate::engine::oci::Descriptor| self.store.content.contains(&d.digest);
            let blob = layer.blob.clone().filter(at_hand).map(|d| (d.clone(), self.store.content.path(&d.digest)));
            if blob.is_none() && !self.store.layout.layer(&layer.layer).exists() {
                let message = format!("the image `{name}` misses the layer {}", layer.diff_id.short());
                return Err(environment(message, Some("load, pull or build the image again".into())));
            }
            layers.push(BaseLayer { layer: layer.layer.clone(), diff_id: layer.diff_id, blob });
        }
        Ok(ResolvedBase { image: name.to_owned(), manifest: record.manifest, config, layers })
    }

    fn peeked(&self, name: &str, (record, config): (ImageRecord, ImageConfig)) -> ResolvedBase {
        let layer = |layer: crate::engine::store::image::ImageLayer| {
            let blob = layer.blob.map(|blob| (blob.clone(), self.store.content.path(&blob.digest)));
            BaseLayer { layer: layer.layer, diff_id: layer.diff_id, blob }
        };
        let layers = record.layers.into_iter().map(layer).collect();
        ResolvedBase { image: name.to_owned(), manifest: record.manifest, config, layers }
    }

    fn not_pulled(&self, name: &str, reference: &Reference, error: EngineError, is_stored: bool) -> BaseError {
        let message = format!("the base image `{}` cannot be pulled: {}", name.escape_debug(), error.message);
        let hint = if is_stored {
            format!(
                "{}the store has an older one: leave --pull out to use it",
                error.hint.map(|h| h + "; ").unwrap_or_default()
            )
        } else {
            let others = self.same_name(reference);
            let others = if others.is_empty() { others } else { format!("the store has {others}; or ") };
            let first = error.hint.map(|hint| hint + "; ").unwrap_or_default();
            format!("{first}{others}{}", provide(name))
        };
        environment(message, Some(hint))
    }

    fn unknown(&self, name: &str, reference: &Reference) -> BaseError {
        let others = self.same_name(reference);
        let others = if others.is_empty() { others } else { format!("the store has {others}; or ") };
        let message = format!("the base image `{}` is not in the store", name.escape_debug());
        environment(message, Some(format!("{others}a build pulls it; without network, {}", provide(name))))
    }

    /// Images of the store with the same name and another tag.
    fn same_name(&self, reference: &Reference) -> String {
        let images = self.store.index.images().unwrap_or_default();
        let parsed = images.iter().filter_map(|(known, ..)| Reference::parse(known).ok());
        let same: Vec<String> = parsed.filter(|r| r.path == reference.path).map(|r| format!("`{}`", r.familiar())).collect();
        same.join(", ")
    }
}

fn provide(name: &str) -> String {
    format!(
        "provide it: `rbuild-tui image load PATH` for an OCI layout or a `docker save` archive, or --build-context {name}=oci-layout://PATH"
    )
}
