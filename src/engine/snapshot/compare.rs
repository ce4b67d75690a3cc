//! Would a step that ran on one chain read and find the same on another one, and may what it wrote be laid over that?
//!
//! Contents, kinds, modes, owners, extended attributes and links count. Times count only where a file has another content, too,
//! as they do not enter the key of a COPY either.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, OFlags, Stat};
use rustix::io::Errno;

use super::View;
use super::failure::During;
use super::layers::Layers;
use super::metadata;
use super::origin::{Origins, is_of_base};
use super::owner::process_user;
use crate::engine::oci::LayerId;
use crate::engine::protocol::{Entry, EntryKind, Failure};
use crate::engine::reads::ReadSet;
use crate::engine::verdict::TraceRefusal;
use crate::ground::fs::root::names;
use crate::ground::fs::{Missing, RootDir};

/// A recorded run.
pub struct Asked<'a> {
    /// What it wrote.
    pub written: &'a LayerId,
    /// What it read.
    pub reads: &'a ReadSet,
    /// Targets of its mounts.
    pub mounts: &'a [String],
    /// As whom it runs: a name stands for what the image's tables say of it, and no program of the step has to read them.
    pub user: &'a str,
}

/// Answers `Request::Compare`: the first difference that matters, and which layers of the new chain show the paths.
pub fn compare(
    layers: &Layers,
    (old, new): (&[LayerId], &[LayerId]),
    &Asked { written, reads, mounts, user }: &Asked<'_>,
) -> Result<(Option<TraceRefusal>, BTreeMap<String, u32>), Failure> {
    let base = |chain: &[LayerId]| chain.iter().take_while(|layer| is_of_base(layer)).cloned().collect::<Vec<_>>();
    if base(old) != base(new) {
        return Ok((Some(TraceRefusal::OtherBase), BTreeMap::new()));
    }
    let (old_view, new_view) = (layers.view(old)?, layers.view(new)?);
    let target = |target: &String| old_view.resolve(target.as_bytes(), Missing::Keep).ok();
    let mounts = mounts.iter().filter_map(target).filter_map(|real| String::from_utf8(real.bytes()).ok()).collect();
    let pair = Pair {
        written: RootDir::open(&layers.path(written))?,
        old_layers: Origins::open(layers, old)?,
        new_layers: Origins::open(layers, new)?,
        old: old_view,
        new: new_view,
        mounts,
    };
    let refusal = match pair.user_differs(user) {
        Some(why) => Some(why),
        None => pair.difference(reads)?,
    };
    let origin = pair.new_layers.of_all(reads.read.iter().chain(&reads.looked).chain(&reads.listed));
    Ok((refusal, origin))
}

struct Pair {
    old: View,
    new: View,
    old_layers: Origins,
    new_layers: Origins,
    written: RootDir,
    mounts: Vec<String>,
}

impl Pair {
    fn difference(&self, reads: &ReadSet) -> Result<Option<TraceRefusal>, Failure> {
        let counts = |path: &&String| !self.is_mounted(path);
        for path in reads.links.keys().filter(counts) {
            if !self.is_same(path, Depth::Attributes)? {
                return Ok(Some(TraceRefusal::LinkDiffers { path: path.clone() }));
            }
        }
        for path in reads.read.iter().filter(counts) {
            if !self.is_same(path, Depth::Content)? {
                return Ok(Some(TraceRefusal::ReadDiffers { path: path.clone() }));
            }
        }
        for path in reads.missing.iter().filter(counts) {
            if !self.is_absent(path) {
                return Ok(Some(TraceRefusal::Appeared { path: path.clone() }));
            }
        }
        for path in reads.listed.iter().filter(counts) {
            if self.listing(&self.old, path)? != self.listing(&self.new, path)? {
                return Ok(Some(TraceRefusal::ListingDiffers { path: path.clone() }));
            }
        }
        for path in reads.looked.iter().filter(counts) {
            if !self.is_same(path, Depth::Look)? {
                return Ok(Some(TraceRefusal::LookDiffers { path: path.clone() }));
            }
        }
        match self.way_differs(reads)? {
            Some(why) => Ok(Some(why)),
            None => self.collision(reads),
        }
    }

