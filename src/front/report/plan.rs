//! `plan`: what the next build would do, as a table and as JSON.

use std::io::{self, Write};

use serde::Serialize;

use super::document::{self, StepDocument};
use super::table;
use crate::engine::event::{Role, Verdict, VertexId};
use crate::engine::verdict::HitReason;
use crate::front::text;
use crate::insight::model::cascade::root_of;
use crate::insight::model::forecast::dependence;
use crate::insight::model::{BuildState, Fate, Forecast, Step};

/// Reasons of one step that the table shows.
const SHOWN_REASONS: usize = 3;

/// One line for the whole plan.
pub fn headline(state: &BuildState) -> String {
    let forecast = Forecast::of(state);
    let count = |n: usize, noun: &str| format!("{n} {noun}{}", if n == 1 { "" } else { "s" });
    if forecast.will_run.is_empty() && forecast.unknown.is_empty() {
        return "everything comes from the cache: no step will run".to_owned();
    }
    let mut words = format!("{} will run", count(forecast.will_run.len(), "step"));
    if !forecast.unknown.is_empty() {
        words += &format!(", {} unknown", forecast.unknown.len());
    }
    words + &format!(", {} from the cache; {}", forecast.hits, time(&forecast))
}

/// How long it takes, as far as records say.
fn time(forecast: &Forecast) -> String {
    let timed = |micros: u64, most: u64| match most > micros {
        true => format!("{} to {}", text::seconds(micros), text::seconds(most)),
        false => text::seconds(micros),
    };
    let untimed = match forecast.untimed.as_slice() {
        [] => String::new(),
        [line] => format!("line {line} has never run here: its time is not known"),
        lines => {
            let lines: Vec<String> = lines.iter().map(u32::to_string).collect();
            format!("lines {} have never run here: their times are not known", lines.join(", "))
        }
    };
    if forecast.at_most == 0 {
        return if untimed.is_empty() { "about 0.0s".to_owned() } else { untimed };
    }
    let wall = timed(forecast.path.micros, forecast.longest.micros);
    let sum = timed(forecast.micros, forecast.at_most);
    let known = if wall == sum { format!("about {wall}") } else { format!("about {wall} ({sum} one after another)") };
    if untimed.is_empty() { known } else { format!("{known}, and {untimed}") }
}

/// The table. Errors: of the writer.
pub fn plain(out: &mut dyn Write, state: &BuildState) -> io::Result<()> {
    for found in &state.diagnostics {
        writeln!(out, "{}", text::block(&found.text).trim_end())?;
    }
    let mut steps: Vec<&Step> = state.steps.iter().collect();
    steps.sort_by_key(|step| step.line);
    let rows: Vec<Vec<String>> = steps.into_iter().flat_map(|step| rows(state, step)).collect();
    table::write(out, &["line", "plan", "usually", "instruction", "why"], &rows)?;
    writeln!(out, "\n{}", headline(state))?;
    let forecast = Forecast::of(state);
    if forecast.longest.steps.len() > 1 {
        let lines = lines_of(state, &forecast.longest.steps);
        writeln!(out, "critical path: line {}", lines.iter().map(u32::to_string).collect::<Vec<_>>().join(" > "))?;
    }
    writeln!(out, "nothing was run, nothing was written")
}

fn lines_of(state: &BuildState, steps: &[VertexId]) -> Vec<u32> {
    steps.iter().filter_map(|id| state.step(*id)).map(|step| step.line).collect()
}

fn rows(state: &BuildState, step: &Step) -> Vec<Vec<String>> {
    let fate = Fate::of(step);
    let usual = match (fate, step.usual) {
        (Fate::Config, _) | (_, None) => String::new(),
        (_, Some(_)) if step.role == Role::Base => String::new(),
        (Fate::Hit, Some(micros)) => format!("({})", text::seconds(micros)),
        (_, Some(micros)) => text::seconds(micros),
    };
    let name: String = text::line(&step.name).chars().take(60).collect();
    let mut why = whys(state, step).into_iter();
    let first = vec![step.line.to_string(), fate.word().into(), usual, name, why.next().unwrap_or_default()];
    let more = why.map(|words| vec![String::new(), String::new(), String::new(), String::new(), words]);
    std::iter::once(first).chain(more).collect()
}

