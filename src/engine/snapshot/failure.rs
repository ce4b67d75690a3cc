//! How the errors of files, tars and requests become the worker's [`Failure`].

use std::io;
use std::path::Path;

use crate::engine::protocol::{Failure, FailureKind};
use crate::ground::fs::PathError;
use crate::ground::fs::error::describe;
use crate::ground::hint::Hint;

impl From<PathError> for Failure {
    fn from(error: PathError) -> Self {
        let hint = error.hint();
        let kind = match error.source.raw_os_error() {
            // What an image or a Dockerfile can cause: missing names, wrong kinds, loops, too long names.
            Some(2 | 17 | 20 | 21 | 36 | 39 | 40) => FailureKind::User,
            Some(_) => FailureKind::Environment,
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
