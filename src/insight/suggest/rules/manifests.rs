//! Which files an install step needs, and whether it needs more than them.

use serde_json::Value;

use super::super::ContextView;
use super::managed::{managed, managed_manifest};
use super::place::{BroadSource, below, join};
use crate::language::shell::{Install, Manager, is_local_package};

/// Files that an install reads, by their folder in the image.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Manifests {
    /// `(path in the context, folder in the image)`, the path of a whole folder ending with `/`.
    pub(super) files: Vec<(String, String)>,
    /// What was seen, for the evidence.
    pub(super) evidence: Vec<String>,
    /// What may go wrong.
    pub(super) risks: Vec<String>,
}

/// Where an install looks for its files.
pub(super) struct Site<'s> {
    /// What the COPY brings.
    pub(super) source: &'s BroadSource,
    /// Where to.
    pub(super) destination: &'s str,
    /// The folder in which the command runs.
    pub(super) folder: &'s str,
    /// The build context.
    pub(super) context: &'s dyn ContextView,
}

/// Why an install cannot be moved above the sources, in one sentence.
pub(super) type Reason = String;

impl Site<'_> {
    /// Context path and image folder of a file that the command names.
    fn locate(&self, path: &str) -> Option<(String, String)> {
        let image_path = join(self.folder, path);
        let context_path = self.source.context_path(below(self.destination, &image_path)?)?;
        let folder = image_path.rsplit_once('/').map_or("", |(folder, _)| folder);
        Some((context_path, folder.to_owned()))
    }

    pub(super) fn existing(&self, path: &str) -> Option<(String, String)> {
        self.locate(path).filter(|(context_path, _)| self.context.exists(context_path))
    }

    /// Whether the COPY is where the install's main manifest would come from, and whether the context has it.
    pub(super) fn brings(&self, install: &Install) -> Option<bool> {
        self.locate(main_manifest(install)?).map(|(context_path, _)| self.context.exists(&context_path))
    }
}

/// The file without which an install does nothing.
pub(super) fn main_manifest(install: &Install) -> Option<&str> {
    match install {
        Install::Npm { .. } | Install::Yarn { .. } => Some("package.json"),
        Install::Pip { requirements, .. } => requirements.first().map(String::as_str),
        Install::Vendor { .. } => Some("vendor.lock"),
        Install::Managed { manager, named, .. } => managed_manifest(*manager, named),
    }
}

