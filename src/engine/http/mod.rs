//! HTTP for registries and downloads: blocking, cancellable, patient within limits. The hard rule: what a server says leads
//! nowhere that was not meant; credentials stay with scheme, host and port; nothing of a body is believed before it is verified.
//!
//! `client` asks; `url` reads addresses, `policy` says where redirects and names may lead, `retry` when to ask again, `download` resumes.

mod agent;
pub mod client;
pub mod download;
pub mod error;
pub mod policy;
pub mod proxy;
pub mod request;
pub mod response;
pub mod retry;
mod stream;
pub mod url;
mod words;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use client::Client;
pub use download::{Download, Validator};
pub use error::HttpError;
pub use proxy::Proxies;
pub use request::{Again, Body, Method, Request};
pub use response::Response;
pub use retry::Patience;
pub use url::{Scheme, Url};

/// The largest response header.
const HEADER_LIMIT: usize = 64 << 10;

/// What a client needs to know of its surroundings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// Proxies.
    pub proxies: Proxies,
    /// Files with further certificate authorities, in PEM.
    pub authorities: Vec<PathBuf>,
    /// For names and connections.
    pub connect: Duration,
    /// Without a single byte, or until the head of an answer is complete.
    pub idle: Duration,
    /// A body slower than [`Self::slowest`] bytes in this time is given up.
    pub window: Duration,
    /// See [`Self::window`].
    pub slowest: u64,
    /// Tries and waits.
    pub patience: Patience,
}

impl Default for HttpSettings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            proxies: Proxies::default(),
            authorities: Vec::new(),
            connect: seconds(10),
            idle: seconds(30),
            window: seconds(60),
            slowest: 4 << 10,
            patience: Patience::default(),
        }
    }
}

/// Whether somebody cancelled.
pub type Cancelled = Arc<dyn Fn() -> bool + Send + Sync>;

#[cfg(test)]
mod tests;
