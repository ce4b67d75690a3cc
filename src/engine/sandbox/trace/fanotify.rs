//! The system calls of fanotify, which no crate of ours offers.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_uint};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::fs::OFlags;

unsafe extern "C" {
    fn fanotify_init(flags: c_uint, event_flags: c_uint) -> c_int;
    fn fanotify_mark(group: c_int, flags: c_uint, mask: u64, directory: c_int, path: *const c_char) -> c_int;
}

const CLOEXEC: c_uint = 1;
const NONBLOCK: c_uint = 2;
const ADD: c_uint = 1;
const MOUNT: c_uint = 0x10;
const OPEN: u64 = 0x20;
const OPEN_EXECUTE: u64 = 0x1000;
const OVERFLOW: u64 = 0x4000;
const DIRECTORIES_TOO: u64 = 0x4000_0000;

/// `struct fanotify_event_metadata`: length, version, reserved, length of the metadata, mask, descriptor, process.
const HEADER: usize = 24;

/// What was opened, or that events were lost.
pub enum Event {
    /// A file or directory was opened; to be executed, or in any other way.
    Opened { what: OwnedFd, executed: bool },
    /// The kernel had no room for more.
    Lost,
}

/// Has the kernel tell of all that is opened through the mount on which a directory lies. Needs the rights of the machine's
/// root. The mark keeps no mount. The descriptors that come along are of files that somebody has opened already; a pipe blocks
/// nobody.
pub fn mark_mount(directory: &OwnedFd) -> io::Result<OwnedFd> {
    let opening = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOATIME;
    // SAFETY: only numbers are passed.
    let group = unsafe { fanotify_init(CLOEXEC | NONBLOCK, opening.bits()) };
    if group < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    let group = unsafe { OwnedFd::from_raw_fd(group) };
    let mask = OPEN | OPEN_EXECUTE | DIRECTORIES_TOO;
    // SAFETY: the path is a string that ends with a NUL.
    match unsafe { fanotify_mark(group.as_raw_fd(), ADD | MOUNT, mask, directory.as_raw_fd(), c".".as_ptr()) } {
        0 => Ok(group),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Takes the next events; none when there are none now.
pub fn receive(group: &OwnedFd) -> io::Result<Vec<Event>> {
    let mut bytes = [0; 4096];
    let length = match rustix::io::read(group, &mut bytes) {
        Ok(length) => length,
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => 0,
        Err(error) => return Err(error.into()),
    };
    let (mut out, mut rest) = (Vec::new(), &bytes[..length]);
    while let Some((header, _)) = rest.split_first_chunk::<HEADER>() {
        let [a, b, c, d, _, _, _, _, mask @ .., e, f, g, h, _, _, _, _] = *header;
        let (size, mask) = (u32::from_ne_bytes([a, b, c, d]), u64::from_ne_bytes(mask));
        match c_int::from_ne_bytes([e, f, g, h]) {
            // SAFETY: the kernel has just made this descriptor for us.
            fd if fd >= 0 => {
                let what = unsafe { OwnedFd::from_raw_fd(fd) };
                out.push(Event::Opened { what, executed: mask & OPEN_EXECUTE != 0 });
            }
            _ if mask & OVERFLOW != 0 => out.push(Event::Lost),
            _ => {}
        }
        rest = rest.get((size as usize).max(HEADER)..).unwrap_or_default();
    }
    Ok(out)
}
