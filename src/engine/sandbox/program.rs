//! Looks for the program of a shell before anything is started: an image without one is no riddle then.

use std::os::fd::AsFd;
use std::path::Path;

use super::child::DEFAULT_PATH;
use crate::engine::protocol::{EntryKind, Failure, ProcessSpec};
use crate::engine::snapshot::failure::user;
use crate::engine::snapshot::metadata;
use crate::ground::fs::root::names;
use crate::ground::fs::{Missing, RootDir};

/// So many of the programs that are there are named.
const NAMED: usize = 8;

/// Errors: no file of the program's name is in the root, nor in what is mounted on it. The message says what there is.
pub fn find_program(view: &RootDir, process: &ProcessSpec) -> Result<(), Failure> {
    let Some(program) = process.args.first() else { return Err(user("there is no command to run")) };
    let folders = search_path(process);
    let candidates: Vec<String> = match program.contains('/') {
        true if program.starts_with('/') => vec![program.clone()],
        true => vec![format!("{}/{program}", process.cwd)],
        false => folders.iter().map(|folder| format!("{folder}/{program}")).collect(),
    };
    let mounted = |path: &String| process.mounts.iter().any(|mount| Path::new(path).starts_with(&mount.target));
    if candidates.iter().any(|path| mounted(path) || is_there(view, path)) {
        return Ok(());
    }
    let message =
        format!("there is no `{}` in this file system: {}", program.escape_debug(), what_is_there(view, &folders)?);
    let hint = "name a program that is there: rbuild-tui shell STEP -- /path/of/program; or use the step of another stage";
    Err(Failure { hint: Some(hint.into()), ..user(message) })
}

fn search_path(process: &ProcessSpec) -> Vec<&str> {
    let path = process.env.iter().rev().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    path.split(':').filter(|folder| folder.starts_with('/')).collect()
}

fn is_there(view: &RootDir, path: &str) -> bool {
    let Ok(real) = view.resolve(path.as_bytes(), Missing::Fail) else { return false };
    let stat = view.open_dir(&real.parent()).and_then(|dir| metadata::lstat(dir.as_fd(), real.name().unwrap_or(b".")));
    stat.is_ok_and(|stat| stat.is_some_and(|stat| metadata::kind(&stat) == Some(EntryKind::File)))
}

fn what_is_there(view: &RootDir, folders: &[&str]) -> Result<String, Failure> {
    let shown = |name: &Vec<u8>| format!("`{}`", String::from_utf8_lossy(name).escape_debug());
    let list = |found: &[Vec<u8>]| {
        let first: Vec<String> = found.iter().take(NAMED).map(shown).collect();
        let more = found.len().saturating_sub(NAMED);
        if more > 0 { format!("{} and {more} more", first.join(", ")) } else { first.join(", ") }
    };
    let mut programs: Vec<Vec<u8>> = Vec::new();
    for folder in folders {
        let dir = view.resolve(folder.as_bytes(), Missing::Fail).and_then(|real| view.open_dir(&real));
        let Ok(dir) = dir else { continue };
        let below = names(dir.as_fd()).unwrap_or_default().into_iter();
        programs.extend(below.map(|name| [folder.as_bytes(), b"/", &name].concat()));
    }
    programs.sort();
    if !programs.is_empty() {
        return Ok(format!("its programs are {}", list(&programs)));
    }
    let mut top = names(view.fd()).unwrap_or_default();
    top.sort();
    Ok(match top.is_empty() {
        true => "it is empty".into(),
        false => format!("it has no programs in its search path; in `/` there is {}", list(&top)),
    })
}
