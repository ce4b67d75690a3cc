//! What ADD and contexts take from servers and repositories, as folders of the store that are read like any context. The hard
//! rule: a folder appears under its name when it is complete, and its name says what it holds.
//!
//! `web` downloads files, `git` asks repositories.

mod error;
mod git;
mod web;

use std::path::{Path, PathBuf};

pub use error::FetchError;
pub use git::GitSettings;

use super::graph::{Fetch, redacted};
use super::http::{Cancelled, Client, HttpSettings};
use super::store::{Lease, Store};
use crate::ground::digest::Digest;
use crate::ground::fs::PathResultExt;

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The folder.
    pub root: PathBuf,
    /// Everything by which BuildKit knows the source: the same again means the same files.
    pub definition: Digest,
    /// Which state of the source it is, for people: a commit, or the time and digest of a file.
    pub revision: String,
}

/// Hears of transfers: what, how much is done, of how much.
pub type Report<'a> = &'a (dyn Fn(&str, u64, Option<u64>) + Sync);

/// Fetches for one build.
pub struct Fetcher<'a> {
    store: &'a Store,
    lease: Option<&'a Lease>,
    client: Client,
    cancelled: Cancelled,
    git: &'a GitSettings,
    report: Report<'a>,
}

impl<'a> Fetcher<'a> {
    /// `lease` protects what is fetched as long as the build lasts.
    pub fn new(
        store: &'a Store,
        lease: Option<&'a Lease>,
        (http, git): (&HttpSettings, &'a GitSettings),
        cancelled: Cancelled,
        report: Report<'a>,
    ) -> Self {
        let client = Client::new(http.clone(), Cancelled::clone(&cancelled));
        Self { store, lease, client, cancelled, git, report }
    }

    /// The files of a source as they are now. Errors: everything that can go wrong on the way; nothing half is kept.
    pub fn fetch(&self, fetch: &Fetch) -> Result<Fetched, FetchError> {
        match fetch {
            Fetch::Web(file) => self.web(file),
            Fetch::Git(source) => self.git(source),
        }
    }

    fn folder(&self) -> Result<PathBuf, FetchError> {
        let folder = self.store.layout.fetched();
        std::fs::create_dir_all(&folder).at("create", &folder)?;
        Ok(folder)
    }

    /// Protects a folder from collection, and says whether it is there.
    fn is_kept(&self, name: &str, folder: &Path) -> Result<bool, FetchError> {
        if let Some(lease) = self.lease {
            lease.note([name])?;
        }
        Ok(folder.is_dir())
    }

    fn tell(&self, what: &str, url: &str, done: u64, total: Option<u64>) {
        (self.report)(&format!("{what} {}", redacted(url)), done, total);
    }
}

/// Makes a folder appear: of two that make the same, the first one's stays.
fn appear(from: &Path, to: &Path) -> Result<(), FetchError> {
    match std::fs::rename(from, to) {
        Err(error) if matches!(error.raw_os_error(), Some(17 | 39)) => {
            let _ = std::fs::remove_dir_all(from);
            Ok(())
        }
        other => Ok(other.at("create", to)?),
    }
}

/// A folder under a name that nobody looks for; it goes away unless it was renamed.
struct Temporary(PathBuf);

impl Temporary {
    fn new(folder: &Path) -> Result<Self, FetchError> {
        let path = folder.join(format!(".{}.tmp", crate::ground::random_hex(8)));
        std::fs::create_dir(&path).at("create", &path)?;
        Ok(Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
