//! What `/proc` says of a thread: its directories and descriptors; and where paths lead that go through it.

use std::collections::HashMap;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::sys::Notification;

/// How the kernel marks the path of a descriptor whose name is gone.
pub const DELETED: &[u8] = b" (deleted)";

/// Where a name in `/proc` or `/dev` leads.
pub enum Through {
    /// Nowhere in the image.
    Nothing,
    /// To an absolute path of the step.
    Path(Vec<u8>),
    /// To what only another process knows.
    Other,
    /// It cannot be told.
    Unknown,
}

/// `/proc/self/root/x` is `/x`, `/proc/self/cwd/x` and `/proc/self/fd/3/x` are below what the process has there.
pub fn through(call: &Notification, names: &[Vec<u8>]) -> Through {
    let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    let (own, door) = match names.as_slice() {
        [b"proc", b"self" | b"thread-self", door @ ..] => (true, door),
        [b"proc", number, door @ ..] if number.iter().all(u8::is_ascii_digit) => (false, door),
        [b"dev", b"fd", _, ..] => (true, &names[1..]),
        [_, b"..", rest @ ..] => return Through::Path([b"/".as_slice(), &rest.join(&b'/')].concat()),
        _ => return within(&names),
    };
    let below = |base: Option<Vec<u8>>, rest: &[&[u8]]| match base {
        Some(base) => Through::Path([base.as_slice(), b"/", &rest.join(&b'/')].concat()),
        None => Through::Other,
    };
    match door {
        [b"root", rest @ ..] if own && !rest.is_empty() => below(link(&format!("/proc/{}/root", call.pid)), rest),
        [b"cwd", rest @ ..] if own && !rest.is_empty() => below(link(&format!("/proc/{}/cwd", call.pid)), rest),
        [b"fd", number, rest @ ..] if own => {
            let number = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok());
            match (number.and_then(|number| descriptor_path(call, number)), rest) {
                // What a descriptor is open on as a mere place can be opened through it for good. A pipe is nobody's file.
                (path, []) => path.map_or(Through::Nothing, Through::Path),
                (base, rest) => below(base, rest),
            }
        }
        [b"root" | b"cwd" | b"fd" | b"task" | b"map_files", _, ..] if !own => Through::Other,
        [b"task", _, b"root" | b"cwd" | b"fd", ..] => Through::Other,
        _ => within(&names),
    }
}

/// What leads nowhere, unless it leads back up: through which links, only the kernel knows.
fn within(names: &[&[u8]]) -> Through {
    let mut depth = 0_usize;
    for name in names {
        depth = if *name == b".." { depth.saturating_sub(1) } else { depth + 1 };
        if depth == 0 {
            return Through::Unknown;
        }
    }
    Through::Nothing
}

/// Absolute path of what a descriptor is open on.
fn descriptor_path(call: &Notification, descriptor: u64) -> Option<Vec<u8>> {
    link(&format!("/proc/{}/fd/{}", call.pid, descriptor as i32))
}

/// What a thread's folder in `/proc` has a link for.
#[derive(Debug, Clone, Copy)]
pub enum Door {
    /// What is `/` for it.
    Root,
    /// Its working directory.
    Directory,
    /// What a descriptor is open on.
    Descriptor(i32),
}

impl Door {
    /// Where the link leads that the folder has for it.
    fn read(self, folder: &OwnedFd) -> Result<Vec<u8>, Errno> {
        /// Few links are longer.
        const USUAL: usize = 256;
        let (mut name, mut target) = ([0; 16], [0; USUAL]);
        let name = match self {
            Self::Root => b"root",
            Self::Directory => b"cwd".as_slice(),
            Self::Descriptor(descriptor) => {
                let mut rest = name.as_mut_slice();
                let written = write!(rest, "fd/{descriptor}").map(|()| rest.len());
                let rest = written.map_err(|_| Errno::NAMETOOLONG)?;
                &name[..name.len() - rest]
            }
        };
        match rustix::fs::readlinkat_raw(folder, name, &mut target)? {
            // It may have been cut off.
            USUAL.. => Ok(rustix::fs::readlinkat(folder, name, Vec::with_capacity(4 * USUAL))?.into_bytes()),
            length => Ok(target[..length].to_vec()),
        }
    }
}

/// Folders in `/proc`, kept open: a look-up by number in one of them is twice as fast as from the top. Such a folder stays that
/// of its thread: once that is gone, nothing is found in it, whoever gets its number.
#[derive(Default)]
pub struct Threads(HashMap<u32, OwnedFd>);

/// So many are kept.
const KEPT: usize = 64;

impl Threads {
    /// Where a link in the folder of a thread leads. None: there is no such descriptor, or it is open on no file; then the call
    /// fails, whatever is there.
    pub fn link(&mut self, thread: u32, door: Door) -> Result<Option<Vec<u8>>, Errno> {
        if let Some(folder) = self.0.get(&thread) {
            match door.read(folder) {
                Ok(target) => return Ok(absolute(target)),
                Err(Errno::NOENT) => return Ok(None),
                // The number belongs to somebody else by now.
                Err(Errno::SRCH) => {}
                Err(error) => return Err(error),
            }
        }
        if self.0.len() >= KEPT {
            self.0.clear();
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(format!("/proc/{thread}"), flags, Mode::empty())?;
        let target = match door.read(&folder) {
            Err(Errno::NOENT) => None,
            other => absolute(other?),
        };
        self.0.insert(thread, folder);
        Ok(target)
    }
}

fn absolute(path: Vec<u8>) -> Option<Vec<u8>> {
    path.starts_with(b"/").then_some(path)
}

/// Whether a thread has ended: then it has no directory any more, also while somebody still waits for it.
pub fn has_ended(thread: u32) -> bool {
    let link = rustix::fs::readlink(format!("/proc/{thread}/cwd"), Vec::new());
    matches!(link, Err(Errno::NOENT | Errno::SRCH))
}

/// Where a link of `/proc` leads, as the step sees it: the paths of another mount namespace begin at its own root.
pub fn link(path: &str) -> Option<Vec<u8>> {
    absolute(std::fs::read_link(path).ok()?.into_os_string().into_vec())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd;

    use super::*;

    fn names(path: &str) -> Vec<Vec<u8>> {
        super::super::walk::split(path.as_bytes()).collect()
    }

    #[test]
    fn doors_of_proc_lead_back_into_the_step() {
        let call = Notification::of(std::process::id());
        let path = |text: &str| match through(&call, &names(text)) {
            Through::Path(path) => String::from_utf8(path).unwrap(),
            Through::Other => "other".into(),
            Through::Unknown => "unknown".into(),
            Through::Nothing => "nothing".into(),
        };
        assert_eq!(path("/proc/self/root/etc/x"), "//etc/x");
        assert!(path("/proc/self/cwd/x").ends_with("/x"));
        assert_eq!(path("/proc/self/maps"), "nothing");
        assert_eq!(path("/proc/12/root/etc/x"), "other");
        assert_eq!(path("/dev/fd/99999/x"), "other");
        assert_eq!(path("/dev/null"), "nothing");
        assert_eq!(path("/dev/fd/99999"), "nothing");
        assert_eq!(path("/dev/../etc/x"), "/etc/x");
        assert_eq!(path("/proc/self/../../etc/x"), "unknown");
        assert_eq!(path("/dev/shm/../null"), "nothing");
        let file = File::open("/proc/self/../../etc").unwrap();
        assert_eq!(path(&format!("/proc/self/fd/{}", file.as_raw_fd())), "/etc");
        assert_eq!(names("/a//./b"), [b"a", b"b"]);
    }
}
