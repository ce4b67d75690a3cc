//! A context on disk, as rules and questions see it: names, kinds and times, and the text of small files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::engine::EngineError;
use crate::engine::context::{EntryKind, Filter, IgnoreFile, Listed, list};
use crate::insight::suggest::ContextView;

/// What `.dockerignore` leaves of a context.
pub struct Folder {
    root: PathBuf,
    entries: Vec<Listed>,
    ignore_text: String,
    /// Changes per hundred commits, of files and folders; none without a history.
    rates: Option<BTreeMap<String, f64>>,
}

/// Texts larger than this are not read: no manifest is.
const READ_LIMIT: u64 = 4 << 20;

impl Folder {
    /// Lists a context. Errors: of the file system.
    pub fn open(root: &Path, ignore: &IgnoreFile) -> Result<Self, EngineError> {
        Ok(Self { root: root.to_owned(), entries: list(root, ignore)?, ignore_text: String::new(), rates: None })
    }

    /// The same with what the ignore file leaves out.
    pub fn open_whole(root: &Path) -> Result<Self, EngineError> {
        Ok(Self { root: root.to_owned(), entries: list(root, &Readable)?, ignore_text: String::new(), rates: None })
    }

    /// With how often paths change.
    #[must_use]
    pub fn with_rates(self, rates: Option<BTreeMap<String, f64>>) -> Self {
        Self { rates, ..self }
    }

    /// With the text of the ignore file, for rules that add to it.
    #[must_use]
    pub fn with_ignore_text(self, ignore_text: String) -> Self {
        Self { ignore_text, ..self }
    }

    /// The file that was edited last.
    pub fn newest(&self, wanted: &dyn Fn(&String) -> bool) -> Option<String> {
        let files = self.entries.iter().filter(|(path, kind, _)| *kind == EntryKind::File && wanted(path));
        files.max_by_key(|(_, _, modified)| *modified).map(|(path, ..)| path.clone())
    }

    /// All paths with their kinds and sizes; what vanished meanwhile has none.
    pub fn sizes(&self) -> impl Iterator<Item = (&str, EntryKind, u64)> {
        let size = |path: &str| std::fs::symlink_metadata(self.root.join(path)).map_or(0, |meta| meta.len());
        self.entries
            .iter()
            .map(move |(path, kind, _)| (path.as_str(), *kind, if *kind == EntryKind::File { size(path) } else { 0 }))
    }

    /// All paths that are no directories, sorted.
    pub fn files(&self) -> impl Iterator<Item = &str> + Clone {
        let files = self.entries.iter().filter(|(_, kind, _)| *kind != EntryKind::Directory);
        files.map(|(path, ..)| path.as_str())
    }
}

/// Everything whose name can be written in a Dockerfile.
struct Readable;

impl Filter for Readable {
    fn excludes(&self, path: &str, _: bool) -> bool {
        path.contains(char::REPLACEMENT_CHARACTER)
    }

    fn prunes(&self, _: &str) -> bool {
        true
    }
}

impl ContextView for Folder {
    fn ignore_text(&self) -> String {
        self.ignore_text.clone()
    }

    fn changes_per_hundred(&self, path: &str) -> Option<f64> {
        Some(self.rates.as_ref()?.get(path).copied().unwrap_or(0.0))
    }

    fn size(&self, path: &str) -> u64 {
        std::fs::symlink_metadata(self.root.join(path)).map_or(0, |meta| meta.len())
    }

    fn exists(&self, path: &str) -> bool {
        self.entries.binary_search_by(|(known, ..)| known.as_str().cmp(path)).is_ok()
    }

    fn read(&self, path: &str) -> Option<String> {
        if !self.exists(path) {
            return None;
        }
        let full = self.root.join(path);
        let meta = std::fs::symlink_metadata(&full).ok()?;
        if !meta.is_file() || meta.len() > READ_LIMIT {
            return None;
        }
        std::fs::read_to_string(full).ok()
    }

    fn list(&self) -> Vec<String> {
        self.files().map(str::to_owned).collect()
    }
}
