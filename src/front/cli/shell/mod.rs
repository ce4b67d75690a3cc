//! `shell`.

mod session;
mod terminal;
mod wake;

use std::io::Write;

use super::args::ShellArgs;
use super::{Context, build};
use crate::engine::{BuildRequest, Chosen, Engine, EngineError, ShellEnd, ShellRequest, ShellSession, Side};
use crate::front::report::plain::PlainReporter;
use crate::front::report::shell as report;
use session::Io;

pub fn run(context: &Context, args: &ShellArgs) -> Result<u8, EngineError> {
    let project = build::project(context, &args.project)?;
    let secrets = args.secret.iter().map(|spec| build::secret(context, spec)).collect::<Result<_, _>>()?;
    let io = Io::of_process(context.output.json);
    let request = ShellRequest {
        project,
        secrets,
        step: args.step.as_deref().map(Chosen::parse).unwrap_or_default(),
        side: if args.before { Side::Before } else { Side::After },
        command: args.command.clone(),
        terminal: context.config.variable("TERM").map(str::to_owned).filter(|_| io.is_terminal()),
    };
    // Before any thread.
    let engine = context.engine()?;
    if args.build
        && let Some(code) = build_first(&engine, &request)?
    {
        return Ok(code);
    }
    let session = engine.shell(&request)?;
    if io.is_terminal() && !context.output.quiet {
        introduce(&session);
    }
    let end = session::hold(&session, io)?;
    if context.output.json {
        context.output.write(|out| report::json(out, &session, &end))?;
    } else if !context.output.quiet {
        let _ = report::plain(&mut std::io::stderr().lock(), &end);
    }
    Ok(code(&end))
}

/// A shell from within the interface, on the terminal that it has given back. Returns what is said about it afterwards.
pub fn from_interface(engine: &Engine, request: &ShellRequest) -> Result<String, EngineError> {
    let session = engine.shell(request)?;
    introduce(&session);
    let end = session::hold(&session, Io::Terminal)?;
    let mut err = std::io::stderr().lock();
    let _ = report::plain(&mut err, &end);
    if !end.cancelled && end.changes.count() > 0 {
        let _ = write!(err, "press enter to go back ");
        let _ = err.flush();
        let _ = wake::pause();
    }
    Ok(report::summary(&end))
}

fn introduce(session: &ShellSession) {
    let _ = report::introduction(&mut std::io::stderr().lock(), session);
}

/// Its own exit code, unless it was ended from outside.
fn code(end: &ShellEnd) -> u8 {
    if end.cancelled { super::CANCELLED } else { u8::try_from(end.code).unwrap_or(super::FAILED) }
}

/// Builds, shown on standard error. A code is the end: the build was cancelled, or the machine refused.
fn build_first(engine: &Engine, request: &ShellRequest) -> Result<Option<u8>, EngineError> {
    let (project, secrets) = (request.project.clone(), request.secrets.clone());
    let handle = engine.start(BuildRequest { project, secrets, ..BuildRequest::default() });
    let reporter = PlainReporter::new(std::io::stderr(), Some(build::output_source(engine)));
    let code = build::watch(handle, Box::new(reporter))?;
    Ok(Some(code).filter(|code| *code != super::DONE && *code != super::FAILED))
}
