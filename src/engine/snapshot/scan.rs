//! Lists a chain for content hashing: what selectors match, everything below, and the directories above.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::OFlags;

use super::failure::During;
use super::{Layers, metadata, record};
use crate::engine::oci::LayerId;
use crate::engine::protocol::{Entry, EntryKind, Failure, Reply, Selector};
use crate::ground::fs::root::names;
use crate::ground::fs::{Missing, RealPath, RootDir};
use crate::language::dockerfile::go_match;

/// Answers `Request::Scan`.
pub fn scan(layers: &Layers, chain: &[LayerId], selectors: &[Selector]) -> Result<Reply, Failure> {
    let root = layers.view(chain)?;
    let mut found = BTreeMap::new();
    let mut matches = Vec::new();
    for selector in selectors {
        let mut paths = Vec::new();
        let mut links = Vec::new();
        let selected = select(&root, &selector.reach(), &mut links)?;
        for link in links {
            add_parents(&root, &link, &mut found)?;
            add_one(&root, &link, &mut found)?;
        }
        for real in selected {
            add_parents(&root, &real, &mut found)?;
            add(&root, &real, &mut found)?;
            paths.push(String::from_utf8_lossy(&real.bytes()).into_owned());
        }
        matches.push(paths);
    }
    let mut entries: Vec<(Vec<u8>, Entry)> = found.into_iter().collect();
    hash(&root, &mut entries)?;
    Ok(Reply::Entries { entries: entries.into_iter().map(|(_, entry)| entry).collect(), matches })
}

/// The real paths that a selector matches, sorted; none is no error. The links on the way are noted: who reads the list has
/// to find the same way.
fn select(root: &RootDir, selector: &Selector, links: &mut Vec<RealPath>) -> Result<Vec<RealPath>, Failure> {
    let names: Vec<&[u8]> = selector.path.as_bytes().split(|b| *b == b'/').filter(|n| !n.is_empty()).collect();
    let mut at = vec![RealPath::default()];
    for (index, pattern) in names.iter().enumerate() {
        let last = index + 1 == names.len();
        let mut next = Vec::new();
        for dir in at {
            let candidates = if selector.wildcard && pattern.iter().any(|b| b"*?[\\".contains(b)) {
                let Ok(fd) = root.open_dir(&dir) else { continue };
                let all = self::names(fd.as_fd()).during("list", dir.absolute())?;
                all.into_iter()
                    .filter(|name| {
                        go_match(&String::from_utf8_lossy(pattern), &String::from_utf8_lossy(name)).unwrap_or(false)
                    })
                    .collect()
            } else {
                vec![pattern.to_vec()]
            };
            for name in candidates {
                if !last || selector.follow_links {
                    note_links(root, &dir, &name, links);
                }
                if let Some(real) = follow(root, &dir.join(&name), !last || selector.follow_links) {
                    next.push(real);
                }
            }
        }
        at = next;
    }
    at.sort();
    at.dedup();
    Ok(at)
}

/// Notes the links that lead on from `name` in the real directory `dir`.
fn note_links(root: &RootDir, dir: &RealPath, name: &[u8], links: &mut Vec<RealPath>) {
    let mut at = dir.clone();
    let mut todo = vec![name.to_vec()];
    let limit = links.len() + 40;
    while let Some(name) = todo.pop() {
        match name.as_slice() {
            b"" | b"." => continue,
            b".." => {
                at = at.parent();
                continue;
            }
            _ => {}
        }
        let next = at.join(&name);
        let Ok(parent) = root.open_dir(&at) else { return };
        let Ok(target) = rustix::fs::readlinkat(&parent, name.as_slice(), Vec::new()) else {
            at = next;
            continue;
        };
        if links.len() >= limit {
            return;
        }
        links.push(next);
        if target.to_bytes().starts_with(b"/") {
            at = RealPath::default();
        }
        todo.extend(target.to_bytes().split(|b| *b == b'/').rev().map(<[u8]>::to_vec));
    }
}

/// `path` with its links followed (the last one if `through`); `None` when nothing is there.
fn follow(root: &RootDir, path: &RealPath, through: bool) -> Option<RealPath> {
    if through {
        return root.resolve(&path.bytes(), Missing::Fail).ok();
    }
    let (parent, name) = root.resolve_parent(&path.bytes(), Missing::Fail).ok()??;
    let real = parent.join(&name);
    root.open_beneath(&real.relative(), OFlags::PATH | OFlags::NOFOLLOW).is_ok().then_some(real)
}

fn add_parents(root: &RootDir, real: &RealPath, found: &mut BTreeMap<Vec<u8>, Entry>) -> Result<(), Failure> {
    let mut here = RealPath::default();
    for name in real.names() {
        if !found.contains_key(&here.bytes()) {
            add_one(root, &here, found)?;
        }
        here = here.join(name);
    }
    Ok(())
}

fn add_one(root: &RootDir, real: &RealPath, found: &mut BTreeMap<Vec<u8>, Entry>) -> Result<bool, Failure> {
    let parent = root.open_dir(&real.parent()).during("open", real.absolute())?;
    let text = String::from_utf8_lossy(&real.bytes()).into_owned();
    let name = real.name().unwrap_or(b"");
    let entry = metadata::entry(parent.as_fd(), name, text).during("look at", real.absolute())?;
    let is_dir = entry.as_ref().is_some_and(|e| e.kind == EntryKind::Directory);
    if let Some(entry) = entry {
        found.insert(real.bytes(), entry);
    }
    Ok(is_dir)
}

fn add(root: &RootDir, real: &RealPath, found: &mut BTreeMap<Vec<u8>, Entry>) -> Result<(), Failure> {
    let mut todo = if add_one(root, real, found)? { vec![real.clone()] } else { Vec::new() };
    while let Some(dir) = todo.pop() {
        let fd = root.open_dir(&dir).during("open", dir.absolute())?;
        for name in names(fd.as_fd()).during("list", dir.absolute())? {
            let path = dir.join(&name);
            let text = String::from_utf8_lossy(&path.bytes()).into_owned();
            let Some(entry) = metadata::entry(fd.as_fd(), &name, text).during("look at", path.absolute())? else { continue };
            if entry.kind == EntryKind::Directory {
                todo.push(path.clone());
            }
            found.insert(path.bytes(), entry);
        }
    }
    Ok(())
}

/// Puts the record digests in, on a few threads: reading and hashing is most of the work.
fn hash(root: &RootDir, entries: &mut [(Vec<u8>, Entry)]) -> Result<(), Failure> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(8)).min(entries.len() / 64 + 1);
    let size = entries.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let work: Vec<_> = entries.chunks_mut(size).map(|part| scope.spawn(move || hash_part(root, part))).collect();
        work.into_iter()
            .try_for_each(|handle| handle.join().unwrap_or_else(|_| Err(super::failure::internal("hashing broke off"))))
    })
}

fn hash_part(root: &RootDir, part: &mut [(Vec<u8>, Entry)]) -> Result<(), Failure> {
    use std::os::unix::ffi::OsStrExt;
    for (path, entry) in part {
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        entry.digest = if entry.kind == EntryKind::File {
            let file = root.open_beneath(path, OFlags::RDONLY | OFlags::NOFOLLOW).during("open", path)?;
            record::record_digest(entry, std::fs::File::from(file)).during("read", path)?
        } else {
            record::record_digest(entry, std::io::empty()).during("read", path)?
        };
    }
    Ok(())
}
