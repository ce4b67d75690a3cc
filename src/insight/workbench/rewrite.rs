//! Writes a suggestion, and takes it back. What is replaced is kept in the store, not beside the Dockerfile: there it would be
//! part of the next context.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::engine::store::Store;
use crate::engine::{EngineError, Project};
use crate::ground::digest::Digest;
use crate::ground::fs::{AtomicFile, PathResultExt};
use crate::insight::suggest::{Rewritten, Suggestion};
use crate::language::dockerfile::encoding::encode;

/// What is remembered of a rewrite, beside the bytes that it replaced.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// The file that was written.
    path: PathBuf,
    /// Whether it was there before.
    existed: bool,
    /// Digest of what was written.
    written: Digest,
}

/// A file that was written, or put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The file.
    pub path: PathBuf,
    /// What it was lies here; after it was put back, nowhere any more.
    pub backup: Option<PathBuf>,
}

/// Writes a suggestion. Refused when the file is not the one that the suggestion was made for, and when there is nothing to
/// write.
pub fn apply(project: &Project, store: &Store, suggestion: &Suggestion) -> Result<Written, EngineError> {
    if suggestion.is_advice() {
        let hint = "it says what to do; what exactly is not in the file".to_owned();
        return Err(EngineError::user("this suggestion is advice, and has no rewrite to apply", Some(hint)));
    }
    let path = target(project, suggestion.file)?;
    let before = match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && suggestion.file == Rewritten::IgnoreFile => None,
        Err(error) => return Err(error).at("read", &path).map_err(Into::into),
    };
    let text = match (&before, suggestion.file) {
        (_, Rewritten::Dockerfile) => project.read_dockerfile()?,
        (Some(bytes), Rewritten::IgnoreFile) => String::from_utf8_lossy(bytes).into_owned(),
        (None, Rewritten::IgnoreFile) => String::new(),
    };
    if text != suggestion.before {
        let hint = "look at the suggestions again".to_owned();
        let name = path.file_name().map(|name| name.to_string_lossy().escape_debug().to_string()).unwrap_or_default();
        return Err(EngineError::user(format!("{name} changed since the suggestion was made"), Some(hint)));
    }
    let bytes = match suggestion.file {
        Rewritten::Dockerfile => encode(&suggestion.after, before.as_deref().unwrap_or_default()),
        Rewritten::IgnoreFile => suggestion.after.clone().into_bytes(),
    };
    let record = Record { path: path.clone(), existed: before.is_some(), written: Digest::of(&bytes) };
    let backup = keep(project, store, &record, before.as_deref().unwrap_or_default())?;
    write(&path, &bytes)?;
    Ok(Written { path, backup: Some(backup) })
}

/// Puts back what the last rewrite of a project replaced. Refused when the file was changed since.
pub fn undo(project: &Project, store: &Store) -> Result<Written, EngineError> {
    let nothing = || EngineError::user("there is no rewrite of this project to take back", None);
    let folder = store.layout.backups(&project.id());
    let listed = std::fs::read_dir(&folder).map_err(|_| nothing())?;
    let names = listed.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "json"));
    let newest = names.max().ok_or_else(nothing)?;
    let bytes = std::fs::read(&newest).at("read", &newest)?;
    let broken = |_| EngineError::environment("the record of the last rewrite is damaged", None);
    let record: Record = serde_json::from_slice(&bytes).map_err(broken)?;
    let kept = newest.with_extension("bytes");
    let now = std::fs::read(&record.path).at("read", &record.path)?;
    if Digest::of(&now) != record.written {
        let shown = kept.display().to_string().escape_debug().to_string();
        let hint = format!("take what you need out of `{shown}`, which is the file as it was");
        return Err(EngineError::user("the file was changed since it was rewritten", Some(hint)));
    }
    match record.existed {
        true => write(&record.path, &std::fs::read(&kept).at("read", &kept)?)?,
        false => std::fs::remove_file(&record.path).at("remove", &record.path)?,
    }
    std::fs::remove_file(&newest).at("remove", &newest)?;
    // The record went first: bytes without one are no backup of anything.
    let _ = std::fs::remove_file(&kept);
    Ok(Written { path: record.path, backup: None })
}

/// Through a link, the file that it points to is meant, not the link.
fn target(project: &Project, file: Rewritten) -> Result<PathBuf, EngineError> {
    let path = match file {
        Rewritten::Dockerfile if project.given.is_some() => {
            let hint = "name the file with -f".to_owned();
            return Err(EngineError::user("a Dockerfile from standard input cannot be rewritten", Some(hint)));
        }
        Rewritten::Dockerfile => project.dockerfile.clone(),
        Rewritten::IgnoreFile => ignore_file(project),
    };
    match path.canonicalize() {
        Ok(real) => Ok(real),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && file == Rewritten::IgnoreFile => Ok(path),
        Err(error) => Err(error).at("open", &path).map_err(Into::into),
    }
}

/// The ignore file in force, or the one that would be.
pub(super) fn ignore_file(project: &Project) -> PathBuf {
    let name = project.dockerfile.file_name().map(|name| format!("{}.dockerignore", name.to_string_lossy()));
    let own = name.map(|name| project.dockerfile.with_file_name(name)).filter(|path| path.is_file());
    own.unwrap_or_else(|| project.context.join(".dockerignore"))
}

/// Keeps bytes and record; the record is last, so that it never stands without its bytes.
fn keep(project: &Project, store: &Store, record: &Record, before: &[u8]) -> Result<PathBuf, EngineError> {
    let folder = store.layout.backups(&project.id());
    std::fs::create_dir_all(&folder).at("make the folder", &folder)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros());
    let kept = folder.join(format!("{now:020}.bytes"));
    let text = serde_json::to_vec(record).unwrap_or_default();
    for (path, bytes) in [(kept.clone(), before), (kept.with_extension("json"), text.as_slice())] {
        let mut file = AtomicFile::create(&path)?;
        file.write_all(bytes).at("write", &path)?;
        file.commit()?;
    }
    Ok(kept)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), EngineError> {
    let mode = std::fs::metadata(path).map(|meta| meta.permissions()).ok();
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).at("write", path)?;
    if let Some(mode) = mode {
        file.file().set_permissions(mode).at("write", path)?;
    }
    file.commit()?;
    Ok(())
}
