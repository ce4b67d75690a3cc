//! Why a recorded run is not taken for another one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a recorded run does not stand in for one on another parent (`--cache=traced`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "refusal", rename_all = "snake_case")]
pub enum TraceRefusal {
    /// A file that it read has another content, other attributes, or is none any more.
    ReadDiffers {
        /// In the step's root, without a leading slash.
        path: String,
    },
    /// A path at which it looked is of another kind, has other attributes, or is gone.
    LookDiffers {
        /// Which.
        path: String,
    },
    /// A folder that it listed has other names.
    ListingDiffers {
        /// Which.
        path: String,
    },
    /// A path that it looked for and did not find is there now.
    Appeared {
        /// Which.
        path: String,
    },
    /// A link that it followed leads elsewhere.
    LinkDiffers {
        /// Which.
        path: String,
    },
    /// A path that it wrote or removed is not what it was when it did that.
    WriteCollides {
        /// Which.
        path: String,
    },
    /// The base image is another one.
    OtherBase,
    /// It is not known to be all that it read; why, in words.
    Incomplete {
        /// Follows "because".
        why: String,
    },
    /// It used the network, and no lock file says what it got.
    Network,
}

impl fmt::Display for TraceRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadDiffers { path } => write!(f, "`/{path}`, which it read then, is another one now"),
            Self::LookDiffers { path } => write!(f, "`/{path}`, at which it looked then, has other attributes or is gone"),
            Self::ListingDiffers { path } => {
                write!(f, "the folder `/{path}`, which it listed then, has other names in it now")
            }
            Self::Appeared { path } => write!(f, "`/{path}`, which it looked for and did not find then, is there now"),
            Self::LinkDiffers { path } => write!(f, "the link `/{path}`, which it followed then, leads elsewhere"),
            Self::WriteCollides { path } => {
                write!(f, "`/{path}`, which it wrote or removed then, is not what it was before it did")
            }
            Self::OtherBase => f.write_str("the base image is another one"),
            Self::Incomplete { why } => write!(f, "what it read then is not known in full, because {why}"),
            Self::Network => f.write_str(
                "it used the network, and no lock file among the files that it read says what it got (--traced-network \
                 takes it all the same)",
            ),
        }
    }
}
