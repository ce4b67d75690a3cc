//! Where images come from that are not in the store, and where they go: registries, and a docker or podman daemon.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::daemon::Daemon;
use super::error::{EngineError, ErrorKind};
use crate::engine::image::Packaging;
use crate::engine::image::export::packed_manifest;
use crate::engine::image::layer::Form;
use crate::engine::oci::{Descriptor, Manifest, Platform, Reference, media_type};
use crate::engine::protocol::Compression;
use crate::engine::registry::{PushImage, RegistryClient, RegistryError, RegistrySettings, Report};
use crate::engine::store::{ImageRecord, Store};
use crate::engine::worker::Worker;
use crate::ground::cancel::CancelToken;
use crate::ground::digest::Digest;
use crate::ground::hint::Hint;

/// What is outside of the store.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// How registries are asked.
    pub registry: Arc<RegistrySettings>,
    /// How git is started.
    pub git: crate::engine::fetch::GitSettings,
    /// Sockets of daemons, in the order in which they are tried.
    pub daemons: Vec<PathBuf>,
    /// DOCKER_HOST, when it is no socket of this machine: it cannot be used, and is named then.
    pub unusable_daemon: Option<String>,
}

/// A conversation with what is outside, for one build or command.
pub struct Remote<'a> {
    /// What is outside.
    pub sources: &'a Sources,
    /// Ends it.
    pub cancel: CancelToken,
    /// Hears of transfers.
    pub report: Report<'a>,
    /// `--pull`: registries are asked before the store.
    pub pull: bool,
    client: OnceLock<RegistryClient>,
}

impl<'a> Remote<'a> {
    /// Nothing is asked yet.
    pub fn new(sources: &'a Sources, cancel: CancelToken, report: Report<'a>, pull: bool) -> Self {
        Self { sources, cancel, report, pull, client: OnceLock::new() }
    }

    /// The registry client, with connections and logins of the whole conversation.
    pub fn client(&self) -> &RegistryClient {
        self.client.get_or_init(|| {
            let cancel = self.cancel.clone();
            RegistryClient::new(Arc::clone(&self.sources.registry), Arc::new(move || cancel.is_cancelled()))
        })
    }

    /// The first daemon that answers.
    pub fn daemon(&self) -> Option<Daemon> {
        self.sources.daemons.iter().find_map(|socket| Daemon::find(socket, self.cancel.clone()))
    }

    /// Pulls an image and names it in the store. Returns its full name, its record, and what is odd about it.
    ///
    /// # Errors
    /// Everything of [`RegistryClient::pull`].
    pub fn pull(&self, store: &Store, reference: &Reference, platform: &Platform) -> Result<Found, EngineError> {
        let shown = reference.familiar();
        (self.report)(&format!("resolving {shown}"), 0, None);
        let resolved = self.client().resolve(reference, platform)?;
        (self.report)(&format!("resolved {shown} to {}", resolved.digest), 1, Some(1));
        let name = stored_name(reference, platform);
        let here = store.index.image(&name)?.filter(|record| record.manifest == resolved.manifest_digest);
        if let Some(record) = here.filter(|record| is_whole(store, record)) {
            return Ok(Found { name, record, digest: resolved.digest, notes: Vec::new() });
        }
        let pulled = self.client().fetch(store, reference, &resolved, platform, self.report)?;
        store.index.put_image(&name, &pulled.record, super::build::unix_micros() / 1_000_000)?;
        Ok(Found { name, record: pulled.record, digest: pulled.digest, notes: pulled.notes })
    }

