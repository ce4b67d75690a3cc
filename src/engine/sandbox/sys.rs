//! The system calls that no crate of ours offers as safe functions. All `unsafe` is in this file and in
//! `trace/sys.rs`.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int, c_long, c_uint, c_ulong};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use rustix::process::Pid;
use rustix::thread::UnshareFlags;

use crate::engine::event::Usage;

unsafe extern "C" {
    fn fork() -> c_int;
    fn execve(path: *const c_char, args: *const *const c_char, env: *const *const c_char) -> c_int;
    fn wait4(pid: c_int, status: *mut c_int, options: c_int, usage: *mut RawUsage) -> c_int;
    fn syscall(number: c_long, ...) -> c_long;
    fn signal(number: c_int, handler: usize) -> usize;
    fn ioctl(fd: c_int, request: c_ulong, ...) -> c_int;
}

const SIGPIPE: c_int = 13;
const SIGXFSZ: c_int = 25;
const SYS_CLOSE_RANGE: c_long = 436;
const SYS_MOUNT_SETATTR: c_long = 442;

/// `struct rusage` of 64-bit Linux: two times, then fourteen longs.
#[repr(C)]
#[derive(Default)]
struct RawUsage {
    user: [i64; 2],
    system: [i64; 2],
    longs: [i64; 14],
}

/// How a process ended.
pub struct Ended {
    /// Exit code, or 128 + signal.
    pub code: i32,
    /// Of it and the children that it waited for.
    pub usage: Usage,
}

/// Forks. `None` in the child. Only for a process with a single thread, where the child may go on as usual.
pub fn fork_single_threaded() -> io::Result<Option<Pid>> {
    // SAFETY: the helper never starts a thread, so no lock can be held by a thread that the child lacks.
    match unsafe { fork() } {
        0 => Ok(None),
        pid => Pid::from_raw(pid).filter(|_| pid > 0).map(Some).ok_or_else(io::Error::last_os_error),
    }
}

/// Executes a program; returns only when that fails.
pub fn execute(path: &CString, args: &[CString], env: &[CString]) -> io::Error {
    let pointers = |list: &[CString]| -> Vec<*const c_char> {
        list.iter().map(|text| text.as_ptr()).chain(std::iter::once(std::ptr::null())).collect()
    };
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: both arrays end with null and point to strings that live until the call returns.
    unsafe { execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Waits for a child.
pub fn wait(pid: Pid) -> io::Result<Ended> {
    let (mut status, mut raw) = (0, RawUsage::default());
    loop {
        // SAFETY: both pointers are to live values of the right layout.
        if unsafe { wait4(pid.as_raw_nonzero().get(), &raw mut status, 0, &raw mut raw) } >= 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let signal = status & 0x7f;
    let code = if signal == 0 { (status >> 8) & 0xff } else { 128 + signal };
    let positive = |value: i64| u64::try_from(value).unwrap_or(0);
    let micros = |time: [i64; 2]| positive(time[0]) * 1_000_000 + positive(time[1]);
    let usage = Usage {
        cpu_micros: micros(raw.user) + micros(raw.system),
        peak_memory: positive(raw.longs[0]) * 1024,
        written: positive(raw.longs[7]) * 512,
        read: positive(raw.longs[6]) * 512,
        peak_together: None,
    };
    Ok(Ended { code, usage })
}

/// Enters new namespaces. Not for a process with threads.
pub fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: `CLONE_FILES`, the flag that is unsafe because it splits the descriptor table, is never given here.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags.difference(UnshareFlags::FILES)) }?)
}

/// Enters a user namespace, in which this process has all rights, and no ids before somebody outside writes them. For a process
/// without threads.
pub fn user_namespace() -> io::Result<()> {
    unshare(UnshareFlags::NEWUSER)
}

/// Leaves the further groups that the caller had. For a process without threads.
pub fn drop_groups() -> io::Result<()> {
    Ok(rustix::thread::set_thread_groups(&[])?)
}

