//! What of the context a build reads: which steps use each file, and which line of the ignore file leaves out what. As with
//! BuildKit, only what some step copies or mounts is read at all.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::context::EntryKind;
use crate::engine::forecast::reach::Reach;
use crate::engine::store::Store;
use crate::engine::{EngineError, Project};

use super::folder::Folder;

/// A file of the context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextFile {
    /// Relative to the context.
    pub path: String,
    /// Bytes.
    pub bytes: u64,
    /// Lines of the steps that use it.
    pub used_by: BTreeSet<u32>,
    /// The line of the ignore file that leaves it out.
    pub excluded_by: Option<u32>,
}

/// The context as a build sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sent {
    /// All files below the context, sorted.
    pub files: Vec<ContextFile>,
    /// Shown name of the ignore file; empty where there is none.
    pub ignore: String,
    /// Instructions by line, of those that use anything.
    pub steps: BTreeMap<u32, String>,
    /// Lines of the ignore file, as written.
    pub rules: BTreeMap<u32, String>,
}

/// Looks at a project's context. Nothing is built; no file is read. Errors: those of the Dockerfile and of the file system.
pub fn look(project: &Project, store: &Store) -> Result<Sent, EngineError> {
    project.require_folder()?;
    let loaded = project.load()?;
    let previous = project.last_record(store)?.map(|(_, record)| record).unwrap_or_default();
    let foreseen = project.foresee(store, &loaded, &previous)?;
    let mut uses: Vec<(u32, Reach)> = Vec::new();
    let mut steps = BTreeMap::new();
    for vertex in &foreseen.graph.vertices {
        for reach in vertex.edges.iter().filter_map(Reach::of) {
            uses.push((vertex.line, reach));
            steps.insert(vertex.line, vertex.name.clone());
        }
    }
    let mut files = Vec::new();
    for (path, kind, bytes) in Folder::open_whole(&project.context)?.sizes() {
        if kind == EntryKind::Directory {
            continue;
        }
        let excluded_by = loaded.ignore.excluding_line(path);
        let used_by = match excluded_by {
            Some(_) => BTreeSet::new(),
            None => uses.iter().filter(|(_, reach)| reach.reads(path)).map(|(line, _)| *line).collect(),
        };
        files.push(ContextFile { path: path.to_owned(), bytes, used_by, excluded_by });
    }
    let text = std::fs::read_to_string(project.context.join(&loaded.ignore.name)).unwrap_or_default();
    let rules = text.lines().zip(1..).map(|(line, number)| (number, line.trim().to_owned())).collect();
    Ok(Sent { files, ignore: loaded.ignore.name, steps, rules })
}
