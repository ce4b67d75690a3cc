//! Finds out what a path of the step names: whether it is there, under which real path, and through which links. Nothing is
//! ever opened but as a mere place (`O_PATH`), so no device wakes up and no pipe blocks.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Links that one resolution may follow, as in the kernel.
const MAX_LINKS: usize = 40;
/// Names that a resolution may have: no path that the kernel takes has more.
const MAX_NAMES: usize = 8192;
/// What is no part of the image: mounted into every step.
const OUTSIDE: [&[u8]; 3] = [b"proc", b"sys", b"dev"];

/// What a path names.
#[derive(Debug)]
pub enum Place {
    /// Something.
    There {
        /// Its real path.
        real: Vec<u8>,
        /// It.
        fd: OwnedFd,
    },
    /// Nothing: the real path that something would have.
    Missing(Vec<u8>),
    /// Something in `/proc`, `/sys` or `/dev`, whose names are these.
    Outside(Vec<Vec<u8>>),
    /// It cannot be told.
    Unknown,
}

/// A place, and the links on the way.
pub struct Walked {
    /// What is there.
    pub place: Place,
    /// Real path of each link, and its target.
    pub links: Vec<(Vec<u8>, Vec<u8>)>,
    /// Real path of each directory that was left by `..`: without it there would be no way on.
    pub left: Vec<Vec<u8>>,
    /// No link and no `..` was on the way: the real path is that of [`without_links`].
    pub plain: bool,
}

/// Walks an absolute path in a root. `top` is the real path of what is `/` for whoever named it: links lead from there, and no
/// `..` leads out of it.
pub fn walk(root: &OwnedFd, top: &[u8], path: &[u8], follow: bool) -> Walked {
    let follow = follow || path.ends_with(b"/") || path.ends_with(b"/.");
    let plain = |place| Walked { place, links: Vec::new(), left: Vec::new(), plain: true };
    if let Some(real) = without_links(path) {
        if OUTSIDE.contains(&real.split(|b| *b == b'/').next().unwrap_or_default()) {
            return plain(Place::Outside(split(&real).collect()));
        }
        match open(root, &real, follow) {
            Ok(fd) => return plain(Place::There { real, fd }),
            Err(Errno::NOENT | Errno::NOTDIR) => return plain(Place::Missing(real)),
            // A link somewhere, or a path that is too long for one call.
            Err(_) => {}
        }
    }
    let mut walked = Walked { plain: false, ..plain(Place::Unknown) };
    walked.place = slowly(root, &split(top).collect::<Vec<_>>(), (split(path).collect(), follow), &mut walked);
    walked
}

/// The real path, if no name of it is a link. None with `..`, which may lead out of what a link leads to.
pub fn without_links(path: &[u8]) -> Option<Vec<u8>> {
    let path = &path[path.iter().take_while(|b| **b == b'/').count()..];
    let names = || path.split(|b| *b == b'/');
    if names().any(|name| name == b"..") {
        return None;
    }
    let written_so = names().all(|name| !name.is_empty() && name != b".");
    Some(if written_so { path.to_vec() } else { join(split(path).collect::<Vec<_>>().iter()) })
}

/// One call when there is no link on the way.
fn open(root: &OwnedFd, real: &[u8], follow: bool) -> Result<OwnedFd, Errno> {
    let path = if real.is_empty() { b"." } else { real };
    let flags = OFlags::PATH | OFlags::CLOEXEC | if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, OsStr::from_bytes(path), flags, Mode::empty(), resolve)
}

/// Name by name, noting links and what is left by `..`.
fn slowly(
    root: &OwnedFd,
    top: &[Vec<u8>],
    (mut todo, follow): (VecDeque<Vec<u8>>, bool),
    Walked { links, left, .. }: &mut Walked,
) -> Place {
    let mut here: Vec<Vec<u8>> = Vec::new();
    let Ok(mut at) = open(root, b"", true) else { return Place::Unknown };
    let mut steps = 0;
    while let Some(name) = todo.pop_front() {
        steps += 1;
        if steps > MAX_NAMES {
            return Place::Unknown;
        }
        if name == b".." {
            if here != top && !here.is_empty() {
                left.push(join(here.iter()));
                here.pop();
            }
            match open(root, &join(here.iter()), true) {
                Ok(fd) => at = fd,
                Err(_) => return Place::Unknown,
            }
            continue;
        }
        if here.is_empty() && OUTSIDE.contains(&name.as_slice()) {
            todo.push_front(name);
            return Place::Outside(todo.into());
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(&at, OsStr::from_bytes(&name), flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR) => {
                here.push(name);
                here.extend(todo);
                return Place::Missing(join(here.iter()));
            }
            Err(_) => return Place::Unknown,
        };
        let is_link = rustix::fs::fstat(&fd).is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Symlink);
        if is_link && (follow || !todo.is_empty()) {
            let Ok(target) = rustix::fs::readlinkat(&fd, "", Vec::new()) else { return Place::Unknown };
            let target = target.into_bytes();
            here.push(name);
            links.push((join(here.iter()), target.clone()));
            here.pop();
            if links.len() > MAX_LINKS {
                // The kernel says ELOOP: what decides is the links, which are noted.
                return Place::Missing(links[0].0.clone());
            }
            if target.first() == Some(&b'/') {
                here = top.to_vec();
                match open(root, &join(here.iter()), true) {
                    Ok(fd) => at = fd,
                    Err(_) => return Place::Unknown,
                }
            }
            split(&target).collect::<Vec<_>>().into_iter().rev().for_each(|name| todo.push_front(name));
            continue;
        }
        here.push(name);
        at = fd;
    }
    Place::There { real: join(here.iter()), fd: at }
}

