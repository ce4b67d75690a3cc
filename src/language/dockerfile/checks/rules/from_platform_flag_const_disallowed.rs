//! FromPlatformFlagConstDisallowed: FROM --platform flag should not use a constant value.

use crate::language::dockerfile::Arguments;
use crate::language::dockerfile::checks::{Check, Facts, Finding, Rule};

/// The rule.
///
/// Source of the rule: `reportConstPlatformDisallowed` of BuildKit.
pub struct FromPlatformFlagConstDisallowed;

static RULE: Rule = Rule {
    name: "FromPlatformFlagConstDisallowed",
    description: "FROM --platform flag should not use a constant value",
    url: Some("https://docs.docker.com/go/dockerfile/rule/from-platform-flag-const-disallowed/"),
    experimental: false,
    why: "A constant platform makes the image wrong on every other machine. Leave the flag out, or write --platform=$BUILDPLATFORM for a stage that runs where the build runs. A stage whose name says its system or processor may be constant.",
    bad: "FROM --platform=linux/amd64 alpine AS base\n",
    good: "FROM alpine AS base\n",
};

impl Check for FromPlatformFlagConstDisallowed {
    fn rule(&self) -> &'static Rule {
        &RULE
    }

    fn check(&self, facts: &Facts<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        for from in facts.stages.iter().map(|stage| &stage.from) {
            let (Some(flag), Some(platform)) = (from.instruction.flag("platform"), &from.platform) else { continue };
            let Arguments::From { name, .. } = &from.instruction.arguments else { continue };
            if !platform.used.is_empty() || !platform.unmatched.is_empty() {
                continue;
            }
            let Some(parsed) = Platform::parse(&platform.text, facts.platform) else { continue };
            let name = name.as_ref().map(|name| name.text.to_lowercase()).unwrap_or_default();
            if name.contains(&parsed.system) || name.contains(&parsed.architecture) {
                continue;
            }
            let message = format!("FROM --platform flag should not use constant value {:?}", platform.text);
            found.push(Finding::at(from.instruction, flag.span, message).with_options_of(Some(from.at)));
        }
        found
    }
}

/// A platform in its usual spelling.
pub(super) struct Platform {
    pub system: String,
    pub architecture: String,
    variant: String,
}

impl Platform {
    /// Reads `os`, `architecture`, `os/architecture` or `os/architecture/variant`; what is missing is that of `host`.
    ///
    /// Source of the rule: `platforms.Parse` of containerd.
    pub(super) fn parse(text: &str, host: &str) -> Option<Self> {
        let lower = text.to_lowercase();
        let host: Vec<&str> = host.split('/').collect();
        let host_part = |at: usize| host.get(at).copied().unwrap_or("");
        let good = |part: &&str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '(' | ')'))
        };
        let parts: Vec<&str> = lower.split('/').collect();
        if !parts.iter().all(|part| good(part)) {
            return None;
        }
        let (system, architecture, variant) = match parts.as_slice() {
            [one] if SYSTEMS.contains(one) => (*one, host_part(1), host_part(2)),
            [one] => {
                let (architecture, _) = usual(one, "");
                if !ARCHITECTURES.contains(&architecture.as_str()) {
                    return None;
                }
                (host_part(0), *one, "")
            }
            [system, architecture] => (*system, *architecture, ""),
            [system, architecture, variant] => (*system, *architecture, *variant),
            _ => return None,
        };
        let system = if system == "macos" { "darwin" } else { system };
        let (architecture, variant) = usual(architecture, variant);
        Some(Self { system: system.to_owned(), architecture, variant })
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.system, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

const SYSTEMS: [&str; 13] = [
    "linux",
    "windows",
    "darwin",
    "macos",
    "freebsd",
    "netbsd",
    "openbsd",
    "solaris",
    "plan9",
    "android",
    "aix",
    "js",
    "dragonfly",
];
const ARCHITECTURES: [&str; 14] = [
    "amd64", "386", "arm", "arm64", "ppc64", "ppc64le", "mips", "mipsle", "mips64", "mips64le", "s390x", "riscv64",
    "loong64", "wasm",
];

/// The usual names of an architecture and its variant.
fn usual(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = match (architecture, variant) {
        ("i386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64", variant) => ("amd64", variant),
        ("aarch64" | "arm64", "8" | "v8") => ("arm64", ""),
        ("aarch64", variant) => ("arm64", variant),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        other => other,
    };
    (architecture.to_owned(), variant.to_owned())
}
