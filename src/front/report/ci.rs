//! `ci`: the price of a change against a budget, for people and for what reads the results of pipelines.

use std::io::{self, Write};

use serde_json::json;

use super::document::json as write_json;
use super::whatif;
use crate::front::text;
use crate::insight::workbench::budget::Judgement;
use crate::insight::workbench::whatif::{Answer, StepForecast};

/// What is reported.
pub struct CiReport<'a> {
    /// The price.
    pub answer: &'a Answer,
    /// The budget in microseconds.
    pub max: Option<u64>,
    /// What came of it.
    pub judgement: Judgement,
}

/// The name of the only rule.
const RULE: &str = "rebuild-budget";

impl CiReport<'_> {
    /// The verdict in one sentence.
    pub fn sentence(&self) -> String {
        let sure = text::seconds(self.answer.certain_micros);
        let max = text::seconds(self.max.unwrap_or(0));
        match (self.judgement, self.answer.has_times) {
            (Judgement::NotAsked, _) => format!("no budget was given; {}", whatif::summary(self.answer)),
            (Judgement::Within, _) => format!("within the budget: {sure} of {max}"),
            (Judgement::Over, _) => format!("over the budget: {sure}, where {max} are allowed"),
            (Judgement::Unknown, false) => {
                "the budget cannot be judged: no build of this project is on record, so there are no times".into()
            }
            (Judgement::Unknown, true) => format!(
                "the budget cannot be judged: {sure} of {max}, but {} runs too and no record has a time for it",
                whatif::lines(&self.untimed())
            ),
        }
    }

    fn untimed(&self) -> Vec<u32> {
        let untimed = |step: &&StepForecast| step.certain && !step.is_base && step.micros.is_none();
        self.answer.steps.iter().filter(untimed).map(|step| step.line).collect()
    }

    /// Steps that run in any case, dearest first.
    fn dearest(&self) -> Vec<&StepForecast> {
        let mut steps: Vec<&StepForecast> = self.answer.steps.iter().filter(|step| step.certain && !step.is_base).collect();
        steps.sort_by_key(|step| std::cmp::Reverse(step.micros));
        steps
    }
}

/// As `whatif`, with the verdict. Errors: of the writer.
pub fn plain(out: &mut dyn Write, report: &CiReport<'_>) -> io::Result<()> {
    whatif::plain(out, report.answer)?;
    writeln!(out, "{}", report.sentence())
}

/// As `whatif --json`, with `judgement`, `max_seconds` and `text`. Errors: of the writer.
pub fn json(out: &mut dyn Write, report: &CiReport<'_>) -> io::Result<()> {
    let mut document = whatif::document(report.answer);
    document["judgement"] = serde_json::to_value(report.judgement)?;
    document["max_seconds"] = report.max.map(|max| max as f64 / 1e6).into();
    document["text"] = report.sentence().into();
    write_json(out, &document)
}

