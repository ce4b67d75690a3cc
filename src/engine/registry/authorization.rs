//! Answers to challenges: passwords stay with their host, and tokens are fetched only where it is safe to ask.

use std::collections::HashMap;
use std::sync::Mutex;

use serde::Deserialize;

use super::challenge::{self, Challenge};
use super::credentials::Credentials;
use super::settings::Place;
use super::{RegistryError, RegistrySettings};
use crate::engine::http::url::percent;
use crate::engine::http::{Again, Body, Client, HttpError, Method, Request, Response, Scheme, Url};

/// The largest answer of a token server.
const TOKEN_LIMIT: u64 = 1 << 20;

/// What is done with a repository: it decides the token's scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Access {
    /// Repository.
    pub repository: String,
    /// Blobs and manifests are written too.
    pub write: bool,
    /// A repository of the same registry that blobs are mounted from.
    pub mount_from: Option<String>,
}

impl Access {
    /// Reads.
    pub fn read(repository: &str) -> Self {
        Self { repository: repository.to_owned(), write: false, mount_from: None }
    }

    fn scopes(&self) -> Vec<String> {
        let actions = if self.write { "pull,push" } else { "pull" };
        let own = format!("repository:{}:{actions}", self.repository);
        [own].into_iter().chain(self.mount_from.iter().map(|from| format!("repository:{from}:pull"))).collect()
    }
}

/// The `Authorization` values that were accepted, by host and access.
#[derive(Default)]
pub struct Authorization {
    known: Mutex<HashMap<(String, Access), String>>,
    logins: Mutex<HashMap<String, Option<Credentials>>>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

/// Whoever asks.
pub struct Asker<'a> {
    /// The client.
    pub http: &'a Client,
    /// The settings.
    pub settings: &'a RegistrySettings,
    /// The registry.
    pub place: &'a Place,
    /// As image names write it.
    pub domain: &'a str,
}

impl Authorization {
    /// What was accepted before.
    pub fn known(&self, place: &Place, access: &Access) -> Option<String> {
        let known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.get(&(place.host.clone(), access.clone())).cloned()
    }

    /// A new `Authorization` value for a registry that answered 401, or none when there is nothing more to show.
    ///
    /// # Errors
    /// A challenge that is refused, a token server that refuses, credentials that cannot be read.
    pub fn answer(&self, asker: &Asker<'_>, access: &Access, refused: &Response) -> Result<Option<String>, RegistryError> {
        let Some(challenge) = refused.header("www-authenticate").and_then(challenge::parse) else { return Ok(None) };
        let login = self.login(asker)?;
        let value = match (challenge, login) {
            (_, Some(Credentials::Bearer(token))) => Some(format!("Bearer {token}")),
            (Challenge::Basic, Some(Credentials::Password(user, password))) => Some(Credentials::basic(&user, &password)),
            (Challenge::Basic, _) => None,
            (Challenge::Bearer { realm, service, .. }, login) => {
                Some(format!("Bearer {}", asker.token(&realm, service.as_deref(), access, login)?))
            }
        };
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let key = (asker.place.host.clone(), access.clone());
        match &value {
            Some(value) => known.insert(key, value.clone()),
            None => known.remove(&key),
        };
        Ok(value)
    }

    /// Whether a login is stored for a registry.
    pub fn has_login(&self, asker: &Asker<'_>) -> bool {
        self.login(asker).is_ok_and(|login| login.is_some())
    }

    /// The stored login; programs are asked once.
    fn login(&self, asker: &Asker<'_>) -> Result<Option<Credentials>, RegistryError> {
        // A mirror has a login of its own: it is not shown that of the registry it stands for.
        let host = if asker.place.mirrors.is_some() { &asker.place.host } else { asker.domain };
        let mut logins = self.logins.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(known) = logins.get(host) {
            return Ok(known.clone());
        }
        let found = asker.settings.credentials.find(host)?;
        logins.insert(host.to_owned(), found.clone());
        Ok(found)
    }
}

