//! Why a source cannot be fetched.

use crate::engine::http::HttpError;
use crate::ground::fs::PathError;
use crate::ground::hint::Hint;

/// A source that cannot be had. Nothing in it shows credentials.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The store.
    #[error(transparent)]
    Path(#[from] PathError),
    /// What came is not what was promised.
    #[error("`{url}` has the digest sha256:{found} instead of sha256:{wanted}")]
    Checksum {
        /// Shown form.
        url: String,
        /// Hex digits.
        found: String,
        /// Hex digits.
        wanted: String,
    },
    /// The repository has something else than was asked for.
    #[error("{0}")]
    Source(String),
    /// git cannot be used, or the repository cannot be reached.
    #[error("{message}")]
    Git {
        /// What went wrong, with git's last words.
        message: String,
        /// The next step.
        hint: Option<String>,
    },
    /// A body without an end, or one that the disk cannot take.
    #[error("the answer to `{url}` does not end, or is larger than the {free} bytes that are free")]
    TooLarge {
        /// Shown form.
        url: String,
        /// Bytes.
        free: u64,
    },
    /// Somebody cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl FetchError {
    /// Whether the Dockerfile or the command names something that is not there, and not the machine or the network is to blame.
    pub fn is_users(&self) -> bool {
        match self {
            Self::Http(HttpError::Status { status, .. }) => (400..500).contains(status) && *status != 429,
            Self::Http(HttpError::Url { .. } | HttpError::Redirect { .. }) | Self::Checksum { .. } | Self::Source(_) => true,
            _ => false,
        }
    }

    /// Whether somebody cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled | Self::Http(HttpError::Cancelled))
    }
}

impl Hint for FetchError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Http(error) => error.hint(),
            Self::Path(error) => error.hint(),
            Self::Checksum { .. } => Some("the file changed, or the checksum is wrong: nothing of it is kept".into()),
            Self::Git { hint, .. } => hint.clone(),
            Self::TooLarge { .. } => Some("free space, or check what the server sends".into()),
            Self::Source(_) | Self::Cancelled => None,
        }
    }
}
