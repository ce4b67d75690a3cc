//! Blobs into the store: several at a time, resumed where they break, verified to the last byte.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::client::{RegistryClient, Repository};
use super::resolve::{Resolved, malformed, parse};
use super::{RegistryError, Report};
use crate::engine::http::{Download, HttpError, Method, Request, Validator};
use crate::engine::oci::{Descriptor, ImageConfig, Packing, Platform, Reference};
use crate::engine::store::image::ImageRecord;
use crate::engine::store::{Store, StoreError};
use crate::ground::digest::Digester;

const CONFIG_LIMIT: u64 = 8 << 20;
const LAYER_LIMIT: usize = 500;
/// Progress is said so often at most.
pub(super) const SPEAK: Duration = Duration::from_millis(200);

/// An image in the store.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// Its record; the caller names it.
    pub record: ImageRecord,
    /// Digest of what the name stood for.
    pub digest: crate::ground::digest::Digest,
    /// What is odd about it, in words.
    pub notes: Vec<String>,
}

impl RegistryClient {
    /// Resolves and fetches.
    ///
    /// # Errors
    /// As [`Self::resolve`] and [`Self::fetch`].
    pub fn pull(
        &self,
        store: &Store,
        reference: &Reference,
        platform: &Platform,
        report: Report<'_>,
    ) -> Result<Pulled, RegistryError> {
        let resolved = self.resolve(reference, platform)?;
        self.fetch(store, reference, &resolved, platform, report)
    }

    /// Brings configuration and layers into the store. What is there already is not fetched.
    ///
    /// # Errors
    /// A blob that cannot be had or is not what its description says; an image that cannot be used.
    pub fn fetch(
        &self,
        store: &Store,
        reference: &Reference,
        resolved: &Resolved,
        platform: &Platform,
        report: Report<'_>,
    ) -> Result<Pulled, RegistryError> {
        let image = reference.familiar();
        let manifest = &resolved.manifest;
        check_layers(&image, &manifest.layers)?;
        if manifest.config.size > CONFIG_LIMIT {
            return Err(malformed(&image, "has a configuration of more than 8 MiB".into()));
        }
        let transfer = Transfer { client: self, store, repository: &resolved.repository, image: &image, report };
        transfer.blob(&manifest.config, "configuration", &AtomicBool::new(false))?;
        let config_bytes = store.content.read(&manifest.config.digest, CONFIG_LIMIT)?;
        let config: ImageConfig = parse(&image, "configuration", &config_bytes)?;
        // Before gigabytes are fetched for nothing.
        let record =
            ImageRecord::of_blobs(&config, manifest.config.digest, resolved.manifest_digest, manifest.layers.clone());
        let record = record.map_err(|why| malformed(&image, why))?;
        transfer.all(&manifest.layers)?;
        store.content.put_bytes(&resolved.bytes)?;
        let own = Platform { os: config.os, architecture: config.architecture, variant: config.variant };
        let mut notes = Vec::new();
        if platform.runs(&own).is_none() {
            let own = own.text().escape_debug().to_string();
            notes.push(format!("the image `{image}` is for {own}, not for {}", platform.text()));
        }
        Ok(Pulled { record, digest: resolved.digest, notes })
    }
}

impl RegistryClient {
    /// Brings one blob into the store, verified. Does nothing when it is there.
    ///
    /// # Errors
    /// It cannot be had, or is not what its description says.
    pub fn fetch_blob(
        &self,
        store: &Store,
        reference: &Reference,
        repository: &Repository,
        blob: &Descriptor,
        report: Report<'_>,
    ) -> Result<(), RegistryError> {
        let transfer = Transfer { client: self, store, repository, image: &reference.familiar(), report };
        transfer.blob(blob, "blob", &AtomicBool::new(false))
    }
}

fn check_layers(image: &str, layers: &[Descriptor]) -> Result<(), RegistryError> {
    if layers.len() > LAYER_LIMIT {
        return Err(malformed(image, format!("has {} layers, but overlayfs takes {LAYER_LIMIT}", layers.len())));
    }
    match layers.iter().find(|layer| Packing::of(&layer.media_type).is_none()) {
        Some(layer) => {
            let kind: String = layer.media_type.chars().take(100).collect::<String>().escape_debug().to_string();
            Err(malformed(image, format!("has a layer of type `{kind}`, which is not read")))
        }
        None => Ok(()),
    }
}

