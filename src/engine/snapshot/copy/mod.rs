//! COPY and ADD as BuildKit's fsutil does them: a directory gives its contents, the destination's links are followed inside
//! the root, missing directories are made, a file takes the place of what is there.
//!
//! Directories go through the mounted overlay, which knows what is below. Files then go straight into the upper directory,
//! unmounted: a file covers whatever lower layers have, so nothing has to be asked, and equal files of the previous layer can be
//! linked in.

mod plan;
mod previous;
mod source;
mod write;

use std::fs;
use std::path::Path;

use super::failure::{During, user};
use super::layers::Links;
use super::{Layers, owner};
use crate::engine::context::PathFilter;
use crate::engine::event::LayerStat;
use crate::engine::oci::LayerId;
use crate::engine::protocol::{CopySource, CopySpec, EntryKind, Failure, FileMode};
use crate::ground::fs::RootDir;

/// Answers `Request::Copy`.
pub fn copy(
    layers: &Layers,
    id: &LayerId,
    parents: &[LayerId],
    source: &CopySource,
    spec: &CopySpec,
    previous: Option<&LayerId>,
) -> Result<LayerStat, Failure> {
    if let Some(stat) = layers.stat(id)? {
        return Ok(stat);
    }
    let work = layers.work_dir(parents)?;
    let target = layers.writable(parents, &work)?;
    let previous = previous.map(|id| previous::Previous::open(layers, id)).unwrap_or_default();
    let image = (!parents.is_empty()).then_some(&target);
    let owner = spec.chown.as_deref().map(|spec| owner::owner(image, spec)).transpose()?;
    let rules = Rules { owner, mode: spec.chmod.clone() };
    let plan = fill(layers, target, &work.content(), source, spec, &rules, &previous)?;
    let all_single = plan.files.iter().all(|(_, node)| node.inode.is_none());
    let links = if previous.root.is_some() && all_single { Links::OfDurableFiles } else { Links::New };
    let stat = layers.commit_with(&work, id, links)?;
    let digests = previous::text(&plan);
    if !digests.is_empty() {
        let path = previous::path(layers, id);
        fs::write(&path, digests).during("write", &path)?;
    }
    Ok(stat)
}

/// Copies into a plain directory; names of owners have nothing to be looked up in.
pub fn into(layers: &Layers, directory: &Path, source: &CopySource, spec: &CopySpec) -> Result<(), Failure> {
    let owner = spec.chown.as_deref().map(|spec| owner::owner(None, spec)).transpose()?;
    let rules = Rules { owner, mode: spec.chmod.clone() };
    let target = RootDir::open(directory)?;
    fill(layers, target, directory, source, spec, &rules, &previous::Previous::default()).map(|_| ())
}

/// Decides through `target`, which shows what is below, and writes into `upper`.
fn fill(
    layers: &Layers,
    target: RootDir,
    upper: &Path,
    source: &CopySource,
    spec: &CopySpec,
    rules: &Rules,
    previous: &previous::Previous,
) -> Result<plan::Plan, Failure> {
    let opened = source::Source::open(layers, source)?;
    let mut plan = plan::Plan::default();
    for (at, path) in source::names(source, spec).into_iter().enumerate() {
        // A link that was followed lends its own name to what it points to.
        let base = spec.names.get(at).map_or_else(|| path.rsplit('/').next().unwrap_or(&path), String::as_str);
        let mut nodes = opened.nodes(&path)?;
        if let Some(selector) = spec.selectors.get(at).filter(|selector| selector.is_filtered()) {
            let below = |node: &source::Node| String::from_utf8_lossy(&node.below).into_owned();
            let top = nodes.remove(0);
            nodes = PathFilter::new(selector).keep(nodes, below);
            nodes.insert(0, top);
        }
        if spec.unpack && !spec.kept.contains(&at) && plan.add_archive(&target, spec, &opened, &nodes, rules)? {
            continue;
        }
        plan.add(&target, spec, base, nodes, rules)?;
    }
    for (name, text) in &spec.inline {
        plan.add(&target, spec, name, vec![source::inline(name, text)], rules)?;
    }
    drop(target);
    let upper = RootDir::open(upper)?;
    write::files(&plan, &opened, &upper, previous, rules)?;
    write::directories(&plan, &opened, &upper, rules)?;
    Ok(plan)
}

/// What `--chown` and `--chmod` say.
pub(super) struct Rules {
    /// For everything that is copied or made.
    pub(super) owner: Option<(u32, u32)>,
    /// For everything but links.
    pub(super) mode: Option<FileMode>,
}

impl Rules {
    /// The mode of the copy of something.
    fn mode_of(&self, node: &source::Node) -> u32 {
        let is_directory = node.kind == EntryKind::Directory;
        self.mode.as_ref().map_or(node.mode, |mode| mode.apply(node.mode, is_directory))
    }
}

/// Names that would mean a removal once the layer is a tar.
fn check_name(name: &[u8]) -> Result<(), Failure> {
    if name.starts_with(b".wh.") {
        let name = String::from_utf8_lossy(name);
        return Err(user(format!("`{}` cannot be copied: in a layer, `.wh.` names mean removals", name.escape_debug())));
    }
    Ok(())
}
