//! What a hit depends on beside its key: looked up when a step is served.

use super::Solver;
use super::probe::now_micros;
use crate::engine::cache::StepResult;
use crate::engine::event::BuildEvent;
use crate::engine::graph::op::MountKind;
use crate::engine::graph::{Operation, Vertex};
use crate::engine::oci::Reference;
use crate::engine::verdict::Doubt;
use crate::language::shell::{parse_commands, unpinned_fetch};

/// Younger results are what people expect of a cache.
const OLD: u64 = 86_400;

impl Solver<'_> {
    /// Says every doubt about a hit on this result.
    pub(super) fn say_doubts(&self, vertex: &Vertex, result: &StepResult) {
        for doubt in self.doubts(vertex, result) {
            self.speaker.say(BuildEvent::Doubted { vertex: vertex.id, doubt });
        }
    }

    fn doubts(&self, vertex: &Vertex, result: &StepResult) -> Vec<Doubt> {
        match &vertex.operation {
            Some(Operation::Run { args, mounts, secrets, .. }) => {
                let age = now_micros().saturating_sub(result.created) / 1_000_000;
                let fetch = args.last().and_then(|text| unpinned_fetch(&parse_commands(text))).filter(|_| age >= OLD);
                let mut out: Vec<Doubt> = fetch.map(|command| Doubt::ReadNetwork { command, age }).into_iter().collect();
                let used = mounts.iter().filter_map(|mount| match &mount.kind {
                    MountKind::Cache { id, .. } => self.cache_used_since(vertex, id, result.created),
                    _ => None,
                });
                out.extend(used);
                let mounted = mounts.iter().filter_map(|mount| match &mount.kind {
                    MountKind::Secret { id, .. } => Some(id),
                    _ => None,
                });
                out.extend(mounted.chain(secrets.iter().map(|s| &s.id)).filter_map(|id| self.secret_changed(vertex, id)));
                out
            }
            Some(Operation::Base { image, .. }) => self.tag_not_asked(image).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Another step that has used a cache mount since.
    fn cache_used_since(&self, vertex: &Vertex, id: &str, created: u64) -> Option<Doubt> {
        let mounts = self.store.index.cache_mounts().ok()?;
        let own = self.place(vertex);
        let users = mounts.into_values().filter(|mount| mount.id == id).flat_map(|mount| mount.users);
        // A use is noted at the end of its build, after the result: the very step's own use is none of others.
        let other = users.filter(|(place, used)| *used > created && *place != own).max_by_key(|(_, used)| *used)?;
        let (place, _) = other;
        let by = format!("{}:{} {}", place.dockerfile, place.line, place.instruction);
        Some(Doubt::CacheMountUsed { id: id.to_owned(), by })
    }

    fn secret_changed(&self, vertex: &Vertex, id: &str) -> Option<Doubt> {
        let now = self.secret_mark(self.secrets.get(id)?)?;
        let then = self.previous?.secret_marks.get(&vertex.slot)?.get(id)?;
        (now != *then).then(|| Doubt::SecretChanged { id: id.to_owned() })
    }

    /// Sixteen bits of a digest that is keyed for this store: enough to see that a secret changed, too little to guess it from.
    fn secret_mark(&self, bytes: &[u8]) -> Option<u16> {
        let key = self.store.index.mark_key().ok()?;
        let digest = crate::ground::digest::Digest::of([key.as_bytes(), bytes].concat()).hex();
        u16::from_str_radix(digest.get(..4)?, 16).ok()
    }

    /// The marks of the secrets that a RUN of this build had.
    pub fn secret_marks(&self, vertex: &Vertex) -> std::collections::BTreeMap<String, u16> {
        let Some(Operation::Run { mounts, secrets, .. }) = &vertex.operation else { return Default::default() };
        let mounted = mounts.iter().filter_map(|mount| match &mount.kind {
            MountKind::Secret { id, .. } => Some(id),
            _ => None,
        });
        let ids = mounted.chain(secrets.iter().map(|s| &s.id));
        ids.filter_map(|id| Some((id.clone(), self.secret_mark(self.secrets.get(id)?)?))).collect()
    }

    fn tag_not_asked(&self, image: &str) -> Option<Doubt> {
        let reference = Reference::parse(image).ok()?;
        if reference.digest.is_some() {
            return None;
        }
        let stored = self.store.index.images().ok()?;
        let full = reference.to_string();
        let (_, _, since) = stored.into_iter().find(|(name, ..)| *name == full || name.starts_with(&format!("{full} ")))?;
        let age = (now_micros() / 1_000_000).saturating_sub(since);
        (age >= OLD).then(|| Doubt::TagNotAsked { image: image.to_owned(), age })
    }
}
