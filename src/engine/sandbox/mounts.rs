//! The mounts of a step's root: `/proc`, `/dev`, `/sys`, given files; what runtimes mask and make read-only.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags,
};

use std::os::unix::ffi::OsStrExt;

use super::volumes::ONE_AT_A_TIME;
use crate::engine::protocol::Failure;
use crate::engine::snapshot::failure::user;
use crate::engine::snapshot::ids::Ids;
use crate::ground::fs::{Missing, RealPath, RootDir};

/// Hidden, as runc and docker do by default.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
/// Name, and minor number of memory devices (major 1).
const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// Attaches the root, fills it, and makes it `/`. The old root is gone afterwards. Nothing is hidden from an `insecure` step.
pub fn enter_root(
    root: &OwnedFd,
    mount_point: &Path,
    binds: &[(PathBuf, PathBuf)],
    volumes: &[((String, bool), OwnedFd)],
    insecure: bool,
) -> io::Result<()> {
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    attach(root, CWD, mount_point)?;
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let dir = RootDir::from_fd(rustix::fs::openat(CWD, mount_point, flags, Mode::empty())?);
    let plain = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    attach_in(&dir, "proc", &file_system("proc", &[], plain)?)?;
    let written = if insecure { MountAttrFlags::empty() } else { MountAttrFlags::MOUNT_ATTR_RDONLY };
    attach_in(&dir, "sys", &system(plain | written)?)?;
    let options = [("mode", "755"), ("size", "65536k")];
    attach_in(&dir, "dev", &file_system("tmpfs", &options, MountAttrFlags::MOUNT_ATTR_NOSUID)?)?;
    for (source, target) in binds {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let file = rustix::mount::open_tree(CWD, source, flags)?;
        attach(&file, dir.open_in(target, OFlags::PATH | OFlags::NOFOLLOW)?, Path::new(""))?;
    }
    for ((target, is_directory), mount) in volumes {
        volume(&dir, target, *is_directory, mount)?;
    }
    let given = if Ids::current().are_mapped() { machine_devices()? } else { Vec::new() };
    rustix::process::fchdir(dir.fd())?;
    drop(dir);
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    devices(given)?;
    if insecure {
        return Ok(());
    }
    READ_ONLY.iter().try_for_each(|path| read_only(path))?;
    if Path::new("/sys/fs/cgroup/cgroup.procs").exists() || Path::new("/sys/fs/cgroup/memory").exists() {
        // A `/sys` of the machine; one of our own has no cgroups mounted.
        mask("/sys/fs/cgroup")?;
    }
    MASKED.iter().try_for_each(|path| mask(path))
}

/// A `--mount`. Its mount point is there, unless it lies inside of another mount: then it is made in that one.
fn volume(root: &RootDir, target: &str, is_directory: bool, mount: &OwnedFd) -> io::Result<()> {
    let mut plain = |_: std::os::fd::BorrowedFd<'_>, _: &RealPath| Ok(());
    let place = match (root.resolve(target.as_bytes(), Missing::Keep)?, is_directory) {
        (_, true) => root.resolve(target.as_bytes(), Missing::Make(&mut plain))?,
        (real, false) => {
            let parent = root.resolve(&real.parent().bytes(), Missing::Make(&mut plain))?;
            let dir = root.open_dir(&parent)?;
            let name = std::ffi::OsStr::from_bytes(real.name().unwrap_or(b"."));
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            match rustix::fs::openat(&dir, name, flags, Mode::from_raw_mode(0o644)) {
                Ok(_) | Err(Errno::EXIST) => real,
                Err(error) => return Err(error.into()),
            }
        }
    };
    let attached = attach(mount, root.open_beneath(&place.relative(), OFlags::PATH | OFlags::NOFOLLOW)?, Path::new(""));
    attached.map_err(|error| match rustix::fs::fstat(mount) {
        // The kernel mounts nothing that has no name any more.
        Ok(stat) if stat.st_nlink == 0 => io::Error::other(TakenAway(target.escape_debug().to_string())),
        _ => error,
    })
}

/// The source of a `--mount` was removed after it was opened: another step has the same cache.
#[derive(Debug, thiserror::Error)]
#[error("the source of the mount at `{0}` was removed while it was being mounted")]
struct TakenAway(String);

/// The words for an error of [`enter_root`], when it is this one.
pub fn taken_away(error: &io::Error) -> Option<Failure> {
    let taken = error.get_ref()?.downcast_ref::<TakenAway>()?;
    Some(Failure { hint: Some(ONE_AT_A_TIME.into()), ..user(taken.to_string()) })
}

