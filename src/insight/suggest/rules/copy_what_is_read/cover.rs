//! A few sources of COPY that stand for a set of files.

use std::collections::{BTreeMap, BTreeSet, HashMap};

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
        let counts = (count(wanted), count(all));
        let mut forced = BTreeSet::new();
        let mut cover = loop {
            let cover = Self::with(wanted, &counts, root, &forced);
            let lines = cover.folders.len() + cover.single.len();
            // The deepest folder is joined with the one above it, as long as that leaves more than one.
            let deepest = cover.single.keys().chain(&cover.folders).max_by_key(|path| path.matches('/').count());
            let above = deepest.filter(|path| *path != root).map(|path| parent(path).to_owned());
            match above.filter(|above| lines > LINES && below(root, above).is_some_and(|rest| !rest.is_empty())) {
                Some(above) if forced.insert(above.clone()) => {}
                _ => break cover,
            }
        };
        cover.files.extend(all.iter().filter(|file| in_any(&cover.folders, file)).cloned());
        cover
    }

    /// Nothing but the files themselves.
    pub(in super::super) fn only(wanted: &BTreeSet<String>) -> Self {
        let mut single: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for file in wanted {
            single.entry(parent(file).to_owned()).or_default().push(file.clone());
        }
        Self { folders: BTreeSet::new(), single, files: wanted.clone() }
    }

    /// Without the files that come with a folder.
    fn with(wanted: &BTreeSet<String>, counts: &(Counts<'_>, Counts<'_>), root: &str, forced: &BTreeSet<String>) -> Self {
        let mut by_folder: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
        for file in wanted {
            by_folder.entry(parent(file)).or_default().push(file);
        }
        let mut cover = Self { folders: BTreeSet::new(), single: BTreeMap::new(), files: wanted.clone() };
        for (folder, files) in by_folder {
            match Self::whole(folder, files.len(), counts, root, forced) {
                Some(whole) => drop(cover.folders.insert(whole)),
                None => drop(cover.single.insert(folder.to_owned(), files.into_iter().cloned().collect())),
            }
        }
        let nested: BTreeSet<String> =
            cover.folders.iter().filter(|folder| in_any(&cover.folders, folder)).cloned().collect();
        cover.folders.retain(|folder| !nested.contains(folder));
        let folders = &cover.folders;
        cover.single.retain(|folder, _| !folders.contains(folder) && !in_any(folders, folder));
        cover
    }

    /// The outermost folder at or above `folder` that is taken whole: all of it is wanted, or too many files of it are.
    fn whole(
        folder: &str,
        files: usize,
        (wanted, all): &(Counts<'_>, Counts<'_>),
        root: &str,
        forced: &BTreeSet<String>,
    ) -> Option<String> {
        let mut best = (files > FILES_OF_A_FOLDER && folder != root && !folder.is_empty()).then(|| folder.to_owned());
        let mut at = folder;
        while below(root, at).is_some_and(|rest| !rest.is_empty()) && !at.is_empty() {
            // Whole even with one file in it: what is added to it later belongs to the step as well.
            if forced.contains(at) || wanted.get(at) == all.get(at) {
                best = Some(at.to_owned());
            }
            at = parent(at);
        }
        best
    }
}

/// By folder: files in it and in those below it.
type Counts<'f> = HashMap<&'f str, usize>;

fn count(files: &BTreeSet<String>) -> Counts<'_> {
    let mut out = Counts::new();
    for file in files {
        folders_of(file).for_each(|folder| *out.entry(folder).or_default() += 1);
    }
    out
}

/// The folders above a path, without the root.
fn folders_of(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

fn in_any(folders: &BTreeSet<String>, path: &str) -> bool {
    folders_of(path).any(|folder| folders.contains(folder))
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_folders_are_joined_soon_enough() {
        let all: BTreeSet<String> = (0..6_000).map(|at| format!("d{}/s{}/t{at}", at % 100, at % 7)).collect();
        let wanted: BTreeSet<String> = all.iter().step_by(13).cloned().collect();
        let started = std::time::Instant::now();
        let cover = Cover::of(&wanted, &all, "");
        assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
        assert!(cover.files.is_superset(&wanted) && cover.single.is_empty());
        assert!(cover.folders.len() > LINES, "nothing is above the outermost folders");
    }

    #[test]
    fn folders_stand_for_their_files() {
        let set = |paths: &[&str]| -> BTreeSet<String> { paths.iter().map(|path| (*path).to_owned()).collect() };
        let all = set(&["a/b/1", "a/b/2", "a/c/1", "d/1", "d/2", "e"]);
        let cover = Cover::of(&set(&["a/b/1", "a/b/2", "a/c/1", "d/1", "e"]), &all, "");
        assert_eq!(cover.folders, set(&["a"]));
        assert_eq!(cover.single.keys().collect::<Vec<_>>(), ["", "d"]);
        assert_eq!(cover.files.len(), 5);
        // What is not wanted comes along with a folder above it that had to be taken.
        let all: BTreeSet<String> = (0..8).flat_map(|at| [format!("x/{at}/a"), format!("x/{at}/b")]).collect();
        let cover = Cover::of(&all.iter().filter(|path| path.ends_with('a')).cloned().collect(), &all, "");
        assert_eq!((cover.folders, cover.files.len()), (set(&["x"]), 16));
    }
}
