//! Git repositories, by the user's git.

use std::path::PathBuf;

use super::{FetchError, Fetched, Fetcher};
use crate::engine::graph::GitSource;

/// How git is started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GitSettings {
    /// Folders in which git is searched.
    pub path: Vec<PathBuf>,
    /// SSH_AUTH_SOCK.
    pub agent: Option<PathBuf>,
    /// HOME: where ssh keeps known hosts.
    pub home: Option<PathBuf>,
}

impl Fetcher<'_> {
    pub(super) fn git(&self, source: &GitSource) -> Result<Fetched, FetchError> {
        let _ = (self.git, &self.cancelled);
        let hint = Some("clone it first, and give the folder".to_owned());
        Err(FetchError::Git { message: format!("`{}`: git repositories are not acted on yet", source.shown()), hint })
    }
}
