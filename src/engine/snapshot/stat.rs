//! Counts what a layer directory holds.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::failure::During;
use crate::engine::event::LayerStat;
use crate::engine::protocol::Failure;

/// Walks `layer`. A whiteout counts as removed, an opaque directory too; a hard link counts as an entry without bytes.
pub fn of(layer: &Path) -> Result<LayerStat, Failure> {
    let mut stat = LayerStat::default();
    let mut linked = HashSet::new();
    let mut todo = vec![layer.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).during("list", &dir)? {
            let entry = entry.during("list", &dir)?;
            let meta = entry.metadata().during("look at", entry.path())?;
            if meta.file_type().is_char_device() && meta.rdev() == 0 {
                stat.removed += 1;
                continue;
            }
            stat.entries += 1;
            if meta.is_dir() {
                stat.removed += u64::from(super::metadata::is_opaque(&entry.path()));
                todo.push(entry.path());
            } else if meta.is_file() && (meta.nlink() == 1 || linked.insert(meta.ino())) {
                stat.bytes += meta.size();
            }
        }
    }
    Ok(stat)
}
