//! Safe path resolution inside a root: whatever links a tree holds, nothing outside of it is ever reached.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::error::{PathError, PathResultExt};

/// Links that one resolution may follow, as in the kernel.
const MAX_LINKS: usize = 40;

/// A directory that is the root of every path resolved in it: absolute links and `..` stay inside.
#[derive(Debug)]
pub struct RootDir {
    fd: OwnedFd,
    mount: Option<OwnedFd>,
    /// `..` of the root is an error.
    closed: bool,
}

/// A path whose links have all been followed: real names below the root.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RealPath(Vec<Vec<u8>>);

impl RealPath {
    /// `/`-separated, no leading slash; the root is empty.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.join(&b'/')
    }

    /// As a relative path; the root is `.`.
    pub fn relative(&self) -> PathBuf {
        if self.0.is_empty() { PathBuf::from(".") } else { PathBuf::from(OsStr::from_bytes(&self.bytes())) }
    }

    /// As an absolute path inside the root.
    pub fn absolute(&self) -> PathBuf {
        Path::new("/").join(OsStr::from_bytes(&self.bytes()))
    }

    /// With one more name.
    pub fn join(&self, name: &[u8]) -> Self {
        let mut names = self.0.clone();
        names.push(name.to_vec());
        Self(names)
    }

    /// The last name.
    pub fn name(&self) -> Option<&[u8]> {
        self.0.last().map(Vec::as_slice)
    }

    /// Without the last name.
    pub fn parent(&self) -> Self {
        Self(self.0[..self.0.len().saturating_sub(1)].to_vec())
    }

    /// The names from the root down.
    pub fn names(&self) -> &[Vec<u8>] {
        &self.0
    }
}

/// What a resolution does where a directory is missing.
pub enum Missing<'a> {
    /// ENOENT.
    Fail,
    /// Goes on with the names as they are: the result may not exist.
    Keep,
    /// Makes directories; the function is called with the new directory and its path, to give it owner and mode.
    Make(&'a mut dyn FnMut(BorrowedFd<'_>, &RealPath) -> io::Result<()>),
}

impl RootDir {
    /// Opens `path`, following links as usual.
    pub fn open(path: &Path) -> Result<Self, PathError> {
        let fd = rustix::fs::openat(CWD, path, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        Ok(Self { fd: fd.at("open", path)?, mount: None, closed: false })
    }

    /// Takes an open directory.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self { fd, mount: None, closed: false }
    }

    /// Takes an open directory and a detached mount that lives as long as it does.
    pub fn with_mount(fd: OwnedFd, mount: OwnedFd) -> Self {
        Self { fd, mount: Some(mount), closed: false }
    }

    /// The same, but `..` of the root is an error (EXDEV, as of the kernel's own `RESOLVE_BENEATH`) instead of the root.
    pub fn closed(self) -> Self {
        Self { closed: true, ..self }
    }

    /// The detached mount that it is, if it is one.
    pub fn mount(&self) -> Option<BorrowedFd<'_>> {
        self.mount.as_ref().map(AsFd::as_fd)
    }

    /// The root's descriptor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Opens a path in the root, following links inside of it.
    pub fn open_in(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let path = path.strip_prefix("/").unwrap_or(path);
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(retry(|| rustix::fs::openat2(&self.fd, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve))?)
    }

    /// Opens a path of which no component may be a link: the names of a walk, against a tree that changes meanwhile.
    pub fn open_beneath(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
        Ok(retry(|| rustix::fs::openat2(&self.fd, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve))?)
    }

    /// Opens the directory at a real path.
    pub fn open_dir(&self, path: &RealPath) -> io::Result<OwnedFd> {
        self.open_beneath(&path.relative(), OFlags::DIRECTORY | OFlags::RDONLY)
    }

    /// Follows every link of `path`, the last one too, inside the root.
    pub fn resolve(&self, path: &[u8], missing: Missing<'_>) -> io::Result<RealPath> {
        self.walk(path, missing)
    }

    /// Follows every link but one at the end: the real parent and the name. `None` for the root itself.
    pub fn resolve_parent(&self, path: &[u8], missing: Missing<'_>) -> io::Result<Option<(RealPath, Vec<u8>)>> {
        let mut names: Vec<&[u8]> = path.split(|b| *b == b'/').filter(|n| !n.is_empty() && *n != b".").collect();
        let Some(name) = names.pop() else { return Ok(None) };
        if name == b".." {
            let real = self.walk(path, missing)?;
            return Ok(real.name().map(|name| (real.parent(), name.to_vec())));
        }
        Ok(Some((self.walk(&names.join(&b'/'), missing)?, name.to_vec())))
    }

    fn walk(&self, path: &[u8], mut missing: Missing<'_>) -> io::Result<RealPath> {
        let mut todo: VecDeque<Vec<u8>> = split(path);
        let mut here = RealPath::default();
        let mut dir = rustix::io::dup(&self.fd)?;
        let (mut gone, mut links) = (false, 0);
        while let Some(name) = todo.pop_front() {
            if name == b".." {
                if here.0.pop().is_none() && self.closed {
                    return Err(Errno::XDEV.into());
                }
                // `..` of a missing directory does not revive the walk: only what exists is opened.
                match self.open_dir(&here) {
                    Ok(fd) => (dir, gone) = (fd, false),
                    Err(_) if gone => {}
                    Err(error) => return Err(error),
                }
                continue;
            }
            if gone {
                here.0.push(name);
                continue;
            }
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = match rustix::fs::openat(&dir, OsStr::from_bytes(&name), flags, Mode::empty()) {
                Ok(fd) => fd,
                Err(Errno::NOENT) => {
                    here.0.push(name);
                    match &mut missing {
                        Missing::Fail => return Err(Errno::NOENT.into()),
                        Missing::Keep => gone = true,
                        Missing::Make(dress) => dir = make(dir.as_fd(), &here, dress)?,
                    }
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            match FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) {
                FileType::Symlink => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    let target = rustix::fs::readlinkat(&fd, "", Vec::new())?.into_bytes();
                    if target.first() == Some(&b'/') {
                        here.0.clear();
                        dir = rustix::io::dup(&self.fd)?;
                    }
                    split(&target).into_iter().rev().for_each(|name| todo.push_front(name));
                }
                FileType::Directory => {
                    here.0.push(name);
                    dir = fd;
                }
                _ if todo.is_empty() && !matches!(missing, Missing::Make(_)) => here.0.push(name),
                _ => return Err(Errno::NOTDIR.into()),
            }
        }
        Ok(here)
    }
}

