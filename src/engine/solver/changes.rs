//! What another run of a COPY changes in the root of the steps below it, and whether a recorded run minds. From lists of files
//! alone, and from the layer that the COPY made then; nothing is mounted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::OFlags;

use crate::engine::cache::StepResult;
use crate::engine::context::entry::record_digester;
use crate::engine::context::{Entry, EntryKind, RootHeader, Tree};
use crate::engine::graph::{Edge, Operation};
use crate::engine::oci::LayerId;
use crate::engine::reads::ReadSet;
use crate::engine::store::Layout;
use crate::engine::verdict::TraceRefusal;
use crate::ground::fs::RootDir;

/// Whether a recorded run stands in for a step.
pub(super) enum Fit {
    Fits,
    /// It does not: why, and what it was that another run may have met, too.
    Refused(TraceRefusal, Option<Touch>),
    /// It cannot be told; because of this path, where it is one.
    Unclear(Option<String>),
}

/// What an edge selected then, and what it selects now.
pub(super) type Pair<'e> = (&'e Edge, Arc<[Entry]>, Arc<[Entry]>);

/// What a COPY gives otherwise than before.
pub(super) struct Changes {
    /// By path in the root: what was there, what is there now.
    paths: BTreeMap<String, (Option<Entry>, Option<Entry>)>,
    /// The place in the chain of the layer that it made then.
    place: usize,
    /// `--chmod` gives files of any mode the same.
    chmod: bool,
    /// `--chown` gives files of any owner the same.
    chown: bool,
}

/// A path that a step had read and that surely is another one now.
#[derive(Clone)]
pub(super) struct Touch {
    path: String,
    kind: TouchKind,
}

#[derive(Clone)]
enum TouchKind {
    /// Another content: what is there now.
    Content(Entry),
    Appeared,
}

impl Changes {
    /// Of a COPY whose layer was `layer` at this place of the chain; `pairs` are those of its edges that changed, with the lists
    /// of then and now. None: it cannot be told where everything goes.
    pub(super) fn of(
        layout: &Layout,
        operation: &Operation,
        pairs: &[Pair<'_>],
        edges: usize,
        (layer, place): (&LayerId, usize),
    ) -> Option<Self> {
        let Operation::Copy { destination, chmod, chown, sources, .. } = operation else { return None };
        let root = RootDir::open(&layout.layer(layer)).ok()?;
        let several = edges > 1 || sources.len() > 1;
        let target = Target::new(&root, destination, several)?;
        let mut paths = BTreeMap::new();
        for (edge, old, new) in pairs {
            let (old, new) = (target.places(edge, old)?, target.places(edge, new)?);
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for path in names {
                let (then, now) = (old.get(path), new.get(path));
                if then.map(|e| (e.kind, e.digest)) != now.map(|e| (e.kind, e.digest)) {
                    paths.insert(path.clone(), (then.cloned(), now.cloned()));
                }
            }
        }
        // Links on the way would lead to other places than the names say: the layer tells where its files went.
        let at_its_place = |path: &str, then: &Option<Entry>| match then {
            Some(_) => root.open_beneath(Path::new(path), OFlags::PATH | OFlags::NOFOLLOW).is_ok(),
            None => nearest_is_directory(&root, path, &paths),
        };
        let certain = paths.iter().all(|(path, (then, _))| at_its_place(path, then));
        certain.then(|| Self { paths, place, chmod: chmod.is_some(), chown: chown.is_some() })
    }

    /// Whether a run that read this on a chain with that layer gives the same now.
    pub(super) fn fit(&self, layout: &Layout, stood_on: &[LayerId], set: &ReadSet, has_mounts: bool) -> Fit {
        let mut unclear = None;
        for (path, (then, now)) in &self.paths {
            if !self.concerns(path, (then.as_ref(), now.as_ref()), set) {
                continue;
            }
            let touch = self.certain(layout, stood_on, path, (then.as_ref(), now.as_ref()), set);
            match touch.filter(|_| !has_mounts) {
                Some(touch) => return Fit::Refused(touch.why(), Some(touch)),
                None => unclear = unclear.or(Some(path.clone())),
            }
        }
        unclear.map_or(Fit::Fits, |path| Fit::Unclear(Some(path)))
    }

    /// Whether anything that it read or wrote may be another one because of this path: the path itself, what is in it, the
    /// folder that it is in; and the tables of users, which are read for every step.
    fn concerns(&self, path: &str, (then, now): (Option<&Entry>, Option<&Entry>), set: &ReadSet) -> bool {
        let used = || [&set.read, &set.looked, &set.missing, &set.listed, &set.changed, &set.added].into_iter().flatten();
        let is_used = |path: &str| {
            used().any(|used| is_at_or_below(used, path)) || set.links.keys().any(|used| is_at_or_below(used, path))
        };
        let wrote = || set.changed.iter().chain(&set.added).any(|wrote| is_at_or_below(path, wrote));
        let other_names = then.map(|e| e.kind) != now.map(|e| e.kind);
        let listed = || other_names && set.listed.contains(path.rsplit_once('/').map_or("", |(above, _)| above));
        matches!(path, "etc/passwd" | "etc/group") || is_used(path) || wrote() || listed()
    }

    /// What a build would surely meet there: another content in the very layer that the step read it from, or something where
    /// it had found nothing.
    fn certain(
        &self,
        layout: &Layout,
        stood_on: &[LayerId],
        path: &str,
        pair: (Option<&Entry>, Option<&Entry>),
        set: &ReadSet,
    ) -> Option<Touch> {
        let touch = |kind| Some(Touch { path: path.to_owned(), kind });
        let of_this_layer = set.origin.get(path).is_some_and(|at| *at as usize == self.place);
        let hidden = || stood_on[self.place + 1..].iter().any(|layer| has(layout, layer, path) != Some(false));
        match pair {
            (Some(then), Some(now)) if set.read.contains(path) && of_this_layer => {
                let files = then.kind == EntryKind::File && now.kind == EntryKind::File;
                let lent = self.chmod || self.chown && (then.uid, then.gid) != (now.uid, now.gid);
                let told = files && (!lent || then.size != now.size);
                if told { touch(TouchKind::Content(now.clone())) } else { None }
            }
            (None, Some(_)) if set.missing.contains(path) && !hidden() => touch(TouchKind::Appeared),
            _ => None,
        }
    }
}

impl Touch {
    /// As a build says it.
    pub(super) fn why(&self) -> TraceRefusal {
        let path = self.path.clone();
        match &self.kind {
            TouchKind::Content(_) => TraceRefusal::ReadDiffers { path },
            TouchKind::Appeared => TraceRefusal::Appeared { path },
        }
    }

