//! What the surroundings say about registries and daemons: docker's configuration, proxies, our own configuration file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::Context;
use crate::engine::fetch::GitSettings;
use crate::engine::http::{HttpSettings, Proxies};
use crate::engine::registry::{CredentialSources, HostSettings, RegistrySettings};
use crate::engine::{EngineError, Sources};
use crate::ground::config::Config;

const FILE_LIMIT: u64 = 1 << 20;

/// The configuration file: `{"registries": {"HOST": {"mirrors": ["HOST"], "insecure": true, "realms": ["HOST"]}}}`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    registries: BTreeMap<String, HostSettings>,
}

impl Context {
    /// Registries and daemons as this user has them. Errors: a configuration file that cannot be read.
    pub fn sources(&self) -> Result<Sources, EngineError> {
        let config = &self.config;
        let mut hosts = self.configuration_file()?.registries;
        for host in &self.cli.insecure_registry {
            hosts.entry(host.clone()).or_default().insecure = true;
        }
        let http = HttpSettings { proxies: proxies(config), ..HttpSettings::default() };
        let credentials = CredentialSources { files: logins(config), path: config.path.clone(), ..Default::default() };
        let registry = Arc::new(RegistrySettings { http, hosts, credentials, ..RegistrySettings::default() });
        let (daemons, unusable_daemon) = daemons(config);
        let home = config.home.clone();
        let agent = config.variable("SSH_AUTH_SOCK").filter(|path| !path.is_empty()).map(PathBuf::from);
        let git = GitSettings { path: config.path.clone(), agent, home };
        Ok(Sources { registry, git, daemons, unusable_daemon })
    }

    fn configuration_file(&self) -> Result<File, EngineError> {
        let usual = folder(&self.config, "XDG_CONFIG_HOME", ".config").map(|folder| folder.join("rbuild-tui/config.json"));
        let Some(path) = self.cli.config.clone().or(usual) else { return Ok(File::default()) };
        if self.cli.config.is_none() && !path.exists() {
            return Ok(File::default());
        }
        read(&path).map_err(|why| {
            let shown = path.display().to_string().escape_debug().to_string();
            EngineError::usage(format!("cannot read the configuration file `{shown}`: {why}"), None)
        })
    }
}

fn read(path: &Path) -> Result<File, String> {
    let cause = |e: std::io::Error| crate::ground::fs::error::describe(&e);
    if std::fs::metadata(path).map_err(cause)?.len() > FILE_LIMIT {
        return Err("it is larger than 1 MiB".into());
    }
    let text = std::fs::read(path).map_err(cause)?;
    serde_json::from_slice(&text).map_err(|e| e.to_string().escape_debug().to_string())
}

/// A folder of the user's: by variable, else below the home.
fn folder(config: &Config, variable: &str, below: &str) -> Option<PathBuf> {
    let given = config.variable(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    given.or_else(|| config.home.as_ref().map(|home| home.join(below)))
}

fn proxies(config: &Config) -> Proxies {
    let get = |name: &str| {
        let value = config.variable(name).or_else(|| config.variable(&name.to_lowercase()));
        value.filter(|value| !value.is_empty()).map(str::to_owned)
    };
    let all = get("ALL_PROXY");
    Proxies {
        http: get("HTTP_PROXY").or_else(|| all.clone()),
        https: get("HTTPS_PROXY").or(all),
        none: get("NO_PROXY").unwrap_or_default(),
    }
}

/// Files with logins: docker's, then podman's.
fn logins(config: &Config) -> Vec<PathBuf> {
    let docker = folder(config, "DOCKER_CONFIG", ".docker").map(|folder| folder.join("config.json"));
    let given = config.variable("REGISTRY_AUTH_FILE").map(PathBuf::from);
    let running = config.variable("XDG_RUNTIME_DIR").map(|run| Path::new(run).join("containers/auth.json"));
    docker.into_iter().chain(given).chain(running).collect()
}

/// Sockets of daemons, and a DOCKER_HOST that is none. When it is set, it alone counts.
fn daemons(config: &Config) -> (Vec<PathBuf>, Option<String>) {
    match config.variable("DOCKER_HOST").filter(|host| !host.is_empty()) {
        Some(host) => match host.strip_prefix("unix://") {
            Some(path) => (vec![path.into()], None),
            None => (Vec::new(), Some(host.to_owned())),
        },
        None => {
            let own = config.variable("XDG_RUNTIME_DIR").map(PathBuf::from);
            let own = own.iter().flat_map(|run| [run.join("docker.sock"), run.join("podman/podman.sock")]);
            let system = ["/var/run/docker.sock", "/run/podman/podman.sock"].map(PathBuf::from);
            (own.chain(system).collect(), None)
        }
    }
}
