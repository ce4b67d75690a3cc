//! A context as it was read last. Where a watcher tells what changed since, only that is read again.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::entry::Selector;
use super::ignore_file::IgnoreFile;
use super::stat_index::StatIndex;
use super::tree::Tree;
use super::walk::scan;
use crate::ground::cancel::CancelToken;
use crate::ground::fs::PathError;

/// More changed paths than this are read by one walk.
const FEW: usize = 200;

/// A context from one reading to the next.
#[derive(Default)]
pub struct Kept {
    last: Option<Last>,
    /// Paths that changed since; none when nobody knows.
    changed: Option<BTreeSet<String>>,
}

struct Last {
    selectors: Vec<Selector>,
    ignore: IgnoreFile,
    tree: Arc<Tree>,
    index: StatIndex,
}

impl Kept {
    /// Tells which paths changed since the last reading; without paths, that anything may have.
    pub fn note(&mut self, paths: Option<&[String]>) {
        match (paths, &mut self.changed) {
            (Some(paths), Some(changed)) => changed.extend(paths.iter().cloned()),
            _ => self.changed = None,
        }
    }

    /// From now on, every change is told.
    pub fn watched(&mut self) {
        self.changed.get_or_insert_default();
    }

    /// Reads the context, or what changed of it. `index` is asked for where nothing was read before. Errors: as [`scan`].
    pub fn read(
        &mut self,
        root: &Path,
        selectors: &[Selector],
        ignore: &IgnoreFile,
        index: impl FnOnce() -> StatIndex,
    ) -> Result<Arc<Tree>, PathError> {
        if let (Some(mut last), Some(changed)) = (self.last.take(), self.changed.take()) {
            let whole = selectors.iter().any(|s| s.path.is_empty() && !s.wildcard && !s.is_filtered());
            // A folder that an exception keeps may go with the last file in it.
            let simple = whole && changed.len() <= FEW && !ignore.rules().has_exceptions();
            if simple && last.selectors == selectors && last.ignore == *ignore {
                last.update(root, &changed)?;
                let tree = Arc::clone(&last.tree);
                (self.last, self.changed) = (Some(last), Some(BTreeSet::new()));
                return Ok(tree);
            }
            self.changed = Some(BTreeSet::new());
            return self.walk(root, selectors, ignore, last.index);
        }
        self.walk(root, selectors, ignore, index())
    }

    fn walk(
        &mut self,
        root: &Path,
        selectors: &[Selector],
        ignore: &IgnoreFile,
        index: StatIndex,
    ) -> Result<Arc<Tree>, PathError> {
        let scanned = scan(root, selectors, ignore, &index, &CancelToken::default())?;
        let tree = Arc::new(scanned.tree);
        let (selectors, ignore) = (selectors.to_vec(), ignore.clone());
        self.last = Some(Last { selectors, ignore, tree: Arc::clone(&tree), index: scanned.index });
        Ok(tree)
    }
}

impl Last {
    /// Reads these paths and what is below them anew.
    fn update(&mut self, root: &Path, changed: &BTreeSet<String>) -> Result<(), PathError> {
        for path in changed {
            let selector = Selector { path: path.clone(), ..Selector::default() };
            let fresh = scan(root, &[selector], &self.ignore, &self.index, &CancelToken::default())?;
            Arc::make_mut(&mut self.tree).replace(path, fresh.tree.into_entries());
            self.index.extend(fresh.index);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::content_key;
    use super::*;

    #[test]
    fn told_changes_give_what_a_walk_gives() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        for path in ["a", "d/b", "d/e/f", "d.x", "z/1"] {
            write(path, "1");
        }
        let all = [Selector::new("")];
        let ignore = IgnoreFile::parse(".dockerignore", b"z/2\n").unwrap();
        let mut kept = Kept::default();
        kept.read(dir.path(), &all, &ignore, StatIndex::default).unwrap();
        kept.watched();
        let mut check = |paths: &[&str]| {
            let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
            kept.note(Some(&paths));
            let tree = kept.read(dir.path(), &all, &ignore, StatIndex::default).unwrap();
            let walked = scan(dir.path(), &all, &ignore, &StatIndex::default(), &CancelToken::default()).unwrap().tree;
            let names = |tree: &Tree| tree.entries().iter().map(|e| e.path.clone()).collect::<Vec<_>>();
            assert_eq!(names(&tree), names(&walked), "{paths:?}");
            assert_eq!(content_key(&tree, &all), content_key(&walked, &all), "{paths:?}");
        };
        write("d/b", "22");
        check(&["d/b"]);
        write("n/new/file", "1");
        check(&["n"]);
        std::fs::remove_dir_all(dir.path().join("d")).unwrap();
        check(&["d"]);
        write("z/2", "ignored");
        check(&["z/2"]);
        std::fs::rename(dir.path().join("a"), dir.path().join("b")).unwrap();
        check(&["a", "b"]);
        check(&[]);
    }

    #[test]
    fn what_nobody_told_is_walked() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "1").unwrap();
        let all = [Selector::new("")];
        let mut kept = Kept::default();
        let mut read = || kept.read(dir.path(), &all, &IgnoreFile::default(), StatIndex::default).unwrap();
        let first = content_key(&read(), &all);
        std::fs::write(dir.path().join("a"), "2").unwrap();
        assert_ne!(content_key(&read(), &all), first);
    }
}