    /// Pushes an image of the store. What was pulled goes out byte by byte as it came; what was built is compressed first.
    ///
    /// # Errors
    /// Everything of [`RegistryClient::push`]; a layer that cannot be written.
    pub fn push(&self, store: &Store, worker: &Worker, image: &ToPush<'_>) -> Result<(Digest, u64), EngineError> {
        let packaging = image.packaging;
        let as_it_is = !packaging.force && packaging.annotations.is_empty();
        let came = if as_it_is { as_it_came(store, image.record) } else { None };
        let (bytes, manifest) = match came {
            Some(found) => found,
            None => {
                (self.report)(&format!("compressing {}", image.reference.familiar()), 0, None);
                let config = store.content.read(&image.record.id, 8 << 20)?;
                let compression = packaging.compression.unwrap_or(Compression::Gzip);
                let form = Form { compression, level: packaging.level, clamp_times: image.clamp_times };
                packed_manifest(store, worker, image.record, &config, (form, packaging))?
            }
        };
        let size = manifest.layers.iter().map(|layer| layer.size).sum();
        let kind = manifest.media_type.clone().unwrap_or_else(|| media_type::MANIFEST.to_owned());
        let push = PushImage {
            manifest: bytes,
            media_type: kind,
            config: manifest.config,
            layers: manifest.layers,
            mount_from: image.mount_from.clone(),
        };
        Ok((self.client().push(store, image.reference, &push, self.report)?, size))
    }

    /// The daemon for `--load`. Errors: none answers.
    pub fn loader(&self) -> Result<Daemon, EngineError> {
        self.daemon().ok_or_else(|| {
            let tried: Vec<String> =
                self.sources.daemons.iter().map(|p| format!("`{}`", p.display().to_string().escape_debug())).collect();
            let (message, hint) = match &self.sources.unusable_daemon {
                Some(host) => (
                    format!("the docker daemon at `{}` cannot be reached", host.escape_debug()),
                    "set DOCKER_HOST to unix:///PATH",
                ),
                None if tried.is_empty() => ("no docker daemon is known".to_owned(), "set DOCKER_HOST to unix:///PATH"),
                None => (
                    format!("no docker daemon answers at {}", tried.join(" or ")),
                    "start it, set DOCKER_HOST, or write a file with -o type=docker,dest=FILE and load that",
                ),
            };
            EngineError::environment(message, Some(hint.into()))
        })
    }
}

/// An image that was pulled.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its name in the store.
    pub name: String,
    /// Its record.
    pub record: ImageRecord,
    /// Digest of what the name stood for.
    pub digest: Digest,
    /// What is odd about it.
    pub notes: Vec<String>,
}

/// An image on its way out.
pub struct ToPush<'a> {
    /// Under which name.
    pub reference: &'a Reference,
    /// What.
    pub record: &'a ImageRecord,
    /// Rewritten timestamps.
    pub clamp_times: Option<u64>,
    /// How layers are packed, and annotations.
    pub packaging: &'a Packaging,
    /// A repository of the same registry that has the base's layers.
    pub mount_from: Option<String>,
}

/// The manifest that an image came with, if it and all blobs that it names are at hand.
fn as_it_came(store: &Store, record: &ImageRecord) -> Option<(Vec<u8>, Manifest)> {
    if record.manifest == record.id {
        return None;
    }
    let bytes = store.content.read(&record.manifest, 4 << 20).ok()?;
    let manifest: Manifest = serde_json::from_slice(&bytes).ok()?;
    let at_hand = |blob: &Descriptor| store.content.contains(&blob.digest);
    (manifest.config.digest == record.id && manifest.layers.iter().all(at_hand)).then_some((bytes, manifest))
}

/// Whether everything that a record names is at hand.
pub(super) fn is_whole(store: &Store, record: &ImageRecord) -> bool {
    let layer = |layer: &crate::engine::store::image::ImageLayer| {
        layer.blob.as_ref().is_some_and(|blob| store.content.contains(&blob.digest))
            || store.layout.layer(&layer.layer).exists()
    };
    store.content.contains(&record.id) && record.layers.iter().all(layer)
}

/// The name of an image in the store: a digest stands without its tag, and a platform other than this machine's is named.
pub(super) fn stored_name(reference: &Reference, platform: &Platform) -> String {
    let tag = reference.tag.clone().filter(|_| reference.digest.is_none());
    let full = Reference { tag, ..reference.clone() }.to_string();
    if *platform == Platform::host() { full } else { format!("{full} {}", platform.text()) }
}

impl From<RegistryError> for EngineError {
    fn from(error: RegistryError) -> Self {
        if error.is_cancelled() {
            return Self { kind: ErrorKind::Cancelled, message: "cancelled".into(), hint: None };
        }
        Self::environment(error.to_string(), error.hint())
    }
}
