//! `whatif`, plain and JSON.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::document::json as write_json;
use crate::front::text;
use crate::insight::workbench::whatif::{Answer, StepForecast};

/// Everything, a fact a line. Errors: of the writer.
pub fn plain(out: &mut dyn Write, answer: &Answer) -> io::Result<()> {
    for part in &answer.parts {
        writeln!(out, "{}: {}", text::line(&part.option), text::line(&part.text))?;
    }
    for step in &answer.steps {
        let (line, name) = (step.line, text::line(&step.instruction));
        writeln!(out, "line {line}: {name}: {}{}", outcome(step), taken(step))?;
        for cause in &step.causes {
            writeln!(out, "  {}", text::line(&cause.to_string()))?;
        }
    }
    writeln!(out, "{}", summary(answer))?;
    for note in notes(answer) {
        writeln!(out, "{note}")?;
    }
    Ok(())
}

fn outcome(step: &StepForecast) -> String {
    match (step.is_base, step.certain) {
        (true, _) => "moves".into(),
        (_, true) => "runs".into(),
        (_, false) => format!("unknown: depends on the output of {}", lines(&step.depends_on)),
    }
}

fn taken(step: &StepForecast) -> String {
    match step.micros {
        Some(micros) => format!(", {} last time", text::seconds(micros)),
        None if step.is_base => String::new(),
        None => ", no time on record".into(),
    }
}

/// `line 4`, `lines 4 and 7`.
pub fn lines(list: &[u32]) -> String {
    let words: Vec<String> = list.iter().map(u32::to_string).collect();
    match words.as_slice() {
        [] => "no line".into(),
        [one] => format!("line {one}"),
        [rest @ .., last] => format!("lines {} and {last}", rest.join(", ")),
    }
}

/// The price in one sentence.
pub fn summary(answer: &Answer) -> String {
    let steps: Vec<&StepForecast> = answer.steps.iter().filter(|step| !step.is_base).collect();
    let certain = steps.iter().filter(|step| step.certain).count();
    let possible = steps.len() - certain;
    if steps.is_empty() {
        return format!("nothing runs: all {} steps are served from the cache, once they are built", answer.of);
    }
    let (sure, more) = (text::seconds(answer.certain_micros), text::seconds(answer.possible_micros));
    let runs = format!("{certain} of {} steps run", answer.of);
    match (answer.has_times, possible) {
        (false, 0) => format!("{runs}; no build of this project is on record, so there are no times"),
        (false, n) => format!("{runs}, {n} may; no build of this project is on record, so there are no times"),
        (true, 0) => format!("{runs}: {sure}"),
        (true, n) => format!("{runs}: {sure}; {n} may, depending on what others give: {more} more"),
    }
}

fn notes(answer: &Answer) -> Vec<String> {
    let mut out = Vec::new();
    if answer.has_times && !answer.untimed.is_empty() {
        out.push(format!("not counted: {}, which no record has a time for", lines(&answer.untimed)));
    }
    for image in &answer.missing_bases {
        let image = text::line(image);
        out.push(format!("the base image `{image}` is not in the store: what it sets and triggers is not known"));
    }
    out
}

/// `{"schema":1,"dockerfile":…,"asked":[…],"steps":[…],"seconds":{"certain":…,"possible":…},…}`.
pub fn document(answer: &Answer) -> Value {
    let seconds = |micros: u64| micros as f64 / 1e6;
    let step = |step: &StepForecast| {
        let causes: Vec<Value> = step
            .causes
            .iter()
            .map(|cause| {
                let mut value = serde_json::to_value(cause).unwrap_or_default();
                value["text"] = cause.to_string().into();
                value
            })
            .collect();
        json!({
            "line": step.line, "stage": step.stage, "instruction": step.instruction,
            "result": match (step.is_base, step.certain) { (true, _) => "moved", (_, true) => "runs", _ => "unknown" },
            "depends_on": step.depends_on, "causes": causes, "seconds": step.micros.map(seconds),
        })
    };
    json!({
        "schema": 1,
        "dockerfile": answer.dockerfile,
        "asked": answer.parts,
        "steps": answer.steps.iter().map(step).collect::<Vec<_>>(),
        "steps_in_all": answer.of,
        "seconds": {"certain": seconds(answer.certain_micros), "possible": seconds(answer.possible_micros)},
        "has_times": answer.has_times,
        "untimed_lines": answer.untimed,
        "missing_bases": answer.missing_bases,
    })
}

/// As [`document()`]. Errors: of the writer.
pub fn json(out: &mut dyn Write, answer: &Answer) -> io::Result<()> {
    write_json(out, &document(answer))
}
