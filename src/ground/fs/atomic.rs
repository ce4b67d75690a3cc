//! A file that appears under its name complete and synced, or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::{PathError, PathResultExt};

/// Written beside its destination; [`AtomicFile::commit`] syncs the file, renames it and syncs the directory, because a
/// rename without the last sync can come back under the temporary name after a power cut.
pub struct AtomicFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    done: bool,
}

impl AtomicFile {
    /// Opens a temporary file in the directory of `path`.
    pub fn create(path: &Path) -> Result<Self, PathError> {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let temporary = path.with_file_name(format!(".{name}.{}.tmp", crate::ground::random_hex(8)));
        let file = File::options().write(true).read(true).create_new(true).open(&temporary).at("create", &temporary)?;
        Ok(Self { file, temporary, path: path.to_owned(), done: false })
    }

    /// The open file, for passing its descriptor on.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Makes it appear without syncing: for files that only save work.
    pub fn commit_unsynced(mut self) -> Result<(), PathError> {
        fs::rename(&self.temporary, &self.path).at("create", &self.path)?;
        self.done = true;
        Ok(())
    }

    /// Makes it appear.
    pub fn commit(mut self) -> Result<(), PathError> {
        self.file.sync_all().at("sync", &self.temporary)?;
        fs::rename(&self.temporary, &self.path).at("create", &self.path)?;
        self.done = true;
        let parent = self.path.parent().unwrap_or(Path::new("/"));
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        File::open(parent).and_then(|dir| dir.sync_all()).at("sync", parent)
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.done {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appears_on_commit_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"x").unwrap();
        assert!(!path.exists());
        file.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"x");
        drop(AtomicFile::create(&path).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
