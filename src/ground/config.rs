//! The only reader of environment and default paths.

use std::io::IsTerminal;
use std::path::PathBuf;

/// What the surroundings say.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// HOME, if it is an absolute path: where a user's files are.
    pub home: Option<PathBuf>,
    /// `RBUILD_TUI_STORE`, else the user's data directory; none when not even a home is known.
    pub store: Option<PathBuf>,
    /// Lines instead of screens: no terminal, a dumb one, CI, or ACCESSIBLE=1.
    pub plain: bool,
    /// NO_COLOR is set.
    pub no_color: bool,
    /// The terminal shows nothing but ASCII.
    pub ascii: bool,
    /// `RBUILD_TUI_SNAPSHOTTER=copy`: layers become plain trees even where overlayfs could be mounted.
    pub copies_layers: bool,
    /// SOURCE_DATE_EPOCH as given.
    pub source_date_epoch: Option<String>,
    /// All variables: `--build-arg NAME` without a value takes it from here.
    pub variables: Vec<(String, String)>,
    /// Folders in which programs are searched.
    pub path: Vec<PathBuf>,
}

impl Config {
    /// Reads the environment once.
    pub fn from_environment() -> Self {
        let get = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let data = get("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        // As with the directories of the base directory specification, a relative one would mean another place in each folder.
        let home = get("HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let data = data.or_else(|| home.as_ref().map(|home| home.join(".local/share")));
        let own = get("RBUILD_TUI_STORE").map(PathBuf::from);
        let locale = get("LC_ALL").or_else(|| get("LC_CTYPE")).or_else(|| get("LANG")).unwrap_or_default();
        let terminal = get("TERM").unwrap_or_default();
        let truthy = |name: &str| get(name).is_some_and(|value| value != "0" && value != "false");
        Self {
            home,
            store: own.or_else(|| data.map(|data| data.join("rbuild-tui"))),
            plain: !std::io::stdout().is_terminal()
                || !std::io::stdin().is_terminal()
                || terminal == "dumb"
                || truthy("CI")
                || truthy("ACCESSIBLE"),
            no_color: get("NO_COLOR").is_some(),
            ascii: terminal == "linux" || locale == "C" || locale == "POSIX",
            copies_layers: get("RBUILD_TUI_SNAPSHOTTER").is_some_and(|value| value == "copy"),
            source_date_epoch: get("SOURCE_DATE_EPOCH"),
            variables: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            path: std::env::var_os("PATH").map(|p| std::env::split_paths(&p).collect()).unwrap_or_default(),
        }
    }

    /// A variable by name.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}
