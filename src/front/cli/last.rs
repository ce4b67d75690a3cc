//! The last build of a project.

use crate::engine::store::Store;
use crate::engine::{EngineError, Project};
use crate::insight::model::BuildState;

/// Its state, folded from its log. Errors: it was never built here.
pub fn state(store: &Store, project: &Project) -> Result<BuildState, EngineError> {
    let events = super::host::last_events(store, &project.id()).ok_or_else(|| {
        let message = format!("{} was not built here yet", project.file_name());
        EngineError::user(message, Some("run `rbuild-tui build` first".into()))
    })?;
    Ok(BuildState::fold(&events))
}
