//! Variables: those that FROM sees, and those of a stage.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::LintRequest;
use crate::language::dockerfile::{Arguments, Diagnostic, Environment, expand_word};

/// Names and values.
pub(super) type Variables = BTreeMap<String, String>;

/// A look-up in a set of variables.
pub(super) fn lookup(variables: &Variables) -> impl Environment + '_ {
    |name: &str| variables.get(name).cloned()
}

/// What stands before the first FROM, and what is predefined there.
pub(super) struct GlobalArguments {
    /// Values with the build arguments.
    pub values: Variables,
    /// Values without; none when a default cannot be expanded.
    pub defaults: Option<Variables>,
    /// Names declared or predefined, with or without a value.
    pub declared: BTreeSet<String>,
}

impl GlobalArguments {
    /// Source of the rule: `defaultArgs` and `buildMetaArgs` of BuildKit's `convert.go` and `platform.go`.
    pub(super) fn new(request: &LintRequest<'_>, errors: &mut Vec<Diagnostic>) -> Self {
        let predefined = predefined(request);
        let nothing = BTreeMap::new();
        let defaults = values(request, predefined.clone(), &nothing, &mut Vec::new());
        let values = values(request, predefined.clone(), request.build_args, errors);
        let mut declared: BTreeSet<String> = predefined.into_keys().collect();
        for instruction in request.dockerfile.global_args() {
            if let Arguments::Arg(list) = &instruction.arguments {
                declared.extend(list.iter().map(|entry| entry.name.text.clone()));
            }
        }
        Self { values: values.unwrap_or_default(), defaults, declared }
    }
}

/// The ARGs before the first FROM on top of `start`; none (and an error noted) when a default cannot be expanded.
fn values(
    request: &LintRequest<'_>,
    start: Variables,
    build_args: &BTreeMap<String, String>,
    errors: &mut Vec<Diagnostic>,
) -> Option<Variables> {
    let mut values = start;
    for instruction in request.dockerfile.global_args() {
        let Arguments::Arg(list) = &instruction.arguments else { continue };
        for entry in list {
            let name = &entry.name.text;
            if let Some(given) = build_args.get(name) {
                values.insert(name.clone(), given.clone());
            } else if let Some(default) = &entry.value {
                let result = expand_word(&default.text, &lookup(&values), request.dockerfile.escape);
                match result {
                    Ok(expanded) => {
                        values.insert(name.clone(), expanded.text);
                    }
                    Err(error) => {
                        errors.push(Diagnostic::error(default.span, error.to_string()));
                        return None;
                    }
                }
            }
        }
    }
    Some(values)
}

fn predefined(request: &LintRequest<'_>) -> Variables {
    let mut parts = request.platform.splitn(3, '/');
    let (system, architecture, variant) =
        (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let mut out = Variables::new();
    for side in ["BUILD", "TARGET"] {
        for (what, value) in
            [("PLATFORM", request.platform), ("OS", system), ("OSVERSION", ""), ("ARCH", architecture), ("VARIANT", variant)]
        {
            out.insert(format!("{side}{what}"), value.to_owned());
        }
    }
    out.insert("TARGETSTAGE".to_owned(), "default".to_owned());
    for (name, value) in &mut out {
        if let Some(given) = request.build_args.get(name) {
            value.clone_from(given);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::dockerfile::{checks::Target, parse};

    #[test]
    fn build_arguments_win_over_defaults_but_not_in_the_defaults() {
        let dockerfile = parse("ARG a=1\nARG b=$a-x\nARG c\nFROM s\n");
        let build_args = BTreeMap::from([("a".to_owned(), "2".to_owned())]);
        let request = LintRequest {
            dockerfile: &dockerfile,
            ignore: None,
            target: Target::All,
            build_args: &build_args,
            platform: "linux/arm/v7",
            base: &|_| None,
        };
        let globals = GlobalArguments::new(&request, &mut Vec::new());
        assert_eq!(globals.values["b"], "2-x");
        assert_eq!(globals.defaults.as_ref().map(|d| d["b"].as_str()), Some("1-x"));
        assert!(globals.declared.contains("c") && !globals.values.contains_key("c"));
        assert_eq!(globals.values["TARGETVARIANT"], "v7");
    }
}