impl Asker<'_> {
    fn refuse(&self, why: String, hint: Option<String>) -> RegistryError {
        RegistryError::Challenge { host: self.place.host.clone(), why, hint }
    }

    fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        access: &Access,
        login: Option<Credentials>,
    ) -> Result<String, RegistryError> {
        let url = self.realm(realm, login.is_some())?;
        let service = service.unwrap_or_default();
        let known = login.is_some();
        // An identity token that has expired is a bad request. Source: RFC 6749, section 5.2, `invalid_grant`.
        let bad_token = matches!(login, Some(Credentials::Identity(_)));
        let answer = match login {
            Some(Credentials::Identity(token)) => {
                let form = [
                    ("grant_type", "refresh_token"),
                    ("client_id", "rbuild-tui"),
                    ("service", service),
                    ("scope", &access.scopes().join(" ")),
                    ("refresh_token", &token),
                ];
                let form: Vec<String> = form.iter().map(|(name, value)| format!("{name}={}", percent(value))).collect();
                let form = form.join("&");
                let mut request = Request::new(Method::Post, url.clone())
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(Body::Bytes(form.as_bytes()));
                (request.redirects, request.again) = (0, Again::Yes);
                self.http.send(&request)?
            }
            login => {
                let mut asked = url.clone();
                if !service.is_empty() {
                    asked = asked.with_query("service", service);
                }
                for scope in access.scopes() {
                    asked = asked.with_query("scope", &scope);
                }
                let mut request = Request::new(Method::Get, asked);
                if let Some(Credentials::Password(user, password)) = &login {
                    request.credentials = Some(Credentials::basic(user, password));
                }
                request.redirects = 0;
                self.http.send(&request)?
            }
        };
        let refused = |error: HttpError| match error {
            HttpError::Status { status, text, .. } if matches!(status, 401 | 403) || (bad_token && status == 400) => {
                RegistryError::Denied { host: self.place.host.clone(), repository: access.repository.clone(), known, text }
            }
            other => other.into(),
        };
        if (300..400).contains(&answer.status) {
            return Err(self.refuse(format!("its token server `{}` redirects", url.shown()), None));
        }
        if answer.status != 200 {
            return Err(refused(answer.refused()));
        }
        let answer: Option<TokenAnswer> = serde_json::from_slice(&answer.bytes(TOKEN_LIMIT)?).ok();
        let token = answer.and_then(|answer| answer.token.filter(|t| !t.is_empty()).or(answer.access_token));
        let visible = |token: &String| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
        token.filter(visible).ok_or_else(|| self.refuse(format!("its token server `{}` gave no token", url.shown()), None))
    }

    /// The realm, if it may be asked: over the same protection as the registry, no metadata service, and with a password only
    /// where that belongs.
    fn realm(&self, realm: &str, with_login: bool) -> Result<Url, RegistryError> {
        let url = Url::parse(realm).map_err(|error| self.refuse(error.to_string(), None))?;
        if url.credentials().is_some() {
            return Err(self.refuse(format!("its token server `{}` comes with a password", url.shown()), None));
        }
        crate::engine::http::policy::check_target(&url).map_err(|error| self.refuse(error.to_string(), None))?;
        let known = self.settings.scheme(&url.authority()) == Scheme::Http
            || self.settings.may_see_password(&self.place.host, url.host());
        let plain_is_fine = self.place.scheme == Scheme::Http && known;
        if url.scheme() == Scheme::Http && !plain_is_fine {
            return Err(self.refuse(format!("its token server `{}` is not encrypted", url.shown()), None));
        }
        if with_login && !self.settings.may_see_password(self.domain, url.host()) {
            let why = format!("it wants the stored login to be sent to `{}`", url.authority());
            let hint = format!(
                "if that is right, allow it in the configuration file: {{\"registries\": {{\"{}\": {{\"realms\": [\"{}\"]}}}}}}",
                self.domain,
                url.host()
            );
            return Err(self.refuse(why, Some(hint)));
        }
        Ok(url)
    }
}
