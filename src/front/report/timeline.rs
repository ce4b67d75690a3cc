//! `timeline`: the steps of a build by time, as bars, as JSON, and as a trace for Chrome's viewer.

use std::io::{self, Write};

use serde_json::json;

use super::document;
use crate::front::text;
use crate::insight::model::timeline::Span;
use crate::insight::model::{BuildState, Step, Timeline};

/// Cells of the whole build.
const WIDTH: u64 = 48;

/// Bars: one line a step, in order of their start. Errors: of the writer.
pub fn plain(out: &mut dyn Write, state: &BuildState) -> io::Result<()> {
    let timeline = Timeline::of(state);
    if timeline.spans.is_empty() {
        return writeln!(out, "no step ran in this build");
    }
    for span in &timeline.spans {
        let Some(step) = state.step(span.vertex) else { continue };
        let mark = if span.critical { "#" } else { "=" };
        let name: String = step.name.chars().take(44).collect();
        let slack = if span.critical { "critical".to_owned() } else { format!("slack {}", text::seconds(span.slack)) };
        writeln!(
            out,
            "{:>4} |{}| {:>7} +{:<7} {slack:<12} {}",
            step.line,
            bar(span, timeline.total, mark),
            text::seconds(span.start),
            text::seconds(span.micros),
            text::line(&name)
        )?;
    }
    let (total, sum) = (text::seconds(timeline.total), text::seconds(timeline.sum));
    let lines: Vec<String> =
        timeline.critical.steps.iter().filter_map(|id| state.step(*id)).map(|step| step.line.to_string()).collect();
    writeln!(out, "{total} in all; {sum} of steps in {} lane(s)", timeline.lanes)?;
    writeln!(out, "critical path: line {} ({})", lines.join(" > "), text::seconds(timeline.critical.micros))
}

fn bar(span: &Span, total: u64, mark: &str) -> String {
    let at = |micros: u64| (micros.saturating_mul(WIDTH) / total.max(1)).min(WIDTH) as usize;
    let begin = at(span.start).min(WIDTH as usize - 1);
    let end = at(span.start.saturating_add(span.micros)).max(begin + 1);
    format!("{}{}{}", " ".repeat(begin), mark.repeat(end - begin), " ".repeat(WIDTH as usize - end))
}

/// One document. Errors: of the writer.
pub fn json(out: &mut dyn Write, state: &BuildState) -> io::Result<()> {
    let timeline = Timeline::of(state);
    let seconds = |micros: u64| micros as f64 / 1_000_000.0;
    let line = |step: Option<&Step>| step.map(|step| step.line);
    let spans: Vec<_> = timeline
        .spans
        .iter()
        .map(|span| {
            let step = state.step(span.vertex);
            json!({"line": line(step), "instruction": step.map(|step| &step.name), "lane": span.lane,
                   "start": seconds(span.start), "seconds": seconds(span.micros), "critical": span.critical,
                   "slack": seconds(span.slack)})
        })
        .collect();
    let path: Vec<_> = timeline.critical.steps.iter().map(|id| line(state.step(*id))).collect();
    document::json(
        out,
        &json!({"schema": 1, "build": state.build, "seconds": seconds(timeline.total), "lanes": timeline.lanes,
                "critical_path": path, "critical_seconds": seconds(timeline.critical.micros), "spans": spans}),
    )
}

/// The trace event format that Chrome's viewer (and Perfetto) reads: complete events, times in microseconds. Errors: of the
/// writer.
pub fn chrome(out: &mut dyn Write, state: &BuildState) -> io::Result<()> {
    let timeline = Timeline::of(state);
    let events: Vec<_> = timeline
        .spans
        .iter()
        .filter_map(|span| {
            let step = state.step(span.vertex)?;
            Some(json!({"name": format!("{} {}", step.line, step.name), "cat": document::stage_name(step), "ph": "X",
                        "ts": span.start, "dur": span.micros, "pid": 1, "tid": span.lane + 1,
                        "args": {"line": step.line, "critical": span.critical, "result": state.mark(step).word()}}))
        })
        .collect();
    document::json(out, &json!({"traceEvents": events, "displayTimeUnit": "ms"}))
}
