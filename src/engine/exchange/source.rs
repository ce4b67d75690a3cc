//! Where the documents and blobs of a cache come from that is brought in.

use super::folder::{Folder, has_tag};
use super::format::CONFIG_TYPE;
use super::in_short;
use crate::engine::oci::{Descriptor, ImageIndex, Manifest, Packing, Platform, Reference, media_type};
use crate::engine::registry::resolve::Resolved;
use crate::engine::registry::{RegistryClient, RegistryError};
use crate::engine::store::{Store, StoreError};
use crate::ground::fs::PathError;

const MANIFEST_LIMIT: u64 = 32 << 20;
const CONFIG_LIMIT: u64 = 32 << 20;

/// An open cache.
pub enum Source {
    /// A folder.
    Folder(Folder),
    /// A repository of a registry, with a conversation of its own.
    Registry {
        /// Asks.
        client: Box<RegistryClient>,
        /// As it was named.
        reference: Reference,
        /// Its manifest, and where its blobs are.
        resolved: Box<Resolved>,
    },
}

/// Why a cache, or a part of it, cannot be had: the end of a sentence that begins with it.
pub type Why = String;

impl Source {
    /// A folder, and the manifest of a tag in it.
    pub fn folder(path: &std::path::Path, tag: &str) -> Result<(Self, Manifest), Why> {
        let folder = Folder::open(path)?;
        let index: ImageIndex = folder.index()?;
        let Some(entry) = index.manifests.iter().find(|entry| has_tag(entry, tag)) else {
            return Err(format!("holds nothing under the tag `{}`", tag.escape_debug()));
        };
        if entry.media_type != media_type::MANIFEST {
            return Err(foreign(&entry.media_type));
        }
        let bytes = folder.document(entry, MANIFEST_LIMIT)?;
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| format!("is damaged: its manifest is malformed ({})", in_short(&error)))?;
        is_ours(&manifest)?;
        Ok((Self::Folder(folder), manifest))
    }

    /// A name of a registry, and its manifest.
    pub fn registry(reference: &Reference, client: RegistryClient) -> Result<(Self, Manifest), Why> {
        let resolved = client.resolve(reference, &Platform::host()).map_err(|error| cannot_be_had(&error))?;
        let manifest = resolved.manifest.clone();
        is_ours(&manifest)?;
        let (client, resolved) = (Box::new(client), Box::new(resolved));
        Ok((Self::Registry { client, reference: reference.clone(), resolved }, manifest))
    }

    /// The configuration, verified.
    pub fn config(&self, store: &Store, manifest: &Manifest) -> Result<Vec<u8>, Why> {
        if manifest.config.size > CONFIG_LIMIT {
            return Err(format!("is damaged: its configuration is larger than {CONFIG_LIMIT} bytes"));
        }
        match self {
            Self::Folder(folder) => folder.document(&manifest.config, CONFIG_LIMIT),
            Self::Registry { .. } => {
                self.fetch(store, &manifest.config).map_err(|error| format!("cannot be had: {error}"))??;
                store.content.read(&manifest.config.digest, CONFIG_LIMIT).map_err(|error| format!("is damaged: {error}"))
            }
        }
    }

    /// Whether a layer can be had, as far as that is known without fetching it.
    pub fn look(&self, blob: &Descriptor) -> Result<(), Why> {
        if Packing::of(&blob.media_type).is_none() {
            return Err("is damaged: a layer is of a type that is not read".into());
        }
        match self {
            Self::Folder(folder) => folder.blob(blob).map(drop),
            Self::Registry { .. } => Ok(()),
        }
    }

    /// Brings a blob into the store, verified. Errors: of the store; what is wrong with the cache is its answer.
    pub fn fetch(&self, store: &Store, blob: &Descriptor) -> Result<Result<(), Why>, StoreError> {
        match self {
            Self::Folder(folder) => {
                let file = match folder.blob(blob) {
                    Ok(file) => file,
                    Err(why) => return Ok(Err(why)),
                };
                let what = format!("the blob {}", blob.digest.short());
                match store.content.put(file, &blob.digest, blob.size, &what) {
                    Ok(()) => Ok(Ok(())),
                    Err(error @ (StoreError::Mismatch { .. } | StoreError::Path(PathError { action: "read", .. }))) => {
                        Ok(Err(format!("is damaged: {error}")))
                    }
                    Err(error) => Err(error),
                }
            }
            Self::Registry { client, reference, resolved } => {
                match client.fetch_blob(store, reference, &resolved.repository, blob, &|_, _, _| {}) {
                    Ok(()) => Ok(Ok(())),
                    Err(RegistryError::Store(error)) if !matches!(error, StoreError::Mismatch { .. }) => Err(error),
                    Err(error) => Ok(Err(cannot_be_had(&error))),
                }
            }
        }
    }
}

fn cannot_be_had(error: &RegistryError) -> Why {
    format!("cannot be had: {}", in_short(error))
}

fn is_ours(manifest: &Manifest) -> Result<(), Why> {
    if manifest.config.media_type == CONFIG_TYPE { Ok(()) } else { Err(foreign(&manifest.config.media_type)) }
}

fn foreign(kind: &str) -> Why {
    let kind = kind.chars().take(100).collect::<String>().escape_debug().to_string();
    format!("holds something else than a cache of this program (`{kind}`)")
}
