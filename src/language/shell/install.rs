//! Commands that install dependencies, and the files that name those.

use super::ShellCommand;

/// A step that installs dependencies named by files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Install {
    /// `npm ci`, `npm install`.
    Npm {
        /// `npm ci`: needs a lock file and never writes one.
        clean: bool,
        /// `--ignore-scripts`.
        ignores_scripts: bool,
    },
    /// `yarn`, `yarn install`.
    Yarn {
        /// `--ignore-scripts`.
        ignores_scripts: bool,
    },
    /// `pip install -r FILE`.
    Pip {
        /// Files of `-r`, as written.
        requirements: Vec<String>,
        /// Files of `-c`, as written.
        constraints: Vec<String>,
        /// Local paths that are installed or searched as well (`.`, `-e .`, `--find-links dir`).
        local_paths: Vec<String>,
    },
    /// `vendor-install`: by `vendor.lock`, out of `vendor/`.
    Vendor {
        /// The installer's own path when it is run by a relative one: then it is a source file itself.
        script: Option<String>,
    },
    /// Another package manager, whose files are known by their names.
    Managed {
        /// Which.
        manager: Manager,
        /// It installs, or builds, the project itself too.
        project: bool,
        /// Scripts of the project's manifest do not run.
        ignores_scripts: bool,
        /// Its program is a file of the project, by this relative path: `./mvnw`.
        wrapper: Option<String>,
        /// Files that it names.
        named: Vec<String>,
    },
}

/// Package managers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Manager {
    Pnpm,
    PnpmFetch,
    Poetry,
    Uv,
    Go,
    Cargo,
    Bundler,
    Composer,
    Maven,
    Gradle,
    Dotnet,
    Mix,
}

impl Install {
    /// Which tool it is: two installs of one tool in one folder install the same.
    pub fn tool(&self) -> &'static str {
        match self {
            Self::Npm { .. } => "npm",
            Self::Yarn { .. } => "yarn",
            Self::Pip { .. } => "pip",
            Self::Vendor { .. } => "vendor-install",
            Self::Managed { manager, .. } => match manager {
                Manager::Pnpm | Manager::PnpmFetch => "pnpm",
                Manager::Poetry => "poetry",
                Manager::Uv => "uv",
                Manager::Go => "go",
                Manager::Cargo => "cargo",
                Manager::Bundler => "bundler",
                Manager::Composer => "composer",
                Manager::Maven => "maven",
                Manager::Gradle => "gradle",
                Manager::Dotnet => "dotnet",
                Manager::Mix => "mix",
            },
        }
    }

    /// What a command installs; `None` for every other command, also for an install of packages named on the command line.
    pub fn of(command: &ShellCommand) -> Option<Self> {
        let arguments: Vec<&str> = command.arguments().collect();
        match command.name() {
            "npm" => npm(&arguments),
            "yarn" | "yarnpkg" => yarn(&arguments),
            "pip" | "pip3" => pip(&arguments),
            name if is_python(name) => match arguments.as_slice() {
                ["-m", "pip", rest @ ..] => pip(rest),
                _ => None,
            },
            "uv" if arguments.starts_with(&["pip"]) => pip(arguments.get(1..).unwrap_or_default()),
            "vendor-install" => Some(Self::Vendor { script: relative(&command.words.first()?.text) }),
            "sh" | "bash" | "ash" => {
                let script = arguments.iter().find(|argument| !argument.starts_with('-'))?;
                (script.rsplit('/').next() == Some("vendor-install")).then(|| Self::Vendor { script: relative_file(script) })
            }
            name => managed(name, &arguments, command),
        }
    }
}

