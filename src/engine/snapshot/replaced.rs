//! Which paths of a chain an upper directory touches, and where it adds to it: without a word about what is in a new directory.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{FileType, Stat};

use super::View;
use super::failure::During;
use super::metadata;
use crate::engine::protocol::Failure;
use crate::ground::fs::root::names;
use crate::ground::fs::{RealPath, RootDir};

/// Real paths, `/`-separated, no leading slash.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Replaced {
    /// There before, and changed, replaced or removed.
    pub changed: Vec<Vec<u8>>,
    /// Nothing was there.
    pub added: Vec<Vec<u8>>,
    /// Directories that were there and in which something was touched: the upper has their attributes, too.
    pub entered: Vec<Vec<u8>>,
}

/// Compares names of `upper`, in overlayfs' form, with what `below` shows. A file that was opened for writing counts as
/// changed, whatever was written.
pub fn list(below: &View, upper: &Path) -> Result<Replaced, Failure> {
    let upper = RootDir::from_fd(File::open(upper).during("open", upper)?.into());
    let mut out = Replaced::default();
    let mut todo = vec![RealPath::default()];
    while let Some(path) = todo.pop() {
        let dir = upper.open_dir(&path).during("open", path.absolute())?;
        for name in names(dir.as_fd()).during("list", path.absolute())? {
            let at = path.join(&name);
            let Some(now) = metadata::lstat(dir.as_fd(), &name).during("look at", at.absolute())? else { continue };
            let removed = kind(&now) == FileType::CharacterDevice && now.st_rdev == 0;
            match stat_below(below, &at) {
                None if removed => {}
                None => out.added.push(at.bytes()),
                Some(then) if kind(&now) == FileType::Directory && kind(&then) == FileType::Directory => {
                    let opaque = metadata::is_opaque(&metadata::proc_path(dir.as_fd(), &name));
                    let same = (then.st_mode, then.st_uid, then.st_gid) == (now.st_mode, now.st_uid, now.st_gid);
                    if opaque || !same {
                        out.changed.push(at.bytes());
                    } else {
                        out.entered.push(at.bytes());
                    }
                    if !opaque {
                        todo.push(at);
                    }
                }
                Some(_) => out.changed.push(at.bytes()),
            }
        }
    }
    Ok(out)
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn stat_below(below: &RootDir, path: &RealPath) -> Option<Stat> {
    let dir = below.open_dir(&path.parent()).ok()?;
    metadata::lstat(dir.as_fd(), path.name()?).ok()?
}
