//! `history`.

use super::Context;
use super::args::{HistoryArgs, HistoryCommand};
use crate::engine::EngineError;
use crate::engine::solver::record::BuildRecord;
use crate::front::report::history::{self, BuildRow};

/// How many builds are listed.
const LISTED: u32 = 200;

pub fn run(context: &Context, args: &HistoryArgs) -> Result<u8, EngineError> {
    let HistoryCommand::Ls = args.command;
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
