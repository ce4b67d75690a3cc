//! What `RUN --mount` shows, made ready for the worker.

use super::content::selected;
use super::error::SolveError;
use super::execute::with_parents;
use super::{Mode, Solver, guard};
use crate::engine::graph::op::{Mount, MountKind, SecretVariable};
use crate::engine::graph::{SourceRef, Vertex};
use crate::engine::oci::LayerId;
use crate::engine::protocol::{CacheSharing, CopySource, CopySpec, MountContent, MountSpec, Reply, Request};
use crate::ground::digest::Digest;

impl Solver<'_> {
    /// The mounts of a RUN.
    pub(super) fn mounts(&self, vertex: &Vertex, mounts: &[Mount]) -> Result<Vec<MountSpec>, SolveError> {
        let mut out = Vec::new();
        for mount in mounts {
            let content = match &mount.kind {
                MountKind::Bind { edge } => {
                    let (layers, path) = self.bind_source(vertex, *edge)?;
                    MountContent::Layers { layers, path }
                }
                MountKind::Cache { id, sharing, seed, path, uid, gid, mode } => {
                    let seed = seed.map(|edge| self.bind_source(vertex, edge)).transpose()?;
                    let name = cache_name(id, seed.as_ref().map(|(layers, _)| layers.as_slice()), (*uid, *gid, *mode));
                    self.note(vertex, [name.as_str()])?;
                    guard(&self.state.mounted).push((name.clone(), id.clone(), self.place(vertex)));
                    MountContent::Cache {
                        name,
                        sharing: match sharing.as_str() {
                            "private" => CacheSharing::Private,
                            "locked" => CacheSharing::Locked,
                            _ => CacheSharing::Shared,
                        },
                        seed,
                        path: path.clone(),
                        uid: *uid,
                        gid: *gid,
                        mode: *mode,
                    }
                }
                MountKind::Tmpfs { size } => MountContent::Tmpfs { size: *size },
                MountKind::Script { text } => {
                    MountContent::File { bytes: text.clone().into_bytes(), uid: 0, gid: 0, mode: 0o755 }
                }
                MountKind::Secret { id, uid, gid, mode, required } => match self.secrets.get(id) {
                    Some(bytes) => MountContent::File { bytes: bytes.clone(), uid: *uid, gid: *gid, mode: *mode },
                    // Who only looks around can do without.
                    None if !required || self.state.mode != Mode::Build => continue,
                    None => {
                        let message = format!("the secret `{}` is required, but was not given", id.escape_debug());
                        let hint = format!("give it with --secret id={},src=FILE", id.escape_debug());
                        return Err(SolveError::user(&self.speaker.file, vertex, message, Some(hint)));
                    }
                },
                MountKind::Ssh { id, uid, gid, mode, required } => match self.agents.get(id) {
                    Some(to) => MountContent::Socket { to: to.clone(), uid: *uid, gid: *gid, mode: *mode },
                    None if !required || self.state.mode != Mode::Build => continue,
                    None => {
                        let message = format!("the ssh agent `{}` is required, but was not given", id.escape_debug());
                        let hint = format!("give it with --ssh {0}, or its keys with --ssh {0}=FILE", id.escape_debug());
                        return Err(SolveError::user(&self.speaker.file, vertex, message, Some(hint)));
                    }
                },
            };
            out.push(MountSpec { target: mount.target.clone(), read_only: mount.read_only, content });
        }
        Ok(out)
    }

    /// Secrets in variables.
    pub(super) fn secret_variables(&self, vertex: &Vertex, wanted: &[SecretVariable]) -> Result<Vec<String>, SolveError> {
        let mut out = Vec::new();
        for SecretVariable { name, id, required } in wanted {
            let fail =
                |message: String, hint: String| Err(SolveError::user(&self.speaker.file, vertex, message, Some(hint)));
            match self.secrets.get(id).map(|bytes| std::str::from_utf8(bytes)) {
                Some(Ok(text)) if !text.contains('\0') => out.push(format!("{name}={text}")),
                Some(_) => {
                    let message = format!("the secret `{}` is no text, so it cannot be a variable", id.escape_debug());
                    return fail(message, "mount it as a file: leave out env=".into());
                }
                None if !required || self.state.mode != Mode::Build => {}
                None => {
                    let message = format!("the secret `{}` is required, but was not given", id.escape_debug());
                    return fail(message, format!("give it with --secret id={},src=FILE", id.escape_debug()));
                }
            }
        }
        Ok(out)
    }

    /// The chain and the path in it that an edge shows. What is selected of a context becomes a layer first: a step sees what
    /// was hashed, not what the folder holds by now, and nothing that is ignored.
    fn bind_source(&self, vertex: &Vertex, edge: usize) -> Result<(Vec<LayerId>, String), SolveError> {
        let edge_of = &vertex.edges[edge];
        let path = edge_of.selectors.first().map(|s| s.path.clone()).unwrap_or_default();
        match &edge_of.source {
            SourceRef::Vertex(Some(id)) => {
                let layers = self.result(*id)?.layers;
                self.unpack(vertex, &layers)?;
                Ok((layers, path))
            }
            SourceRef::Vertex(None) => Ok((Vec::new(), path)),
            SourceRef::Context(_) | SourceRef::Fetched(_) => {
                let Some(context) = self.context(&edge_of.source) else { return Ok((Vec::new(), path)) };
                let content = self.content(vertex, edge)?;
                let mut entries = selected(&context.tree, edge_of);
                with_parents(&context.tree, &mut entries);
                let layer = format!("context-{}", content.tree.hex());
                self.note(vertex, [layer.as_str()])?;
                let layer: LayerId =
                    layer.parse().map_err(|e| SolveError::environment(&self.speaker.file, vertex, e, None))?;
                let source = CopySource::Directory { root: context.root.clone(), entries };
                let real = context.tree.resolve(&path, true).unwrap_or_default();
                let is_file =
                    context.tree.get(&real).is_some_and(|e| e.kind != crate::engine::context::EntryKind::Directory);
                let destination = match (real.rsplit_once('/'), is_file) {
                    (_, false) => format!("/{real}/"),
                    (Some((above, _)), true) => format!("/{above}/"),
                    (None, true) => "/".to_owned(),
                };
                let copy = CopySpec { sources: vec![real.clone()], destination, ..CopySpec::default() };
                let _one_at_a_time = guard(&self.state.unpacking);
                let request = Request::Copy { layer: layer.clone(), parents: Vec::new(), source, copy, previous: None };
                match self.ask(vertex, request, Vec::new())? {
                    Reply::Layer { .. } => Ok((vec![layer], real)),
                    other => Err(self.unexpected(vertex, &other)),
                }
            }
        }
    }
}