/// SARIF 2.1.0: one result, at the dearest step. Errors: of the writer.
pub fn sarif(out: &mut dyn Write, report: &CiReport<'_>) -> io::Result<()> {
    let (kind, level) = match report.judgement {
        Judgement::Over => ("fail", "error"),
        Judgement::Within => ("pass", "none"),
        Judgement::NotAsked | Judgement::Unknown => ("open", "none"),
    };
    let line = report.dearest().first().map_or(1, |step| step.line.max(1));
    let result = json!({
        "ruleId": RULE,
        "kind": kind,
        "level": level,
        "message": {"text": report.sentence()},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": report.answer.dockerfile},
            "region": {"startLine": line},
        }}],
    });
    let rule = json!({"id": RULE, "shortDescription": {"text": "What a change makes run stays within a budget"}});
    let driver = json!({"name": "rbuild-tui", "version": env!("CARGO_PKG_VERSION"), "rules": [rule]});
    let run = json!({"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": [result]});
    let document = json!({"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]});
    write_json(out, &document)
}

/// JUnit's XML: one case, which fails when the change is over the budget, and is in error when nobody knows. Errors: of the
/// writer.
pub fn junit(out: &mut dyn Write, report: &CiReport<'_>) -> io::Result<()> {
    let seconds = format!("{:.3}", report.answer.certain_micros as f64 / 1e6);
    let (failures, errors) =
        (u8::from(report.judgement == Judgement::Over), u8::from(report.judgement == Judgement::Unknown));
    let asked: Vec<&str> = report.answer.parts.iter().map(|part| part.option.as_str()).collect();
    let case = xml(&asked.join(" "));
    let class = xml(&report.answer.dockerfile);
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(out, "<testsuite name=\"{RULE}\" tests=\"1\" failures=\"{failures}\" errors=\"{errors}\" time=\"{seconds}\">")?;
    writeln!(out, "  <testcase name=\"{case}\" classname=\"{class}\" time=\"{seconds}\">")?;
    let message = xml(&report.sentence());
    let mut lines = Vec::new();
    whatif::plain(&mut lines, report.answer)?;
    let details = xml_block(&String::from_utf8_lossy(&lines));
    match report.judgement {
        Judgement::Over => writeln!(out, "    <failure message=\"{message}\">{details}</failure>")?,
        Judgement::Unknown => writeln!(out, "    <error message=\"{message}\">{details}</error>")?,
        Judgement::Within | Judgement::NotAsked => writeln!(out, "    <system-out>{message}\n{details}</system-out>")?,
    }
    writeln!(out, "  </testcase>\n</testsuite>")
}

/// Safe text for an attribute.
fn xml(raw: &str) -> String {
    escaped(&text::line(raw))
}

/// Safe text of several lines for an element.
fn xml_block(raw: &str) -> String {
    escaped(&text::block(raw))
}

fn escaped(safe: &str) -> String {
    let allowed = |c: char| !matches!(c, '\u{fffe}' | '\u{ffff}');
    let clean: String = safe.chars().map(|c| if allowed(c) { c } else { char::REPLACEMENT_CHARACTER }).collect();
    clean.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&apos;")
}

/// A comment for a pull request. Errors: of the writer.
pub fn markdown(out: &mut dyn Write, report: &CiReport<'_>) -> io::Result<()> {
    let mark = match report.judgement {
        Judgement::Over => "❌ ",
        Judgement::Within => "✅ ",
        Judgement::NotAsked | Judgement::Unknown => "",
    };
    writeln!(out, "### {mark}Rebuild cost: {}\n", markdown_text(&report.sentence()))?;
    for part in &report.answer.parts {
        writeln!(out, "- {}: {}", code(&part.option), markdown_text(&part.text))?;
    }
    if !report.answer.steps.is_empty() {
        writeln!(out, "\n| line | step | result | last time | why |\n|---:|---|---|---:|---|")?;
    }
    for step in &report.answer.steps {
        let result = match (step.is_base, step.certain) {
            (true, _) => "moves".to_owned(),
            (_, true) => "runs".to_owned(),
            _ => format!("unknown: output of {}", whatif::lines(&step.depends_on)),
        };
        let time = step.micros.map_or_else(String::new, text::seconds);
        let why: Vec<String> = step.causes.iter().map(|cause| markdown_text(&cause.to_string())).collect();
        let (line, name) = (step.line, code(&step.instruction));
        writeln!(out, "| {line} | {name} | {result} | {time} | {} |", why.join("; "))?;
    }
    writeln!(out, "\n{}", markdown_text(&whatif::summary(report.answer)))
}

/// A code span of a table. A text with backticks goes into a longer fence.
fn code(raw: &str) -> String {
    let safe = text::line(raw).replace('|', "\\|");
    let longest = safe.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let (fence, pad) = ("`".repeat(longest + 1), if longest > 0 { " " } else { "" });
    format!("{fence}{pad}{safe}{pad}{fence}")
}

/// Text in which nothing is markup but the code spans that our own sentences have.
fn markdown_text(raw: &str) -> String {
    let mut out = String::new();
    for (at, piece) in text::line(raw).split('`').enumerate() {
        if at % 2 == 1 {
            out.push_str(&code(piece));
            continue;
        }
        for c in piece.chars() {
            if matches!(c, '\\' | '*' | '_' | '<' | '>' | '[' | ']' | '|' | '#' | '~' | '@') {
                out.push('\\');
            }
            out.push(c);
        }
    }
    out
}

/// What the formats have in common is tested with the program; here, that nothing gets out of its place.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_text() {
        assert_eq!(xml("a\"b<c>&\u{1b}"), "a&quot;b&lt;c&gt;&amp;\\x1b");
        assert_eq!(code("a|b"), "`a\\|b`");
        assert_eq!(code("a``b"), "``` a``b ```");
        assert_eq!(markdown_text("it reads `x|y` of <b>*@me*"), "it reads `x\\|y` of \\<b\\>\\*\\@me\\*");
    }

    #[test]
    fn a_value_is_no_number_of_its_own() {
        let value = serde_json::to_value(Judgement::NotAsked).unwrap();
        assert_eq!(value, "not_asked");
    }
}
