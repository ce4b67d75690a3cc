//! What ADD and contexts take from servers and repositories, as folders of the store that are read like any context. The hard
//! rule: a folder appears under its name when it is complete, and its name says what it holds.
//!
//! `web` downloads files, `git` asks repositories.

mod error;
mod git;
mod git_program;
mod web;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

pub use error::FetchError;
pub use git_program::GitSettings;

use super::graph::fetch::Archive;
use super::graph::{Fetch, redacted};
use super::http::{Cancelled, Client, HttpSettings};
use super::store::{Lease, Store};
use crate::ground::digest::{Digest, Digester};
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
    /// Hears of transfers.
    pub report: Report<'a>,
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
            Fetch::Archive(archive) => self.archive(archive),
        }
    }

    /// An archive that was kept. Errors: it is gone.
    fn archive(&self, archive: &Archive) -> Result<Fetched, FetchError> {
        let name = format!("archive-{}", archive.checksum);
        let root = self.folder()?.join(&name);
        if !self.is_kept(&name, &root)? {
            return Err(FetchError::Source("the archive of the context is gone".into()));
        }
        // What BuildKit's client sends has a name of its own each time: only its content can match.
        let definition = Digest::of(format!("archive {}", archive.checksum));
        Ok(Fetched { root, definition, revision: format!("sha256:{}", archive.checksum) })
    }

    /// Keeps what is written, as a file in a folder under its digest. Returns the digest's hex digits.
    pub fn keep(
        &self,
        file: &str,
        write: impl FnOnce(&mut dyn Write) -> std::io::Result<u64>,
    ) -> Result<String, FetchError> {
        let place = self.folder()?;
        let temporary = Temporary::new(&place)?;
        let path = temporary.0.join(file);
        let to = File::create(&path).at("create", &path)?;
        let mut to = Hashed { file: BufWriter::new(to), digester: Digester::default() };
        write(&mut to).at("write", &path)?;
        let checksum = to.digester.finish().hex();
        let written = to.file.into_inner().map_err(std::io::IntoInnerError::into_error).at("write", &path)?;
        written.sync_all().at("sync", &path)?;
        let name = format!("archive-{checksum}");
        let kept = place.join(&name);
        if !self.is_kept(&name, &kept)? {
            appear(&temporary.0, &kept)?;
        }
        Ok(checksum)
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

/// Hashes what is written.
struct Hashed {
    file: BufWriter<File>,
    digester: Digester,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let length = self.file.write(bytes)?;
        self.digester.update(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
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
