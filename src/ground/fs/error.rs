//! An I/O error that says which path it is about and names the errno.

use std::io;
use std::path::{Path, PathBuf};

use crate::ground::hint::Hint;

/// `cannot <action> `<path>`: <cause> (<ERRNO>)`.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`: {}", .path.display().to_string().escape_debug(), describe(.source))]
pub struct PathError {
    /// `read`, `write`, `create` ...
    pub action: &'static str,
    /// What it is about.
    pub path: PathBuf,
    /// The cause.
    pub source: io::Error,
}

/// The cause in words with the errno's name: `no space left on device (ENOSPC)`.
pub fn describe(error: &io::Error) -> String {
    let Some(code) = error.raw_os_error() else { return error.to_string() };
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = words.chars();
    let words: String = chars.next().map(|c| c.to_lowercase().collect::<String>() + chars.as_str()).unwrap_or_default();
    format!("{words} ({})", errno_name(code))
}

/// The symbolic name of an error number.
pub fn errno_name(code: i32) -> String {
    let known = [
        (1, "EPERM"),
        (2, "ENOENT"),
        (4, "EINTR"),
        (5, "EIO"),
        (9, "EBADF"),
        (11, "EAGAIN"),
        (12, "ENOMEM"),
        (13, "EACCES"),
        (16, "EBUSY"),
        (17, "EEXIST"),
        (18, "EXDEV"),
        (20, "ENOTDIR"),
        (21, "EISDIR"),
        (22, "EINVAL"),
        (23, "ENFILE"),
        (24, "EMFILE"),
        (26, "ETXTBSY"),
        (27, "EFBIG"),
        (28, "ENOSPC"),
        (30, "EROFS"),
        (32, "EPIPE"),
        (36, "ENAMETOOLONG"),
        (38, "ENOSYS"),
        (39, "ENOTEMPTY"),
        (40, "ELOOP"),
        (75, "EOVERFLOW"),
        (95, "EOPNOTSUPP"),
        (98, "EADDRINUSE"),
        (101, "ENETUNREACH"),
        (104, "ECONNRESET"),
        (110, "ETIMEDOUT"),
        (111, "ECONNREFUSED"),
        (113, "EHOSTUNREACH"),
        (122, "EDQUOT"),
    ];
    known.iter().find(|(n, _)| *n == code).map_or_else(|| format!("errno {code}"), |(_, name)| (*name).to_owned())
}

impl Hint for PathError {
    fn hint(&self) -> Option<String> {
        match self.source.raw_os_error()? {
            28 | 122 => Some("free space and run the same command again, finished steps are kept".into()),
            13 | 1 => Some("check the owner and mode of this path".into()),
            2 if self.action == "create" => Some("check that the folder above it exists, or choose another place".into()),
            17 | 20 if self.action == "create" => {
                Some("something that is no folder is in its place: move it away and run the same command again".into())
            }
            30 => Some("the file system is read-only: choose another place with --store".into()),
            24 | 23 => Some("raise the limit of open files (ulimit -n)".into()),
            _ => None,
        }
    }
}

/// Puts path and action into the errors of `std::fs`.
pub trait PathResultExt<T> {
    /// Names what was tried, and on which path.
    fn at(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, PathError>;
}

impl<T, E: Into<io::Error>> PathResultExt<T> for Result<T, E> {
    fn at(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, PathError> {
        self.map_err(|source| PathError { action, path: path.as_ref().to_owned(), source: source.into() })
    }
}
