//! What is answered differently on purpose, and what waits for work that is under way; one line each.

use super::case::Case;

/// Cases that are answered differently on purpose, with the reason.
const DEVIATIONS: &[(&str, &str)] = &[];

/// Why a case is answered differently.
pub fn deviation(name: &str) -> Option<&'static str> {
    DEVIATIONS.iter().find(|(deviating, _)| *deviating == name).map(|(_, reason)| *reason)
}

/// Why a case waits.
pub fn not_yet(case: &Case) -> Option<&'static str> {
    let text = String::from_utf8_lossy(&case.dockerfile);
    let word = |word: &str| text.contains(word);
    let adds = |scheme: &str| {
        text.lines().any(|line| line.trim_start().to_uppercase().starts_with("ADD ") && line.contains(scheme))
    };
    if adds("://") || adds("git@") {
        return Some("ADD of a URL or a git repository");
    }
    if word("type=ssh") {
        return Some("RUN --mount=type=ssh");
    }
    None
}
