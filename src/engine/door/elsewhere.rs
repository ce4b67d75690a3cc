//! Build contexts that are no folder: standard input, archives and repositories of servers. As in BuildKit, what they hold
//! keeps its owners, and no `.dockerignore` applies to it.
//!
//! Source: BuildKit `dockerui.Client.initContext`, `MainContext`; docker buildx `build.createTempDockerfile`, `isArchive`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Component, Path};

use super::build::Run;
use super::error::EngineError;
use super::project::{DOCKERFILE_LIMIT, Project};
use super::sources::Remote;
use crate::engine::fetch::{FetchError, Fetched, Fetcher};
use crate::engine::graph::fetch::Archive;
use crate::engine::graph::{Fetch, MainContext, SourceRef};
use crate::engine::snapshot::packing::Packing;
use crate::engine::store::Lease;
use crate::ground::fs::RootDir;
use crate::ground::fs::error::describe;
use crate::ground::hint::Hint;

/// A project whose Dockerfile is at hand.
pub struct Prepared {
    /// With the Dockerfile's bytes, where it is no file of this machine.
    pub project: Project,
    /// What was fetched for it, by the names under which contexts are known.
    pub fetched: BTreeMap<String, Fetched>,
}

impl Run<'_> {
    /// Reads standard input, or fetches the context, and finds the Dockerfile in it. Errors: it cannot be had; it is a damaged
    /// archive; it has no Dockerfile. Nothing half is used.
    pub(super) fn prepare(&self, lease: &Lease, remote: &Remote<'_>) -> Result<Prepared, EngineError> {
        let mut project = self.request.project.clone();
        let fetcher = remote.fetcher(self.store(), Some(lease));
        if let Some(stream) = project.stream.take() {
            self.read_stream(&mut project, &stream, &fetcher)?;
        }
        let MainContext::Fetched(fetch) = project.main.clone() else {
            return Ok(Prepared { project, fetched: BTreeMap::new() });
        };
        let found = fetcher.fetch(&fetch).map_err(|error| not_fetched(&error))?;
        if let (Fetch::Web(file), true) = (&fetch, project.given.is_none()) {
            let path = found.root.join(&file.name);
            let fail =
                |error: io::Error| EngineError::environment(format!("cannot read the context: {}", describe(&error)), None);
            let mut head = Vec::new();
            File::open(&path).and_then(|file| file.take(HEAD).read_to_end(&mut head)).map_err(fail)?;
            if !is_archive(&head) {
                // A Dockerfile alone: nothing is there to copy.
                project.given = Some(read_limited(&mut File::open(&path).map_err(fail)?).map_err(fail)?);
                project.main = MainContext::Empty;
                return Ok(Prepared { project, fetched: BTreeMap::new() });
            }
        }
        if project.given.is_none() {
            project.given = Some(self.dockerfile_of(&project, &fetch, &found)?);
        }
        let name = SourceRef::Fetched(fetch).context().unwrap_or_default();
        Ok(Prepared { project, fetched: BTreeMap::from([(name, found)]) })
    }

    /// Standard input is an archive, or a Dockerfile without a context. What it is its first bytes say, once and for all.
    fn read_stream(&self, project: &mut Project, stream: &File, fetcher: &Fetcher<'_>) -> Result<(), EngineError> {
        let fail = |error: &io::Error| {
            EngineError::environment(format!("cannot read the build context from standard input: {}", describe(error)), None)
        };
        let mut head = Vec::new();
        stream.take(HEAD).read_to_end(&mut head).map_err(|e| fail(&e))?;
        if head.is_empty() {
            let hint = "pipe a tar or a Dockerfile into it, or give a folder".to_owned();
            return Err(EngineError::user("standard input, which is to be the build context, is empty", Some(hint)));
        }
        let mut all = io::Cursor::new(head.clone()).chain(stream);
        if is_archive(&head) {
            (fetcher.report)("reading the context from standard input", 0, None);
            let archive = fetcher.spool(&mut all).map_err(|error| not_fetched(&error))?;
            project.main = MainContext::Fetched(Fetch::Archive(archive));
            return Ok(());
        }
        if project.dockerfile != Path::new("Dockerfile") {
            let hint = "leave out -f, or pipe a tar into standard input".to_owned();
            return Err(EngineError::usage("standard input is a Dockerfile, and -f names another one", Some(hint)));
        }
        project.given = Some(read_limited(&mut all).map_err(|e| fail(&e))?);
        project.main = MainContext::Empty;
        Ok(())
    }

    fn dockerfile_of(&self, project: &Project, fetch: &Fetch, found: &Fetched) -> Result<Vec<u8>, EngineError> {
        let shown = project.dockerfile.display().to_string().escape_debug().to_string();
        let missing = || {
            let hint = "name it with -f, as a path in the context".to_owned();
            EngineError::user(format!("there is no Dockerfile `{shown}` in the context `{}`", fetch.shown()), Some(hint))
        };
        let file = match fetch {
            Fetch::Git(_) => {
                let root = RootDir::open(&found.root)?;
                let opened = root.open_in(&project.dockerfile, rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK);
                let mut file = File::from(opened.map_err(|_| missing())?);
                if !file.metadata().is_ok_and(|meta| meta.is_file()) {
                    return Err(missing());
                }
                read_limited(&mut file).map_err(|_| missing())?
            }
            Fetch::Web(file) => in_archive(&found.root.join(&file.name), &project.dockerfile)?.ok_or_else(missing)?,
            Fetch::Archive(_) => in_archive(&found.root.join(Archive::NAME), &project.dockerfile)?.ok_or_else(missing)?,
        };
        Ok(file)
    }
}