type Dress<'a> = dyn FnMut(BorrowedFd<'_>, &RealPath) -> io::Result<()> + 'a;

fn make(dir: BorrowedFd<'_>, path: &RealPath, dress: &mut Dress<'_>) -> io::Result<OwnedFd> {
    let name = OsStr::from_bytes(path.name().unwrap_or(b"."));
    rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o755))?;
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    let made = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    dress(made.as_fd(), path)?;
    Ok(made)
}

fn split(path: &[u8]) -> VecDeque<Vec<u8>> {
    path.split(|b| *b == b'/').filter(|name| !name.is_empty() && *name != b".").map(<[u8]>::to_vec).collect()
}

/// openat2 answers EAGAIN while something is renamed, and EINTR as any call does.
fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    for _ in 0..64 {
        match call() {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    call()
}

/// Levels that are removed with a descriptor open for each; what lies deeper is moved up first, so that no depth that a step
/// can make exhausts descriptors or stack.
const MAX_DEPTH: usize = 200;

/// Removes whatever `name` is in `dir`, with all that is below, without following links; fine if there is nothing.
pub fn remove_all(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let mut todo = vec![name.to_vec()];
    while let Some(name) = todo.pop() {
        remove_tree(dir, dir, &name, 0, &mut todo)?;
    }
    Ok(())
}

fn remove_tree(
    top: BorrowedFd<'_>,
    dir: BorrowedFd<'_>,
    name: &[u8],
    depth: usize,
    todo: &mut Vec<Vec<u8>>,
) -> io::Result<()> {
    let os = OsStr::from_bytes(name);
    match rustix::fs::unlinkat(dir, os, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    if depth >= MAX_DEPTH {
        let up = format!(".removing-{}", crate::ground::random_hex(8)).into_bytes();
        // On an overlay, directories of lower layers cannot be moved; those are gone through after all.
        if rustix::fs::renameat(dir, os, top, OsStr::from_bytes(&up)).is_ok() {
            todo.push(up);
            return Ok(());
        }
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    let inner = rustix::fs::openat(dir, os, flags, Mode::empty())?;
    for child in names(inner.as_fd())? {
        remove_tree(top, inner.as_fd(), &child, depth + 1, todo)?;
    }
    drop(inner);
    match rustix::fs::unlinkat(dir, os, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The names in a directory, sorted by bytes.
pub fn names(dir: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let mut out = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            out.push(name.to_vec());
        }
    }
    out.sort_unstable();
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn t32_any_depth_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let mut here: OwnedFd = std::fs::File::open(dir.path()).unwrap().into();
        for _ in 0..5000 {
            rustix::fs::mkdirat(&here, "deep", Mode::from_raw_mode(0o755)).unwrap();
            here = rustix::fs::openat(&here, "deep", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        }
        let top = std::fs::File::open(dir.path()).unwrap();
        remove_all(top.as_fd(), b"deep").unwrap();
        assert_eq!(names(top.as_fd()).unwrap(), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn links_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        let at = |p: &str| dir.path().join(p);
        std::fs::create_dir_all(at("usr/etc")).unwrap();
        symlink("/usr/etc", at("etc")).unwrap();
        symlink("../../../../usr", at("up")).unwrap();
        symlink("loop", at("loop")).unwrap();
        symlink("/nowhere/x", at("dangling")).unwrap();
        let root = RootDir::open(dir.path()).unwrap();
        let real = |p: &str| String::from_utf8(root.resolve(p.as_bytes(), Missing::Keep).unwrap().bytes()).unwrap();
        assert_eq!(real("/etc/passwd"), "usr/etc/passwd");
        assert_eq!(real("up/etc/../../.././x"), "x");
        assert_eq!(real("dangling"), "nowhere/x");
        assert_eq!(root.resolve(b"loop", Missing::Keep).unwrap_err().raw_os_error(), Some(40));
        assert_eq!(root.resolve(b"dangling", Missing::Fail).unwrap_err().raw_os_error(), Some(2));
        let mut made = Vec::new();
        let mut note = |_: BorrowedFd<'_>, path: &RealPath| {
            made.push(path.bytes());
            Ok(())
        };
        root.resolve(b"dangling/y", Missing::Make(&mut note)).unwrap();
        assert_eq!(made, [b"nowhere".to_vec(), b"nowhere/x".to_vec(), b"nowhere/x/y".to_vec()]);
        assert!(at("nowhere/x/y").is_dir());
    }
}
