//! Reads what the steps of a build select of its contexts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::bases::NamedContext;
use super::context::{IgnoreFile, Selector, StatIndex, scan};
use super::error::EngineError;
use super::event::BuildEvent;
use super::graph::{BuildGraph, SourceRef};
use super::project::Project;
use super::solver::{ScannedContext, Speaker};
use super::store::Store;

/// The contexts that steps read, by name. Errors: a folder is missing or cannot be read.
pub(super) fn scan_contexts(
    store: &Store,
    project: &Project,
    speaker: &Speaker,
    graph: &BuildGraph,
    ignore: &IgnoreFile,
) -> Result<BTreeMap<String, ScannedContext>, EngineError> {
    let mut wanted: BTreeMap<String, Vec<Selector>> = BTreeMap::new();
    for vertex in &graph.vertices {
        for edge in &vertex.edges {
            if let SourceRef::Context(name) = &edge.source {
                wanted.entry(name.clone()).or_default().extend(edge.selectors.iter().cloned());
            }
        }
    }
    let mut out = BTreeMap::new();
    for (name, selectors) in wanted {
        let (root, ignore) = folder(project, &name, ignore)?;
        let index_path = store.layout.stat_index(&root);
        let index = StatIndex::load(&index_path);
        let scanned = scan(&root, &selectors, &ignore, &index)?;
        let files = scanned.tree.entries().len() as u64;
        let what = if name.is_empty() { "reading context".to_owned() } else { format!("reading context {name}") };
        speaker.say(BuildEvent::Progress { vertex: None, what, done: files, total: Some(files) });
        if scanned.index != index {
            // An index that cannot be written costs time, nothing else.
            let _ = scanned.index.save(&index_path);
        }
        out.insert(name, ScannedContext { root, tree: scanned.tree, ignore });
    }
    Ok(out)
}

fn folder(project: &Project, name: &str, ignore: &IgnoreFile) -> Result<(PathBuf, IgnoreFile), EngineError> {
    if name.is_empty() {
        return Ok((project.context.clone(), ignore.clone()));
    }
    match project.contexts.get(name) {
        Some(NamedContext::Directory(path)) => {
            let root = path.canonicalize().map_err(|e| {
                let cause = crate::ground::fs::error::describe(&e);
                let shown = path.display().to_string().escape_debug().to_string();
                EngineError::user(format!("cannot open the build context {name}=`{shown}`: {cause}"), None)
            })?;
            let ignore = IgnoreFile::find(&root, None)?;
            Ok((root, ignore))
        }
        _ => Err(EngineError::user(format!("there is no build context `{name}`"), None)),
    }
}
