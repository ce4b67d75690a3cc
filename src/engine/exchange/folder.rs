//! A folder with an OCI layout that somebody else wrote: only regular files directly in it are opened, by names that are
//! digests.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::de::DeserializeOwned;

use super::in_short;
use crate::engine::oci::Descriptor;
use crate::ground::digest::Digest;
use crate::ground::fs::RootDir;
use crate::ground::fs::error::describe;

const INDEX_LIMIT: u64 = 4 << 20;
/// The annotation with the tag of an entry.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation that marks an entry as a cache, so that an export replaces nothing else.
pub const MARK: &str = "io.rbuild-tui.cache";

/// An open folder.
#[derive(Debug)]
pub struct Folder {
    root: RootDir,
}

/// Where a blob lies in a layout.
pub fn blob_path(digest: &Digest) -> PathBuf {
    Path::new("blobs/sha256").join(digest.hex())
}

/// Whether an entry of an index has this tag.
pub fn has_tag(entry: &Descriptor, tag: &str) -> bool {
    entry.annotations.get(REF_NAME).is_some_and(|name| name == tag)
}

impl Folder {
    /// Errors, here and below: why, as the end of a sentence that begins with the cache.
    pub fn open(path: &Path) -> Result<Self, String> {
        let root = RootDir::open(path).map_err(|error| format!("cannot be opened: {}", describe(&error.source)))?;
        Ok(Self { root })
    }

    /// A regular file; neither the file nor a folder above it may be a link. A pipe or a device is never waited for.
    fn file(&self, name: &Path) -> Result<(File, u64), String> {
        let shown = name.display();
        let fail = |error: &std::io::Error| format!("is damaged: cannot read `{shown}`: {}", describe(error));
        let file = self.root.open_beneath(name, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW);
        let file = File::from(file.map_err(|e| fail(&e))?);
        let meta = file.metadata().map_err(|e| fail(&e))?;
        if !meta.is_file() {
            return Err(format!("is damaged: `{shown}` is no regular file"));
        }
        Ok((file, meta.len()))
    }

    fn bytes(&self, name: &Path, limit: u64) -> Result<Vec<u8>, String> {
        let (file, size) = self.file(name)?;
        let mut out = Vec::new();
        let read = file.take(limit + 1).read_to_end(&mut out);
        read.map_err(|e| format!("is damaged: cannot read `{}`: {}", name.display(), describe(&e)))?;
        if size > limit || out.len() as u64 > limit {
            return Err(format!("is damaged: `{}` is larger than {limit} bytes", name.display()));
        }
        Ok(out)
    }

    /// `index.json`.
    pub fn index<T: DeserializeOwned>(&self) -> Result<T, String> {
        let name = Path::new("index.json");
        if let Err(error) = self.root.open_beneath(name, OFlags::PATH | OFlags::NOFOLLOW)
            && error.kind() == std::io::ErrorKind::NotFound
        {
            return Err("is no cache: it has no `index.json`".into());
        }
        let bytes = self.bytes(name, INDEX_LIMIT)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| format!("is damaged: its `index.json` is malformed ({})", in_short(&error)))
    }

    /// A small blob, verified.
    pub fn document(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, String> {
        let bytes = self.bytes(&blob_path(&descriptor.digest), limit)?;
        if bytes.len() as u64 != descriptor.size || Digest::of(&bytes) != descriptor.digest {
            return Err(format!("is damaged: the blob {} is not what its name says", descriptor.digest.short()));
        }
        Ok(bytes)
    }

    /// A blob, whose content is still to be verified; its size is right.
    pub fn blob(&self, descriptor: &Descriptor) -> Result<File, String> {
        let (file, size) = self.file(&blob_path(&descriptor.digest))?;
        if size != descriptor.size {
            let short = descriptor.digest.short();
            return Err(format!("is damaged: the blob {short} has {size} bytes instead of {}", descriptor.size));
        }
        Ok(file)
    }
}
