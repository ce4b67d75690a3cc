//! Commands that read the network, as far as their text says so.

use super::ShellCommand;

/// The first command of a RUN that takes something from the network which nothing pins: no lock file, no digest. What scripts
/// do is not seen.
pub fn unpinned_fetch(commands: &[ShellCommand]) -> Option<String> {
    commands.iter().find(|command| fetches(command)).map(ShellCommand::one_line)
}

fn fetches(command: &ShellCommand) -> bool {
    let arguments: Vec<&str> = command.arguments().collect();
    let words: Vec<&str> = arguments.iter().copied().filter(|word| !word.starts_with('-')).collect();
    let verb = words.first().copied().unwrap_or("");
    let has = |option: &str| arguments.contains(&option);
    let offline = has("--offline") || has("--no-index");
    match command.name() {
        "curl" | "wget" => words.iter().any(|word| word.contains('.') || word.contains('/')),
        "git" => matches!(verb, "clone" | "fetch" | "pull" | "submodule"),
        "apt" | "apt-get" | "aptitude" => matches!(verb, "update" | "install" | "upgrade" | "dist-upgrade"),
        "apk" => matches!(verb, "add" | "update" | "upgrade"),
        "yum" | "dnf" | "microdnf" | "zypper" => matches!(verb, "install" | "update" | "upgrade" | "in"),
        "pacman" => arguments.iter().any(|word| word.starts_with("-S")),
        // `npm ci` and frozen installs take what the lock file names.
        "npm" => matches!(verb, "install" | "i" | "update" | "add") && !offline,
        "yarn" | "pnpm" => {
            let asks = ["--frozen-lockfile", "--immutable", "--version", "--help"].into_iter().all(|option| !has(option));
            matches!(verb, "" | "install" | "add" | "up" | "update") && asks && !offline
        }
        "pip" | "pip3" => verb == "install" && !offline && !has("--require-hashes"),
        name if name.starts_with("python") => arguments.starts_with(&["-m", "pip", "install"]) && !offline,
        "gem" => verb == "install",
        "go" => matches!(verb, "get" | "install"),
        "cargo" => verb == "install" && !has("--locked"),
        "composer" => matches!(verb, "update" | "require"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse_commands;
    use super::*;

    #[test]
    fn what_is_pinned_or_local_is_no_fetch() {
        let found = |text: &str| unpinned_fetch(&parse_commands(text));
        assert_eq!(found("apt-get update && apt-get install -y curl").as_deref(), Some("apt-get update"));
        assert_eq!(
            found("make && curl -fsSL https://example.org/x | sh").as_deref(),
            Some("curl -fsSL https://example.org/x")
        );
        assert_eq!(found("npm ci"), None);
        assert_eq!(found("npm install").as_deref(), Some("npm install"));
        assert_eq!(found("yarn install --frozen-lockfile && go build ./... && curl --version"), None);
        assert_eq!(found("python3 -m pip install -r r.txt").as_deref(), Some("python3 -m pip install -r r.txt"));
    }
}
