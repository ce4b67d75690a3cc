//! `import`.

use std::path::PathBuf;

use clap::Args;

use super::{Context, last};
use crate::engine::{EngineError, Project};
use crate::front::report::{document, history};
use crate::front::text;
use crate::insight::bridge;

/// `import FILE`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// What `docker buildx build --progress=rawjson` wrote, or a file of `docker buildx history export`.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The context of that build.
    #[arg(long, short = 'C', value_name = "PATH", default_value = ".")]
    pub context: PathBuf,
    /// Its Dockerfile [default: PATH/Dockerfile].
    #[arg(short = 'f', long = "dockerfile", value_name = "FILE")]
    pub dockerfile: Option<PathBuf>,
    /// The stage that was built.
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
}

pub fn run(context: &Context, args: &ImportArgs) -> Result<u8, EngineError> {
    let mut project = Project::open(&args.context, args.dockerfile.as_deref())?;
    project.target.clone_from(&args.target);
    let store = context.store()?;
    let adopted = project.adopt(&store, &bridge::read(&args.file)?)?;
    let (_, state) = last::named(&store, &adopted.build)?;
    context.output.write(|out| {
        if context.output.json {
            return document::write(out, &state);
        }
        history::show(out, &state)?;
        for note in &adopted.notes {
            writeln!(out, "note: {}", text::line(note))?;
        }
        writeln!(out, "kept as {0}: `rbuild-tui timeline --build {0}`, `rbuild-tui history compare`", adopted.build)
    })
}
