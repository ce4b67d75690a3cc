//! `lint` and `build --check`: text, JSON, SARIF and the annotations of GitHub; pages of the rules; the outline.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::document;
use crate::front::text;
use crate::insight::suggest::Page;
use crate::language::dockerfile::checks::{ALL, Lint, Rule, Warning};
use crate::language::dockerfile::outline::{Asked, Outline};
use crate::language::dockerfile::{Diagnostic, Dockerfile, Span, render};

/// A file with what was found in it.
pub struct LintReport<'a> {
    /// The file.
    pub dockerfile: &'a Dockerfile,
    /// Its shown name.
    pub file: &'a str,
    /// The findings.
    pub lint: &'a Lint,
}

fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Each finding with its line and a caret, then a summary. Errors: of the writer.
pub fn plain(out: &mut dyn Write, report: &LintReport<'_>) -> io::Result<()> {
    for error in &report.lint.errors {
        writeln!(out, "{}\n", render(error, report.dockerfile, report.file))?;
    }
    for warning in &report.lint.warnings {
        let mut shown = Diagnostic::warning(warning.span, format!("{}: {}", warning.rule, warning.message));
        shown.help = warning.doubt.clone();
        writeln!(out, "{}", render(&shown, report.dockerfile, report.file))?;
        writeln!(
            out,
            "see: {}\n",
            warning.url.map_or_else(|| format!("rbuild-tui lint --explain {}", warning.rule), str::to_owned)
        )?;
    }
    let (errors, warnings) = (report.lint.errors.len(), report.lint.warnings.len());
    let file = text::line(report.file);
    if (errors, warnings) == (0, 0) {
        return writeln!(out, "{file}: no findings");
    }
    let strict = errors == 0 && report.lint.fails();
    let strict = if strict { "; warnings fail the build here (check=error=true)" } else { "" };
    writeln!(out, "{file}: {}, {}{strict}", plural(errors, "error"), plural(warnings, "warning"))
}

fn place(report: &LintReport<'_>, span: Span) -> Value {
    let source = &report.dockerfile.source;
    let position = |offset| {
        let position = report.dockerfile.lines.position(source, offset);
        json!({"line": position.line, "column": position.column})
    };
    json!({"start": position(span.start), "end": position(span.end)})
}

/// `{"schema":1,"file":…,"failed":…,"errors":[…],"warnings":[…]}`; `line` of a warning is BuildKit's. Errors: of the writer.
pub fn json(out: &mut dyn Write, report: &LintReport<'_>) -> io::Result<()> {
    let warning = |warning: &Warning| {
        json!({
            "rule": warning.rule,
            "description": warning.description,
            "url": warning.url,
            "level": warning.level,
            "message": warning.message,
            "line": warning.line,
            "span": place(report, warning.span),
            "doubt": warning.doubt,
        })
    };
    let error = |error: &Diagnostic| {
        let line = report.dockerfile.lines.line(error.span.start);
        json!({"message": error.message, "help": error.help, "line": line, "span": place(report, error.span)})
    };
    let warnings: Vec<Value> = report.lint.warnings.iter().map(warning).collect();
    let errors: Vec<Value> = report.lint.errors.iter().map(error).collect();
    let failed = report.lint.fails();
    document::json(out, &json!({"schema": 1, "file": report.file, "failed": failed, "errors": errors, "warnings": warnings}))
}

/// SARIF 2.1.0. Errors: of the writer.
pub fn sarif(out: &mut dyn Write, report: &LintReport<'_>) -> io::Result<()> {
    let result = |rule: &str, level: &str, message: &str, span: Span| {
        let place = place(report, span);
        json!({
            "ruleId": rule,
            "level": level,
            "message": {"text": message},
            "locations": [{"physicalLocation": {
                "artifactLocation": {"uri": report.file},
                "region": {
                    "startLine": place["start"]["line"], "startColumn": place["start"]["column"],
                    "endLine": place["end"]["line"], "endColumn": place["end"]["column"],
                },
            }}],
        })
    };
    let level = if report.lint.warnings_are_errors { "error" } else { "warning" };
    let mut results: Vec<Value> =
        report.lint.errors.iter().map(|error| result("DockerfileError", "error", &error.message, error.span)).collect();
    results.extend(report.lint.warnings.iter().map(|warning| {
        let level = if warning.doubt.is_some() { "warning" } else { level };
        result(warning.rule, level, &warning.message, warning.span)
    }));
    let rule = |rule: &'static Rule| match rule.url {
        Some(url) => json!({"id": rule.name, "shortDescription": {"text": rule.description}, "helpUri": url}),
        None => json!({"id": rule.name, "shortDescription": {"text": rule.description}}),
    };
    let mut rules: Vec<Value> =
        vec![json!({"id": "DockerfileError", "shortDescription": {"text": "The file cannot be built"}})];
    rules.extend(ALL.iter().map(|check| rule(check.rule())));
    let driver = json!({"name": "rbuild-tui", "version": env!("CARGO_PKG_VERSION"), "rules": rules});
    document::json(
        out,
        &json!({
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
        }),
    )
}