/// The other package managers.
fn managed(name: &str, arguments: &[&str], command: &ShellCommand) -> Option<Install> {
    let has = |names: &[&str]| arguments.iter().any(|argument| names.contains(&argument.split('=').next().unwrap_or("")));
    let words = positional(arguments, &VALUES_ELSEWHERE);
    let wrapper = || relative(&command.words.first()?.text);
    let plain = |manager| {
        let ignores_scripts = has(&["--ignore-scripts", "--no-scripts"]);
        Install::Managed { manager, project: false, ignores_scripts, wrapper: None, named: Vec::new() }
    };
    let whole = |manager, project| match plain(manager) {
        Install::Managed { manager, ignores_scripts, wrapper, named, .. } => {
            Install::Managed { manager, project, ignores_scripts, wrapper, named }
        }
        other => other,
    };
    let wrapped = |manager| Install::Managed {
        manager,
        project: false,
        ignores_scripts: false,
        wrapper: wrapper(),
        named: Vec::new(),
    };
    match (name, words.as_slice()) {
        ("pnpm", ["install" | "i"]) if !has(&OTHER_FOLDER) && !has(&["-r", "--recursive", "--filter", "-F", "--dir"]) => {
            Some(plain(Manager::Pnpm))
        }
        ("pnpm", ["fetch"]) if !has(&OTHER_FOLDER) => Some(plain(Manager::PnpmFetch)),
        ("poetry", ["install" | "sync"]) if !has(&["-C", "--directory", "-P", "--project"]) => {
            Some(whole(Manager::Poetry, !has(&["--no-root", "--no-directory"])))
        }
        ("uv", ["sync"]) if !has(&["--directory", "--project", "--package", "--all-packages"]) => {
            Some(whole(Manager::Uv, !has(&["--no-install-project", "--no-install-workspace"])))
        }
        ("mix", ["deps.get"]) => Some(plain(Manager::Mix)),
        ("go", ["mod", "download"]) => Some(plain(Manager::Go)),
        ("cargo", ["fetch"]) => Some(plain(Manager::Cargo)),
        ("bundle" | "bundler", [] | ["install"]) if !has(&["--gemfile", "--version", "-v"]) => Some(plain(Manager::Bundler)),
        ("composer" | "composer.phar", ["install" | "i"]) if !has(&["-d", "--working-dir"]) => {
            Some(whole(Manager::Composer, !has(&["--no-autoloader"])))
        }
        ("mvn" | "mvnw", goals)
            if !goals.is_empty()
                && !has(&["-f", "--file"])
                && goals.iter().all(|goal| goal.starts_with("dependency:") && is_offline_goal(goal)) =>
        {
            Some(wrapped(Manager::Maven))
        }
        ("gradle" | "gradlew", ["dependencies" | "downloadRepos" | "resolveDependencies" | "downloadDependencies"])
            if !has(&["-p", "--project-dir", "-b", "--build-file"]) =>
        {
            Some(wrapped(Manager::Gradle))
        }
        ("dotnet", ["restore", named @ ..]) => Some(Install::Managed {
            manager: Manager::Dotnet,
            project: false,
            ignores_scripts: false,
            wrapper: None,
            named: named.iter().map(|name| (*name).to_owned()).collect(),
        }),
        _ => None,
    }
}

fn is_offline_goal(goal: &str) -> bool {
    ["go-offline", "resolve", "resolve-plugins"].iter().any(|known| goal.split(':').next_back() == Some(known))
}

/// Options of the other package managers whose value is a word of its own.
const VALUES_ELSEWHERE: [&str; 34] = [
    "--registry",
    "--store-dir",
    "--reporter",
    "--loglevel",
    "--network-concurrency",
    "--child-concurrency",
    "-E",
    "--extras",
    "--with",
    "--without",
    "--only",
    "--extra",
    "--group",
    "--no-group",
    "--python",
    "-p",
    "--index-url",
    "--cache-dir",
    "--jobs",
    "-j",
    "--retry",
    "--path",
    "-r",
    "--runtime",
    "-s",
    "--source",
    "--configfile",
    "--packages",
    "-v",
    "--verbosity",
    "-P",
    "--activate-profiles",
    "--target",
    "--manifest-path",
];

fn is_python(name: &str) -> bool {
    name.strip_prefix("python").is_some_and(|version| version.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

fn relative(path: &str) -> Option<String> {
    path.contains('/').then(|| relative_file(path)).flatten()
}

fn relative_file(path: &str) -> Option<String> {
    (!path.starts_with('/')).then(|| path.to_owned())
}

/// Options of npm and yarn that change which folder is meant: a command with one of them is not understood.
const OTHER_FOLDER: [&str; 7] = ["--prefix", "-C", "--cwd", "-g", "--global", "--workspace", "-w"];

fn has_other_folder(arguments: &[&str]) -> bool {
    arguments.iter().any(|argument| {
        let name = argument.split('=').next().unwrap_or("");
        OTHER_FOLDER.contains(&name) || name == "--location" || name == "--workspaces"
    })
}

/// Options whose value is a word of its own.
const WITH_VALUE: [&str; 14] = [
    "--registry",
    "--cache",
    "--loglevel",
    "--omit",
    "--include",
    "--network-timeout",
    "--cache-folder",
    "--userconfig",
    "--fetch-retries",
    "--fetch-timeout",
    "--mutex",
    "--maxsockets",
    "--network-concurrency",
    "--fetch-retry-maxtimeout",
];

fn positional<'a>(arguments: &[&'a str], with_value: &[&str]) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if with_value.contains(argument) {
            rest.next();
        } else if !argument.starts_with('-') {
            found.push(*argument);
        }
    }
    found
}

fn npm(arguments: &[&str]) -> Option<Install> {
    if has_other_folder(arguments) {
        return None;
    }
    let words = positional(arguments, &WITH_VALUE);
    let [verb] = words.as_slice() else { return None };
    let clean = matches!(*verb, "ci" | "clean-install");
    (clean || matches!(*verb, "install" | "i"))
        .then(|| Install::Npm { clean, ignores_scripts: arguments.contains(&"--ignore-scripts") })
}