/// Enters a mount namespace whose mounts nobody else sees. For a process without threads.
pub fn private_mounts() -> io::Result<()> {
    use rustix::mount::MountPropagationFlags;
    unshare(UnshareFlags::NEWNS)?;
    Ok(rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?)
}

/// Closes every descriptor from `first` on.
pub fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: the caller holds no value that owns one of these descriptors and will be used again.
    match unsafe { syscall(SYS_CLOSE_RANGE, c_ulong::from(first), c_ulong::from(c_uint::MAX), 0 as c_ulong) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes a descriptor have exactly the number `number`, replacing what had it.
pub fn place(fd: impl AsFd, number: i32) -> io::Result<()> {
    // SAFETY: the target is one of the standard descriptors or one that nobody owns; it is not closed at the end.
    let mut target = std::mem::ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(number) });
    if fd.as_fd().as_raw_fd() == number {
        return Ok(rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())?);
    }
    Ok(rustix::io::dup2(fd, &mut target)?)
}

/// Takes the socket that is standard input, and puts `/dev/null` there. First of all in a new process: descriptors that the
/// program was started with (`3>log`, make's job server) end here, and the socket gets the number that steps count on.
pub fn take_standard_input() -> io::Result<OwnedFd> {
    close_from(3)?;
    let socket = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3)?;
    place(std::fs::File::open("/dev/null")?, 0)?;
    Ok(socket)
}

/// Makes a file too large an error (EFBIG) instead of a deadly signal.
pub fn ignore_file_size_signal() {
    // SAFETY: SIG_IGN (1) is a valid disposition.
    unsafe { signal(SIGXFSZ, 1) };
}

/// Gives the signals that this program ignores their usual meaning back.
pub fn reset_signals() {
    for number in [SIGPIPE, SIGXFSZ] {
        // SAFETY: SIG_DFL (0) is a valid disposition.
        unsafe { signal(number, 0) };
    }
}

/// Makes a detached mount read-only.
pub fn make_read_only(mount: impl AsFd) -> io::Result<()> {
    read_only(mount, 0)
}

/// Makes device nodes in a detached mount mere names.
pub fn make_without_devices(mount: impl AsFd) -> io::Result<()> {
    const MOUNT_ATTR_NODEV: u64 = 4;
    set_attribute(mount, MOUNT_ATTR_NODEV, 0)
}

/// Makes a detached mount and all that is mounted below it read-only.
pub fn make_tree_read_only(mount: impl AsFd) -> io::Result<()> {
    const AT_RECURSIVE: c_uint = 0x8000;
    read_only(mount, AT_RECURSIVE)
}

fn read_only(mount: impl AsFd, flags: c_uint) -> io::Result<()> {
    const MOUNT_ATTR_RDONLY: u64 = 1;
    set_attribute(mount, MOUNT_ATTR_RDONLY, flags)
}

fn set_attribute(mount: impl AsFd, attribute: u64, flags: c_uint) -> io::Result<()> {
    const AT_EMPTY_PATH: c_uint = 0x1000;
    let attributes: [u64; 4] = [attribute, 0, 0, 0];
    let fd = mount.as_fd().as_raw_fd();
    // SAFETY: path is a string that ends with NUL; `struct mount_attr` is four 64-bit fields, 32 bytes.
    let done = unsafe {
        syscall(
            SYS_MOUNT_SETATTR,
            c_long::from(fd),
            c"".as_ptr(),
            c_ulong::from(AT_EMPTY_PATH | flags),
            attributes.as_ptr(),
            32usize,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Switches the loopback interface of this network namespace on.
pub fn loopback_up() -> io::Result<()> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    const SIOCSIFFLAGS: c_ulong = 0x8914;
    const IFF_UP: u8 = 1;
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // `struct ifreq`: a name of 16 bytes, then a union of 24 that begins with the flags.
    let mut request = [0u8; 40];
    request[..2].copy_from_slice(b"lo");
    request[16..18].copy_from_slice(&u16::from(IFF_UP).to_ne_bytes());
    // SAFETY: the request is as large as the kernel reads.
    match unsafe { ioctl(socket.as_raw_fd(), SIOCSIFFLAGS, request.as_mut_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
