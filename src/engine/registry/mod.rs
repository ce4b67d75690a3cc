//! The distribution protocol: resolve, pull, push. The hard rule: bytes enter the store only with the size and digest that
//! their description names, and a credential is shown only to the host it was stored for.
//!
//! `client` speaks to one registry, `authorization` answers its challenges with what `credentials` finds, `resolve` walks from
//! a name to the manifest of a platform, `pull` and `push` move blobs.
//!
//! Source of the rules: OCI distribution specification 1.1; for tokens the distribution project's `spec/auth/token.md`.

pub mod authorization;
pub mod challenge;
pub mod client;
pub mod credentials;
pub mod error;
pub mod pull;
pub mod push;
pub mod resolve;
pub mod settings;

pub use client::RegistryClient;
pub use error::RegistryError;
pub use push::PushImage;
pub use resolve::Resolved;
pub use settings::{CredentialSources, HostSettings, RegistrySettings};

/// Hears what is moved: a text that names it, bytes so far, bytes in all.
pub type Report<'a> = &'a (dyn Fn(&str, u64, Option<u64>) + Sync);
