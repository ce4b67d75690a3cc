//! `RUN --mount`.

use super::stage::absolute;
use super::{Lowering, StageState};
use crate::engine::context::Selector;
use crate::engine::graph::op::{Mount, MountKind, SecretVariable};
use crate::engine::graph::vertex::{Counts, Edge, SourceRef};
use crate::language::dockerfile::{self as language, Flag, Instruction, RunMount, Sharing, parse_mount};

/// The mounts of one RUN, with what they read.
#[derive(Default)]
pub(super) struct Mounts {
    mounts: Vec<Mount>,
    pub edges: Vec<Edge>,
    /// Secrets in variables.
    pub secrets: Vec<SecretVariable>,
    /// Targets of ssh sockets, in order.
    pub sockets: Vec<String>,
}

impl Mounts {
    /// By target: their order in the line does not count.
    pub fn sorted(&self) -> Vec<Mount> {
        let mut out = self.mounts.clone();
        out.sort_by(|a, b| a.target.cmp(&b.target));
        out
    }

    /// Mounts a program given by its text, and gives its path.
    ///
    /// Source: BuildKit `dispatchRun`: `/dev/pipes/NAME`, mode 0755, read-only.
    pub fn script(&mut self, name: &str, text: String) -> String {
        let target = absolute("/dev/pipes", name);
        self.mounts.push(Mount { target: target.clone(), read_only: true, kind: MountKind::Script { text } });
        target
    }

    /// `--shm-size`: memory of this size at `/dev/shm`, unless a mount is there already.
    ///
    /// Source: BuildKit `dispatchRun`, `llb.AddMount("/dev/shm", llb.Scratch(), llb.Tmpfs(llb.TmpfsSize(...)))`.
    pub fn shared_memory(&mut self, size: Option<u64>) {
        let target = "/dev/shm".to_owned();
        if size.is_some() && !self.mounts.iter().any(|mount| mount.target == target) {
            self.mounts.push(Mount { target, read_only: false, kind: MountKind::Tmpfs { size } });
        }
    }

    fn edge(&mut self, source: SourceRef, path: &str) -> usize {
        let path = absolute("/", path).trim_start_matches('/').to_owned();
        let selectors = vec![Selector { path, follow_links: true, ..Selector::default() }];
        self.edges.push(Edge { source, counts: Counts::Content, selectors });
        self.edges.len() - 1
    }
}

impl Lowering<'_> {
    /// Source: BuildKit `dispatchRunMounts`, `dockerfile2llb/convert_runmount.go`.
    pub(super) fn mount(&mut self, state: &StageState, at: &Instruction, flag: &Flag, mounts: &mut Mounts) {
        let value = flag.value.clone().unwrap_or_default();
        let lookup = |name: &str| state.get(name);
        let mount = match parse_mount(&value, &lookup, self.request.dockerfile.escape) {
            Ok(mount) => mount,
            Err(error) => return self.error(flag.span, error.to_string()),
        };
        if let Some(name) = mount.env.clone() {
            if name.is_empty() || name.contains(['=', '\0']) {
                return self.error(flag.span, format!("`{}` is no name of a variable", name.escape_debug()));
            }
            mounts.secrets.push(SecretVariable { name, id: secret_id(&mount), required: mount.required });
            // A file as well only where one is asked for.
            if mount.target.is_none() {
                return;
            }
        }
        let Some(target) = self.mount_target(state, flag, &mount, mounts) else { return };
        if mounts.mounts.iter().any(|other| other.target == target) {
            return self.error(flag.span, format!("two mounts have the same target `{}`", target.escape_debug()));
        }
        let source = match mount.from.as_ref().filter(|name| !name.is_empty()) {
            Some(name) => match self.source_ref(state, at, name, flag.span) {
                Some(source) => Some(source),
                None => return,
            },
            None => None,
        };
        let path = mount.source.clone().unwrap_or_default();
        let kind = match mount.kind {
            language::MountKind::Bind => {
                let source = source.unwrap_or_else(|| self.main_context(state, at));
                MountKind::Bind { edge: mounts.edge(source, &path) }
            }
            language::MountKind::Cache => MountKind::Cache {
                id: mount.id.clone().unwrap_or_else(|| target.clone()),
                sharing: match mount.sharing {
                    Some(Sharing::Private) => "private".into(),
                    Some(Sharing::Locked) => "locked".into(),
                    Some(Sharing::Shared) | None => "shared".into(),
                },
                path: match &source {
                    None => absolute("/", &path).trim_start_matches('/').to_owned(),
                    Some(_) => String::new(),
                },
                seed: source.map(|source| mounts.edge(source, &path)),
                uid: mount.uid.unwrap_or(0),
                gid: mount.gid.unwrap_or(0),
                mode: mount.mode.unwrap_or(0o755),
            },
            language::MountKind::Tmpfs => MountKind::Tmpfs { size: mount.size },
            language::MountKind::Secret => MountKind::Secret {
                id: secret_id(&mount),
                uid: mount.uid.unwrap_or(0),
                gid: mount.gid.unwrap_or(0),
                mode: mount.mode.unwrap_or(0o400),
                required: mount.required,
            },
            language::MountKind::Ssh => {
                mounts.sockets.push(target.clone());
                MountKind::Ssh {
                    id: mount.id.clone().filter(|id| !id.is_empty()).unwrap_or_else(|| "default".into()),
                    uid: mount.uid.unwrap_or(0),
                    gid: mount.gid.unwrap_or(0),
                    mode: mount.mode.unwrap_or(0o600),
                    required: mount.required,
                }
            }
        };
        mounts.mounts.push(Mount { target, read_only: mount.read_only, kind });
    }

    /// Where it goes; a secret without a target lies in `/run/secrets`.
    fn mount_target(&mut self, state: &StageState, flag: &Flag, mount: &RunMount, known: &Mounts) -> Option<String> {
        let target = match (&mount.target, mount.kind) {
            (Some(target), _) => absolute(&state.cwd, target),
            (None, language::MountKind::Secret) => {
                let id = secret_id(mount);
                format!("/run/secrets/{}", id.rsplit('/').next().unwrap_or(&id))
            }
            // Source: BuildKit `ExecOp.Marshal`, `client/llb/exec.go`.
            (None, language::MountKind::Ssh) => format!("/run/buildkit/ssh_agent.{}", known.sockets.len()),
            (None, _) => absolute(&state.cwd, ""),
        };
        let forbidden = ["/", "/proc", "/sys", "/dev"];
        let inside = |root: &str| target == root || (root != "/" && target.starts_with(&format!("{root}/")));
        if forbidden.into_iter().any(inside) {
            self.error(flag.span, format!("`{}` cannot be the target of a mount", target.escape_debug()));
            return None;
        }
        Some(target)
    }
}

/// The id, else the base name of the source or the target.
fn secret_id(mount: &RunMount) -> String {
    let base = |path: &String| path.rsplit('/').next().unwrap_or(path).to_owned();
    mount
        .id
        .clone()
        .or_else(|| mount.source.as_ref().map(base))
        .or_else(|| mount.target.as_ref().map(base))
        .unwrap_or_default()
}
