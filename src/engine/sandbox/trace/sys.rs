//! The system calls of seccomp's user notification, which no crate of ours offers as safe functions.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_long, c_uint, c_ulong, c_void};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use seccompiler::sock_filter;

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn ioctl(fd: c_int, request: c_ulong, ...) -> c_int;
}

#[cfg(target_arch = "x86_64")]
const SYS_SECCOMP: c_long = 317;
#[cfg(target_arch = "x86_64")]
const SYS_PROCESS_VM_READV: c_long = 310;
#[cfg(target_arch = "x86_64")]
const SYS_SCHED_SETSCHEDULER: c_long = 144;
#[cfg(target_arch = "aarch64")]
const SYS_SECCOMP: c_long = 277;
#[cfg(target_arch = "aarch64")]
const SYS_PROCESS_VM_READV: c_long = 270;
#[cfg(target_arch = "aarch64")]
const SYS_SCHED_SETSCHEDULER: c_long = 119;

const NOTIF_RECV: c_ulong = 0xc050_2100;
const NOTIF_SEND: c_ulong = 0xc018_2101;
const NOTIF_ID_VALID: c_ulong = 0x4008_2102;
const NOTIF_SET_FLAGS: c_ulong = 0x4008_2104;

/// A system call that waits for an answer: `struct seccomp_notif`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Notification {
    /// Names it.
    pub id: u64,
    /// The thread, as this process numbers it.
    pub pid: u32,
    pub(super) flags: u32,
    /// The call's number.
    pub number: c_int,
    /// The architecture's number.
    pub arch: u32,
    pub(super) instruction: u64,
    /// The call's arguments.
    pub args: [u64; 6],
}

#[cfg(test)]
impl Notification {
    /// A call of a process, for tests.
    pub fn of(pid: u32) -> Self {
        Self { pid, ..Self::default() }
    }
}

#[repr(C)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    pub(super) flags: u32,
}

#[repr(C)]
struct Program {
    length: u16,
    filter: *const sock_filter,
}

#[repr(C)]
struct Piece {
    base: *mut c_void,
    length: usize,
}

/// Puts a filter on this thread and all that it will start; the calls that it notifies of are heard on the descriptor. It is
/// closed on exec.
pub fn listen(filter: &[sock_filter]) -> io::Result<OwnedFd> {
    const SET_MODE_FILTER: c_ulong = 1;
    const NEW_LISTENER: c_ulong = 1 << 3;
    // Signals wait until the answer is there: a runtime that interrupts itself all the time still gets on.
    const WAIT_KILLABLE: c_ulong = 1 << 5;
    let length = u16::try_from(filter.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = Program { length, filter: filter.as_ptr() };
    let set = |flags: c_ulong| {
        // SAFETY: the program points to `length` instructions that live until the call returns.
        match unsafe { syscall(SYS_SECCOMP, SET_MODE_FILTER, flags, &raw const program) } {
            fd if fd >= 0 => Ok(c_int::try_from(fd).unwrap_or(-1)),
            _ => Err(io::Error::last_os_error()),
        }
    };
    let fd = match set(NEW_LISTENER | WAIT_KILLABLE) {
        Err(error) if error.raw_os_error() == Some(22) => set(NEW_LISTENER)?,
        other => other?,
    };
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Has the kernel hand the processor over together with the call (Linux 6.6), which makes the answer four times as fast.
pub fn wake_in_place(listener: &OwnedFd) -> io::Result<()> {
    const SYNC_WAKE_UP: c_ulong = 1;
    // SAFETY: this request takes a number.
    done(unsafe { ioctl(listener.as_raw_fd(), NOTIF_SET_FLAGS, SYNC_WAKE_UP) })
}

/// Has this thread run as soon as it can, before all that are not real-time threads. Errors: it has no right to.
pub fn run_at_once() -> io::Result<()> {
    const FIFO_BUT_NO_CHILD: c_long = 1 | 0x4000_0000;
    let priority: c_int = 1;
    // SAFETY: `struct sched_param` is one integer, which the kernel reads.
    match unsafe { syscall(SYS_SCHED_SETSCHEDULER, 0 as c_long, FIFO_BUT_NO_CHILD, &raw const priority) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Takes the next call. Does not wait when nobody is left who could make one.
pub fn receive(listener: &OwnedFd) -> io::Result<Notification> {
    let mut call = Notification::default();
    // SAFETY: the structure is zeroed, as the kernel demands, and has its size, which is part of the request's number.
    done(unsafe { ioctl(listener.as_raw_fd(), NOTIF_RECV, &raw mut call) })?;
    Ok(call)
}

/// Lets a call go on as if nobody had looked.
pub fn go_on(listener: &OwnedFd, id: u64) -> io::Result<()> {
    const CONTINUE: u32 = 1;
    let response = Response { id, value: 0, error: 0, flags: CONTINUE };
    // SAFETY: the structure has the size that is part of the request's number.
    done(unsafe { ioctl(listener.as_raw_fd(), NOTIF_SEND, &raw const response) })
}

/// Whether a call still waits: only then what was read of its process is that process' own.
pub fn still_waits(listener: &OwnedFd, id: u64) -> bool {
    // SAFETY: this request reads a 64-bit number.
    unsafe { ioctl(listener.as_raw_fd(), NOTIF_ID_VALID, &raw const id) == 0 }
}

/// Reads memory of another process; how many bytes could be read.
pub fn read_memory(thread: u32, address: u64, into: &mut [u8]) -> io::Result<usize> {
    let own = Piece { base: into.as_mut_ptr().cast(), length: into.len() };
    let other = Piece { base: address as *mut c_void, length: into.len() };
    // SAFETY: the kernel writes at most `length` bytes into the slice; the other address is only looked at by the kernel.
    let read = unsafe {
        syscall(
            SYS_PROCESS_VM_READV,
            c_long::from(thread),
            &raw const own,
            c_ulong::from(1 as c_uint),
            &raw const other,
            c_ulong::from(1 as c_uint),
            0 as c_ulong,
        )
    };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

fn done(result: c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
