//! What may change places, by what was read and written.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::super::copy_what_is_read::RunReads;

/// The first path on account of which two RUNs have to keep their order: one wrote what the other wrote, read, looked at or
/// looked for in vain.
pub(super) fn conflict<'r>(one: &'r RunReads, other: &'r RunReads) -> Option<&'r str> {
    let mut both = one.wrote.iter().map(|path| (path, other)).chain(other.wrote.iter().map(|path| (path, one)));
    both.find(|(path, user)| uses(user, path)).map(|(path, _)| path.as_str())
}

/// Whether a RUN uses a path that another one wrote, or anything in it.
fn uses(run: &RunReads, path: &str) -> bool {
    let sets = [&run.seen, &run.missing, &run.wrote, &run.listed];
    sets.into_iter().any(|set| has_at_or_below(set, path))
}

/// The first of these paths whose name a RUN would see, or no longer see, in a folder that it listed. Programs list their
/// folder without using each name: that is a risk, and building both tells.
pub(super) fn lists<'p>(run: &RunReads, mut paths: impl Iterator<Item = &'p String>) -> Option<&'p str> {
    paths.find(|path| run.listed.contains(parent(path))).map(String::as_str)
}

/// Files that a COPY brings, as paths in the image.
pub(super) struct Brought<'b> {
    /// Each of them; none where they are not known.
    pub(super) files: Option<&'b BTreeSet<String>>,
    /// Where it puts them.
    pub(super) folder: &'b str,
}

impl Brought<'_> {
    /// Whether it matters to a RUN that these files are there, or are as they are here.
    pub(super) fn concern(&self, run: &RunReads) -> bool {
        let made = |path: &str| run.wrote.contains(path) || run.missing.contains(path);
        let Some(files) = self.files else {
            let sets = [&run.seen, &run.missing, &run.wrote, &run.listed];
            return sets.into_iter().any(|set| has_at_or_below(set, self.folder))
                || run.listed.contains(parent(self.folder))
                || above(self.folder).any(made);
        };
        files.iter().any(|file| has_at_or_below(&run.seen, file) || made(file) || above(file).any(made))
    }

    /// Whether a RUN changed any of them, or the folder that they are in.
    pub(super) fn changed_by(&self, run: &RunReads) -> bool {
        let wrote = |path: &str| run.wrote.contains(path);
        match self.files {
            Some(files) => {
                wrote(self.folder)
                    || above(self.folder).any(wrote)
                    || files.iter().any(|file| wrote(file) || above(file).any(wrote))
            }
            None => has_at_or_below(&run.wrote, self.folder) || above(self.folder).any(wrote),
        }
    }

    /// Whether both bring the same path, or may.
    pub(super) fn meets(&self, other: &Self) -> bool {
        match (self.files, other.files) {
            (Some(own), Some(others)) => {
                let inside = |set: &BTreeSet<String>, path: &String| has_at_or_below(set, path);
                own.iter().any(|path| inside(others, path)) || others.iter().any(|path| inside(own, path))
            }
            _ => super::super::place::overlap(self.folder, other.folder),
        }
    }
}

/// Files that say who users are.
pub(super) const USERS: [&str; 2] = ["etc/passwd", "etc/group"];

/// Whether a RUN wrote who users are: then a COPY that names an owner means another one above it.
pub(super) fn wrote_users(run: &RunReads) -> bool {
    USERS.iter().any(|file| run.wrote.contains(*file))
}

/// Whether a set has a path, or one below it. The root is above all.
fn has_at_or_below(set: &BTreeSet<String>, path: &str) -> bool {
    if path.is_empty() {
        return !set.is_empty();
    }
    let inside = format!("{path}/");
    let next = set.range::<str, _>((Bound::Included(inside.as_str()), Bound::Unbounded)).next();
    set.contains(path) || next.is_some_and(|next| next.starts_with(&inside))
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// The folders above a path, without the root.
pub(super) fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(paths: &[&str]) -> BTreeSet<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    fn run(seen: &[&str], wrote: &[&str]) -> RunReads {
        RunReads { seen: set(seen), wrote: set(wrote), ..RunReads::default() }
    }

    #[test]
    fn runs_are_independent_only_where_neither_sees_what_the_other_wrote() {
        let one = run(&["app/a", "app"], &["app/out/a"]);
        assert_eq!(conflict(&one, &run(&["app/b", "app"], &["app/out/b"])), None);
        assert_eq!(conflict(&one, &run(&["app/out/a"], &[])), Some("app/out/a"));
        assert_eq!(conflict(&run(&["app/out/a"], &[]), &one), Some("app/out/a"), "whichever stands above");
        // What is in a folder that it made is not listed.
        assert_eq!(conflict(&run(&[], &["app/out"]), &run(&["app/out/x"], &[])), Some("app/out"));
        assert_eq!(conflict(&run(&[], &["app/out"]), &run(&[], &["app/out/x"])), Some("app/out"));
        assert_eq!(conflict(&run(&[], &["app/outer"]), &run(&["app/out"], &[])), None);
        let (mut listing, mut missing) = (run(&[], &[]), run(&[], &[]));
        (listing.listed, missing.missing) = (set(&["app/out"]), set(&["app/out/a"]));
        assert_eq!(conflict(&missing, &one), Some("app/out/a"));
        // A name more in a folder is a risk; a folder that the other made is not there at all.
        assert_eq!((conflict(&one, &listing), lists(&listing, one.wrote.iter())), (None, Some("app/out/a")));
        assert_eq!(conflict(&run(&[], &["app/out"]), &listing), Some("app/out"));
    }

    #[test]
    fn a_copy_concerns_who_sees_its_files_or_made_their_folder() {
        let files = set(&["app/src/a"]);
        let brought = Brought { files: Some(&files), folder: "app" };
        assert!(brought.concern(&run(&["app/src/a"], &[])) && brought.concern(&run(&[], &["app/src"])));
        assert!(!brought.concern(&run(&["app/src", "app/src/b"], &["app/b"])));
        assert!(brought.changed_by(&run(&[], &["app"])) && !brought.changed_by(&run(&["app/src/a"], &["app/x"])));
        let unknown = Brought { files: None, folder: "app/src" };
        assert!(unknown.concern(&run(&["app/src/b"], &[])) && !unknown.concern(&run(&["app/other"], &["app/b"])));
        assert!(unknown.meets(&brought) && !brought.meets(&Brought { files: Some(&set(&["app/b"])), folder: "app" }));
    }
}