/// `::warning file=…,line=…::…`, as GitHub's runners read it. Errors: of the writer.
pub fn github(out: &mut dyn Write, report: &LintReport<'_>) -> io::Result<()> {
    let mut annotation = |kind: &str, title: &str, message: &str, span: Span| {
        let lines = &report.dockerfile.lines;
        let (line, end) = (lines.line(span.start), lines.line(span.end.max(span.start + 1) - 1));
        let (file, title) = (property(report.file), property(title));
        let message = message.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
        let message = text::line(&message);
        writeln!(out, "::{kind} file={file},line={line},endLine={},title={title}::{message}", end.max(line))
    };
    for error in &report.lint.errors {
        annotation("error", "Dockerfile", &error.message, error.span)?;
    }
    let strict = if report.lint.warnings_are_errors { "error" } else { "warning" };
    for warning in &report.lint.warnings {
        let kind = if warning.doubt.is_some() { "warning" } else { strict };
        annotation(kind, warning.rule, &warning.message, warning.span)?;
    }
    Ok(())
}

/// A property of an annotation: its own separators are escaped too.
fn property(value: &str) -> String {
    let value = value.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    text::line(&value.replace(':', "%3A").replace(',', "%2C"))
}

/// The page of a rule. Errors: of the writer.
pub fn page(out: &mut dyn Write, rule: &Rule) -> io::Result<()> {
    writeln!(out, "{}{}\n", rule.name, if rule.experimental { " (experimental)" } else { "" })?;
    for line in
        text::wrap(rule.description, PAGE_WIDTH).into_iter().chain([String::new()]).chain(text::wrap(rule.why, PAGE_WIDTH))
    {
        writeln!(out, "{line}")?;
    }
    for (title, example) in [("Warned about", rule.bad), ("Fine", rule.good)] {
        writeln!(out, "\n{title}:")?;
        example.lines().try_for_each(|line| writeln!(out, "    {line}"))?;
    }
    let switch = if rule.experimental { "Switch it on" } else { "Switch it off" };
    let key = if rule.experimental { "experimental" } else { "skip" };
    writeln!(out, "\n{switch} with `# check={key}={}` at the head of the file or above an instruction.", rule.name)?;
    rule.url.map_or(Ok(()), |url| writeln!(out, "BuildKit's page: {url}"))
}

const PAGE_WIDTH: usize = 80;

/// The page of a rule as JSON. Errors: of the writer.
pub fn page_json(out: &mut dyn Write, rule: &Rule) -> io::Result<()> {
    document::json(
        out,
        &json!({
            "schema": 1, "rule": rule.name, "description": rule.description, "url": rule.url,
            "experimental": rule.experimental, "why": rule.why, "bad": rule.bad, "good": rule.good,
        }),
    )
}

/// The page of a rule of `suggest`. Errors: of the writer.
pub fn suggestion_page(out: &mut dyn Write, page: &Page) -> io::Result<()> {
    writeln!(out, "{} (a rule of `suggest`)\n", page.name)?;
    let text = text::wrap(page.description, PAGE_WIDTH).into_iter().chain([String::new()]);
    for line in text.chain(text::wrap(page.why, PAGE_WIDTH)) {
        writeln!(out, "{line}")?;
    }
    for (title, example) in [("Improved", page.bad), ("To this", page.good)] {
        writeln!(out, "\n{title}:")?;
        example.lines().try_for_each(|line| writeln!(out, "    {line}"))?;
    }
    writeln!(out, "\n`rbuild-tui suggest --rule {}` shows only what it offers.", page.name)
}

/// The same as JSON. Errors: of the writer.
pub fn suggestion_page_json(out: &mut dyn Write, page: &Page) -> io::Result<()> {
    let Page { name, description, why, bad, good } = page;
    let body = json!({"schema": 1, "rule": name, "description": description, "why": why, "bad": bad, "good": good});
    document::json(out, &body)
}

