//! The folders of cache mounts, seen from outside of any step: what they hold, and their end.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::engine::event::LayerStat;
use crate::engine::protocol::{CacheFolder, Failure};
use crate::engine::snapshot::Layers;
use crate::engine::snapshot::failure::{During, user};
use crate::engine::snapshot::stat;
use crate::ground::fs::root::remove_all;

/// How many paths of one cache are listed.
const LISTED: usize = 1000;

/// All folders, by name. A file system without any has no folder for them either.
pub fn list(layers: &Layers) -> Result<Vec<CacheFolder>, Failure> {
    let folder = layers.caches();
    let mut out = Vec::new();
    for entry in fs::read_dir(&folder).into_iter().flatten() {
        let path = entry.during("list", &folder)?.path();
        // What has no name of ours is not ours.
        let ours = |name: &&str| safe(name).is_ok() && path.is_dir();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(ours) else { continue };
        let changed = fs::metadata(&path).during("look at", &path)?;
        let changed = changed.mtime().unsigned_abs() * 1_000_000 + changed.mtime_nsec().unsigned_abs() / 1000;
        out.push(CacheFolder { name: name.to_owned(), stat: stat::of(&path)?, changed });
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(out)
}

/// What takes the space in one folder: paths of one or two components, the largest first.
pub fn contents(layers: &Layers, name: &str) -> Result<Vec<(String, LayerStat)>, Failure> {
    let root = layers.caches().join(safe(name)?);
    let mut out = Vec::new();
    for (path, meta) in children(&root)? {
        let shown = name_of(&path);
        out.push((shown.clone(), size_of(&path, &meta)?));
        if meta.is_dir() {
            for (below, meta) in children(&path)? {
                out.push((format!("{shown}/{}", name_of(&below)), size_of(&below, &meta)?));
            }
        }
    }
    out.sort_by(|a, b| b.1.bytes.cmp(&a.1.bytes).then_with(|| a.0.cmp(&b.0)));
    out.truncate(LISTED);
    Ok(out)
}

fn children(dir: &Path) -> Result<Vec<(std::path::PathBuf, fs::Metadata)>, Failure> {
    let mut out = Vec::new();
    for entry in fs::read_dir(dir).during("list", dir)? {
        let path = entry.during("list", dir)?.path();
        let meta = fs::symlink_metadata(&path).during("look at", &path)?;
        out.push((path, meta));
    }
    Ok(out)
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn size_of(path: &Path, meta: &fs::Metadata) -> Result<LayerStat, Failure> {
    match meta.is_dir() {
        true => stat::of(path),
        false => Ok(LayerStat { bytes: meta.size(), entries: 1, removed: 0 }),
    }
}

/// Removes folders, and gives the names of those that are gone.
pub fn remove(layers: &Layers, names: &[String]) -> Result<Vec<String>, Failure> {
    use std::os::fd::AsFd;
    let folder = layers.caches();
    let mut gone = Vec::new();
    for name in names {
        let lock_path = folder.join(format!("{}.lock", safe(name)?));
        let lock = File::options().read(true).write(true).create(true).truncate(false).open(&lock_path);
        let lock = lock.during("open", &lock_path)?;
        if lock.try_lock().is_err() {
            continue;
        }
        // Aside first, so that a step that comes now finds no folder rather than half of one.
        let work = layers.work_dir(&[])?;
        let path = folder.join(name);
        match fs::rename(&path, work.path().join("gone")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).during("remove", &path),
            _ => {}
        }
        let dir = File::open(work.path()).during("open", work.path())?;
        if work.path().join("gone").exists() {
            remove_all(dir.as_fd(), b"gone").during("remove", &path)?;
        }
        let _ = fs::remove_file(&lock_path);
        gone.push(name.clone());
    }
    Ok(gone)
}

/// A name never becomes a path that leads elsewhere.
fn safe(name: &str) -> Result<&str, Failure> {
    let (hex, number) = name.split_once('.').unwrap_or((name, "0"));
    let fits = !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit()) && number.bytes().all(|b| b.is_ascii_digit());
    if fits { Ok(name) } else { Err(user("a cache mount has a name that is no digest")) }
}
