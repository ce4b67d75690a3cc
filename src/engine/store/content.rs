//! Blobs by digest.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::StoreError;
use crate::ground::digest::{Digest, Digester};
use crate::ground::fs::{AtomicFile, PathResultExt};

/// `blobs/sha256/<hex>`: a file is there only when it is complete, verified and synced.
#[derive(Debug, Clone)]
pub struct ContentStore {
    folder: PathBuf,
}

impl ContentStore {
    pub(super) fn new(root: &Path) -> Self {
        Self { folder: root.join("blobs/sha256") }
    }

    /// Where a blob lies, or would.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.hex())
    }

    /// Whether it is there.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.path(digest).exists()
    }

    /// A file to write a blob whose digest is not known yet.
    pub fn ingest(&self) -> Result<Ingest, StoreError> {
        let name = self.folder.join(format!("ingest-{}", crate::ground::random_hex(8)));
        Ok(Ingest { file: AtomicFile::create(&name)? })
    }

    /// Makes an ingested blob appear under its digest.
    pub fn commit(&self, ingest: Ingest, digest: &Digest) -> Result<(), StoreError> {
        Ok(ingest.file.commit_as(&self.path(digest))?)
    }

    /// Copies a blob in, verifying size and digest to the last byte. Does nothing when it is there.
    pub fn put(&self, mut from: impl Read, digest: &Digest, size: u64, what: &str) -> Result<(), StoreError> {
        if self.contains(digest) {
            return Ok(());
        }
        let path = self.path(digest);
        let mut file = AtomicFile::create(&path)?;
        let mut digester = Digester::default();
        let mut buffer = vec![0; 256 << 10];
        let mut total = 0u64;
        loop {
            let n = match from.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other.at("read", what)?,
            };
            if n == 0 {
                break;
            }
            total += n as u64;
            if total > size {
                let why = format!("it is longer than {size} bytes");
                return Err(StoreError::Mismatch { what: what.to_owned(), why });
            }
            digester.update(&buffer[..n]);
            file.write_all(&buffer[..n]).at("write", &path)?;
        }
        let found = digester.finish();
        if total != size || found != *digest {
            let why = format!("expected {digest} with {size} bytes, found {found} with {total} bytes");
            return Err(StoreError::Mismatch { what: what.to_owned(), why });
        }
        Ok(file.commit()?)
    }

    /// Puts a small document in.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        self.put(bytes, &digest, bytes.len() as u64, "a document")?;
        Ok(digest)
    }

    /// Opens a blob.
    pub fn open(&self, digest: &Digest) -> Result<File, StoreError> {
        let path = self.path(digest);
        Ok(File::open(&path).at("read", &path)?)
    }

    /// Reads a small blob and verifies it.
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        let path = self.path(digest);
        let mut bytes = Vec::new();
        File::open(&path).at("read", &path)?.take(limit + 1).read_to_end(&mut bytes).at("read", &path)?;
        if bytes.len() as u64 > limit || Digest::of(&bytes) != *digest {
            let why = "its content is not what its name says".to_owned();
            return Err(StoreError::Mismatch { what: format!("the blob {digest}"), why });
        }
        Ok(bytes)
    }
}

/// A blob being written.
pub struct Ingest {
    file: AtomicFile,
}

impl Ingest {
    /// Its open file.
    pub fn file(&self) -> &File {
        self.file.file()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_enters_unverified() {
        let dir = tempfile::tempdir().unwrap();
        let store = super::super::Store::open(dir.path()).unwrap();
        let digest = Digest::of("hello");
        for (bytes, size) in [("hallo", 5), ("hello!", 5), ("hell", 5)] {
            assert!(store.content.put(bytes.as_bytes(), &digest, size, "x").is_err());
            assert!(!store.content.contains(&digest));
        }
        store.content.put("hello".as_bytes(), &digest, 5, "x").unwrap();
        assert_eq!(store.content.read(&digest, 100).unwrap(), b"hello");
        assert_eq!(std::fs::read_dir(dir.path().join("blobs/sha256")).unwrap().count(), 1);
    }
}