/// The outline, a line a fact. Errors: of the writer.
pub fn outline(out: &mut dyn Write, outline: &Outline) -> io::Result<()> {
    let lines = |lines: &[u32]| lines.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let described =
        |text: &Option<String>| text.as_ref().map(|text| format!("  # {}", text::line(text))).unwrap_or_default();
    writeln!(out, "targets")?;
    for stage in &outline.stages {
        let name = stage.name.clone().unwrap_or_else(|| stage.index.to_string());
        let platform = stage.platform.as_ref().map(|p| format!(" for {}", text::line(p))).unwrap_or_default();
        let default = if stage.default { " (default)" } else { "" };
        let (name, base, about) = (text::line(&name), text::line(&stage.base), described(&stage.description));
        writeln!(out, "  {name}{default}: line {}, from {base}{platform}{about}", stage.line)?;
        for used in &stage.used_by {
            let by = outline.stages.get(used.stage).and_then(|by| by.name.clone()).unwrap_or_else(|| used.stage.to_string());
            writeln!(out, "    used by {}: line {}, {}", text::line(&by), used.line, used.instruction)?;
        }
    }
    writeln!(out, "arguments{}", if outline.args.is_empty() { ": none" } else { "" })?;
    for arg in &outline.args {
        let default = arg.default.as_ref().map_or_else(|| " without default".to_owned(), |d| format!("={}", text::line(d)));
        let used = if arg.used.is_empty() { "not used".to_owned() } else { format!("used in line {}", lines(&arg.used)) };
        writeln!(out, "  {}{default}: line {}, {used}{}", text::line(&arg.name), arg.line, described(&arg.description))?;
    }
    let mut list = |what: &str, list: &[Asked]| {
        writeln!(out, "{what}{}", if list.is_empty() { ": none" } else { "" })?;
        list.iter().try_for_each(|asked| {
            let need = if asked.required { "required" } else { "optional" };
            writeln!(out, "  {}: {need}, line {}", text::line(&asked.id), lines(&asked.lines))
        })
    };
    list("secrets", &outline.secrets)?;
    list("ssh", &outline.ssh)
}

/// The outline as JSON. Errors: of the writer.
pub fn outline_json(out: &mut dyn Write, file: &str, outline: &Outline) -> io::Result<()> {
    let mut value = serde_json::to_value(outline)?;
    if let Some(object) = value.as_object_mut() {
        object.insert("schema".to_owned(), 1.into());
        object.insert("file".to_owned(), file.into());
    }
    document::json(out, &value)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::language::dockerfile::checks::{LintRequest, Target, find_rule, lint};
    use crate::language::dockerfile::parse;

    fn text_of(source: &str, write: impl Fn(&mut dyn Write, &LintReport<'_>) -> io::Result<()>) -> String {
        let dockerfile = parse(source);
        let request = LintRequest {
            dockerfile: &dockerfile,
            ignore: None,
            target: Target::All,
            build_args: &BTreeMap::new(),
            platform: "linux/amd64",
            base: &|_| None,
        };
        let mut out = Vec::new();
        write(&mut out, &LintReport { dockerfile: &dockerfile, file: "a,b/Dockerfile", lint: &lint(&request) }).unwrap();
        String::from_utf8(out).unwrap()
    }

    const SOURCE: &str = "FROM scratch as a\nCMD x\u{1b}[31m\n";

    #[test]
    fn every_format_says_rule_and_line() {
        let plain = text_of(SOURCE, plain);
        assert!(plain.contains("a,b/Dockerfile:1:1: warning: FromAsCasing: 'as' and 'FROM'"), "{plain}");
        assert!(plain.contains("0 errors, 2 warnings") && !plain.contains('\u{1b}'), "{plain}");
        let value: Value = serde_json::from_str(&text_of(SOURCE, json)).unwrap();
        assert_eq!(
            (value["warnings"][1]["rule"].as_str(), value["warnings"][1]["line"].as_u64()),
            (Some("JSONArgsRecommended"), Some(2))
        );
        let value: Value = serde_json::from_str(&text_of(SOURCE, sarif)).unwrap();
        assert_eq!(value["runs"][0]["results"].as_array().map(Vec::len), Some(2));
        assert_eq!(value["runs"][0]["tool"]["driver"]["rules"].as_array().map(Vec::len), Some(23));
        let github = text_of(SOURCE, github);
        assert!(github.starts_with("::warning file=a%2Cb/Dockerfile,line=1,endLine=1,title=FromAsCasing::"), "{github}");
    }

    #[test]
    fn errors_come_first() {
        assert!(text_of("FROM a\nRUNN x\n", plain).starts_with("a,b/Dockerfile:2:1: unknown instruction"));
    }

    #[test]
    fn pages_have_examples() {
        let mut out = Vec::new();
        page(&mut out, find_rule("expoSeProtoCasing").unwrap()).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("    EXPOSE 80/TcP") && text.contains("# check=skip=ExposeProtoCasing"), "{text}");
    }

    #[test]
    fn the_outline_is_plain_and_json() {
        let found = parse("ARG V=1\nFROM a:$V AS x\nFROM scratch\nCOPY --from=x /a /\n").outline();
        let (mut plain, mut json) = (Vec::new(), Vec::new());
        outline(&mut plain, &found).unwrap();
        outline_json(&mut json, "Dockerfile", &found).unwrap();
        let plain = String::from_utf8(plain).unwrap();
        for part in ["  x: line 2, from a:$V\n    used by 1: line 4, COPY", "  V=1: line 1, used in line 2", "secrets: none"]
        {
            assert!(plain.contains(part), "{part} in\n{plain}");
        }
        let value: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(value["stages"][0]["used_by"][0]["line"], 4);
    }
}