/// The folder of a cache: caches that began from different content are different, as in BuildKit (`solver/llbsolver/mounts`,
/// `cacheMount`: the id, then the id of the reference). Owner and mode are such content: a directory that is made for them. A
/// name from a Dockerfile never becomes a path.
fn cache_name(id: &str, seed: Option<&[LayerId]>, dress: (u32, u32, u32)) -> String {
    let mut text = id.to_owned();
    for layer in seed.unwrap_or_default() {
        text.push_str(&format!("\0{layer}"));
    }
    if dress != (0, 0, 0o755) {
        text.push_str(&format!("\0{dress:?}"));
    }
    Digest::of(text).hex()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_that_begins_from_other_content_is_another_cache() {
        let [one, two]: [LayerId; 2] = ["1".repeat(32).parse().unwrap(), "2".repeat(32).parse().unwrap()];
        let name = |seed: Option<&[LayerId]>| cache_name("/k", seed, (0, 0, 0o755));
        let both = [one, two];
        assert_ne!(name(None), name(Some(&both[..1])));
        assert_ne!(name(Some(&both[..1])), name(Some(&both)));
        assert_eq!(name(Some(&both[..1])), name(Some(&both[..1])));
        assert_ne!(name(None), cache_name("/k", None, (10, 0, 0o755)), "another owner");
    }
}