    /// The ids and the home directory that the tables of the image give.
    fn user_differs(&self, user: &str) -> Option<TraceRefusal> {
        let same = match (process_user(&self.old, user), process_user(&self.new, user)) {
            (Ok(then), Ok(now)) => then == now,
            _ => false,
        };
        // Whichever of the two tables it is: both belong to the user.
        (!same).then(|| TraceRefusal::ReadDiffers { path: "etc/passwd".into() })
    }

    /// The first directory on the way to a path that it used that lets other users through now.
    fn way_differs(&self, reads: &ReadSet) -> Result<Option<TraceRefusal>, Failure> {
        let used =
            [&reads.read, &reads.looked, &reads.missing, &reads.listed].into_iter().flatten().chain(reads.links.keys());
        let on_the_way: BTreeSet<&str> = used.filter(|path| !self.is_mounted(path)).flat_map(|path| above(path)).collect();
        for path in on_the_way {
            // One that is on one side only has everything in it missing there, which is told by the path itself.
            let both = entry(&self.old, path)?.is_some() && entry(&self.new, path)?.is_some();
            if both && !self.is_same(path, Depth::Attributes)? {
                return Ok(Some(TraceRefusal::LookDiffers { path: path.to_owned() }));
            }
        }
        Ok(None)
    }

    fn collision(&self, reads: &ReadSet) -> Result<Option<TraceRefusal>, Failure> {
        // The layer has attributes of the root itself, too.
        if !self.is_same("", Depth::Attributes)? {
            return Ok(Some(TraceRefusal::WriteCollides { path: String::new() }));
        }
        for path in &reads.added {
            if !self.is_absent(path) {
                return Ok(Some(TraceRefusal::WriteCollides { path: path.clone() }));
            }
        }
        for path in &reads.changed {
            // A directory that only got other attributes shows what is in it below; one that was replaced or removed does not.
            let depth = if self.shows_through(path) { Depth::Attributes } else { Depth::Tree };
            if !self.is_same(path, depth)? {
                return Ok(Some(TraceRefusal::WriteCollides { path: path.clone() }));
            }
        }
        Ok(None)
    }

