//! The build checks, and the examples of BuildKit's pages.

use std::collections::BTreeMap;

use rbuild_tui::language::dockerfile::checks::{BaseImage, Lint, LintRequest, Target, lint};
use rbuild_tui::language::dockerfile::{Arguments, IgnoreRules, parse};
use serde_json::Value;

use crate::{Verdict, expect_equal, run};

/// Base images of the cases define nothing and are for amd64.
fn plain_base(_: &str) -> Option<BaseImage> {
    Some(BaseImage { platform: Some("linux/amd64".to_owned()), ..BaseImage::default() })
}

pub fn linted(source: &str, ignore: &str, build_args: &BTreeMap<String, String>, target: Target<'_>) -> Lint {
    let ignore = IgnoreRules::parse(ignore).unwrap_or_default();
    lint(&LintRequest {
        dockerfile: &parse(source),
        ignore: Some(&ignore),
        target,
        build_args,
        platform: "linux/amd64",
        base: &plain_base,
    })
}

/// Rule, line, message, description, address, level: in one line, to be compared in any order.
fn found(lint: &Lint) -> Vec<String> {
    let line = |w: &rbuild_tui::language::dockerfile::checks::Warning| {
        let parts = (w.line, w.rule, w.message.as_str(), w.description, w.url.unwrap_or(""), w.level);
        format!("{parts:?}")
    };
    let mut lines: Vec<String> = lint.warnings.iter().map(line).collect();
    lines.sort();
    lines
}

fn expected(list: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let line = |w: &Value| {
        let level = w["level"].as_u64().unwrap_or(1);
        format!(
            "{:?}",
            (
                w["line"].as_u64().unwrap_or(0),
                text(&w["rule"]),
                text(&w["message"]),
                text(&w["description"]),
                text(&w["url"]),
                level
            )
        )
    };
    let mut lines: Vec<String> = list.as_array().into_iter().flatten().map(line).collect();
    lines.sort();
    lines
}

#[test]
fn buildkit_lint() {
    run("buildkit-lint", |_, case| {
        let source = case["dockerfile"].as_str().unwrap_or("");
        let ignore = case["dockerignore"].as_str().unwrap_or("");
        let mut build_args = BTreeMap::new();
        for (name, value) in case["frontend_attrs"].as_object().into_iter().flatten() {
            if let (Some(name), Some(value)) = (name.strip_prefix("build-arg:"), value.as_str()) {
                build_args.insert(name.to_owned(), value.to_owned());
            }
        }
        let built = linted(source, ignore, &build_args, Target::Last);
        let all = linted(source, ignore, &build_args, Target::All);
        if found(&built) != expected(&case["warnings"]) {
            return expect_equal(found(&built), expected(&case["warnings"]));
        }
        let of_all = case.get("all_target_warnings").filter(|list| list.is_array()).unwrap_or(&case["warnings"]);
        if found(&all) != expected(of_all) {
            return expect_equal(found(&all), expected(of_all));
        }
        // What a build finds only while it runs is no error here.
        let at_run = case.get("build_error_regex").is_some();
        expect_equal(built.fails(), case.get("build_error").is_some() && !at_run)
    });
}

#[test]
fn buildkit_lint_doc_examples() {
    run("buildkit-lint-doc-examples", |_, case| {
        let rule = case["rule"].as_str().unwrap_or("");
        let source = case["dockerfile"].as_str().unwrap_or("");
        let begun = parse(source).instructions.iter().any(|i| matches!(i.arguments, Arguments::From { .. }));
        let mut text = if begun { source.to_owned() } else { format!("FROM scratch\n{source}") };
        if rule == "InvalidDefinitionDescription" {
            text = format!("# check=experimental={rule}\n{text}");
        }
        let lint = linted(&text, "*/tmp/*\n", &BTreeMap::new(), Target::All);
        let warns = lint.warnings.iter().any(|warning| warning.rule == rule);
        match case["verdict"].as_str() {
            Some("bad") => expect_equal(warns, true),
            // The page's base image sets the variable.
            Some("good") if source.contains("PYTHON_VERSION") => expect_equal(warns, true),
            Some(_) => expect_equal(warns, false),
            None => match rule {
                "UndefinedVar" | "WorkdirRelativePath" => expect_equal(warns, true),
                _ => expect_equal(warns, false),
            },
        }
    });
}

#[test]
fn buildkit_reference_examples() {
    run("buildkit-reference-examples", |_, case| {
        if case["template"].as_bool() == Some(true) {
            return Verdict::Skipped("a template with placeholders");
        }
        let source = case["dockerfile"].as_str().unwrap_or("");
        let begun = case["has_from"].as_bool() == Some(true);
        let file = parse(&if begun { source.to_owned() } else { format!("FROM scratch\n{source}") });
        expect_equal(crate::errors(&file), Vec::new())
    });
}
