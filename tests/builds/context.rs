//! Writes the context of a case. Everything in it is of one old time, unless the case says otherwise: a COPY must keep it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags};

use super::case::{Case, Change};

/// The time of everything in a context: seconds since 1970.
pub const TIME: i64 = 1_500_000_000;

/// Where a case lies: folder of the context, and the Dockerfile.
pub struct Written {
    pub context: std::path::PathBuf,
    pub dockerfile: std::path::PathBuf,
}

/// `--secret` for every secret of a case.
pub fn secrets(case: &Case, folder: &Path) -> Vec<String> {
    let file = folder.join("a-secret");
    if !case.secrets.is_empty() {
        fs::write(&file, "what nobody may know\n").unwrap();
    }
    case.secrets.iter().map(|id| format!("--secret=id={id},src={}", file.display())).collect()
}

/// Writes a case below a new folder.
pub fn write(case: &Case, folder: &Path) -> Written {
    let name = case.folder();
    let context = folder.join(format!("context-{name}"));
    let beside = folder.join(format!("beside-{name}"));
    fs::create_dir_all(&context).unwrap();
    let home = match &case.beside {
        None => &context,
        Some(changes) => {
            fs::create_dir_all(&beside).unwrap();
            apply(changes, &beside);
            &beside
        }
    };
    let dockerfile = home.join(&case.file);
    let given = |change: &Change| matches!(change, Change::File { path, .. } if *path == case.file);
    apply(&case.context, &context);
    if case.beside.is_some() || !case.context.iter().any(given) {
        put(&dockerfile, &case.dockerfile, None);
    }
    old(&context);
    for change in &case.context {
        if let Change::Time { path, seconds } = change {
            touch(&context.join(path), *seconds);
        }
    }
    Written { context, dockerfile }
}

fn apply(changes: &[Change], root: &Path) {
    for change in changes {
        match change {
            Change::File { path, content, mode } => put(&root.join(path), content, *mode),
            Change::Dir { path, mode } => {
                fs::create_dir_all(root.join(path)).unwrap();
                if let Some(mode) = mode {
                    fs::set_permissions(root.join(path), fs::Permissions::from_mode(*mode)).unwrap();
                }
            }
            Change::Symlink { path, target } => {
                let path = root.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                let _ = fs::remove_file(&path);
                std::os::unix::fs::symlink(target, path).unwrap();
            }
            Change::Mode { path, mode } => {
                fs::set_permissions(root.join(path), fs::Permissions::from_mode(*mode)).unwrap();
            }
            Change::Attribute { path, name, value } => {
                rustix::fs::setxattr(root.join(path), name, value, XattrFlags::empty()).unwrap();
            }
            Change::Time { .. } => {}
            Change::CopyOf(source) => copy(source, root),
        }
    }
}

fn put(path: &Path, content: &[u8], mode: Option<u32>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode.unwrap_or(0o644))).unwrap();
}

fn copy(source: &Path, to: &Path) {
    for entry in fs::read_dir(source).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            put(&target, &fs::read(entry.path()).unwrap(), None);
        }
    }
}

fn touch(path: &Path, seconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn old(path: &Path) {
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).unwrap() {
            old(&entry.unwrap().path());
        }
    }
    touch(path, TIME);
}
