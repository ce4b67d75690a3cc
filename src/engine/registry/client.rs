//! One conversation with registries: requests below a repository, with logins as they are asked for.

use std::sync::Arc;

use super::authorization::{Access, Asker, Authorization};
use super::settings::Place;
use super::{RegistryError, RegistrySettings};
use crate::engine::http::{Client, HttpError, Method, Request, Response, Url};
use crate::ground::digest::Digest;

/// Speaks to registries for one build or command.
pub struct RegistryClient {
    pub(super) http: Client,
    pub(super) settings: Arc<RegistrySettings>,
    authorization: Authorization,
}

/// A repository at a place.
#[derive(Debug, Clone)]
pub struct Repository {
    /// Where.
    pub place: Place,
    /// As image names write the registry.
    pub domain: String,
    /// What is done there.
    pub access: Access,
}

impl Repository {
    /// An address below `/v2/REPOSITORY/`.
    pub fn url(&self, rest: &str) -> Result<Url, HttpError> {
        let scheme = self.place.scheme.text();
        Url::parse(&format!("{scheme}://{}/v2/{}/{rest}", self.place.host, self.access.repository))
    }
}

impl RegistryClient {
    /// `cancelled` ends every wait.
    pub fn new(settings: Arc<RegistrySettings>, cancelled: crate::engine::http::Cancelled) -> Self {
        Self { http: Client::new(settings.http.clone(), cancelled), settings, authorization: Authorization::default() }
    }

    fn asker<'a>(&'a self, repository: &'a Repository) -> Asker<'a> {
        Asker { http: &self.http, settings: &self.settings, place: &repository.place, domain: &repository.domain }
    }

    /// Whether the request goes to the registry itself, and not to where it keeps its blobs.
    fn is_own(repository: &Repository, url: &Url) -> bool {
        repository.url("").is_ok_and(|own| own.same_origin(url))
    }

    /// The request with what is known to open the door.
    pub(super) fn authorized<'a>(&self, repository: &Repository, mut request: Request<'a>) -> Request<'a> {
        request.credentials = None;
        if Self::is_own(repository, &request.url) {
            request.credentials = self.authorization.known(&repository.place, &repository.access);
        }
        request
    }

    /// Sends; a challenge is answered once. Any other status is the caller's.
    ///
    /// # Errors
    /// As [`Client::send`]; refused challenges; 401 after a login, and 403.
    pub fn send(&self, repository: &Repository, request: Request<'_>) -> Result<Response, RegistryError> {
        let request = self.authorized(repository, request);
        let response = self.http.send(&request)?;
        if response.status != 401 || !Self::is_own(repository, &response.url) {
            return self.checked(repository, response);
        }
        let Some(value) = self.authorization.answer(&self.asker(repository), &repository.access, &response)? else {
            return Err(self.denied(repository, response));
        };
        let request = Request { credentials: Some(value), ..request };
        let response = self.http.send(&request)?;
        if response.status == 401 { Err(self.denied(repository, response)) } else { self.checked(repository, response) }
    }

    /// Answers the challenge that stands before a blob.
    pub(super) fn challenge(&self, repository: &Repository, blob: &Digest) -> Result<(), RegistryError> {
        let request = Request::new(Method::Head, repository.url(&format!("blobs/{blob}"))?);
        self.send(repository, request).map(drop)
    }

    fn checked(&self, repository: &Repository, response: Response) -> Result<Response, RegistryError> {
        match response.status {
            401 | 403 => Err(self.denied(repository, response)),
            _ => Ok(response),
        }
    }

    fn denied(&self, repository: &Repository, response: Response) -> RegistryError {
        let text = match response.refused() {
            HttpError::Status { text, .. } => text,
            _ => String::new(),
        };
        RegistryError::Denied {
            host: repository.place.host.clone(),
            repository: repository.access.repository.clone(),
            known: self.authorization.has_login(&self.asker(repository)),
            text,
        }
    }
}