fn file_system(kind: &str, options: &[(&str, &str)], attributes: MountAttrFlags) -> io::Result<OwnedFd> {
    let fs = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        rustix::mount::fsconfig_set_string(&fs, *key, *value)?;
    }
    rustix::mount::fsconfig_create(&fs)?;
    Ok(rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

fn attach(mount: &OwnedFd, dir: impl AsFd, path: &Path) -> io::Result<()> {
    let mut flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    if path.as_os_str().is_empty() {
        flags |= MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    }
    Ok(rustix::mount::move_mount(mount, "", dir, path, flags)?)
}

/// On a directory right below the root, which must be one itself and no link.
fn attach_in(root: &RootDir, name: &str, mount: &OwnedFd) -> io::Result<()> {
    attach(mount, root.open_beneath(Path::new(name), OFlags::PATH | OFlags::DIRECTORY)?, Path::new(""))
}

/// `/sys`. A user namespace may mount it only for a network namespace of its own; then the machine's is shown, without the
/// cgroups that lie in it, and nothing of it can be written.
fn system(plain: MountAttrFlags) -> io::Result<OwnedFd> {
    match file_system("sysfs", &[], plain) {
        Err(error) if Ids::current().are_mapped() && error.raw_os_error() == Some(1) => {
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
            let tree = rustix::mount::open_tree(CWD, "/sys", flags)?;
            super::sys::make_tree_read_only(&tree)?;
            Ok(tree)
        }
        other => other,
    }
}

/// The machine's device nodes as mounts: without root none can be made.
fn machine_devices() -> io::Result<Vec<OwnedFd>> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let node = |(name, _, _): &(&str, u32, u32)| Ok(rustix::mount::open_tree(CWD, Path::new("/dev").join(name), flags)?);
    DEVICES.iter().map(node).collect()
}

/// Kind, name below `/dev`, options, attributes.
type DeviceMount<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], MountAttrFlags);

/// Fills `/dev`, a file system of our own by now, in which no name is the image's. `given` are the machine's nodes, in order,
/// where none can be made.
fn devices(given: Vec<OwnedFd>) -> io::Result<()> {
    let mut given = given.into_iter();
    for (name, major, minor) in DEVICES {
        let device = rustix::fs::makedev(major, minor);
        let path = Path::new("/dev").join(name);
        let Some(node) = given.next() else {
            rustix::fs::mknodat(CWD, &path, FileType::CharacterDevice, Mode::from_raw_mode(0o666), device)?;
            continue;
        };
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        drop(rustix::fs::open(&path, flags, Mode::from_raw_mode(0o666))?);
        attach(&node, CWD, &path)?;
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("core", "/proc/kcore"),
        ("ptmx", "pts/ptmx"),
    ] {
        rustix::fs::symlinkat(target, CWD, Path::new("/dev").join(name))?;
    }
    let (nosuid, noexec) = (MountAttrFlags::MOUNT_ATTR_NOSUID, MountAttrFlags::MOUNT_ATTR_NOEXEC);
    let all = nosuid | noexec | MountAttrFlags::MOUNT_ATTR_NODEV;
    let pts = [("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")];
    let shm = [("mode", "1777"), ("size", "65536k")];
    let list: [DeviceMount<'_>; 3] =
        [("devpts", "pts", &pts[1..], nosuid | noexec), ("tmpfs", "shm", &shm, all), ("mqueue", "mqueue", &[], all)];
    for (kind, name, options, attributes) in list {
        let path = Path::new("/dev").join(name);
        match rustix::fs::mkdirat(CWD, &path, Mode::from_raw_mode(0o755)) {
            // `--shm-size` has put a mount there.
            Err(Errno::EXIST) => continue,
            other => other?,
        }
        let mut made = file_system(kind, options, attributes);
        if kind == "devpts" && made.as_ref().is_err_and(|error| error.raw_os_error() == Some(22)) {
            // The group `tty` is none of a user who has a single id.
            made = file_system(kind, &options[..2], attributes);
        }
        match made {
            Ok(mount) => attach(&mount, CWD, &path)?,
            // A kernel without message queues.
            Err(error) if kind == "mqueue" && error.raw_os_error() == Some(19) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn read_only(path: &str) -> io::Result<()> {
    match rustix::mount::mount_bind_recursive(path, path) {
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    }
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    Ok(rustix::mount::mount_remount(path, flags, "")?)
}

/// Covers a file with the null device, which we have made ourselves, and a directory with an empty one.
fn mask(path: &str) -> io::Result<()> {
    match rustix::mount::mount_bind("/dev/null", path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::NOTDIR) => {
            let mount = file_system("tmpfs", &[("size", "0")], MountAttrFlags::MOUNT_ATTR_RDONLY)?;
            attach(&mount, CWD, Path::new(path))
        }
        Err(error) => Err(error.into()),
    }
}
