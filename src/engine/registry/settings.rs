//! What is known about registries before they are asked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::engine::http::url::is_loopback;
use crate::engine::http::{HttpSettings, Scheme};

/// Docker's registry is reached under another name than it is written.
const DOCKER_HOST: &str = "registry-1.docker.io";
const DOCKER_DOMAIN: &str = "docker.io";

/// Everything a client needs to know.
#[derive(Debug, Clone)]
pub struct RegistrySettings {
    /// Proxies, timeouts, patience.
    pub http: HttpSettings,
    /// By the host as it stands in image names.
    pub hosts: BTreeMap<String, HostSettings>,
    /// Where user names and passwords come from.
    pub credentials: CredentialSources,
    /// Blobs that are moved at a time.
    pub parallel: usize,
}

impl Default for RegistrySettings {
    fn default() -> Self {
        let (http, hosts, credentials) = Default::default();
        Self { http, hosts, credentials, parallel: 3 }
    }
}

/// What the user said about one registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostSettings {
    /// Hosts that are asked first; `http://` before one means plain http.
    pub mirrors: Vec<String>,
    /// Plain http.
    pub insecure: bool,
    /// Hosts beside its own that may see its password in exchange for a token.
    pub realms: Vec<String>,
}

/// Files and programs that know passwords.
#[derive(Debug, Clone)]
pub struct CredentialSources {
    /// `config.json` of docker, `auth.json` of podman, in the order in which they are asked.
    pub files: Vec<PathBuf>,
    /// Folders in which credential programs are searched.
    pub path: Vec<PathBuf>,
    /// How long such a program may take.
    pub timeout: Duration,
}

impl Default for CredentialSources {
    fn default() -> Self {
        Self { files: Vec::new(), path: Vec::new(), timeout: Duration::from_secs(20) }
    }
}

/// A place that may hold an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// How it is reached.
    pub scheme: Scheme,
    /// Host and port.
    pub host: String,
    /// The registry that it stands for, where it is a mirror.
    pub mirrors: Option<String>,
}

impl RegistrySettings {
    /// The places of a registry: its mirrors, then itself.
    pub fn places(&self, domain: &str) -> Vec<Place> {
        let mirrors = self.hosts.get(domain).map(|host| host.mirrors.as_slice()).unwrap_or_default();
        let mirror = |text: &String| {
            let (scheme, host) = match text.split_once("://") {
                Some(("http", host)) => (Scheme::Http, host),
                Some((_, host)) => (Scheme::Https, host),
                None => (self.scheme(text), text.as_str()),
            };
            Place { scheme, host: host.trim_end_matches('/').to_owned(), mirrors: Some(domain.to_owned()) }
        };
        mirrors.iter().map(mirror).chain([self.place(domain)]).collect()
    }

    /// The registry itself.
    pub fn place(&self, domain: &str) -> Place {
        let host = if domain == DOCKER_DOMAIN { DOCKER_HOST } else { domain };
        Place { scheme: self.scheme(domain), host: host.to_owned(), mirrors: None }
    }

    /// Plain http is spoken with this machine and with hosts for which the user asked for it.
    pub fn scheme(&self, host: &str) -> Scheme {
        let insecure = self.hosts.get(host).is_some_and(|known| known.insecure);
        if insecure || is_loopback(host) { Scheme::Http } else { Scheme::Https }
    }

    /// Whether a host other than the registry's may see its password: it is the same machine, or a sister of it, or allowed.
    pub fn may_see_password(&self, registry: &str, realm: &str) -> bool {
        let bare = |host: &str| {
            let after = host.rfind(']').map_or(0, |at| at + 1);
            host[after..].find(':').map_or(host, |colon| &host[..after + colon]).to_ascii_lowercase()
        };
        let (own, other) = (bare(registry), bare(realm));
        let numbers = own.ends_with(|c: char| c.is_ascii_digit() || c == ']');
        let parent = |host: &str| host.split_once('.').map(|(_, rest)| rest.to_owned()).filter(|rest| rest.contains('.'));
        let docker = |host: &str| host == DOCKER_DOMAIN || host.ends_with(".docker.io");
        let allowed = self.hosts.get(registry).is_some_and(|host| host.realms.iter().any(|r| bare(r) == other));
        let sisters = !numbers && parent(&own).is_some() && parent(&own) == parent(&other);
        own == other || allowed || sisters || (docker(&own) && docker(&other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_asked_how_and_who_may_see_what() {
        let host = |mirrors: &[&str], insecure| HostSettings {
            mirrors: mirrors.iter().map(|m| (*m).to_owned()).collect(),
            insecure,
            realms: vec!["login.example".into()],
        };
        let hosts = BTreeMap::from([
            ("docker.io".to_owned(), host(&["mirror.example", "http://10.0.0.1:5000/"], false)),
            ("old.example:80".to_owned(), host(&[], true)),
        ]);
        let settings = RegistrySettings { hosts, ..RegistrySettings::default() };
        let places: Vec<(Scheme, String)> = settings.places("docker.io").into_iter().map(|p| (p.scheme, p.host)).collect();
        let text = |s: &str| s.to_owned();
        assert_eq!(
            places,
            [
                (Scheme::Https, text("mirror.example")),
                (Scheme::Http, text("10.0.0.1:5000")),
                (Scheme::Https, text("registry-1.docker.io"))
            ]
        );
        assert_eq!(settings.scheme("127.0.0.1:5000"), Scheme::Http);
        assert_eq!(settings.scheme("old.example:80"), Scheme::Http);
        assert_eq!(settings.scheme("10.0.0.1:5000"), Scheme::Https);
        for (own, other, allowed) in [
            ("127.0.0.1:5000", "127.0.0.1:5001", true),
            ("127.0.0.1:5000", "localhost:5000", false),
            ("10.0.0.1", "11.0.0.1", false),
            ("registry.a.example", "auth.a.example", true),
            ("registry.example", "auth.example", false),
            ("a.co", "b.co", false),
            ("docker.io", "auth.docker.io", true),
            ("docker.io", "auth.docker.io.evil.example", false),
            ("old.example:80", "login.example", true),
        ] {
            assert_eq!(settings.may_see_password(own, other), allowed, "{own} {other}");
        }
    }
}
