//! `--cache-from` and `--cache-to`: caches of a build that lie outside of the store.

use std::sync::Arc;

use super::build::{Run, cancelled};
use super::error::EngineError;
use super::project::Project;
use super::sources::Remote;
use crate::engine::event::BuildEvent;
use crate::engine::exchange::{CachePlace, CacheTo, Import, Imports, Packed, Source};
use crate::engine::oci::media_type;
use crate::engine::registry::{PushImage, RegistryClient};
use crate::engine::solver::{Solver, Speaker};
use crate::engine::store::Store;
use crate::ground::hint::Hint;

impl Project {
    /// Opens the caches that are to be asked; registries only where there is somebody to ask them. One that cannot be used is a
    /// warning, and the build goes on without it.
    ///
    /// Source: BuildKit `client/solve.go`, `parseCacheOptions`, and `solver/llbsolver/bridge.go`: an import that fails is told
    /// and left out.
    pub(super) fn open_caches(&self, store: &Store, speaker: &Speaker, remote: Option<&Remote<'_>>) -> Imports {
        let warn = |shown: &str, why: &str| {
            let text = format!("warning: the cache at `{}` {why}", shown.escape_debug());
            speaker.say(BuildEvent::Diagnosed { text, error: false, line: 0 });
        };
        let mut imports = Vec::new();
        for place in &self.cache_from {
            let shown = place.to_string();
            let import = match open(place, remote).and_then(|found| Import::read(store, shown.clone(), found)) {
                Ok(import) => import,
                Err(why) => {
                    warn(&shown, &format!("{why}; the build goes on without it"));
                    continue;
                }
            };
            let (steps, results) = import.counts();
            let (from, mode) = (import.shown().to_owned(), import.mode().word().to_owned());
            speaker.say(BuildEvent::CacheImported { from, mode, steps, results });
            match import.damaged() {
                Some((why, 1)) => warn(&shown, &format!("{why}; what cannot be taken from it is built")),
                Some((why, many)) => {
                    warn(&shown, &format!("{why}, and {} more; what cannot be taken from it is built", many - 1));
                }
                None => {}
            }
            imports.push(import);
        }
        Imports::new(imports)
    }
}

fn open(place: &CachePlace, remote: Option<&Remote<'_>>) -> Result<(Source, crate::engine::oci::Manifest), String> {
    match (place, remote) {
        (CachePlace::Folder { path, tag }, _) => Source::folder(path, tag),
        (CachePlace::Registry(_), None) => Err("is in a registry, and a plan asks nobody".into()),
        (CachePlace::Registry(reference), Some(remote)) => {
            (remote.report)(&format!("resolving {}", reference.familiar()), 0, None);
            let cancel = remote.cancel.clone();
            let settings = Arc::clone(&remote.sources.registry);
            Source::registry(reference, RegistryClient::new(settings, Arc::new(move || cancel.is_cancelled())))
        }
    }
}

impl Run<'_> {
    /// Writes the caches that were asked for, after the build has succeeded.
    pub(super) fn export_caches(&self, solver: &Solver<'_>, remote: &Remote<'_>) -> Result<(), EngineError> {
        for to in &self.request.cache_to {
            if self.cancel.is_cancelled() {
                return Err(cancelled());
            }
            let what = "exporting cache".to_owned();
            self.speaker.say(BuildEvent::Progress { vertex: None, what, done: 0, total: None });
            match self.export_cache(solver, to, remote) {
                Ok(packed) => {
                    let (mode, bytes) = (to.mode.word().to_owned(), packed.bytes());
                    let (to, Packed { steps, results, .. }) = (to.place.to_string(), packed);
                    self.speaker.say(BuildEvent::CacheExported { to, mode, steps, results, bytes });
                }
                Err(error) if to.ignore_error && !self.cancel.is_cancelled() => {
                    let text = format!("warning: the cache was not written: {}", error.message);
                    self.speaker.say(BuildEvent::Diagnosed { text, error: false, line: 0 });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn export_cache(&self, solver: &Solver<'_>, to: &CacheTo, remote: &Remote<'_>) -> Result<Packed, EngineError> {
        let fail = |error: &dyn std::fmt::Display, hint: Option<String>| {
            EngineError::environment(format!("cannot write the cache (--cache-to): {error}"), hint)
        };
        let steps = solver.steps_to_export(to.mode)?;
        let packed = Packed::new(self.store(), &self.engine.worker, &steps, to.mode);
        let packed = packed.map_err(|error| fail(&error, error.hint()))?;
        match &to.place {
            CachePlace::Folder { path, tag } => {
                packed.write(self.store(), path, tag).map_err(|error| fail(&error, error.hint()))?;
            }
            CachePlace::Registry(reference) => {
                self.store().content.put_bytes(&packed.config)?;
                let push = PushImage {
                    manifest: packed.manifest_bytes(),
                    media_type: media_type::MANIFEST.into(),
                    config: packed.manifest.config.clone(),
                    layers: packed.manifest.layers.clone(),
                    mount_from: None,
                };
                let pushed = remote.client().push(self.store(), reference, &push, remote.report);
                pushed.map_err(|error| match EngineError::from(error) {
                    error if self.cancel.is_cancelled() => error,
                    error => fail(&error.message, error.hint.clone()),
                })?;
            }
        }
        Ok(packed)
    }
}
