//! From what was seen to what was read: each path is looked up once more in what the step stood on. What is not there was made
//! by the step itself; what it removed before it looked was there.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::fs::{FileType, OFlags};

use super::touched::{Touched, Use, Uses};
use crate::engine::protocol::{Failure, MountContent, Network, ProcessSpec};
use crate::engine::reads::{Incomplete, ReadSet};
use crate::engine::snapshot::origin::Origins;
use crate::engine::snapshot::{View, replaced};
use crate::ground::fs::{Missing, RootDir};
use crate::ground::path::upwards;

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
    let ground = Ground::of(process, below);
    out.network = process.network != Network::None && (touched.connected || asked_for_names(touched, &ground));
    for (path, uses) in &touched.there {
        ground.there(path, *uses, &mut out);
    }
    for path in &touched.missing {
        ground.missing(path, &mut out);
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

/// What a step stands on.
struct Ground<'a> {
    below: &'a RootDir,
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
        Self { below, given, mounts: process.mounts.iter().filter_map(of_mount).collect() }
    }

    /// The mount in which a path lies: whether its content counts.
    fn mount(&self, path: &[u8]) -> Option<bool> {
        let inside = |(mount, _): &&(Vec<u8>, bool)| is_at_or_below(path, mount);
        self.mounts.iter().filter(inside).max_by_key(|(mount, _)| mount.len()).map(|(_, counts)| *counts)
    }

    /// What the step found there at first.
    fn kind(&self, path: &[u8]) -> Option<FileType> {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        let fd = self.below.open_beneath(path, OFlags::PATH | OFlags::NOFOLLOW).ok()?;
        rustix::fs::fstat(fd).ok().map(|stat| FileType::from_raw_mode(stat.st_mode))
    }

    fn there(&self, path: &[u8], uses: Uses, out: &mut ReadSet) {
        if self.given.iter().any(|given| given == path) {
            return;
        }
        let mounted = self.mount(path);
        let kind = match mounted {
            Some(false) => return,
            // It cannot be asked once more; whatever was there in the step was there before, unless a writable one was
            // written to, which does no harm here.
            Some(true) => None,
            None => match self.kind(path) {
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
            _ => {
                out.looked.insert(path.to_owned());
            }
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

    fn missing(&self, path: &[u8], out: &mut ReadSet) {
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
    fn a_name_that_only_begins_alike_is_not_inside() {
        assert!(is_at_or_below(b"app/x", b"app") && is_at_or_below(b"app", b"app") && is_at_or_below(b"x", b""));
        assert!(!is_at_or_below(b"apple", b"app"));
    }
}
