//! What poetry, uv, go, cargo, bundler, composer, maven, gradle and dotnet read to install dependencies, and where they need
//! the sources too.

use super::manifests::{Manifests, Reason, Site};
use crate::language::shell::{Install, Manager};

/// The file without which an install does nothing.
pub(super) fn managed_manifest(manager: Manager, named: &[String]) -> Option<&str> {
    Some(match manager {
        Manager::Pnpm => "package.json",
        Manager::PnpmFetch => "pnpm-lock.yaml",
        Manager::Poetry | Manager::Uv => "pyproject.toml",
        Manager::Go => "go.mod",
        Manager::Mix => "mix.exs",
        Manager::Cargo => "Cargo.toml",
        Manager::Bundler => "Gemfile",
        Manager::Composer => "composer.json",
        Manager::Maven => "pom.xml",
        Manager::Gradle => "build.gradle",
        Manager::Dotnet => return named.first().map(String::as_str),
    })
}

/// Finds what an install needs. Errors: the reason why it cannot do without the sources.
pub(super) fn managed(install: &Install, site: &Site<'_>) -> Result<Manifests, Reason> {
    let Install::Managed { manager, project, ignores_scripts, wrapper, named } = install else {
        return Err("the install is not known".into());
    };
    let mut files = Files { site, found: Manifests::default() };
    match manager {
        Manager::Pnpm | Manager::PnpmFetch => {
            files.need("pnpm-lock.yaml")?;
            files.take(&[".npmrc"]);
            files.seen("`pnpm fetch` reads the lock file alone.");
        }
        Manager::Poetry => files.python("poetry.lock", *project, "--no-root")?,
        Manager::Uv => files.python("uv.lock", *project, "--no-install-project")?,
        Manager::Go => files.go()?,
        Manager::Mix => files.mix()?,
        Manager::Cargo => {
            return Err("cargo looks for the sources even when it only fetches; a cache mount spares the downloads".into());
        }
        Manager::Bundler => files.bundler()?,
        Manager::Composer => files.composer(*project, *ignores_scripts)?,
        Manager::Maven => files.maven(wrapper.as_deref())?,
        Manager::Gradle => files.gradle(wrapper.as_deref())?,
        Manager::Dotnet => files.dotnet(named)?,
    }
    Ok(files.found)
}

/// Files as they are gathered.
struct Files<'s, 'c> {
    site: &'s Site<'c>,
    found: Manifests,
}

impl Files<'_, '_> {
    /// A file that has to be there; its text.
    fn need(&mut self, name: &str) -> Result<String, Reason> {
        let located = self.site.existing(name);
        let located = located.ok_or_else(|| format!("`{name}` of the install is not in the build context"))?;
        let text = self.site.context.read(&located.0).ok_or_else(|| format!("`{}` cannot be read", located.0))?;
        self.found.files.push(located);
        Ok(text)
    }

    /// Files that are taken along when they are there.
    fn take(&mut self, names: &[&str]) {
        let found = names.iter().filter_map(|name| self.site.existing(name));
        self.found.files.extend(found);
    }

    /// A folder that is taken along when it is there.
    fn take_folder(&mut self, name: &str) {
        if let Some((path, folder)) = self.site.existing(name) {
            let folder = super::place::join(&folder, name);
            self.found.files.push((format!("{path}/"), folder));
        }
    }

    fn has(&self, name: &str) -> bool {
        self.site.existing(name).is_some()
    }

    fn seen(&mut self, sentence: &str) {
        self.found.evidence.push(sentence.to_owned());
    }

    fn risk(&mut self, sentence: &str) {
        self.found.risks.push(sentence.to_owned());
    }

    fn python(&mut self, lock: &str, project: bool, option: &str) -> Result<(), Reason> {
        let text = self.need("pyproject.toml")?;
        let packaged = lock == "poetry.lock" || has_table(&text, "build-system");
        if project && packaged {
            return Err(format!(
                "the install also installs the project itself, which needs its sources: give it `{option}`"
            ));
        }
        let local = |line: &str| {
            let packed: String = line.chars().filter(|c| !c.is_whitespace()).collect();
            packed.contains("{path=") || packed.contains(",path=") || packed.contains("workspace=true")
        };
        if let Some(line) = text.lines().find(|line| local(line)) {
            return Err(format!("`pyproject.toml` depends on a local path: `{}`", line.trim()));
        }
        if has_table(&text, "tool.uv.workspace") {
            return Err("`pyproject.toml` has a workspace, whose folders the install needs".into());
        }
        if !self.has(lock) {
            self.risk("There is no lock file: the cached install keeps its versions until a manifest changes.");
        }
        self.take(&[lock, "poetry.toml", ".python-version", "uv.toml"]);
        self.seen("`pyproject.toml` depends on packages of an index only.");
        Ok(())
    }

    fn go(&mut self) -> Result<(), Reason> {
        let text = self.need("go.mod")?;
        if self.has("go.work") {
            return Err("`go.work` names folders that `go mod download` needs".into());
        }
        let local = |line: &&str| line.split_once("=>").is_some_and(|(_, to)| to.trim().starts_with(['.', '/']));
        if let Some(line) = text.lines().find(local) {
            return Err(format!("`go.mod` replaces a module by a local folder: `{}`", line.trim()));
        }
        self.take(&["go.sum"]);
        self.seen("`go mod download` reads `go.mod` and `go.sum` alone.");
        Ok(())
    }

