//! `--cache-from` and `--cache-to`: caches of a build that lie outside of the store.

use super::build::{Run, cancelled};
use super::error::EngineError;
use super::event::BuildEvent;
use super::exchange::export::export;
use super::exchange::{CacheTo, Exported, Import, Imports};
use super::project::Project;
use super::solver::{Solver, Speaker};
use crate::ground::hint::Hint;

impl Project {
    /// Opens the caches that are to be asked. One that cannot be used is a warning, and the build goes on without it.
    ///
    /// Source: BuildKit `client/solve.go`, `parseCacheOptions`, and `solver/llbsolver/bridge.go`: an import that fails is told
    /// and left out.
    pub(super) fn open_caches(&self, speaker: &Speaker) -> Imports {
        let warn = |shown: &str, why: &str| {
            let text = format!("warning: the cache at `{}` {why}", shown.escape_debug());
            speaker.say(BuildEvent::Diagnosed { text, error: false, line: 0 });
        };
        let mut imports = Vec::new();
        for from in &self.cache_from {
            let import = match Import::open(from) {
                Ok(import) => import,
                Err(why) => {
                    warn(&from.folder.display().to_string(), &format!("{why}; the build goes on without it"));
                    continue;
                }
            };
            let (steps, results) = import.counts();
            let (from, mode) = (import.shown().to_owned(), import.mode().word().to_owned());
            speaker.say(BuildEvent::CacheImported { from, mode, steps, results });
            match import.damaged() {
                Some((why, 1)) => warn(import.shown(), &format!("{why}; what cannot be taken from it is built")),
                Some((why, many)) => {
                    warn(import.shown(), &format!("{why}, and {} more; what cannot be taken from it is built", many - 1));
                }
                None => {}
            }
            imports.push(import);
        }
        Imports::new(imports)
    }
}

impl Run<'_> {
    /// Writes the caches that were asked for, after the build has succeeded.
    pub(super) fn export_caches(&self, solver: &Solver<'_>) -> Result<(), EngineError> {
        for to in &self.request.cache_to {
            if self.cancel.is_cancelled() {
                return Err(cancelled());
            }
            let what = "exporting cache".to_owned();
            self.speaker.say(BuildEvent::Progress { vertex: None, what, done: 0, total: None });
            let shown = to.folder.display().to_string();
            match self.export_cache(solver, to) {
                Ok(Exported { steps, results, bytes, .. }) => {
                    let mode = to.mode.word().to_owned();
                    self.speaker.say(BuildEvent::CacheExported { to: shown, mode, steps, results, bytes });
                }
                Err(error) if to.ignore_error => {
                    let text = format!("warning: the cache was not written: {}", error.message);
                    self.speaker.say(BuildEvent::Diagnosed { text, error: false, line: 0 });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn export_cache(&self, solver: &Solver<'_>, to: &CacheTo) -> Result<Exported, EngineError> {
        let steps = solver.steps_to_export(to.mode)?;
        export(self.store(), &self.engine.worker, &steps, to).map_err(|error| {
            let message = format!("cannot write the cache (--cache-to): {error}");
            EngineError::environment(message, error.hint())
        })
    }
}
