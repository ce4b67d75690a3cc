//! A file that appears under its name complete and synced, or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::error::{PathError, PathResultExt};

/// Without a name until [`AtomicFile::commit`], so that a killed process leaves nothing behind (with a name beside its
/// destination where the file system knows no nameless files). Commit syncs the file, gives it its name and syncs the
/// directory, because a rename without the last sync can come back under the temporary name after a power cut.
pub struct AtomicFile {
    file: File,
    temporary: PathBuf,
    /// The temporary name exists.
    named: bool,
    path: PathBuf,
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl AtomicFile {
    /// Opens a temporary file in the directory of `path`.
    pub fn create(path: &Path) -> Result<Self, PathError> {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let temporary = path.with_file_name(format!(".{name}.{}.tmp", crate::ground::random_hex(8)));
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let (file, named) = match rustix::fs::open(parent(path), flags, Mode::from_raw_mode(0o666)) {
            Ok(file) => (File::from(file), false),
            Err(_) => {
                let open = File::options().write(true).read(true).create_new(true).open(&temporary);
                // The name that the user knows, not the temporary one.
                (open.at("create", path)?, true)
            }
        };
        Ok(Self { file, temporary, named, path: path.to_owned() })
    }

    /// The open file, for passing its descriptor on.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Makes it appear without syncing: for files that only save work.
    pub fn commit_unsynced(mut self) -> Result<(), PathError> {
        self.appear().at("create", &self.path)
    }

    /// Makes it appear.
    pub fn commit(mut self) -> Result<(), PathError> {
        self.file.sync_all().at("sync", &self.path)?;
        self.appear().at("create", &self.path)?;
        let parent = parent(&self.path);
        File::open(parent).and_then(|dir| dir.sync_all()).at("sync", parent)
    }

    /// Makes it appear under another name in the same directory.
    pub fn commit_as(mut self, path: &Path) -> Result<(), PathError> {
        path.clone_into(&mut self.path);
        self.commit()
    }

    fn appear(&mut self) -> io::Result<()> {
        if !self.named {
            // A link cannot replace a file; only then is there a moment with a temporary name.
            match self.link(&self.path) {
                Err(Errno::EXIST) => self.link(&self.temporary)?,
                other => return Ok(other?),
            }
            self.named = true;
        }
        fs::rename(&self.temporary, &self.path)?;
        self.named = false;
        Ok(())
    }

    fn link(&self, to: &Path) -> Result<(), Errno> {
        let from = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        rustix::fs::linkat(CWD, from, CWD, to, AtFlags::SYMLINK_FOLLOW)
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
        if self.named {
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
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"y").unwrap();
        file.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"y", "replaced");
        drop(AtomicFile::create(&path).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
