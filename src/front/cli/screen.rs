//! The interface, or where there is no terminal its plain twin.

use std::sync::Arc;

use super::args::ScreenArgs;
use super::host::ProjectHost;
use super::{Context, build};
use crate::engine::{BuildRequest, EngineError};
use crate::front::tui::{self, TuiOptions, ViewName};

pub fn run(context: &Context, args: &ScreenArgs) -> Result<u8, EngineError> {
    if context.output.plain {
        return super::why::show(context, &build::project(context, &args.project)?, None);
    }
    let project = build::project(context, &args.project)?;
    // Before any thread.
    let engine = context.engine()?;
    let request = BuildRequest { project, ..BuildRequest::default() };
    let host = ProjectHost::new(engine, request, context.config.variable("TERM"));
    open(context, host, false, ViewName::Build, args.ascii)
}

/// Opens the interface on a project.
pub fn open(
    context: &Context,
    host: ProjectHost,
    start_build: bool,
    initial_view: ViewName,
    ascii: bool,
) -> Result<u8, EngineError> {
    let options =
        TuiOptions { start_build, ascii: ascii || context.config.ascii, no_color: context.config.no_color, initial_view };
    match tui::run(Arc::new(host), options) {
        Ok(exit) => Ok(exit.code()),
        Err(error) => {
            let cause = crate::ground::fs::error::describe(&error);
            let hint = "use --plain where there is no terminal".to_owned();
            Err(EngineError::environment(format!("cannot use the terminal: {cause}"), Some(hint)))
        }
    }
}
