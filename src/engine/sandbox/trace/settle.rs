//! From what was seen to what was read: each path is looked up once more in what the step stood on. What is not there was made
//! by the step itself; what it removed before it looked was there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, OFlags, RawDir};

use super::touched::{Touched, Use, Uses};
use crate::engine::protocol::{Failure, MountContent, Network, ProcessSpec};
use crate::engine::reads::{Incomplete, ReadSet};
use crate::engine::snapshot::origin::Origins;
use crate::engine::snapshot::{View, replaced};
use crate::ground::fs::root::names;
use crate::ground::fs::{Missing, RootDir};
use crate::ground::path::upwards;

/// So many names of folders that were moved are looked at.
const MAX_MOVED: usize = 200_000;
/// Files that every step is given.
const GIVEN: [&[u8]; 2] = [b"/etc/resolv.conf", b"/etc/hosts"];

/// What a step read. `below` is what it stood on, with its layers; `upper` is what it wrote, in overlayfs' form.
pub fn settle(
    touched: &Touched,
    process: &ProcessSpec,
    (below, layers): (&View, &Origins),
    upper: &Path,
) -> Result<ReadSet, Failure> {
    let mut out = ReadSet {
        incomplete: touched.incomplete.clone(),
        events: touched.events,
        micros: touched.nanos / 1000,
        ..ReadSet::default()
    };
    let written = replaced::list(below, upper)?;
    for (paths, into) in [(&written.changed, 0), (&written.added, 1), (&written.entered, 2)] {
        for path in paths {
            let Some(path) = text(path, &mut out.incomplete) else { continue };
            match into {
                0 => out.changed.insert(path),
                1 => out.added.insert(path),
                _ => out.looked.insert(path),
            };
        }
    }
    let mut ground = Ground::of(process, below);
    out.network = process.network != Network::None && (touched.connected || asked_for_names(touched, &ground));
    for (folder, paths) in by_folder(touched.there.iter().map(|(path, uses)| (path.as_slice(), *uses))) {
        ground.enter(folder, paths.len());
        paths.into_iter().for_each(|(path, uses)| ground.there(path, uses, &mut out));
    }
    for (_, paths) in by_folder(touched.missing.iter().map(|path| (path.as_slice(), ()))) {
        paths.into_iter().for_each(|(path, ())| ground.missing(path, &mut out));
    }
    for (link, target) in &touched.links {
        if ground.kind(link).is_some_and(|kind| kind == FileType::Symlink)
            && let (Some(link), Some(target)) = (text(link, &mut out.incomplete), text(target, &mut out.incomplete))
        {
            out.links.insert(link, target);
        }
    }
    out.origin = layers.of_all(out.read.iter().chain(&out.looked).chain(&out.listed));
    Ok(out)
}

/// The resolver's list of servers was read.
fn asked_for_names(touched: &Touched, ground: &Ground<'_>) -> bool {
    let servers = ground.given.first().map(Vec::as_slice).unwrap_or(b"etc/resolv.conf");
    touched.there.get(servers).is_some_and(|uses| uses.has(Use::Read))
}

/// Paths by their folders: each folder is opened once, however many of its names were seen.
fn by_folder<'p, T>(paths: impl Iterator<Item = (&'p [u8], T)>) -> BTreeMap<&'p [u8], Vec<(&'p [u8], T)>> {
    let mut folders: BTreeMap<_, Vec<_>> = BTreeMap::new();
    paths.for_each(|(path, of_it)| folders.entry(in_folder(path).0).or_default().push((path, of_it)));
    folders
}

/// The folder of a path, and its name there.
fn in_folder(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// A folder of what a step stands on.
struct Folder {
    path: Vec<u8>,
    /// It, if it is there.
    fd: Option<OwnedFd>,
    /// What its list tells of names in it.
    listed: HashMap<Vec<u8>, FileType>,
}

impl Folder {
    /// From so many names on its list is read: that takes a fraction of a look at each of them, which has overlayfs make an
    /// inode that it must take away again.
    const WORTH_A_LIST: usize = 4;
    /// So many times as many names may be in it.
    const NAMES_FOR_EACH: usize = 8;

    fn open(below: &RootDir, path: &[u8], names: usize) -> Self {
        let open = |flags| below.open_beneath(as_path(path), flags | OFlags::DIRECTORY | OFlags::NOFOLLOW);
        let worth_a_list = names >= Self::WORTH_A_LIST;
        let fd = if worth_a_list { open(OFlags::RDONLY) } else { open(OFlags::PATH) };
        let fd = fd.or_else(|_| open(OFlags::PATH)).ok();
        let mut folder = Self { path: path.to_vec(), fd, listed: HashMap::new() };
        if worth_a_list {
            folder.list(names.saturating_mul(Self::NAMES_FOR_EACH));
        }
        folder
    }

    /// Reads its list, as far as that is worth it. Devices are left out: overlayfs lists a whiteout as one where nothing is
    /// below it.
    fn list(&mut self, most: usize) {
        let Some(fd) = &self.fd else { return };
        let mut buffer = Vec::with_capacity(32 << 10);
        let mut entries = RawDir::new(fd, buffer.spare_capacity_mut());
        while let Some(Ok(entry)) = entries.next()
            && self.listed.len() < most
        {
            let (name, kind) = (entry.file_name().to_bytes(), entry.file_type());
            let is_told = matches!(kind, FileType::RegularFile | FileType::Directory | FileType::Symlink);
            if is_told && !matches!(name, b"." | b"..") {
                self.listed.insert(name.to_vec(), kind);
            }
        }
    }
}

/// What a step stands on.
struct Ground<'a> {
    below: &'a RootDir,
    /// The folder that is looked into.
    folder: Folder,
    /// Real paths of the files that it was given.
    given: Vec<Vec<u8>>,
    /// Real path of each mount, and whether what is in it counts.
    mounts: Vec<(Vec<u8>, bool)>,
}

