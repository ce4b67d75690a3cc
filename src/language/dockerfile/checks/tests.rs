//! Every rule warns about its bad example and is silent about its good one.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::language::dockerfile::{IgnoreRules, parse};

/// Lints a text as `--check` does; images are amd64 and define nothing.
fn linted(source: &str, ignore: &str) -> Lint {
    let ignore = IgnoreRules::parse(ignore).unwrap_or_default();
    let base = |_: &str| Some(BaseImage { platform: Some("linux/amd64".to_owned()), ..BaseImage::default() });
    lint(&LintRequest {
        dockerfile: &parse(source),
        ignore: Some(&ignore),
        target: Target::All,
        build_args: &BTreeMap::new(),
        platform: "linux/amd64",
        base: &base,
    })
}

fn rules_of(lint: &Lint) -> BTreeSet<&'static str> {
    lint.warnings.iter().map(|warning| warning.rule).collect()
}

#[test]
fn examples_of_the_pages() {
    assert_eq!(ALL.len(), 22);
    for check in ALL {
        let rule = check.rule();
        let bad = linted(rule.bad, "tmp/*\n");
        assert!(rules_of(&bad).contains(rule.name), "{}: {bad:?}", rule.name);
        let good = linted(rule.good, "tmp/*\n");
        assert!(!rules_of(&good).contains(rule.name), "{}: {good:?}", rule.name);
    }
}

#[test]
fn comments_above_an_instruction_switch_its_rules_off() {
    let source = "FROM scratch\n# check=skip=LegacyKeyValueFormat\nENV a b\nENV c d\n";
    assert_eq!(linted(source, "").warnings.iter().map(|w| w.line).collect::<Vec<_>>(), [4]);
}

#[test]
fn errors_of_the_options_and_of_words_are_found() {
    assert!(linted("# check=nonsense=1\nFROM scratch\n", "").fails());
    assert!(linted("FROM scratch\nENV a=${b:?needed}\n", "").fails());
    assert!(linted("# check=error=true\nFROM scratch as a\n", "").fails());
    assert!(!linted("FROM scratch as a\n", "").fails());
}

#[test]
fn triggers_are_reported_where_they_run() {
    let lint = linted("FROM scratch AS a\nONBUILD ENV x y\nFROM a\n", "");
    assert_eq!(lint.warnings.iter().map(|w| (w.rule, w.line)).collect::<Vec<_>>(), [("LegacyKeyValueFormat", 3)]);
}

#[test]
fn an_unknown_base_raises_doubt() {
    let build_args = BTreeMap::new();
    let dockerfile = parse("# check=error=true\nFROM python\nENV v=$PYTHON_VERSION\n");
    let found = lint(&LintRequest {
        dockerfile: &dockerfile,
        ignore: None,
        target: Target::Last,
        build_args: &build_args,
        platform: "linux/amd64",
        base: &|_| None,
    });
    assert!(found.warnings.iter().all(|warning| warning.doubt.is_some()) && !found.fails());
}