    fn is_mounted(&self, path: &str) -> bool {
        let inside =
            |mount: &String| path.strip_prefix(mount.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.mounts.iter().any(inside)
    }

    fn shows_through(&self, path: &str) -> bool {
        let Ok(Some((dir, name))) = parent_of(&self.written, path) else { return false };
        let is_directory = metadata::lstat(dir.as_fd(), &name).ok().flatten().is_some_and(|stat| is_directory(&stat));
        is_directory && !metadata::is_opaque(&metadata::proc_path(dir.as_fd(), &name))
    }

    /// Nothing is there, and no link stands in the way.
    fn is_absent(&self, path: &str) -> bool {
        let found = self.new.open_beneath(Path::new(path), OFlags::PATH | OFlags::NOFOLLOW);
        let code = found.err().and_then(|error| error.raw_os_error());
        code == Some(Errno::NOENT.raw_os_error()) || code == Some(Errno::NOTDIR.raw_os_error())
    }

    fn is_same(&self, path: &str, depth: Depth) -> Result<bool, Failure> {
        let (Some(then), Some(now)) = (entry(&self.old, path)?, entry(&self.new, path)?) else { return Ok(false) };
        if self.is_one_file(path) && then.kind != EntryKind::Directory {
            return Ok(true);
        }
        let attributes = |e: &Entry| (e.kind, e.mode, e.uid, e.gid, e.link.clone(), e.device, e.xattrs.clone());
        if attributes(&then) != attributes(&now) {
            return Ok(false);
        }
        match (then.kind, depth) {
            (EntryKind::File, Depth::Attributes) => Ok(true),
            (EntryKind::File, Depth::Look) if (then.size, then.modified) == (now.size, now.modified) => Ok(true),
            (EntryKind::File, _) => Ok(then.size == now.size && self.have_same_bytes(path)?),
            (EntryKind::Directory, Depth::Tree) => {
                let listing = self.listing(&self.old, path)?;
                if listing != self.listing(&self.new, path)? {
                    return Ok(false);
                }
                for (name, _) in listing.unwrap_or_default() {
                    // Names that are no text cannot be compared here.
                    let Ok(name) = String::from_utf8(name) else { return Ok(false) };
                    if !self.is_same(&format!("{path}/{name}"), depth)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            _ => Ok(true),
        }
    }

    /// Both chains show the very same file: of the base image, or one inode of their layers.
    fn is_one_file(&self, path: &str) -> bool {
        match (self.old_layers.of(path), self.new_layers.of(path)) {
            (None, None) => true,
            (Some((_, then)), Some((_, now))) => metadata::inode(&then) == metadata::inode(&now),
            _ => false,
        }
    }

    fn have_same_bytes(&self, path: &str) -> Result<bool, Failure> {
        let open = |view: &View| view.open_beneath(Path::new(path), OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW);
        let pair = || -> io::Result<bool> { same_bytes(open(&self.old)?, open(&self.new)?) };
        pair().during("read", path)
    }

    /// Names and kinds in a directory; none when it is no directory.
    #[allow(clippy::type_complexity)]
    fn listing(&self, view: &View, path: &str) -> Result<Option<Vec<(Vec<u8>, u32)>>, Failure> {
        let Ok(dir) = view.open_beneath(Path::new(path), OFlags::RDONLY | OFlags::DIRECTORY) else { return Ok(None) };
        let mut out = Vec::new();
        for name in names(dir.as_fd()).during("list", path)? {
            let stat = metadata::lstat(dir.as_fd(), &name).during("look at", path)?;
            out.push((name, stat.map_or(0, |stat| stat.st_mode & 0o170_000)));
        }
        Ok(Some(out))
    }
}

/// How far two paths are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// Kind, mode, owner, link target.
    Attributes,
    /// The same, and what a look at a file tells of its content: size and time, or else the content itself.
    Look,
    /// The same, and content.
    Content,
    /// The same, and all that is in a directory.
    Tree,
}

/// What a view has at a path, without following anything. None: nothing, or a link on the way.
fn entry(view: &RootDir, path: &str) -> Result<Option<Entry>, Failure> {
    match parent_of(view, path) {
        Ok(Some((dir, name))) => match metadata::entry(dir.as_fd(), &name, path.to_owned()) {
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => Ok(None),
            other => other.during("look at", path),
        },
        Ok(None) => metadata::entry(view.fd(), b"", path.to_owned()).during("look at", path),
        Err(_) => Ok(None),
    }
}

/// The directory of a path and the name in it; none for the root.
fn parent_of(root: &RootDir, path: &str) -> io::Result<Option<(OwnedFd, Vec<u8>)>> {
    if path.is_empty() {
        return Ok(None);
    }
    let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
    let dir = root.open_beneath(Path::new(above), OFlags::RDONLY | OFlags::DIRECTORY)?;
    Ok(Some((dir, name.as_bytes().to_vec())))
}

/// The directories above a path, without the root.
fn above(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(path.rsplit_once('/'), |(above, _)| above.rsplit_once('/')).map(|(above, _)| above)
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

fn same_bytes(one: OwnedFd, two: OwnedFd) -> io::Result<bool> {
    let (mut one, mut two) = (File::from(one), File::from(two));
    let (mut a, mut b) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let n = one.read(&mut a)?;
        if n == 0 {
            return Ok(two.read(&mut b[..1])? == 0);
        }
        match two.read_exact(&mut b[..n]) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            other => other?,
        }
        if a[..n] != b[..n] {
            return Ok(false);
        }
    }
}
