//! `ci`.

use clap::{Args, ValueEnum};

use super::args::ProjectArgs;
use super::whatif::ChangeArgs;
use super::{Context, build};
use crate::engine::EngineError;
use crate::front::report::ci::{self as report, CiReport};
use crate::insight::workbench::budget::{Judgement, judge};
use crate::insight::workbench::whatif::what_if;

/// `ci`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit code: 0 within the budget (or none given), 1 over it, 3 when it cannot be judged, because steps that run have no time on \
record: build once in this store first.")]
pub struct CiArgs {
    #[command(flatten)]
    pub project: ProjectArgs,
    #[command(flatten)]
    pub change: ChangeArgs,
    /// What the change may cost, such as 20s or 1m 30s: the steps that run in any case, by what they took last.
    #[arg(long, value_name = "TIME", value_parser = parse_budget)]
    pub max: Option<u64>,
    /// How the result is shown.
    #[arg(long, value_enum, default_value = "text")]
    pub format: CiFormat,
}

/// `ci --format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CiFormat {
    /// Lines.
    Text,
    /// One document.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// JUnit's XML.
    Junit,
    /// A comment for a pull request.
    Markdown,
}

/// `20s`, `1m 30s`, `500ms`; a bare number is seconds. In microseconds.
fn parse_budget(text: &str) -> Result<u64, String> {
    let whole = text.trim().parse::<u64>().ok().map(std::time::Duration::from_secs);
    let time = whole.map_or_else(|| humantime::parse_duration(text).map_err(|error| error.to_string()), Ok)?;
    u64::try_from(time.as_micros()).map_err(|_| "it is too long".into())
}

pub fn run(context: &Context, args: &CiArgs) -> Result<u8, EngineError> {
    let project = build::project(context, &args.project)?;
    project.require_folder()?;
    let answer = what_if(&project, &context.store_to_read()?, &args.change.question()?)?;
    let judgement = judge(&answer, args.max);
    let result = CiReport { answer: &answer, max: args.max, judgement };
    let format = if context.output.json { CiFormat::Json } else { args.format };
    let written = context.output.write(|out| match format {
        CiFormat::Text if context.output.quiet => writeln!(out, "{}", result.sentence()),
        CiFormat::Text => report::plain(out, &result),
        CiFormat::Json => report::json(out, &result),
        CiFormat::Sarif => report::sarif(out, &result),
        CiFormat::Junit => report::junit(out, &result),
        CiFormat::Markdown => report::markdown(out, &result),
    })?;
    Ok(match judgement {
        Judgement::NotAsked | Judgement::Within => written,
        Judgement::Over => super::FAILED,
        Judgement::Unknown => super::ENVIRONMENT,
    })
}
