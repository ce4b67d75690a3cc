//! How the errors of files, tars and requests become the worker's [`Failure`].

use std::io;
use std::path::Path;

use super::ids::{MORE_IDS, Unmapped};
use crate::engine::protocol::{Failure, FailureKind};
use crate::ground::fs::PathError;
use crate::ground::fs::error::describe;
use crate::ground::hint::Hint;

impl From<PathError> for Failure {
    fn from(error: PathError) -> Self {
        let unmapped = error.source.get_ref().is_some_and(|inner| inner.is::<Unmapped>());
        let hint = if unmapped { Some(MORE_IDS.to_owned()) } else { error.hint() };
        let kind = match error.source.raw_os_error() {
            // What an image or a Dockerfile can cause: missing names, wrong kinds, loops, too long names.
            Some(2 | 17 | 20 | 21 | 36 | 39 | 40) => FailureKind::User,
            Some(_) => FailureKind::Environment,
            // A build that needs ids which this user has not got would work elsewhere.
            None if unmapped => FailureKind::Environment,
            None => FailureKind::User,
        };
        Self { kind, message: error.to_string(), hint }
    }
}

/// A failure that the Dockerfile, the context or the image causes.
pub fn user(message: impl Into<String>) -> Failure {
    Failure { kind: FailureKind::User, message: message.into(), hint: None }
}

/// A failure that the machine causes.
pub fn environment(message: impl Into<String>, hint: impl Into<String>) -> Failure {
    Failure { kind: FailureKind::Environment, message: message.into(), hint: Some(hint.into()) }
}

/// A failure that is our own fault.
pub fn internal(message: impl Into<String>) -> Failure {
    Failure { kind: FailureKind::Internal, message: message.into(), hint: None }
}

/// `cannot <action> `<path>`: <cause>`, for results of system calls.
pub trait During<T> {
    /// Names what was tried, and on which path (of the image, where it is one).
    fn during(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> During<T> for Result<T, E> {
    fn during(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, Failure> {
        self.map_err(|source| PathError { action, path: path.as_ref().to_owned(), source: source.into() }.into())
    }
}

/// Why there is no user namespace. The kernel says "no space left" when their number is limited, which is no full disk.
pub fn user_namespace_refused(error: &io::Error) -> Failure {
    let (cause, hint) = match error.raw_os_error() {
        Some(28) => ("no more of them are allowed on this machine (ENOSPC)".to_owned(), "raise user.max_user_namespaces"),
        Some(1 | 13) => (
            describe(error),
            "allow them (kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0)",
        ),
        Some(22 | 38) => (describe(error), "use a kernel that was built with them"),
        _ => (describe(error), "see the kernel's log for the cause"),
    };
    let message = format!("cannot make a user namespace, which building without root needs: {cause}");
    environment(message, format!("{hint}, or build as root"))
}

/// Why a mount or a namespace was refused. The limit of user namespaces is reported as ENOSPC, which is no full disk.
pub fn mount_refused(what: &str, error: &io::Error) -> Failure {
    let hint = match error.raw_os_error() {
        Some(1 | 13) => "run as root, or let this machine make mounts and namespaces (in a container: --privileged)",
        Some(28) => "a limit on namespaces or mounts is reached: raise user.max_mnt_namespaces and fs.mount-max",
        Some(22) => "the kernel refuses the mount: Linux 6.7 or newer with overlayfs is needed, at most 500 layers",
        Some(19 | 38) => "this kernel lacks overlayfs or the mount interface: Linux 6.7 or newer is needed",
        Some(40) => "the store lies on a stack of overlays: choose a store on a plain file system with --store",
        _ => "see the kernel's log for the cause",
    };
    environment(format!("cannot {what}: {}", describe(error)), hint)
}
