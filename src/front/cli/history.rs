//! `history`.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{Context, last};
use crate::engine::EngineError;
use crate::engine::solver::record::BuildRecord;
use crate::front::report::document;
use crate::front::report::history::{self, BuildRow};

/// How many builds are listed.
const LISTED: u32 = 200;

/// `history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// What about them.
    #[command(subcommand)]
    pub command: HistoryCommand,
}

/// `history ...`.
#[derive(Debug, Subcommand)]
pub enum HistoryCommand {
    /// List builds, newest first.
    Ls,
    /// Show one build: every step with its reasons.
    Show {
        /// A name of `history ls`, or its beginning.
        build: String,
    },
    /// Put two builds side by side: results, times, sizes and keys of every step.
    Compare {
        /// The earlier one.
        old: String,
        /// The later one.
        new: String,
    },
    /// Write all that is kept of a build (events, record, output of steps) as a tar.
    Export {
        /// A name of `history ls`, or its beginning.
        build: String,
        /// Where to; `-` for standard output.
        #[arg(short, long, value_name = "FILE", default_value = "-")]
        output: PathBuf,
    },
}

pub fn run(context: &Context, args: &HistoryArgs) -> Result<u8, EngineError> {
    match &args.command {
        HistoryCommand::Ls => list(context),
        HistoryCommand::Show { build } => {
            let (_, state) = last::named(&context.store_to_read()?, build)?;
            context.output.write(|out| match context.output.json {
                true => document::write(out, &state),
                false => history::show(out, &state),
            })
        }
        HistoryCommand::Compare { old, new } => {
            let store = context.store_to_read()?;
            let (old, new) = (last::named(&store, old)?, last::named(&store, new)?);
            let rows = history::compare((&old.1, &old.0.ingredients), (&new.1, &new.0.ingredients));
            context.output.write(|out| match context.output.json {
                true => history::compare_json(out, &old.1, &new.1, &rows),
                false => history::compare_plain(out, &old.1, &new.1, &rows),
            })
        }
        HistoryCommand::Export { build, output } => export(context, build, output),
    }
}

/// Everything that is kept of a build, in one file.
fn export(context: &Context, name: &str, output: &Path) -> Result<u8, EngineError> {
    let store = context.store_to_read()?;
    let Some(row) = store.index.build(name)? else {
        let hint = "`rbuild-tui history ls` lists the builds".to_owned();
        return Err(EngineError::user(format!("there is no build `{}`", name.escape_debug()), Some(hint)));
    };
    let folder = store.layout.build(&row.id);
    let write = |out: &mut dyn Write| -> std::io::Result<()> {
        let mut tar = tar::Builder::new(out);
        tar.follow_symlinks(false);
        let mut header = tar::Header::new_gnu();
        header.set_size(row.record.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, "record.json", row.record.as_bytes())?;
        let mut names: Vec<_> = std::fs::read_dir(&folder)?.flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        for name in names {
            tar.append_path_with_name(folder.join(&name), name)?;
        }
        tar.finish()
    };
    let fail = |error: std::io::Error| {
        let cause = crate::ground::fs::error::describe(&error);
        EngineError::environment(format!("cannot export build `{}`: {cause}", row.id.escape_debug()), None)
    };
    if output == Path::new("-") {
        return context.output.write(|out| write(out));
    }
    write(&mut std::fs::File::create(output).map_err(fail)?).map_err(fail)?;
    Ok(super::DONE)
}

fn list(context: &Context) -> Result<u8, EngineError> {
    let rows = context.store_to_read()?.index.builds(LISTED)?;
    let rows: Vec<BuildRow> = rows
        .into_iter()
        .map(|row| {
            let record: BuildRecord = serde_json::from_str(&row.record).unwrap_or_default();
            let outcome = match (record.cancelled, &record.error) {
                (true, _) => "cancelled",
                (false, Some(_)) => "failed",
                (false, None) => "done",
            };
            BuildRow {
                build: row.id,
                unix: row.started / 1_000_000,
                context: record.context,
                dockerfile: record.dockerfile,
                target: record.target,
                outcome: outcome.into(),
                micros: record.micros,
                hits: record.hits,
                ran: record.ran,
            }
        })
        .collect();
    if context.output.json {
        return context.output.write(|out| history::json(out, &rows));
    }
    context.output.write(|out| history::plain(out, &rows))
}
