//! Standard output: text or JSON; a reader that went away is no error.

use std::io::{self, Write};

use super::args::Cli;
use crate::engine::EngineError;
use crate::ground::config::Config;

/// How results are shown.
pub struct Output {
    /// JSON.
    pub json: bool,
    /// Lines instead of screens.
    pub plain: bool,
    /// Only what matters.
    pub quiet: bool,
}

impl Output {
    pub fn new(cli: &Cli, config: &Config) -> Self {
        Self { json: cli.json, plain: cli.plain || cli.json || config.plain, quiet: cli.quiet }
    }

    /// Writes a report.
    pub fn write(&self, report: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<u8, EngineError> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        match report(&mut out).and_then(|()| out.flush()) {
            Ok(()) => Ok(super::DONE),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(super::DONE),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Err(EngineError::user(error.to_string(), None)),
            Err(error) => {
                let cause = crate::ground::fs::error::describe(&error);
                Err(EngineError::environment(format!("cannot write the output: {cause}"), None))
            }
        }
    }
}
