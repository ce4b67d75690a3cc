//! Why an image cannot be fetched or delivered.

use crate::engine::http::HttpError;
use crate::engine::store::StoreError;
use crate::ground::hint::Hint;

/// A failed resolve, pull or push.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The network or the server.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such image.
    #[error("the registry `{host}` has no `{image}`")]
    NotFound {
        /// Host.
        host: String,
        /// Repository with tag or digest.
        image: String,
    },
    /// The registry refuses.
    #[error("the registry `{host}` refuses access to `{repository}`{}{}", if *.known { " for the stored login" } else { "" }, if .text.is_empty() { String::new() } else { format!(": {text}") })]
    Denied {
        /// Host.
        host: String,
        /// Repository.
        repository: String,
        /// A login was at hand.
        known: bool,
        /// What the registry says.
        text: String,
    },
    /// A challenge that is not answered.
    #[error("the registry `{host}` asks for a login in a way that is refused: {why}")]
    Challenge {
        /// Host.
        host: String,
        /// Why.
        why: String,
        /// What helps.
        hint: Option<String>,
    },
    /// Stored credentials cannot be read.
    #[error("{what}: {why}")]
    Credentials {
        /// File or program.
        what: String,
        /// Cause.
        why: String,
    },
    /// What came is no image that can be used.
    #[error("`{image}` {why}")]
    Malformed {
        /// The image.
        image: String,
        /// What is wrong.
        why: String,
    },
    /// No entry for the platform.
    #[error("`{image}` has no image for {platform}; it has {list}")]
    Platform {
        /// The image.
        image: String,
        /// Wanted.
        platform: String,
        /// What there is.
        list: String,
    },
    /// The registry took something else than what was sent.
    #[error("`{image}` was not pushed: {why}")]
    Unverified {
        /// The image.
        image: String,
        /// What the registry answered.
        why: String,
    },
}

impl RegistryError {
    /// Whether somebody cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Http(HttpError::Cancelled))
    }

    /// Whether another place may have the image.
    pub(super) fn is_elsewhere(&self) -> bool {
        match self {
            Self::NotFound { .. } | Self::Denied { .. } | Self::Challenge { .. } => true,
            Self::Http(error) => matches!(
                error,
                HttpError::Connection { .. }
                    | HttpError::Status { .. }
                    | HttpError::Redirect { .. }
                    | HttpError::Interrupted { .. }
            ),
            _ => false,
        }
    }
}

impl Hint for RegistryError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Http(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::NotFound { .. } => Some("check the name and the tag".into()),
            Self::Denied { host, known: true, .. } => {
                Some(format!("log in again with `docker login {host}`, or check the name"))
            }
            Self::Denied { host, .. } => Some(format!("log in with `docker login {host}`, or check the name")),
            Self::Challenge { hint, .. } => hint.clone(),
            Self::Credentials { .. } => Some("repair it, or log in again".into()),
            Self::Malformed { .. } => Some("the registry or somebody on the way changed it: push it again".into()),
            Self::Platform { .. } => Some("choose another tag, or build that image for this platform".into()),
            Self::Unverified { .. } => Some("push again; if it stays, the registry is at fault".into()),
        }
    }
}
