//! Tells when something in a context changes. Only folders that the ignore file leaves are watched; where the system does not
//! allow so many watches, the folder is looked at every other second instead.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::entry::EntryKind;
use super::ignore_file::IgnoreFile;
use super::walk::list;
use crate::ground::fs::PathError;

/// Changes come in bursts: an editor writes, renames and removes.
const QUIET: Duration = Duration::from_millis(8);
/// Where nothing can be watched.
const POLL: Duration = Duration::from_secs(2);

/// What happened while somebody waited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// Nothing.
    Nothing,
    /// These paths, relative to the context; none of them when it was the Dockerfile outside of it.
    Paths(Vec<String>),
    /// Nobody knows what.
    Anything,
}

/// Watches a context and the folder of its Dockerfile.
pub struct Watch {
    root: PathBuf,
    dockerfile: PathBuf,
    watcher: Option<RecommendedWatcher>,
    events: Receiver<notify::Result<notify::Event>>,
    known: BTreeSet<PathBuf>,
    /// Why nothing is watched, in words for the user.
    off: Option<String>,
}

impl Watch {
    /// Begins to watch. Errors: the context cannot be listed.
    pub fn new(root: &Path, dockerfile: &Path, ignore: &IgnoreFile) -> Result<Self, PathError> {
        let (sender, events) = channel();
        let made = notify::recommended_watcher(move |event| drop(sender.send(event)));
        let off = made.as_ref().err().map(words);
        let (root, dockerfile) = (root.to_owned(), dockerfile.to_owned());
        let mut watch = Self { root, dockerfile, watcher: made.ok(), events, known: BTreeSet::new(), off };
        watch.refresh(ignore)?;
        Ok(watch)
    }

    /// Watches folders that are new. Errors: the context cannot be listed.
    pub fn refresh(&mut self, ignore: &IgnoreFile) -> Result<(), PathError> {
        let Some(watcher) = &mut self.watcher else { return Ok(()) };
        let folders = list(&self.root, ignore)?.into_iter().filter(|(_, kind, _)| *kind == EntryKind::Directory);
        let mut wanted: BTreeSet<PathBuf> = folders.map(|(path, ..)| self.root.join(path)).collect();
        wanted.insert(self.root.clone());
        wanted.extend(self.dockerfile.parent().map(Path::to_owned));
        for folder in &wanted {
            if self.known.contains(folder) {
                continue;
            }
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                // A folder that vanished meanwhile is no trouble; too few watches are.
                if folder.exists() {
                    self.off = Some(words(&error));
                    self.watcher = None;
                    return Ok(());
                }
            }
        }
        self.known = wanted;
        Ok(())
    }

    /// Why nothing is watched; then [`Self::wait`] returns every other second.
    pub fn off(&self) -> Option<&str> {
        self.off.as_deref()
    }

    /// Waits for a change, at most this long; it has been quiet since.
    pub fn wait(&mut self, most: Duration) -> Changed {
        if self.watcher.is_none() {
            std::thread::sleep(most.min(POLL));
            return Changed::Anything;
        }
        let mut paths = Some(BTreeSet::new());
        let until = std::time::Instant::now() + most;
        loop {
            match self.events.recv_timeout(until.saturating_duration_since(std::time::Instant::now())) {
                Ok(event) if is_change(&event) => {
                    self.add(&mut paths, event);
                    break;
                }
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Changed::Nothing,
                Err(RecvTimeoutError::Disconnected) => {
                    self.watcher = None;
                    return Changed::Anything;
                }
            }
        }
        while let Ok(event) = self.events.recv_timeout(QUIET) {
            if is_change(&event) {
                self.add(&mut paths, event);
            }
        }
        paths.map_or(Changed::Anything, |paths| Changed::Paths(paths.into_iter().collect()))
    }

    /// Adds the paths of an event, relative to the context; an event that lacks some makes them unknown.
    fn add(&self, paths: &mut Option<BTreeSet<String>>, event: notify::Result<notify::Event>) {
        let Some(known) = paths else { return };
        match event {
            Ok(event) if !event.need_rescan() && !event.paths.is_empty() => {
                for path in event.paths {
                    match path.strip_prefix(&self.root).map(|path| path.to_str().map(str::to_owned)) {
                        Ok(Some(path)) => drop(known.insert(path)),
                        // The Dockerfile may lie elsewhere.
                        Err(_) => {}
                        Ok(None) => {
                            *paths = None;
                            return;
                        }
                    }
                }
            }
            _ => *paths = None,
        }
    }
}

/// Reading a file is no change.
fn is_change(event: &notify::Result<notify::Event>) -> bool {
    !matches!(event, Ok(event) if matches!(event.kind, EventKind::Access(_)))
}

fn words(error: &notify::Error) -> String {
    match &error.kind {
        notify::ErrorKind::MaxFilesWatch => {
            "the system allows no more watches (fs.inotify.max_user_watches); looking every 2 seconds instead".to_owned()
        }
        notify::ErrorKind::Io(error) => {
            format!("{}; looking every 2 seconds instead", crate::ground::fs::error::describe(error))
        }
        other => format!("{other:?}; looking every 2 seconds instead"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_file_is_seen_and_an_ignored_folder_is_not() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("src")).unwrap();
        std::fs::create_dir_all(dir.path().join("ignored/deep")).unwrap();
        let ignore = IgnoreFile::parse(".dockerignore", b"ignored\n").unwrap();
        let mut watch = Watch::new(dir.path(), &dir.path().join("Dockerfile"), &ignore).unwrap();
        if let Some(why) = watch.off() {
            println!("skipped: watching: {why}");
            return;
        }
        assert_eq!(watch.wait(Duration::from_millis(50)), Changed::Nothing);
        std::fs::write(dir.path().join("src/a"), "1").unwrap();
        assert_eq!(watch.wait(Duration::from_secs(5)), Changed::Paths(vec!["src/a".into()]));
        std::fs::write(dir.path().join("ignored/deep/b"), "1").unwrap();
        assert_eq!(watch.wait(Duration::from_millis(100)), Changed::Nothing);
        // A new folder is watched from the next refresh on.
        std::fs::create_dir(dir.path().join("new")).unwrap();
        assert_ne!(watch.wait(Duration::from_secs(5)), Changed::Nothing);
        watch.refresh(&ignore).unwrap();
        std::fs::write(dir.path().join("new/c"), "1").unwrap();
        assert_ne!(watch.wait(Duration::from_secs(5)), Changed::Nothing);
    }
}
