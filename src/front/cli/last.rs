//! Builds on record.

use crate::engine::event::log;
use crate::engine::solver::record::BuildRecord;
use crate::engine::store::Store;
use crate::engine::{EngineError, Project};
use crate::insight::model::BuildState;

/// The state of a project's last build, folded from its log. Errors: it was never built here.
pub fn state(store: &Store, project: &Project) -> Result<BuildState, EngineError> {
    let events = super::host::last_events(store, &project.id()).ok_or_else(|| {
        let message = format!("{} was not built here yet", project.file_name());
        EngineError::user(message, Some("run `rbuild-tui build` first".into()))
    })?;
    Ok(BuildState::fold(&events))
}

/// A build by its name (or the beginning of it): its record and its state. Errors: there is none, or its log is gone.
pub fn named(store: &Store, name: &str) -> Result<(BuildRecord, BuildState), EngineError> {
    let shown = name.escape_debug();
    let row = store.index.build(name)?.ok_or_else(|| {
        let hint = "`rbuild-tui history ls` lists the builds; the beginning of a name will do where it is the only one";
        EngineError::user(format!("there is no build `{shown}`"), Some(hint.into()))
    })?;
    let record = serde_json::from_str(&row.record).unwrap_or_default();
    let events = log::read(&store.layout.build(&row.id).join("events.jsonl"));
    let events = events.map_err(|error| {
        let cause = crate::ground::fs::error::describe(&error);
        let hint = "logs of old builds are taken away by `prune`".to_owned();
        EngineError::user(format!("the log of build `{shown}` cannot be read: {cause}"), Some(hint))
    })?;
    let mut state = BuildState::fold(&events.events);
    state.end_here();
    Ok((record, state))
}
