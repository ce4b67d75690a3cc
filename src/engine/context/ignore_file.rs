//! The ignore file of a context: `<Dockerfile>.dockerignore` beside the Dockerfile wins over `.dockerignore`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::walk::Filter;
use crate::ground::fs::{PathError, PathResultExt};
use crate::language::dockerfile::ignore::{IgnoreError, IgnoreRules};

/// An ignore file with its name and text.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct IgnoreFile {
    /// As shown in messages; empty when there is none.
    pub name: String,
    text: String,
    rules: IgnoreRules,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    name: String,
    text: String,
}

impl From<Stored> for IgnoreFile {
    fn from(stored: Stored) -> Self {
        let rules = IgnoreRules::parse(&stored.text).unwrap_or_default();
        Self { name: stored.name, text: stored.text, rules }
    }
}

impl From<IgnoreFile> for Stored {
    fn from(file: IgnoreFile) -> Self {
        Self { name: file.name, text: file.text }
    }
}

impl PartialEq for IgnoreFile {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.text == other.text
    }
}

/// Why an ignore file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IgnoreFileError {
    /// Not readable.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A pattern is malformed.
    #[error("`{name}`: {source}")]
    Rule {
        /// File.
        name: String,
        /// Line and cause.
        source: IgnoreError,
    },
}

/// Larger ones are refused.
const LIMIT: u64 = 1 << 20;

impl IgnoreFile {
    /// Reads the ignore file in force. `dockerfile` is its path, when it is a file.
    pub fn find(context: &Path, dockerfile: Option<&Path>) -> Result<Self, IgnoreFileError> {
        let own = dockerfile.and_then(|path| {
            let name = format!("{}.dockerignore", path.file_name()?.to_str()?);
            Some(path.with_file_name(name))
        });
        for path in own.into_iter().chain([context.join(".dockerignore")]) {
            let Ok(meta) = std::fs::metadata(&path) else { continue };
            if !meta.is_file() {
                // Going on without would send what was meant to stay.
                return Err(std::io::Error::other("it is not a regular file")).at("read", &path).map_err(Into::into);
            }
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if meta.len() > LIMIT {
                return Err(std::io::Error::other("it is larger than 1 MiB")).at("read", &path).map_err(Into::into);
            }
            return Self::parse(&name, &std::fs::read(&path).at("read", &path)?);
        }
        Ok(Self::default())
    }

    /// Of its bytes, wherever they come from. Errors: a pattern is malformed.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, IgnoreFileError> {
        let (name, text) = (name.to_owned(), String::from_utf8_lossy(bytes).into_owned());
        match IgnoreRules::parse(&text) {
            Ok(rules) => Ok(Self { name, text, rules }),
            Err(source) => Err(IgnoreFileError::Rule { name, source }),
        }
    }

    /// Its rules.
    pub fn rules(&self) -> &IgnoreRules {
        &self.rules
    }

    /// The line that leaves this path out of the context, if one does.
    pub fn excluding_line(&self, path: &str) -> Option<u32> {
        self.rules.matches(path, false).filter(|hit| !hit.negated).map(|hit| hit.line)
    }
}

impl Filter for IgnoreFile {
    fn excludes(&self, path: &str, _: bool) -> bool {
        !self.rules.is_empty() && self.rules.is_ignored(path)
    }

    fn prunes(&self, directory: &str) -> bool {
        !self.rules.may_have_exceptions_below(directory)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Selector, StatIndex, scan};
    use super::*;
    use crate::ground::cancel::CancelToken;

    #[test]
    fn an_exception_below_an_excluded_directory_brings_its_parents_back() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["a/b", "c"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        for file in ["a/x", "a/b/keep", "c/y"] {
            std::fs::write(dir.path().join(file), "1").unwrap();
        }
        std::fs::write(dir.path().join(".dockerignore"), "a\nc\n!a/b/keep\n.dockerignore\n").unwrap();
        let ignore = IgnoreFile::find(dir.path(), None).unwrap();
        let all = Selector::new("");
        let tree = scan(dir.path(), &[all], &ignore, &StatIndex::default(), &CancelToken::default()).unwrap().tree;
        let paths: Vec<&str> = tree.entries().iter().map(|e| e.path.as_str()).collect();
        assert_eq!(paths, ["", "a", "a/b", "a/b/keep"]);
        assert_eq!(ignore.excluding_line("c/y"), Some(2));
    }
}