impl<'a> Ground<'a> {
    fn of(process: &ProcessSpec, below: &'a RootDir) -> Self {
        let real = |path: &[u8]| below.resolve(path, Missing::Keep).map(|real| real.bytes());
        let given = GIVEN.iter().filter_map(|path| real(path).ok()).collect();
        let of_mount = |mount: &crate::engine::protocol::MountSpec| {
            let counts = matches!(mount.content, MountContent::Layers { .. });
            real(mount.target.as_bytes()).ok().map(|path| (path, counts))
        };
        let folder = Folder::open(below, b"", 1);
        Self { below, folder, given, mounts: process.mounts.iter().filter_map(of_mount).collect() }
    }

    /// The mount in which a path lies: whether its content counts.
    fn mount(&self, path: &[u8]) -> Option<bool> {
        let inside = |(mount, _): &&(Vec<u8>, bool)| is_at_or_below(path, mount);
        self.mounts.iter().filter(inside).max_by_key(|(mount, _)| mount.len()).map(|(_, counts)| *counts)
    }

    /// What the step found there at first.
    fn kind(&mut self, path: &[u8]) -> Option<FileType> {
        let (folder, name) = in_folder(path);
        if matches!(name, b"" | b"." | b"..") {
            // Not the name of an entry: where it leads is not up to its folder alone.
            let fd = self.below.open_beneath(as_path(path), OFlags::PATH | OFlags::NOFOLLOW).ok()?;
            return rustix::fs::fstat(fd).ok().map(|stat| FileType::from_raw_mode(stat.st_mode));
        }
        self.enter(folder, 1);
        let stat = rustix::fs::statat(self.folder.fd.as_ref()?, OsStr::from_bytes(name), AtFlags::SYMLINK_NOFOLLOW);
        stat.ok().map(|stat| FileType::from_raw_mode(stat.st_mode))
    }

    /// The same for what was there in the step. The list of its folder may tell it; what it lacks is asked for.
    fn kind_of_seen(&mut self, path: &[u8]) -> Option<FileType> {
        let (folder, name) = in_folder(path);
        let listed = if self.folder.path == folder { self.folder.listed.get(name).copied() } else { None };
        listed.or_else(|| self.kind(path))
    }

    /// Goes to a folder, of which so many names will be asked for.
    fn enter(&mut self, folder: &[u8], names: usize) {
        if self.folder.path != folder {
            self.folder = Folder::open(self.below, folder, names);
        }
    }

    fn there(&mut self, path: &[u8], uses: Uses, out: &mut ReadSet) {
        if self.given.iter().any(|given| given == path) {
            return;
        }
        let mounted = self.mount(path);
        let kind = match mounted {
            Some(false) => return,
            // It cannot be asked once more; whatever was there in the step was there before, unless a writable one was
            // written to, which does no harm here.
            Some(true) => None,
            None => match self.kind_of_seen(path) {
                Some(kind) => Some(kind),
                None => return,
            },
        };
        let Some(path) = text(path, &mut out.incomplete) else { return };
        uses.each().for_each(|how| self.used(&path, how, kind, out));
    }

    /// What was there at first, if that can be told, was used so.
    fn used(&self, path: &str, how: Use, kind: Option<FileType>, out: &mut ReadSet) {
        match (how, kind) {
            (Use::Execute, None | Some(FileType::RegularFile)) => {
                out.executed.insert(path.to_owned());
                out.read.insert(path.to_owned());
            }
            (Use::Read, None | Some(FileType::RegularFile)) => {
                out.read.insert(path.to_owned());
            }
            (Use::List, None | Some(FileType::Directory)) => {
                out.listed.insert(path.to_owned());
            }
            (Use::Look, Some(FileType::Symlink)) => self.link(path, out),
            (Use::Move, Some(FileType::Directory)) => self.whole(path, out),
            // In a mount, which cannot be asked once more.
            (Use::Move, None) => {
                out.incomplete.insert(Incomplete::Unreadable);
            }
            _ => {
                out.looked.insert(path.to_owned());
            }
        }
    }