/// One image on its way in.
struct Transfer<'a> {
    client: &'a RegistryClient,
    store: &'a Store,
    repository: &'a Repository,
    image: &'a str,
    report: Report<'a>,
}

impl Transfer<'_> {
    /// Several blobs side by side; the first failure ends the others.
    fn all(&self, layers: &[Descriptor]) -> Result<(), RegistryError> {
        let wanted: BTreeMap<_, &Descriptor> = layers.iter().map(|layer| (layer.digest, layer)).collect();
        // In the order of the layers, each once.
        let mut seen = std::collections::BTreeSet::new();
        let queue: Vec<&Descriptor> = layers.iter().filter(|l| seen.insert(l.digest)).map(|l| wanted[&l.digest]).collect();
        let (next, stop, failed) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(None));
        let work = || {
            while let Some(layer) = queue.get(next.fetch_add(1, Ordering::SeqCst)) {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                if let Err(error) = self.blob(layer, "layer", &stop)
                    && !stop.swap(true, Ordering::SeqCst)
                {
                    *failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.client.settings.parallel.clamp(1, queue.len().max(1)) {
                scope.spawn(work);
            }
        });
        match failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn blob(&self, descriptor: &Descriptor, what: &str, stop: &AtomicBool) -> Result<(), RegistryError> {
        if self.store.content.contains(&descriptor.digest) {
            return Ok(());
        }
        let url = self.repository.url(&format!("blobs/{}", descriptor.digest))?;
        let request = self.client.authorized(self.repository, Request::new(Method::Get, url));
        let mut writer = Verifying::new(self.store.content.ingest()?, stop);
        let text = format!("pulling {} {what} {}", self.image, descriptor.digest.short());
        let total = Some(descriptor.size);
        let mut said = Instant::now();
        let report = self.report;
        report(&text, 0, total);
        let mut progress = |done: u64| {
            if said.elapsed() >= SPEAK {
                said = Instant::now();
                report(&text, done, total);
            }
        };
        let download = Download { request, size: total, limit: descriptor.size, validator: Validator::Digest };
        let fetched = self.client.http.download(&download, &mut writer, &mut progress);
        let fetched = match fetched {
            Err(error) if error.status() == Some(401) && writer.size == 0 => {
                self.client.challenge(self.repository, &descriptor.digest)?;
                let request = self.client.authorized(self.repository, download.request);
                self.client.http.download(&Download { request, ..download }, &mut writer, &mut progress)
            }
            other => other,
        };
        if let Err(error) = fetched {
            return Err(self.explain(error, descriptor));
        }
        writer.commit(self.store, descriptor, &format!("the {what} {} of `{}`", descriptor.digest, self.image))?;
        report(&text, descriptor.size, total);
        Ok(())
    }

    fn explain(&self, error: HttpError, descriptor: &Descriptor) -> RegistryError {
        match error {
            HttpError::Status { status: 404, .. } => RegistryError::NotFound {
                host: self.repository.place.host.clone(),
                image: format!("{} (its blob {})", self.image, descriptor.digest),
            },
            HttpError::TooLarge { .. } => {
                let why =
                    format!("has a blob {} of more than the {} bytes that it names", descriptor.digest, descriptor.size);
                malformed(self.image, why)
            }
            other => other.into(),
        }
    }
}

/// A blob being written; its digest is made on the way.
struct Verifying<'a> {
    ingest: crate::engine::store::content::Ingest,
    digester: Digester,
    size: u64,
    stop: &'a AtomicBool,
}

impl<'a> Verifying<'a> {
    fn new(ingest: crate::engine::store::content::Ingest, stop: &'a AtomicBool) -> Self {
        Self { ingest, digester: Digester::default(), size: 0, stop }
    }

    fn commit(self, store: &Store, wanted: &Descriptor, what: &str) -> Result<(), StoreError> {
        let found = self.digester.finish();
        if found != wanted.digest || self.size != wanted.size {
            let why =
                format!("expected {} with {} bytes, found {found} with {} bytes", wanted.digest, wanted.size, self.size);
            return Err(StoreError::Mismatch { what: what.to_owned(), why });
        }
        store.content.commit(self.ingest, &wanted.digest)
    }
}

impl Write for Verifying<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::SeqCst) {
            return Err(io::Error::other("another part of the image failed"));
        }
        let n = self.ingest.file().write(bytes)?;
        self.digester.update(&bytes[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
