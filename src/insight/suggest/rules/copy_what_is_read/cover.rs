//! A few sources of COPY that stand for a set of files.

use std::collections::{BTreeMap, BTreeSet};

use super::super::place::below;

/// More files of one folder are copied as the folder.
const FILES_OF_A_FOLDER: usize = 8;
/// More COPY lines for one step are joined into folders.
const LINES: usize = 6;

/// A few sources that stand for a set of files.
pub(in super::super) struct Cover {
    /// Taken whole.
    pub(in super::super) folders: BTreeSet<String>,
    /// By folder.
    pub(in super::super) single: BTreeMap<String, Vec<String>>,
    /// All files that they bring: those wanted, and what else lies in a folder that is taken whole.
    pub(in super::super) files: BTreeSet<String>,
}

impl Cover {
    /// Covers `wanted`, a part of `all`; nothing above `root` is taken whole.
    pub(in super::super) fn of(wanted: &BTreeSet<String>, all: &BTreeSet<String>, root: &str) -> Self {
        let mut folders = BTreeSet::new();
        loop {
            let cover = Self::with(wanted, all, root, &folders);
            let lines = cover.folders.len() + cover.single.len();
            // The deepest folder is joined with the one above it, as long as that leaves more than one.
            let deepest = cover.single.keys().chain(&cover.folders).max_by_key(|path| path.matches('/').count());
            let above = deepest.filter(|path| *path != root).map(|path| parent(path).to_owned());
            match above.filter(|above| lines > LINES && below(root, above).is_some_and(|rest| !rest.is_empty())) {
                Some(above) if folders.insert(above.clone()) => {}
                _ => return cover,
            }
        }
    }

    fn with(wanted: &BTreeSet<String>, all: &BTreeSet<String>, root: &str, forced: &BTreeSet<String>) -> Self {
        let mut cover = Self { folders: BTreeSet::new(), single: BTreeMap::new(), files: BTreeSet::new() };
        let mut by_folder: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
        for file in wanted {
            by_folder.entry(parent(file)).or_default().push(file);
        }
        for (folder, files) in by_folder {
            let whole = Self::whole(folder, files.len(), wanted, all, root, forced);
            match whole {
                Some(whole) => drop(cover.folders.insert(whole)),
                None => drop(cover.single.insert(folder.to_owned(), files.into_iter().cloned().collect())),
            }
        }
        let nested: Vec<String> = cover.folders.iter().filter(|f| has_outer(&cover.folders, f)).cloned().collect();
        cover.folders.retain(|folder| !nested.contains(folder));
        cover.single.retain(|folder, _| !cover.folders.iter().any(|outer| below(outer, folder).is_some()));
        cover.files.extend(wanted.iter().cloned());
        for folder in &cover.folders {
            cover.files.extend(all.iter().filter(|file| below(folder, file).is_some()).cloned());
        }
        cover
    }

    /// The outermost folder at or above `folder` that is taken whole: all of it is wanted, or too many files of it are.
    fn whole(
        folder: &str,
        count: usize,
        wanted: &BTreeSet<String>,
        all: &BTreeSet<String>,
        root: &str,
        forced: &BTreeSet<String>,
    ) -> Option<String> {
        let mut best = (count > FILES_OF_A_FOLDER && folder != root && !folder.is_empty()).then(|| folder.to_owned());
        let mut at = folder;
        while below(root, at).is_some_and(|rest| !rest.is_empty()) && !at.is_empty() {
            let mut inside = all.iter().filter(|file| below(at, file).is_some());
            // Whole even with one file in it: what is added to it later belongs to the step as well.
            if forced.contains(at) || inside.all(|file| wanted.contains(file)) {
                best = Some(at.to_owned());
            }
            at = parent(at);
        }
        best
    }
}

fn has_outer(folders: &BTreeSet<String>, folder: &str) -> bool {
    folders.iter().any(|outer| outer != folder && below(outer, folder).is_some())
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}