    fn mix(&mut self) -> Result<(), Reason> {
        let text = self.need("mix.exs")?;
        for word in ["path:", "apps_path", "File.", "Code."] {
            if let Some(line) = text.lines().find(|line| !line.trim_start().starts_with('#') && line.contains(word)) {
                return Err(format!("`mix.exs` reads other files of the project: `{}`", line.trim()));
            }
        }
        self.take(&["mix.lock"]);
        self.seen("`mix.exs` depends on packages of a server or a repository only.");
        self.risk("Dependencies that are configured at compile time are compiled anew when the configuration arrives.");
        Ok(())
    }

    fn bundler(&mut self) -> Result<(), Reason> {
        let text = self.need("Gemfile")?;
        for word in ["gemspec", "eval_gemfile", "File.", "require_relative", "path:", ":path", "Dir[", "instance_eval"] {
            if let Some(line) = text.lines().find(|line| !line.trim_start().starts_with('#') && line.contains(word)) {
                return Err(format!("`Gemfile` reads other files of the project: `{}`", line.trim()));
            }
        }
        if !self.has("Gemfile.lock") {
            self.risk("There is no lock file: the cached install keeps its versions until a manifest changes.");
        }
        self.take(&["Gemfile.lock", ".ruby-version", ".tool-versions"]);
        self.seen("`Gemfile` names gems of a server or a repository only.");
        Ok(())
    }

    fn composer(&mut self, autoloads: bool, ignores_scripts: bool) -> Result<(), Reason> {
        let text = self.need("composer.json")?;
        let document: serde_json::Value =
            serde_json::from_str(&text).map_err(|_| "`composer.json` is no JSON, so what the install needs is unknown")?;
        let scripts = document.get("scripts").and_then(serde_json::Value::as_object);
        if let (Some(name), false) = (scripts.and_then(|scripts| scripts.keys().next()), ignores_scripts) {
            return Err(format!(
                "`composer.json` has a script `{name}`, which may need the sources: give it `--no-scripts`"
            ));
        }
        let at = |pointer: &str| document.pointer(pointer).is_some_and(|value| !value.is_null());
        if autoloads && (at("/autoload/classmap") || at("/autoload/files")) {
            return Err("`composer.json` autoloads files of the project, which the install looks for: give it                         `--no-autoloader`, and dump the autoloader after the sources are copied"
                .into());
        }
        let repositories = document.get("repositories").map(ToString::to_string).unwrap_or_default();
        if repositories.contains("\"path\"") {
            return Err("`composer.json` takes packages out of local folders".into());
        }
        self.take(&["composer.lock", "auth.json", "symfony.lock"]);
        if autoloads {
            self.risk("An optimised autoloader is made before the sources are there: dump it again after the copy.");
        }
        self.seen("`composer.json` has no scripts that would run, and no packages in local folders.");
        Ok(())
    }

    fn maven(&mut self, wrapper: Option<&str>) -> Result<(), Reason> {
        let text = self.need("pom.xml")?;
        if text.contains("<modules>") {
            return Err("`pom.xml` has modules, whose folders the install needs".into());
        }
        if text.contains("<parent>") && self.has("../pom.xml") {
            return Err("`pom.xml` has a parent in the project".into());
        }
        if text.contains("<systemPath>") {
            return Err("`pom.xml` takes packages out of the project".into());
        }
        self.wrapper(wrapper)?;
        self.take_folder(".mvn");
        self.seen("`pom.xml` has no modules, and the goals only resolve dependencies.");
        self.risk("Plugins that resolve more while they build download that each time.");
        Ok(())
    }

    fn gradle(&mut self, wrapper: Option<&str>) -> Result<(), Reason> {
        let kotlin = !self.has("build.gradle");
        self.need(if kotlin { "build.gradle.kts" } else { "build.gradle" })?;
        if self.has("buildSrc") {
            return Err("`buildSrc` is code that the build compiles first".into());
        }
        for settings in ["settings.gradle", "settings.gradle.kts"] {
            let text = if self.has(settings) { self.need(settings)? } else { continue };
            if text.lines().any(|line| line.trim_start().starts_with("include")) {
                return Err(format!("`{settings}` includes other projects, whose folders the install needs"));
            }
        }
        self.wrapper(wrapper)?;
        self.take(&["gradle.properties", "gradle.lockfile"]);
        self.take_folder("gradle");
        self.seen("The build has one project, and the task only resolves dependencies.");
        self.risk("A build script that reads other files of the project fails without them.");
        Ok(())
    }

    fn wrapper(&mut self, wrapper: Option<&str>) -> Result<(), Reason> {
        let Some(path) = wrapper else { return Ok(()) };
        let located = self.site.existing(path).ok_or_else(|| format!("`{path}` is not in the build context"))?;
        self.found.files.insert(0, located);
        Ok(())
    }

    fn dotnet(&mut self, named: &[String]) -> Result<(), Reason> {
        let [project] = named else {
            return Err("`dotnet restore` without the name of one project restores whatever it finds".into());
        };
        if !project.ends_with("proj") {
            return Err(format!("`{project}` names projects, whose files the install needs"));
        }
        let text = self.need(project)?;
        if text.contains("<ProjectReference") || text.contains("<Import ") {
            return Err(format!("`{project}` refers to other files of the sources"));
        }
        for name in ["Directory.Build.props", "Directory.Packages.props", "nuget.config", "NuGet.config", "global.json"] {
            self.take(&[name]);
        }
        self.seen("The project refers to no other one.");
        Ok(())
    }
}

fn has_table(text: &str, name: &str) -> bool {
    text.lines().any(|line| line.trim() == format!("[{name}]"))
}