fn not_fetched(error: &FetchError) -> EngineError {
    let message = format!("cannot get the build context: {error}");
    match () {
        () if error.is_cancelled() => super::build::cancelled(),
        () if error.is_users() => EngineError::user(message, error.hint()),
        () => EngineError::environment(message, error.hint()),
    }
}

/// So much decides what a stream is.
const HEAD: u64 = 512;

/// A tar, or something packed: what follows is not asked.
///
/// Source: docker buildx `isArchive`.
fn is_archive(head: &[u8]) -> bool {
    let header = head.len() >= 512 && (&head[257..262] == b"ustar" || tar_checksum(head));
    Packing::of(head).is_some() || header
}

/// Whether the checksum of an old tar's first header is right.
fn tar_checksum(head: &[u8]) -> bool {
    let mut header = tar::Header::new_old();
    header.as_mut_bytes().copy_from_slice(&head[..512]);
    let sum: u32 =
        head[..512].iter().enumerate().map(|(at, b)| if (148..156).contains(&at) { 32 } else { u32::from(*b) }).sum();
    head[0] != 0 && header.cksum().is_ok_and(|cksum| cksum == sum)
}

fn read_limited(from: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(DOCKERFILE_LIMIT + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The bytes of a file of an archive: the last one of this name, as unpacking would leave it. Errors: the archive is damaged.
fn in_archive(path: &Path, wanted: &Path) -> Result<Option<Vec<u8>>, EngineError> {
    let damaged = |error: io::Error| {
        let hint = "pack the context again".to_owned();
        EngineError::user(format!("the context is no archive that can be read to its end: {}", describe(&error)), Some(hint))
    };
    let mut head = Vec::new();
    let mut file = File::open(path).map_err(damaged)?;
    (&mut file).take(HEAD).read_to_end(&mut head).map_err(damaged)?;
    let packed = io::Cursor::new(head.clone()).chain(io::BufReader::with_capacity(1 << 17, file));
    let plain: Box<dyn Read> = match Packing::of(&head) {
        Some(packing) => packing.unpacked(packed).map_err(damaged)?,
        None => Box::new(packed),
    };
    let mut archive = tar::Archive::new(plain);
    let mut found = None;
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        if normal(&entry.path().map_err(damaged)?) != normal(wanted) {
            continue;
        }
        if !entry.header().entry_type().is_file() {
            let shown = wanted.display().to_string().escape_debug().to_string();
            return Err(EngineError::user(format!("`{shown}` of the context is no plain file"), None));
        }
        found = Some(read_limited(&mut entry).map_err(damaged)?);
    }
    // What stands behind the archive's end belongs to a packing that has to be whole.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(damaged)?;
    Ok(found)
}

/// The names of a path in order.
fn normal(path: &Path) -> Vec<&std::ffi::OsStr> {
    let name = |component| match component {
        Component::Normal(name) => Some(name),
        _ => None,
    };
    path.components().filter_map(name).collect()
}

impl Fetcher<'_> {
    /// Keeps an archive that comes as a stream.
    pub(super) fn spool(&self, from: &mut dyn Read) -> Result<Archive, FetchError> {
        self.keep(Archive::NAME, |to: &mut dyn Write| io::copy(from, to)).map(|checksum| Archive { checksum })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_and_texts_are_told_apart_by_their_first_bytes() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_old();
        header.set_size(1);
        header.set_mode(0o644);
        builder.append_data(&mut header, "a", &b"x"[..]).unwrap();
        let old = builder.into_inner().unwrap();
        for head in [&old[..512], b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"] {
            assert!(is_archive(head));
        }
        for head in [&b"FROM scratch\n"[..], &[0; 512], &[b'#'; 512], b""] {
            assert!(!is_archive(head));
        }
    }
}