fn yarn(arguments: &[&str]) -> Option<Install> {
    if has_other_folder(arguments) || arguments.iter().any(|argument| matches!(*argument, "--version" | "-v" | "--help")) {
        return None;
    }
    let words = positional(arguments, &WITH_VALUE);
    matches!(words.as_slice(), [] | ["install"])
        .then(|| Install::Yarn { ignores_scripts: arguments.contains(&"--ignore-scripts") })
}

/// Options of `pip install` that take a value and do not matter here.
const PIP_WITH_VALUE: [&str; 20] = [
    "-i",
    "--index-url",
    "--extra-index-url",
    "--timeout",
    "--retries",
    "--cache-dir",
    "--trusted-host",
    "-t",
    "--target",
    "--prefix",
    "--root",
    "--platform",
    "--python-version",
    "--progress-bar",
    "--proxy",
    "--no-binary",
    "--only-binary",
    "--upgrade-strategy",
    "--root-user-action",
    "--log",
];

fn pip(arguments: &[&str]) -> Option<Install> {
    let at = arguments.iter().position(|argument| *argument == "install")?;
    if arguments[..at].iter().any(|argument| !argument.starts_with('-')) {
        return None;
    }
    let (mut requirements, mut constraints, mut local_paths) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = arguments[at + 1..].iter();
    while let Some(argument) = rest.next() {
        let (name, attached) = split_option(argument);
        let mut value = || attached.map(str::to_owned).or_else(|| rest.next().map(|next| (*next).to_owned()));
        match name {
            "-r" | "--requirement" => requirements.extend(value()),
            "-c" | "--constraint" => constraints.extend(value()),
            "-e" | "--editable" => local_paths.extend(value()),
            "-f" | "--find-links" => local_paths.extend(value().filter(|place| !place.contains("://"))),
            _ if PIP_WITH_VALUE.contains(&name) => {
                value();
            }
            _ if !argument.starts_with('-') && is_local_package(argument) => local_paths.push((*argument).to_owned()),
            _ => {}
        }
    }
    (!requirements.is_empty()).then_some(Install::Pip { requirements, constraints, local_paths })
}

/// Splits `--name=value`, and `-rfile` of the short options that may be written so.
fn split_option(argument: &str) -> (&str, Option<&str>) {
    if argument.starts_with("--") {
        return argument.split_once('=').map_or((argument, None), |(name, value)| (name, Some(value)));
    }
    match argument.get(..2) {
        Some(short @ ("-r" | "-c" | "-e" | "-f")) if argument.len() > 2 => (short, argument.get(2..)),
        _ => (argument, None),
    }
}

/// Whether an argument of `pip install` is a path of its own and not a package of an index.
pub fn is_local_package(argument: &str) -> bool {
    let name = argument.split('[').next().unwrap_or("");
    let url = argument.split_once('@').map_or(argument, |(_, url)| url.trim());
    name == "."
        || name == ".."
        || url.starts_with("file:")
        || (argument.contains('/') && !argument.contains("://"))
        || (!argument.contains("://") && [".whl", ".tar.gz", ".zip"].iter().any(|end| argument.ends_with(end)))
}

#[cfg(test)]
mod tests {
    use super::super::parse_commands;
    use super::*;

    fn installs(text: &str) -> Vec<Option<Install>> {
        parse_commands(text).iter().map(Install::of).collect()
    }

    #[test]
    fn installs_are_recognised() {
        assert_eq!(installs("npm ci"), [Some(Install::Npm { clean: true, ignores_scripts: false })]);
        assert_eq!(
            installs("npm install --omit=dev --ignore-scripts"),
            [Some(Install::Npm { clean: false, ignores_scripts: true })]
        );
        assert_eq!(installs("npm install express"), [None]);
        assert_eq!(installs("npm install -g yarn && npm run build"), [None, None]);
        assert_eq!(installs("yarn --frozen-lockfile"), [Some(Install::Yarn { ignores_scripts: false })]);
        assert_eq!(installs("yarn build"), [None]);
        let pip =
            Install::Pip { requirements: vec!["r.txt".into()], constraints: vec!["c.txt".into()], local_paths: vec![] };
        assert_eq!(installs("python3 -m pip install --no-cache-dir -r r.txt -c c.txt"), [Some(pip)]);
        assert_eq!(installs("pip install flask"), [None]);
        assert!(matches!(&installs("pip3 install -r a.txt -e ."
        )[0], Some(Install::Pip { local_paths, .. }) if local_paths == &["."]));
        assert_eq!(installs("vendor-install"), [Some(Install::Vendor { script: None })]);
        assert_eq!(
            installs("sh ./tools/vendor-install"),
            [Some(Install::Vendor { script: Some("./tools/vendor-install".into()) })]
        );
    }
}
