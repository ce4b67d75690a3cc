//! How git is started. The hard rule: nothing from a repository or the user's configuration can become a program or a hook.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where git is, and what it may know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GitSettings {
    /// Folders in which git is searched.
    pub path: Vec<PathBuf>,
    /// SSH_AUTH_SOCK.
    pub agent: Option<PathBuf>,
    /// HOME: where ssh keeps known hosts.
    pub home: Option<PathBuf>,
}

/// Whatever a machine's configuration says. No transport is allowed but those that a caller adds.
const CONFIGURATION: [(&str, &str); 7] = [
    ("protocol.allow", "never"),
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.autocrlf", "false"),
    ("core.symlinks", "true"),
    ("credential.helper", ""),
    ("advice.detachedHead", "false"),
];

/// For reading a repository of this machine. A folder of another user is read, too: nothing of it is executed.
const READING: [(&str, &str); 8] = [
    ("safe.directory", "*"),
    ("log.showSignature", "false"),
    ("log.showRoot", "true"),
    ("log.follow", "false"),
    ("log.mailmap", "false"),
    ("diff.renames", "false"),
    ("diff.ignoreSubmodules", "none"),
    ("core.quotePath", "false"),
];

impl GitSettings {
    /// A process group of its own without input, with only this environment. None: there is no git.
    pub(super) fn command(&self, more: &[(&str, &str)]) -> Option<Command> {
        let found = self.path.iter().map(|folder| folder.join("git")).find(|file| file.is_absolute() && file.is_file())?;
        let mut command = Command::new(found);
        command.env_clear().stdin(Stdio::null()).process_group(0);
        let path = std::env::join_paths(&self.path).unwrap_or_default();
        command.env("PATH", path).env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0").env("GIT_ASKPASS", "/bin/false");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_ATTR_NOSYSTEM", "1");
        command.env("GIT_CONFIG_COUNT", (CONFIGURATION.len() + more.len()).to_string());
        for (at, (key, value)) in CONFIGURATION.iter().chain(more).enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{at}"), key).env(format!("GIT_CONFIG_VALUE_{at}"), value);
        }
        Some(command)
    }

    /// Git in a folder of this machine, to read objects with plumbing: no transport (a repository that fetches what it misses
    /// on demand says what is missing instead), no locks, no replaced objects. None: there is no git.
    pub fn reading(&self, folder: &Path) -> Option<Command> {
        let mut command = self.command(&READING)?;
        command.env("GIT_ALLOW_PROTOCOL", "").env("GIT_NO_LAZY_FETCH", "1").env("GIT_OPTIONAL_LOCKS", "0");
        command.env("GIT_NO_REPLACE_OBJECTS", "1").env("GIT_PAGER", "cat").current_dir(folder);
        Some(command)
    }
}