/// Finds what `install` needs.
///
/// # Errors
/// With the reason when a file is missing or the install needs sources too.
pub(super) fn manifests(install: &Install, site: &Site<'_>) -> Result<Manifests, Reason> {
    match install {
        Install::Npm { clean, ignores_scripts } => {
            node(site, if *clean { Tool::NpmClean } else { Tool::Npm }, *ignores_scripts)
        }
        Install::Yarn { ignores_scripts } => node(site, Tool::Yarn, *ignores_scripts),
        Install::Pip { requirements, constraints, local_paths } => pip(site, requirements, constraints, local_paths),
        Install::Vendor { script } => vendor(site, script.as_deref()),
        Install::Managed { manager: Manager::Pnpm, ignores_scripts, .. } => node(site, Tool::Pnpm, *ignores_scripts),
        Install::Managed { .. } => managed(install, site),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Tool {
    NpmClean,
    Npm,
    Yarn,
    Pnpm,
}

fn node(site: &Site<'_>, tool: Tool, ignores_scripts: bool) -> Result<Manifests, Reason> {
    let Some(package) = site.existing("package.json") else {
        return Err("`package.json` of the install is not in the build context".to_owned());
    };
    let text = site.context.read(&package.0).ok_or_else(|| format!("`{}` cannot be read", package.0))?;
    let document: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|_| format!("`{}` is no JSON, so what the install needs is unknown", package.0))?;
    needs_only_manifests(&package.0, &document, ignores_scripts)?;
    let names: &[&str] = match tool {
        Tool::NpmClean | Tool::Npm => &["package-lock.json", "npm-shrinkwrap.json", ".npmrc"],
        Tool::Yarn => &["yarn.lock", ".yarnrc", ".yarnrc.yml", ".npmrc"],
        Tool::Pnpm => &["pnpm-lock.yaml", ".npmrc", ".pnpmfile.cjs"],
    };
    if tool == Tool::Pnpm && site.existing("pnpm-workspace.yaml").is_some() {
        return Err("`pnpm-workspace.yaml` names folders that the install needs".to_owned());
    }
    let others: Vec<(String, String)> = names.iter().filter_map(|name| site.existing(name)).collect();
    let locked = others.iter().any(|(path, _)| !path.rsplit('/').next().unwrap_or("").starts_with('.'));
    if tool == Tool::NpmClean && !locked {
        return Err(
            "`npm ci` needs `package-lock.json` or `npm-shrinkwrap.json`, and the build context has neither".to_owned()
        );
    }
    for (path, _) in others.iter().filter(|(path, _)| path.ends_with(".yarnrc.yml") || path.ends_with(".yarnrc")) {
        let text = site.context.read(path).unwrap_or_default();
        if text.contains("yarnPath") || text.contains("yarn-path") || text.contains("plugins:") {
            return Err(format!("`{path}` makes yarn load its own code out of the source tree"));
        }
    }
    if !ignores_scripts && site.existing("binding.gyp").is_some() {
        return Err("`binding.gyp` makes the install compile the package's own sources".to_owned());
    }
    if site.existing("node_modules").is_some() {
        return Err(
            "`node_modules` is in the build context and would overwrite the installed one: add it to `.dockerignore` first"
                .to_owned(),
        );
    }
    let mut found = Manifests { files: vec![package.clone()], ..Manifests::default() };
    found.files.extend(others);
    found.evidence.push(format!(
        "`{}` has no lifecycle scripts{}, no local dependencies and no workspaces.",
        package.0,
        if ignores_scripts { " that would run" } else { "" }
    ));
    if tool != Tool::NpmClean && !locked {
        found
            .risks
            .push("There is no lock file: the cached install keeps its versions until a manifest changes.".to_owned());
    } else if tool == Tool::Npm {
        found.risks.push(
            "`npm install` may rewrite the lock file; the copy of the sources then puts the original back.".to_owned(),
        );
    }
    Ok(found)
}

const LIFECYCLE: [&str; 8] =
    ["preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare", "postprepare", "dependencies"];

fn needs_only_manifests(path: &str, document: &Value, ignores_scripts: bool) -> Result<(), Reason> {
    let scripts = document.get("scripts").and_then(Value::as_object);
    if let (Some(scripts), false) = (scripts, ignores_scripts)
        && let Some(name) = LIFECYCLE.iter().find(|name| scripts.contains_key(**name))
    {
        return Err(format!("`{path}` has a `{name}` script, which runs during the install and may need the sources"));
    }
    if document.get("workspaces").is_some_and(|workspaces| !workspaces.is_null()) {
        return Err(format!("`{path}` has workspaces, whose folders the install needs"));
    }
    if document.pointer("/pnpm/patchedDependencies").is_some() {
        return Err(format!("`{path}` patches packages with files of the project"));
    }
    for section in
        ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies", "overrides", "resolutions"]
    {
        if let Some(place) = document.get(section).and_then(local_dependency) {
            return Err(format!("`{path}` depends on the local path `{place}`"));
        }
    }
    Ok(())
}

/// A dependency (at any depth, for overrides) that is a path.
fn local_dependency(section: &Value) -> Option<&str> {
    match section {
        Value::String(text) => {
            let prefixes = ["file:", "link:", "portal:", "workspace:", "patch:", "./", "../", "/", "~/"];
            prefixes.iter().any(|prefix| text.starts_with(prefix)).then_some(text)
        }
        Value::Object(entries) => entries.values().find_map(local_dependency),
        _ => None,
    }
}

/// How many requirements files may include one another.
const INCLUDE_LIMIT: usize = 64;

fn pip(site: &Site<'_>, requirements: &[String], constraints: &[String], local: &[String]) -> Result<Manifests, Reason> {
    if let Some(path) = local.first() {
        return Err(format!("the install also takes the local path `{path}`"));
    }
    let mut found = Manifests::default();
    let mut pending: Vec<String> = requirements.iter().chain(constraints).rev().cloned().collect();
    while let Some(path) = pending.pop() {
        if path.contains("://") {
            continue;
        }
        let Some((context_path, folder)) = site.existing(&path) else {
            return Err(format!("`{path}` of the install is not in the build context"));
        };
        if found.files.iter().any(|(known, _)| *known == context_path) {
            continue;
        }
        if found.files.len() >= INCLUDE_LIMIT {
            return Err(format!("more than {INCLUDE_LIMIT} requirements files include one another"));
        }
        let text = site.context.read(&context_path).ok_or_else(|| format!("`{context_path}` cannot be read"))?;
        let parent = path.rsplit_once('/').map(|(parent, _)| parent);
        for included in requirement_includes(&context_path, &text)?.into_iter().rev() {
            let absolute = included.starts_with('/') || included.contains("://");
            pending.push(parent.filter(|_| !absolute).map_or(included.clone(), |parent| format!("{parent}/{included}")));
        }
        found.files.push((context_path, folder));
    }
    let names: Vec<String> = found.files.iter().map(|(path, _)| format!("`{path}`")).collect();
    found.evidence.push(format!(
        "{} name{} only packages of an index.",
        names.join(" and "),
        if names.len() == 1 { "s" } else { "" }
    ));
    Ok(found)
}

/// Files that a requirements file includes.
fn requirement_includes(path: &str, text: &str) -> Result<Vec<String>, Reason> {
    let mut includes = Vec::new();
    let joined = text.trim_start_matches('\u{feff}').replace("\\\r\n", " ").replace("\\\n", " ");
    for line in joined.lines() {
        let line = line.split(" #").next().unwrap_or("").trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (option, value) = option_of(line);
        match option {
            "-r" | "--requirement" | "-c" | "--constraint" => includes.push(value.to_owned()),
            "-e" | "--editable" => return Err(format!("`{path}` installs `{value}` as editable, which needs its sources")),
            "-f" | "--find-links" if !value.contains("://") => {
                return Err(format!("`{path}` searches the local folder `{value}`"));
            }
            _ if line.starts_with('-') => {}
            _ => {
                let package = line.split(';').next().unwrap_or("").trim();
                if is_local_package(package.split(" --").next().unwrap_or("").trim()) {
                    return Err(format!("`{path}` installs the local path `{package}`"));
                }
            }
        }
    }
    Ok(includes)
}

fn option_of(line: &str) -> (&str, &str) {
    if !line.starts_with("--")
        && let Some(short @ ("-r" | "-c" | "-e" | "-f")) = line.get(..2)
    {
        return (short, line[2..].trim().trim_matches(['"', '\'']));
    }
    let end = line.find([' ', '=']).unwrap_or(line.len());
    (&line[..end], line[end..].trim_start_matches([' ', '=']).trim().trim_matches(['"', '\'']))
}

fn vendor(site: &Site<'_>, script: Option<&str>) -> Result<Manifests, Reason> {
    let mut found = Manifests::default();
    for name in ["vendor.lock", "vendor"] {
        let Some((path, folder)) = site.existing(name) else {
            return Err(format!("`{name}` of the install is not in the build context"));
        };
        match name {
            "vendor" => found.files.push((format!("{path}/"), join(&folder, name))),
            _ => found.files.push((path, folder)),
        }
    }
    if let Some(script) = script {
        let located = site.existing(script).ok_or_else(|| format!("`{script}` is not in the build context"))?;
        found.files.insert(0, located);
    }
    found.evidence.push(
        "`vendor-install` installs what `vendor.lock` lists out of the archives in `vendor/`, and reads nothing else."
            .to_owned(),
    );
    Ok(found)
}