    /// A folder with all that is in it.
    fn whole(&self, path: &str, out: &mut ReadSet) {
        let mut folders = vec![path.to_owned()];
        let mut count = 0;
        while let Some(folder) = folders.pop() {
            let fd = self.below.open_beneath(Path::new(&folder), OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW);
            let Some(names) = fd.ok().and_then(|fd| names(fd.as_fd()).ok()) else {
                out.incomplete.insert(Incomplete::Unreadable);
                continue;
            };
            count += names.len();
            if count > MAX_MOVED {
                out.incomplete.insert(Incomplete::Budget);
                return;
            }
            for name in names {
                let Some(name) = text(&name, &mut out.incomplete) else { continue };
                let inside = format!("{folder}/{name}");
                let kind = self
                    .below
                    .open_beneath(Path::new(&inside), OFlags::PATH | OFlags::NOFOLLOW)
                    .and_then(|fd| Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode)));
                match kind {
                    Ok(FileType::Directory) => folders.push(inside),
                    Ok(kind @ FileType::RegularFile) => self.used(&inside, Use::Read, Some(kind), out),
                    Ok(kind) => self.used(&inside, Use::Look, Some(kind), out),
                    Err(_) => {
                        out.incomplete.insert(Incomplete::Unreadable);
                    }
                }
            }
            out.listed.insert(folder);
        }
    }

    /// A link that was looked at as one.
    fn link(&self, path: &str, out: &mut ReadSet) {
        let target = self.below.open_beneath(Path::new(path), OFlags::PATH | OFlags::NOFOLLOW);
        let target = target.ok().and_then(|fd| rustix::fs::readlinkat(fd, "", Vec::new()).ok());
        if let Some(target) = target.and_then(|target| text(target.as_bytes(), &mut out.incomplete)) {
            out.links.insert(path.to_owned(), target);
        }
    }

    fn missing(&mut self, path: &[u8], out: &mut ReadSet) {
        match self.mount(path) {
            Some(false) => return,
            Some(true) => {}
            // It was there, and the step had removed it.
            None if self.kind(path).is_some() => {
                if let Some(path) = text(path, &mut out.incomplete) {
                    out.looked.insert(path);
                }
                return;
            }
            None => {}
        }
        let Some(path) = text(path, &mut out.incomplete) else { return };
        // That nothing is where it made something is said there.
        if !upwards(&path).any(|above| out.added.contains(above)) {
            out.missing.insert(path);
        }
    }
}

fn as_path(path: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(path))
}

pub(super) fn is_at_or_below(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| folder.is_empty() || rest.is_empty() || rest.starts_with(b"/"))
}

fn text(path: &[u8], incomplete: &mut BTreeSet<Incomplete>) -> Option<String> {
    let text = std::str::from_utf8(path).ok().map(str::to_owned);
    if text.is_none() {
        incomplete.insert(Incomplete::NotText);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_a_list_and_without_a_folder_tells_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        std::fs::create_dir_all(at("many/sub")).unwrap();
        std::fs::create_dir_all(at("huge")).unwrap();
        (0..10).for_each(|n| std::fs::write(at(&format!("many/f{n}")), "").unwrap());
        (0..200).for_each(|n| std::fs::write(at(&format!("huge/f{n}")), "").unwrap());
        std::os::unix::fs::symlink("sub", at("many/link")).unwrap();
        std::os::unix::net::UnixListener::bind(at("many/socket")).unwrap();
        let below = RootDir::open(dir.path()).unwrap();
        let singly = |path: &str| {
            let fd = below.open_beneath(Path::new(path), OFlags::PATH | OFlags::NOFOLLOW).ok()?;
            Some(FileType::from_raw_mode(rustix::fs::fstat(fd).unwrap().st_mode))
        };
        let mut ground =
            Ground { below: &below, folder: Folder::open(&below, b"", 1), given: Vec::new(), mounts: Vec::new() };
        let paths = [
            "",
            "many",
            "none",
            "many/f3",
            "many/sub",
            "many/link",
            "many/socket",
            "many/none",
            "many/sub/..",
            "many/..",
            "many/link/x",
            "none/x",
            "none/..",
            "..",
            "huge/f7",
            "huge/f199",
            "huge/none",
            "many/f3/x",
        ];
        for names in [1, 5] {
            for path in paths {
                ground.folder = Folder::open(&below, in_folder(path.as_bytes()).0, names);
                let found = (ground.kind_of_seen(path.as_bytes()), ground.kind(path.as_bytes()));
                assert_eq!(found, (singly(path), singly(path)), "{path}");
            }
        }
        assert_eq!(Folder::open(&below, b"many", 4).listed.len(), 12);
        assert!(Folder::open(&below, b"many", 3).listed.is_empty());
        assert!(Folder::open(&below, b"huge", 4).listed.len() <= 32);
    }

    #[test]
    fn a_name_that_only_begins_alike_is_not_inside() {
        assert!(is_at_or_below(b"app/x", b"app") && is_at_or_below(b"app", b"app") && is_at_or_below(b"x", b""));
        assert!(!is_at_or_below(b"apple", b"app"));
    }
}
