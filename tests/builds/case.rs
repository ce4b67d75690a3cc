//! A case: what is built, how, and what is known about the result.

use std::path::PathBuf;

use rbuild_tui::ground::digest::Digest;
use serde_json::Value;

/// An environment variable that names a folder, or why not.
pub fn folder(variable: &str) -> Result<PathBuf, String> {
    let value = std::env::var_os(variable).ok_or_else(|| format!("{variable} is not set"))?;
    let path = PathBuf::from(value);
    if path.is_dir() { Ok(path) } else { Err(format!("{variable} names no folder")) }
}

/// What the source says about the result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    Ok,
    Error,
    /// BuildKit decides.
    Unknown,
}

/// One operation on a context. Modes are octal; `None` for the usual one.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    File {
        path: String,
        content: Vec<u8>,
        mode: Option<u32>,
    },
    Dir {
        path: String,
        mode: Option<u32>,
    },
    Symlink {
        path: String,
        target: String,
    },
    Mode {
        path: String,
        mode: u32,
    },
    Time {
        path: String,
        seconds: i64,
    },
    Attribute {
        path: String,
        name: String,
        value: Vec<u8>,
    },
    /// A file of the set, with all below it.
    CopyOf(PathBuf),
}

/// A named context of a case.
#[derive(Clone, Debug)]
pub enum Named {
    /// The base image of the lab.
    Base(String),
    /// What an earlier step of the group built.
    Step(String, usize),
    /// What the step before built.
    Before(String),
    /// What an earlier step of the group built under the second name.
    Tagged(String, String),
}

/// One build.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    /// Also the word that stands for it in our list of skipped.
    pub skip: Option<String>,
    pub dockerfile: Vec<u8>,
    /// Relative to the context, or to the folder of the Dockerfile when it has one of its own.
    pub file: String,
    /// What lies beside the Dockerfile when it is not in the context.
    pub beside: Option<Vec<Change>>,
    pub context: Vec<Change>,
    /// Written alike on both sides.
    pub flags: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub named: Vec<Named>,
    /// Ids of the secrets that both sides get.
    pub secrets: Vec<String>,
    /// Names under which later steps know the image.
    pub tags: Vec<String>,
    pub rewrite_timestamps: bool,
    pub expected: Expected,
    /// The recorded verdict is that of docker's classic builder.
    pub classic: bool,
    pub asserts: Vec<Value>,
}

/// Builds that belong together, in their order.
#[derive(Clone, Debug)]
pub struct Group {
    pub cases: Vec<Case>,
}

impl Case {
    /// With everything at its default.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            skip: None,
            dockerfile: Vec::new(),
            file: "Dockerfile".into(),
            beside: None,
            context: Vec::new(),
            flags: Vec::new(),
            environment: Vec::new(),
            named: Vec::new(),
            secrets: Vec::new(),
            tags: Vec::new(),
            rewrite_timestamps: false,
            expected: Expected::Unknown,
            classic: false,
            asserts: Vec::new(),
        }
    }

    /// A name that no other content has: BuildKit takes a file for unchanged when the folder's name, the file's size and its time
    /// are those of an earlier build.
    pub fn folder(&self) -> String {
        let Self { dockerfile, file, beside, context, .. } = self;
        Digest::of(format!("{:?}", (dockerfile, file, beside, context))).hex()[..16].to_owned()
    }

    /// The set it is of.
    pub fn set(&self) -> &str {
        self.name.split('/').next().unwrap_or("")
    }
}
