//! The build context as it would lie there after a checkout of a commit, without its bytes: what a file is called in git stands
//! for its content. It moves from commit to commit; only what a commit changed is looked at.

use std::collections::{BTreeMap, HashMap};

use crate::engine::EngineError;
use crate::engine::context::{Entry, EntryKind, Filter, IgnoreFile, RootHeader, Tree};
use crate::ground::digest::Digest;
use crate::insight::workbench::history::{Blobs, Object};

/// Targets of links longer than this are none.
const LINK_LIMIT: u64 = 4096;

/// A context at a commit.
pub struct Checkout {
    /// Everything that is tracked below the context.
    files: BTreeMap<String, Object>,
    /// Files below each folder: all, and those that the ignore file leaves.
    folders: HashMap<String, Count>,
    ignore: IgnoreFile,
    tree: Tree,
    /// Targets of links, by their object.
    targets: HashMap<String, String>,
    /// A file whose content is this one at every commit.
    fixed: Option<(String, Digest)>,
}

/// An entry of the context that is another, or is not there any more, or is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Where.
    pub path: String,
    /// What stood for its content.
    pub before: Option<Digest>,
    /// What stands for it now.
    pub now: Option<Digest>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    all: usize,
    kept: usize,
}

impl Checkout {
    /// An empty one. `fixed` is a file that has the same content at every commit.
    pub fn new(fixed: Option<(String, Digest)>) -> Self {
        Self {
            files: BTreeMap::new(),
            folders: HashMap::new(),
            ignore: IgnoreFile::default(),
            tree: Tree::new(vec![root()], RootHeader::Constant),
            targets: HashMap::new(),
            fixed,
        }
    }

    /// What `.dockerignore` leaves.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Takes changes over; paths are relative to the context. Returns what of the context moved by that, folders too.
    pub fn apply(&mut self, changes: &[(String, Option<Object>)], blobs: &mut Blobs) -> Result<Vec<Moved>, EngineError> {
        let mut out = Vec::new();
        for (path, object) in changes {
            if let Some(object) = object {
                self.learn_link(object, blobs)?;
            }
            let before = match object {
                Some(object) => self.files.insert(path.clone(), object.clone()),
                None => self.files.remove(path),
            };
            self.place(path, before.as_ref(), object.as_ref(), &mut out);
        }
        Ok(out)
    }

    /// Another ignore file is in force from now on. Returns whether it says something else.
    pub fn set_ignore(&mut self, ignore: IgnoreFile) -> bool {
        if ignore == self.ignore {
            return false;
        }
        self.ignore = ignore;
        self.folders.clear();
        self.tree = Tree::new(vec![root()], RootHeader::Constant);
        for (path, object) in std::mem::take(&mut self.files) {
            self.place(&path, None, Some(&object), &mut Vec::new());
            self.files.insert(path, object);
        }
        true
    }

    fn learn_link(&mut self, object: &Object, blobs: &mut Blobs) -> Result<(), EngineError> {
        if kind(object) == EntryKind::Symlink && !self.targets.contains_key(&object.id) {
            let target = blobs.read(&object.id, LINK_LIMIT)?.unwrap_or_default();
            self.targets.insert(object.id.clone(), String::from_utf8_lossy(&target).into_owned());
        }
        Ok(())
    }

    /// Puts a path into the tree, or takes it out.
    fn place(&mut self, path: &str, before: Option<&Object>, now: Option<&Object>, moved: &mut Vec<Moved>) {
        let kept = !self.ignore.excludes(path, false);
        if kept {
            self.set(path, now.map(|object| self.entry(path, object)), moved);
        }
        let step = i64::from(now.is_some()) - i64::from(before.is_some());
        if step != 0 {
            for (at, _) in path.match_indices('/') {
                self.count(&path[..at], step, kept, moved);
            }
        }
    }

    fn set(&mut self, path: &str, entry: Option<Entry>, moved: &mut Vec<Moved>) {
        let now = entry.as_ref().map(|entry| entry.digest);
        let before = match entry {
            Some(entry) => self.tree.put(entry),
            None => self.tree.remove(path),
        };
        let before = before.map(|entry| entry.digest);
        if before != now {
            moved.push(Moved { path: path.to_owned(), before, now });
        }
    }

    /// A folder exists as long as a file lies below it; one that is left out itself only for what stays below it.
    fn count(&mut self, folder: &str, step: i64, kept: bool, moved: &mut Vec<Moved>) {
        let next = |n: usize| usize::try_from(n as i64 + step).unwrap_or(0);
        let count = self.folders.entry(folder.to_owned()).or_default();
        count.all = next(count.all);
        if kept {
            count.kept = next(count.kept);
        }
        let count = *count;
        let stays = count.all > 0 && (count.kept > 0 || !self.ignore.excludes(folder, true));
        if stays != self.tree.get(folder).is_some() {
            let entry = stays.then(|| node(folder, EntryKind::Directory, 0o755, None, Digest::of("directory")));
            self.set(folder, entry, moved);
        }
    }

    fn entry(&self, path: &str, object: &Object) -> Entry {
        let kind = kind(object);
        let link = self.targets.get(&object.id).filter(|_| kind == EntryKind::Symlink).cloned();
        let mode = if object.mode & 0o111 != 0 { 0o755 } else { 0o644 };
        let digest = match &self.fixed {
            Some((fixed, digest)) if fixed == path => *digest,
            _ => Digest::of(format!("{:o} {}", object.mode, object.id)),
        };
        match kind {
            // Another repository, which is not fetched: an empty folder.
            EntryKind::Directory => node(path, kind, 0o755, None, Digest::of("directory")),
            kind => node(path, kind, mode, link, digest),
        }
    }
}

fn kind(object: &Object) -> EntryKind {
    match object.mode {
        0o120000 => EntryKind::Symlink,
        0o160000 => EntryKind::Directory,
        _ => EntryKind::File,
    }
}

fn root() -> Entry {
    node("", EntryKind::Directory, 0o755, None, Digest::of(""))
}

fn node(path: &str, kind: EntryKind, mode: u32, link: Option<String>, digest: Digest) -> Entry {
    Entry {
        path: path.to_owned(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        size: 0,
        link,
        xattrs: Vec::new(),
        device: None,
        modified: (0, 0),
        digest,
    }
}
