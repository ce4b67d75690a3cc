//! ARGs before the first FROM, and the variables of the platform.

use super::LowerRequest;
use crate::language::dockerfile::expand::expand_word;
use crate::language::dockerfile::{Arguments, Diagnostic, Instruction};

/// Build arguments that need no declaration, and are not part of any key unless declared.
pub const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Variables that FROM can use, and that ARG without a value takes into a stage.
pub struct GlobalArgs {
    values: Vec<(String, String)>,
}

impl GlobalArgs {
    /// Of the platform, and of the ARGs that stand before the first FROM.
    pub fn new(before: &[Instruction], request: &LowerRequest<'_>, errors: &mut Vec<Diagnostic>) -> Self {
        let mut globals = Self { values: platform_args(request) };
        for instruction in before {
            let Arguments::Arg(list) = &instruction.arguments else { continue };
            for arg in list {
                let name = &arg.name.text;
                if let Some(value) = request.build_args.get(name) {
                    globals.set(name, value.clone());
                    continue;
                }
                let Some(default) = &arg.value else { continue };
                let lookup = |name: &str| globals.get(name);
                match expand_word(&default.text, &lookup, request.dockerfile.escape) {
                    Ok(expanded) => globals.set(name, expanded.text),
                    Err(error) => errors.push(Diagnostic::error(default.span, error.to_string())),
                }
            }
        }
        globals
    }

    /// A value.
    pub fn get(&self, name: &str) -> Option<String> {
        self.values.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    fn set(&mut self, name: &str, value: String) {
        self.values.push((name.to_owned(), value));
    }
}

/// The name that gives times to what has none of its own.
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// SOURCE_DATE_EPOCH: of the command line, else the default of a global ARG. `context` is the time of a context from git or an
/// archive; a local one has none.
///
/// Source of the rule: `testSourceDateEpochDockerfileDefault...` of BuildKit's own tests.
pub fn epoch(
    before: &[Instruction],
    request: &LowerRequest<'_>,
    globals: &GlobalArgs,
    errors: &mut Vec<Diagnostic>,
) -> Option<u64> {
    if request.epoch.is_some() || request.build_args.contains_key(EPOCH) {
        return request.epoch;
    }
    let arguments = before.iter().filter_map(|instruction| match &instruction.arguments {
        Arguments::Arg(list) => Some(list),
        _ => None,
    });
    let default = arguments.flatten().filter(|arg| arg.name.text == EPOCH).find_map(|arg| arg.value.as_ref())?;
    let text = globals.get(EPOCH).filter(|text| !text.is_empty() && text != "context")?;
    let number = text.parse().ok();
    if number.is_none() {
        let message = format!(
            "{EPOCH} `{}` is no number of seconds, and the time of a stage or of a named context is not acted on yet",
            text.escape_debug()
        );
        errors.push(Diagnostic::error(default.span, message));
    }
    number
}

fn platform_args(request: &LowerRequest<'_>) -> Vec<(String, String)> {
    let platform = &request.platform;
    let variant = platform.variant.clone().unwrap_or_default();
    let mut out = Vec::new();
    for side in ["BUILD", "TARGET"] {
        for (what, value) in [
            ("PLATFORM", platform.text()),
            ("OS", platform.os.clone()),
            ("ARCH", platform.architecture.clone()),
            ("VARIANT", variant.clone()),
        ] {
            out.push((format!("{side}{what}"), value));
        }
    }
    out.push(("TARGETSTAGE".into(), request.target.unwrap_or("default").to_owned()));
    // --build-arg may override them, as everything else
    for (name, value) in &mut out {
        if let Some(given) = request.build_args.get(name) {
            value.clone_from(given);
        }
    }
    out
}

/// Names given by `--build-arg` that no ARG takes: mostly a slip of the pen.
///
/// Source of the rule: BuildKit's warning "One or more build-args were not consumed".
pub fn unconsumed(request: &LowerRequest<'_>) -> Vec<String> {
    let declares = |instruction: &Instruction, name: &str| match &instruction.arguments {
        Arguments::Arg(list) => list.iter().any(|arg| arg.name.text == name),
        _ => false,
    };
    let own = ["SOURCE_DATE_EPOCH", "BUILDKIT_"];
    let known = |name: &str| {
        PROXIES.contains(&name)
            || own.iter().any(|prefix| name.starts_with(prefix))
            || platform_args(request).iter().any(|(known, _)| known == name)
            || request.dockerfile.instructions.iter().any(|instruction| declares(instruction, name))
    };
    request.build_args.keys().filter(|name| !known(name)).cloned().collect()
}
