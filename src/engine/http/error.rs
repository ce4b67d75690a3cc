//! Why a server did not give what was asked for.

use std::io;

use crate::ground::fs::error::describe;
use crate::ground::hint::Hint;

/// A request that failed. Addresses in it carry neither credentials nor queries.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// A text is no address that can be asked.
    #[error("the address `{url}` {why}")]
    Url {
        /// Shown form.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// Somebody cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The certificate authorities of this machine, or a proxy's address, cannot be used.
    #[error("{0}")]
    Setup(String),
    /// No connection, or it broke.
    #[error("cannot reach `{host}`{}: {cause}", .proxy.as_ref().map(|p| format!(" through the proxy `{p}`")).unwrap_or_default())]
    Connection {
        /// Host and port.
        host: String,
        /// The proxy in between.
        proxy: Option<String>,
        /// In words.
        cause: String,
        /// Whether another try may help.
        transient: bool,
    },
    /// A redirect that is not followed.
    #[error("`{from}` redirects to `{to}`, which is refused: {why}")]
    Redirect {
        /// Shown form.
        from: String,
        /// Shown form.
        to: String,
        /// Why.
        why: String,
    },
    /// The server's answer is none of the expected.
    #[error("{method} `{url}` was answered with {status}{}", if .text.is_empty() { String::new() } else { format!(": {text}") })]
    Status {
        /// The request's method.
        method: &'static str,
        /// Shown form.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What the server says, escaped and cut.
        text: String,
        /// Seconds that the server asks to wait, where that is longer than anybody waits.
        wait: Option<u64>,
    },
    /// A body ended early, or a range is not the one that was asked for.
    #[error("the answer to `{url}` broke off after {got} bytes: {why}")]
    Interrupted {
        /// Shown form.
        url: String,
        /// Bytes that arrived.
        got: u64,
        /// Why.
        why: String,
    },
    /// More bytes than allowed.
    #[error("the answer to `{url}` is larger than {limit} bytes")]
    TooLarge {
        /// Shown form.
        url: String,
        /// The most that is taken.
        limit: u64,
    },
    /// What is to be sent cannot be read, or what came cannot be written.
    #[error("cannot {action}: {}", describe(.source))]
    Local {
        /// `read what is sent` ...
        action: &'static str,
        /// The cause.
        source: io::Error,
    },
}

impl HttpError {
    /// Whether the same request may succeed a moment later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connection { transient, .. } => *transient,
            Self::Interrupted { .. } => true,
            Self::Status { status, wait, .. } => wait.is_none() && super::retry::is_transient(*status),
            _ => false,
        }
    }

    /// The status where the server answered.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

impl Hint for HttpError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Connection { proxy: Some(_), .. } => {
                Some("check HTTP_PROXY, HTTPS_PROXY and NO_PROXY, or name the host in NO_PROXY".into())
            }
            Self::Connection { cause, .. } if cause.contains("has expired") || cause.contains("not valid yet") => {
                Some("check this machine's clock; if it is right, the server needs another certificate".into())
            }
            Self::Connection { cause, .. } if cause.contains("for another host") => {
                Some("use the name that the certificate is for".into())
            }
            Self::Connection { cause, .. } if cause.contains("certificate") => {
                Some("install the certificate authority on this machine, or name it with SSL_CERT_FILE".into())
            }
            Self::Connection { .. } => Some("check the network and the host's name".into()),
            Self::Status { wait: Some(seconds), .. } => Some(format!("the server asks to come back in {seconds} seconds")),
            Self::Status { status: 429 | 500..=599, .. } => Some("try again later".into()),
            _ => None,
        }
    }
}