/// Why a step of a plan will do what it will do; safe only after `text::line`.
pub fn whys(state: &BuildState, step: &Step) -> Vec<String> {
    match &step.verdict {
        Some(Verdict::Unknown { on }) => vec![dependence(state, on)],
        Some(Verdict::Miss { reasons, .. }) => {
            let mut out: Vec<String> = reasons
                .iter()
                .take(SHOWN_REASONS)
                .map(|reason| format!("{}: {}", reason.code(), reason.foretold()))
                .collect();
            let more = reasons.len().saturating_sub(SHOWN_REASONS);
            if more > 0 {
                out.push(format!("and {more} more reasons: see the JSON"));
            }
            out
        }
        Some(Verdict::Hit { from: Some(from), .. }) => vec![format!("from the cache at `{from}`")],
        // Hits that need a word: the steps above run, or another one of this build does.
        Some(Verdict::Hit { how: how @ (HitReason::Traced | HitReason::Merged), .. }) => {
            vec![format!("{}: {how}", how.code())]
        }
        Some(Verdict::Hit { .. }) | None => Vec::new(),
    }
}

/// A plan as JSON.
#[derive(Serialize)]
struct Document {
    schema: u32,
    /// True: what follows has not happened.
    forecast: bool,
    image: Option<String>,
    digest: Option<String>,
    /// Of what will run, along the critical path.
    seconds: f64,
    seconds_at_most: f64,
    seconds_one_after_another: f64,
    critical_path: Vec<u32>,
    untimed: Vec<u32>,
    steps: Vec<Planned>,
}

#[derive(Serialize)]
struct Planned {
    #[serde(flatten)]
    step: StepDocument,
    /// Line of the step that decides, for `unknown`.
    depends_on: Option<u32>,
    /// What decides, in words, for `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    depends: Option<String>,
}

/// The same as one document; `result` is `hit`, `ran` (it will), `unknown` or `config`. Errors: of the writer.
pub fn json(out: &mut dyn Write, state: &BuildState) -> io::Result<()> {
    let forecast = Forecast::of(state);
    let mut known: Vec<&Step> = state.steps.iter().collect();
    known.sort_by_key(|step| step.line);
    let steps = document::steps(state).into_iter().zip(known).map(|(step, of)| planned(state, step, of)).collect();
    let seconds = |micros: u64| micros as f64 / 1_000_000.0;
    document::json(
        out,
        &Document {
            schema: 1,
            forecast: true,
            image: None,
            digest: None,
            seconds: seconds(forecast.path.micros),
            seconds_at_most: seconds(forecast.longest.micros),
            seconds_one_after_another: seconds(forecast.micros),
            critical_path: lines_of(state, &forecast.longest.steps),
            untimed: forecast.untimed.clone(),
            steps,
        },
    )
}

fn planned(state: &BuildState, mut step: StepDocument, of: &Step) -> Planned {
    step.result = match Fate::of(of) {
        Fate::Hit => "hit",
        Fate::WillRun => "ran",
        Fate::Unknown => "unknown",
        Fate::Config => "config",
    };
    step.seconds = of.usual.map_or(0.0, |micros| micros as f64 / 1_000_000.0);
    step.cause = root_of(state, of).and_then(|root| state.step(root)).map(|root| root.line);
    let (depends_on, depends) = match &of.verdict {
        Some(Verdict::Unknown { on }) => {
            use crate::engine::event::Dependence::{Output, Reads, Server, Unseen};
            let line = match on {
                Output { vertex } | Unseen { vertex } | Reads { vertex, .. } => state.step(*vertex).map(|step| step.line),
                Server { .. } => None,
            };
            (line, Some(dependence(state, on)))
        }
        _ => (None, None),
    };
    Planned { step, depends_on, depends }
}
