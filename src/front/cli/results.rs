//! `--iidfile` and `--metadata-file`: what a script wants to know of a build.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

use super::build::Reporter;
use crate::engine::EngineError;
use crate::engine::event::{BuildEvent, Stamped};
use crate::engine::oci::Reference;
use crate::ground::digest::Digest;

/// The files that were asked for, and what goes into them.
#[derive(Default)]
pub struct ResultFiles {
    /// `--iidfile`.
    id: Option<PathBuf>,
    /// `--metadata-file`.
    metadata: Option<PathBuf>,
    found: Arc<Mutex<Found>>,
}

#[derive(Default)]
struct Found {
    image: Option<Digest>,
    manifest: Option<Digest>,
}

impl ResultFiles {
    /// `id` is `--iidfile`, `metadata` is `--metadata-file`.
    pub fn new(id: Option<PathBuf>, metadata: Option<PathBuf>) -> Self {
        Self { id, metadata, ..Self::default() }
    }

    /// Whether any file is wanted, so that the image has to be put together.
    pub fn any(&self) -> bool {
        self.id.is_some() || self.metadata.is_some()
    }

    /// Takes an old id away, as docker does: a build that fails leaves none.
    pub fn prepare(&self) -> Result<(), EngineError> {
        match self.id.as_deref().map(|path| (path, std::fs::remove_file(path))) {
            Some((path, Err(error))) if error.kind() != io::ErrorKind::NotFound => Err(cannot_write(path, &error)),
            _ => Ok(()),
        }
    }

    /// A reporter that shows what `inner` shows, and notes the digests.
    pub fn watch(&self, inner: Box<dyn Reporter>) -> Box<dyn Reporter> {
        Box::new(Noting { inner, found: self.found.clone() })
    }

    /// Writes the files of a build that succeeded.
    ///
    /// Source of the names: docker buildx, `--metadata-file`.
    pub fn write(&self, tags: &[String]) -> Result<(), EngineError> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(image) = found.image else { return Ok(()) };
        if let Some(path) = &self.id {
            std::fs::write(path, image.to_string()).map_err(|error| cannot_write(path, &error))?;
        }
        let Some(path) = &self.metadata else { return Ok(()) };
        let mut document = Map::from_iter([("containerimage.config.digest".to_owned(), json!(image))]);
        if let Some(manifest) = found.manifest {
            document.insert("containerimage.digest".into(), json!(manifest));
        }
        let names: Vec<String> = tags.iter().filter_map(|tag| Reference::parse(tag).ok()).map(|r| r.to_string()).collect();
        if !names.is_empty() {
            document.insert("image.name".into(), json!(names.join(",")));
        }
        let text = serde_json::to_string_pretty(&Value::Object(document)).unwrap_or_default();
        std::fs::write(path, text + "\n").map_err(|error| cannot_write(path, &error))
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> EngineError {
    let cause = crate::ground::fs::error::describe(error);
    EngineError::environment(format!("cannot write `{}`: {cause}", path.display().to_string().escape_debug()), None)
}

struct Noting {
    inner: Box<dyn Reporter>,
    found: Arc<Mutex<Found>>,
}

impl Reporter for Noting {
    fn event(&mut self, event: &Stamped) -> io::Result<()> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        match &event.event {
            BuildEvent::BuildFinished { image, error: None, .. } => found.image = *image,
            BuildEvent::ExportFinished { format, digest, .. } if matches!(format.as_str(), "oci" | "registry") => {
                found.manifest.get_or_insert(*digest);
            }
            _ => {}
        }
        drop(found);
        self.inner.event(event)
    }
}