/// The names of a path, without empty ones and `.`.
pub fn split(path: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    path.split(|b| *b == b'/').filter(|name| !name.is_empty() && *name != b".").map(<[u8]>::to_vec)
}

/// Names as one path.
pub fn join<'n>(names: impl Iterator<Item = &'n Vec<u8>>) -> Vec<u8> {
    names.map(Vec::as_slice).collect::<Vec<_>>().join(&b'/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn shown(walked: &Walked) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let links: Vec<String> = walked.links.iter().map(|(l, t)| format!(" {}>{}", text(l), text(t))).collect();
        let place = match &walked.place {
            Place::There { real, .. } => format!("there {}", text(real)),
            Place::Missing(real) => format!("missing {}", text(real)),
            Place::Outside(names) => format!("outside {}", text(&join(names.iter()))),
            Place::Unknown => "unknown".into(),
        };
        format!("{place}{}", links.concat())
    }

    #[test]
    fn links_are_followed_inside_of_the_root_and_noted() {
        let dir = tempfile::tempdir().unwrap();
        let at = |p: &str| dir.path().join(p);
        std::fs::create_dir_all(at("usr/bin")).unwrap();
        std::fs::write(at("usr/bin/sh"), "").unwrap();
        symlink("usr/bin", at("bin")).unwrap();
        symlink("/bin/sh", at("usr/bin/bash")).unwrap();
        symlink("../../../../etc/passwd", at("out")).unwrap();
        symlink("loop", at("loop")).unwrap();
        symlink("/dev/null", at("null")).unwrap();
        let root: OwnedFd = std::fs::File::open(dir.path()).unwrap().into();
        let look = |path: &str, follow| shown(&walk(&root, b"", path.as_bytes(), follow));
        assert_eq!(look("/usr/bin/sh", true), "there usr/bin/sh");
        assert_eq!(look("/bin/sh", true), "there usr/bin/sh bin>usr/bin");
        assert_eq!(look("/bin/bash", true), "there usr/bin/sh bin>usr/bin usr/bin/bash>/bin/sh bin>usr/bin");
        assert_eq!(look("/bin", false), "there bin");
        assert_eq!(look("/bin/", false), "there usr/bin bin>usr/bin");
        assert_eq!(look("/bin/.", false), "there usr/bin bin>usr/bin");
        assert_eq!(look("/bin/nothing/x", true), "missing usr/bin/nothing/x bin>usr/bin");
        assert_eq!(look("/out", true), "missing etc/passwd out>../../../../etc/passwd");
        assert!(look("/loop", true).starts_with("missing loop loop>loop"));
        assert_eq!(look("/null", true), "outside dev/null null>/dev/null");
        assert_eq!(look("/usr/../proc/self/fd/3", true), "outside proc/self/fd/3");
        assert_eq!(look("/usr/bin/../../bin/sh/x", true), "missing usr/bin/sh/x bin>usr/bin");
        assert_eq!(look("/", true), "there ");
        let long = format!("/{}", "a/".repeat(9000));
        assert!(look(&long, true).starts_with("missing a/a"));
    }

    #[test]
    fn a_directory_that_is_left_again_is_noted() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("lib/deep")).unwrap();
        std::fs::write(dir.path().join("VERSION"), "").unwrap();
        let root: OwnedFd = std::fs::File::open(dir.path()).unwrap().into();
        let walked = walk(&root, b"", b"/lib/deep/../../../VERSION", true);
        assert_eq!((shown(&walked), walked.left), ("there VERSION".into(), vec![b"lib/deep".to_vec(), b"lib".to_vec()]));
    }

    #[test]
    fn links_and_ways_up_stay_below_another_top() {
        let dir = tempfile::tempdir().unwrap();
        let at = |p: &str| dir.path().join(p);
        std::fs::create_dir_all(at("jail/etc")).unwrap();
        std::fs::create_dir_all(at("etc")).unwrap();
        std::fs::write(at("jail/etc/x"), "").unwrap();
        std::fs::write(at("etc/x"), "").unwrap();
        symlink("/etc", at("jail/settings")).unwrap();
        symlink("../../etc", at("jail/etc/up")).unwrap();
        let root: OwnedFd = std::fs::File::open(dir.path()).unwrap().into();
        let look = |top: &str, path: &str| shown(&walk(&root, top.as_bytes(), path.as_bytes(), true));
        assert_eq!(look("/jail", "/jail/settings/x"), "there jail/etc/x jail/settings>/etc");
        assert_eq!(look("/jail", "/jail/etc/up/x"), "there jail/etc/x jail/etc/up>../../etc");
        assert_eq!(look("/jail", "/jail/../../etc/x"), "there jail/etc/x");
        assert_eq!(look("/", "/jail/settings/x"), "there etc/x jail/settings>/etc");
        // Whoever stands outside of it gets on, until a link brings it back.
        assert_eq!(look("/jail", "/etc/../etc/x"), "there etc/x");
    }
}