    /// Whether another recorded run met something else there than what is there now, too.
    pub(super) fn refuses_too(&self, layout: &Layout, old: &StepResult, set: &ReadSet) -> bool {
        match &self.kind {
            TouchKind::Appeared => set.missing.contains(&self.path),
            TouchKind::Content(now) => {
                let place = set.origin.get(&self.path).filter(|_| set.read.contains(&self.path));
                let layer = place.and_then(|at| old.layers.get(*at as usize));
                layer.is_some_and(|layer| has_other_bytes(layout, layer, &self.path, now) == Some(true))
            }
        }
    }
}

/// Where a COPY puts things.
struct Target {
    /// Without slashes at its ends.
    path: String,
    /// Single files go into it under their own names.
    is_folder: bool,
}

impl Target {
    fn new(root: &RootDir, destination: &str, several: bool) -> Option<Self> {
        let names: Vec<&str> = destination.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
        if names.contains(&"..") {
            return None;
        }
        let path = names.join("/");
        let slash = destination.ends_with('/') || destination.ends_with("/.");
        let there = root.open_beneath(Path::new(&path), OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW).is_ok();
        Some(Self { is_folder: slash || several || path.is_empty() || there, path })
    }

    /// The entries by the paths that they get. None: patterns choose among them, or a link does.
    fn places(&self, edge: &Edge, list: &[Entry]) -> Option<BTreeMap<String, Entry>> {
        let tree = Tree::new(list.to_vec(), RootHeader::Real);
        let mut out = BTreeMap::new();
        for selector in &edge.selectors {
            if selector.is_filtered() {
                return None;
            }
            for at in tree.matches(selector) {
                // A link that was followed lends its own name.
                if !selector.wildcard && at != selector.path {
                    return None;
                }
                match tree.get(&at) {
                    Some(entry) if entry.kind != EntryKind::Directory => {
                        let name = at.rsplit('/').next().unwrap_or("");
                        let path = if self.is_folder { join(&self.path, name) } else { self.path.clone() };
                        out.insert(path, entry.clone());
                    }
                    _ => {
                        let below = tree.subtree(&at).iter().filter(|entry| entry.path != at);
                        out.extend(below.filter_map(|entry| {
                            let rest =
                                if at.is_empty() { &entry.path } else { entry.path.strip_prefix(&format!("{at}/"))? };
                            Some((join(&self.path, rest), entry.clone()))
                        }));
                    }
                }
            }
        }
        Some(out)
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

fn is_at_or_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The nearest folder above a new path that is no new one itself is a folder of the layer, with no link on the way.
fn nearest_is_directory(root: &RootDir, path: &str, paths: &BTreeMap<String, (Option<Entry>, Option<Entry>)>) -> bool {
    let above = path.rsplit_once('/').map_or("", |(above, _)| above);
    match paths.get(above) {
        Some((None, Some(new))) => new.kind == EntryKind::Directory && nearest_is_directory(root, above, paths),
        Some((_, None)) => false,
        _ => {
            let shown = if above.is_empty() { Path::new(".") } else { Path::new(above) };
            root.open_beneath(shown, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW).is_ok()
        }
    }
}

/// Whether a layer says anything of a path; none when it cannot be looked at.
fn has(layout: &Layout, layer: &LayerId, path: &str) -> Option<bool> {
    let root = RootDir::open(&layout.layer(layer)).ok()?;
    match root.open_beneath(Path::new(path), OFlags::PATH | OFlags::NOFOLLOW) {
        Ok(_) => Some(true),
        Err(error) => (error.raw_os_error() == Some(rustix::io::Errno::NOENT.raw_os_error())).then_some(false),
    }
}

/// Files larger than this are not read for a plan.
const READ: u64 = 16 << 20;

/// Whether a file of a layer has other bytes than this entry; none when that cannot be told.
fn has_other_bytes(layout: &Layout, layer: &LayerId, path: &str, entry: &Entry) -> Option<bool> {
    let root = RootDir::open(&layout.layer(layer)).ok()?;
    let file = root.open_beneath(Path::new(path), OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW).ok()?;
    let mut file = File::from(file);
    let facts = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    if facts.len() != entry.size {
        return Some(true);
    }
    if facts.len() > READ {
        return None;
    }
    let (mut digester, mut bytes) = (record_digester(entry), Vec::new());
    file.read_to_end(&mut bytes).ok()?;
    digester.update(&bytes);
    Some(digester.finish() != entry.digest)
}
