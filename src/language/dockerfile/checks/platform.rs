//! Platforms: `os/architecture[/variant]`.

/// A platform in its usual spelling.
pub(in crate::language::dockerfile::checks) struct Platform {
    pub system: String,
    pub architecture: String,
    variant: String,
}

impl Platform {
    /// Reads `os`, `architecture`, `os/architecture` or `os/architecture/variant`; what is missing is that of `host`.
    ///
    /// Source of the rule: `platforms.Parse` of containerd.
    pub(in crate::language::dockerfile::checks) fn parse(text: &str, host: &str) -> Option<Self> {
        let lower = text.to_lowercase();
        let host: Vec<&str> = host.split('/').collect();
        let host_part = |at: usize| host.get(at).copied().unwrap_or("");
        let good = |part: &&str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '(' | ')'))
        };
        let parts: Vec<&str> = lower.split('/').collect();
        if !parts.iter().all(good) {
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

#[cfg(test)]
mod tests {
    use super::Platform;

    #[test]
    fn usual_names() {
        let shown = |text: &str| Platform::parse(text, "linux/amd64").map(|platform| platform.to_string());
        assert_eq!(shown("LINUX/x86_64").as_deref(), Some("linux/amd64"));
        assert_eq!(shown("arm64").as_deref(), Some("linux/arm64"));
        assert_eq!(shown("linux/arm").as_deref(), Some("linux/arm/v7"));
        assert_eq!(shown("windows").as_deref(), Some("windows/amd64"));
        for bad in ["", "nonsense", "a/b/c/d", "linux/", "linux/ä"] {
            assert_eq!(shown(bad), None, "{bad}");
        }
    }
}
