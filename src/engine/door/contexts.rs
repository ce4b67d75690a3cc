//! Reads what the steps of a build select of its contexts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::bases::NamedContext;
use super::error::EngineError;
use super::project::Project;
use crate::engine::context::{IgnoreFile, Kept, Selector, StatIndex, scan};
use crate::engine::event::BuildEvent;
use crate::engine::fetch::Fetched;
use crate::engine::graph::BuildGraph;
use crate::engine::solver::{ScannedContext, Speaker};
use crate::engine::store::Store;
use crate::ground::cancel::CancelToken;

/// Where it is remembered what `stat` said of files, from one scan to the next.
pub(super) enum Memory<'m> {
    /// In the store.
    Store,
    /// In the program, beginning with what the store knows: a plan writes nothing.
    Here(&'m mut BTreeMap<PathBuf, Kept>),
}

/// The contexts that steps read, by name. Errors: a folder is missing or cannot be read, or it was cancelled meanwhile.
pub(super) fn scan_contexts(
    store: &Store,
    project: &Project,
    speaker: &Speaker,
    graph: &BuildGraph,
    (ignore, fetched): (&IgnoreFile, &BTreeMap<String, Fetched>),
    mut memory: Memory<'_>,
    cancel: &CancelToken,
) -> Result<BTreeMap<String, ScannedContext>, EngineError> {
    let mut wanted: BTreeMap<String, Vec<Selector>> = BTreeMap::new();
    for vertex in &graph.vertices {
        for edge in &vertex.edges {
            if let Some(name) = edge.source.context().filter(|name| is_read(name, &memory, fetched)) {
                wanted.entry(name).or_default().extend(edge.selectors.iter().cloned());
            }
        }
    }
    let mut out = BTreeMap::new();
    for (name, selectors) in wanted {
        let known = fetched.get(&name);
        let (root, ignore) = match known {
            Some(known) => (known.root.clone(), IgnoreFile::default()),
            None => folder(project, &name, ignore)?,
        };
        let index_path = store.layout.stat_index(&root);
        let tree = match &mut memory {
            Memory::Here(kept) => {
                kept.entry(root.clone()).or_default().read(&root, &selectors, &ignore, || StatIndex::load(&index_path))?
            }
            Memory::Store => {
                let index = StatIndex::load(&index_path);
                let scanned = scan(&root, &selectors, &ignore, &index, cancel)?;
                if scanned.index != index {
                    // An index that cannot be written costs time, nothing else.
                    let _ = scanned.index.save(&index_path);
                }
                Arc::new(scanned.tree)
            }
        };
        let files = tree.entries().len() as u64;
        let what = match name.as_str() {
            _ if known.is_some() => "reading what was fetched".to_owned(),
            "" => "reading context".to_owned(),
            name => format!("reading context {name}"),
        };
        speaker.say(BuildEvent::Progress { vertex: None, what, done: files, total: Some(files) });
        let fetched = known.map(|known| (known.definition, known.revision.clone()));
        out.insert(name, ScannedContext { root, tree, ignore, fetched });
    }
    Ok(out)
}

/// Whether the files are at hand: a plan fetches nothing.
fn is_read(name: &str, memory: &Memory<'_>, fetched: &BTreeMap<String, Fetched>) -> bool {
    matches!(memory, Memory::Store) || fetched.contains_key(name) || !name.starts_with('\0')
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
