//! Why a hit may not be what is wanted: things that a result depends on and that are no part of its key (F1 to F5 of the
//! taxonomy of verdicts). A doubt changes no verdict.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One doubt about a hit, or about what another builder would have made of a miss.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "doubt", rename_all = "snake_case")]
pub enum Doubt {
    /// F1: a secret has another value than when the result was made.
    SecretChanged {
        /// Its id.
        id: String,
    },
    /// F2: the command reads the network without a lock file, and the result is old.
    ReadNetwork {
        /// The command that reads it.
        command: String,
        /// Seconds since it ran.
        age: u64,
    },
    /// F3: a file has other bytes, but the size and time that it had: BuildKit's transfer does not see that.
    SameStat {
        /// Relative to the context.
        path: String,
    },
    /// F4: the command uses a cache mount that other steps have used since.
    CacheMountUsed {
        /// Its id.
        id: String,
        /// The last step that used it, as `Dockerfile:7 RUN …`.
        by: String,
    },
    /// F5: a tag was not looked up again.
    TagNotAsked {
        /// As written.
        image: String,
        /// Seconds since the image was stored.
        age: u64,
    },
}

impl Doubt {
    /// The code of the taxonomy of verdicts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::SecretChanged { .. } => "F1",
            Self::ReadNetwork { .. } => "F2",
            Self::SameStat { .. } => "F3",
            Self::CacheMountUsed { .. } => "F4",
            Self::TagNotAsked { .. } => "F5",
        }
    }

    /// What to do about it.
    pub fn action(&self) -> &'static str {
        match self {
            Self::SecretChanged { .. } => {
                "to run it with the new value: --no-cache-filter STAGE, or a build argument that changes with it"
            }
            Self::ReadNetwork { .. } => {
                "to fetch anew: --no-cache-filter STAGE; to make it exact: pin versions or copy a lock file"
            }
            Self::SameStat { .. } => "with docker build: touch the file",
            Self::CacheMountUsed { .. } => {
                "what is made must not depend on what the cache holds; if it may: --no-cache-filter STAGE"
            }
            Self::TagNotAsked { .. } => "to ask the registry: --pull; to make it exact: name the digest",
        }
    }
}

/// `3 days`, `5 hours`.
fn age(seconds: u64) -> String {
    let (n, unit) = match seconds {
        0..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{n} {unit}{}", if n == 1 { "" } else { "s" })
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretChanged { id } => write!(
                f,
                "the secret `{id}` has another value than when this result was made; its value is no part of the key"
            ),
            Self::ReadNetwork { command, age: seconds } => {
                write!(f, "`{command}` read the network {} ago; what it would get today is not asked", age(*seconds))
            }
            Self::SameStat { path } => {
                write!(f, "`{path}` has other bytes, but the size and time that it had: BuildKit would not notice, and hit")
            }
            Self::CacheMountUsed { id, by } => write!(
                f,
                "the cache mount `{id}` was used by {by} since this result was made; its contents are no part of the key"
            ),
            Self::TagNotAsked { image, age: seconds } => write!(
                f,
                "`{image}` is the image that was stored {} ago; whether the tag has moved since was not asked",
                age(*seconds)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_like_a_person_says_them() {
        assert_eq!([60, 3600, 90_000, 864_000].map(age), ["1 minute", "60 minutes", "25 hours", "10 days"]);
    }
}
