//! RUN.

use super::args::PROXIES;
use super::mount::Mounts;
use super::{Lowering, StageState};
use crate::engine::graph::op::{Operation, Variable, VariableOrigin};
use crate::engine::graph::redacted;
use crate::language::dockerfile::{Instruction, RunScript, run_script};

impl Lowering<'_> {
    /// Source: BuildKit `dispatchRun`, `dockerfile2llb/convert.go`.
    pub(super) fn run(&mut self, state: &mut StageState, at: &Instruction) {
        let (mut network, mut security) = (self.request.network.clone(), None);
        let mut mounts = Mounts::default();
        let errors = self.errors.len();
        for flag in &at.flags {
            let value = flag.value.clone().unwrap_or_default();
            match (flag.name.as_str(), value.as_str()) {
                ("network", "default") => network = None,
                ("network", "none") => network = Some(value),
                ("network", "host") if self.may_use_host_network() => network = Some(value),
                ("network", "host") => {
                    let message =
                        "RUN --network=host is not allowed; give --allow network.host if you trust this Dockerfile";
                    self.error(flag.span, message);
                }
                ("network", _) => {
                    let message = format!("`{}` is no network; there is default, none, host", value.escape_debug());
                    self.error(flag.span, message);
                }
                ("security", "sandbox") => security = None,
                ("security", "insecure") if self.request.allow.iter().any(|a| a == "security.insecure") => {
                    security = Some(value);
                }
                ("security", "insecure") => {
                    let message = "RUN --security=insecure is not allowed; give --allow security.insecure if you trust this \
                                   Dockerfile";
                    self.error(flag.span, message);
                }
                ("mount", _) => self.mount(state, at, flag, &mut mounts),
                _ => self.not_yet(flag, "RUN"),
            }
        }
        let Some(args) = self.command(state, at, &mut mounts) else { return };
        if self.errors.len() > errors {
            return;
        }
        let settings = self.request.run;
        mounts.shared_memory(settings.shm_size);
        let created_by = format!("RUN {} # buildkit", history_text(&args, state));
        let operation = Operation::Run {
            args,
            env: with_agent(state.env.clone(), &mounts),
            cwd: state.cwd.clone(),
            user: state.config.config.user.clone(),
            network,
            security: security.take(),
            mounts: mounts.sorted(),
            secrets: mounts.secrets,
            hosts: settings.hosts.iter().map(|(name, _)| name.clone()).collect(),
            ulimits: settings.ulimits.clone(),
            platform: state.platform.text(),
        };
        let proxies = self.proxies();
        let ignore_cache = self.ignores_cache(state);
        self.step(state, at, operation, created_by, |vertex| {
            vertex.edges = mounts.edges;
            vertex.hidden_env = proxies;
            vertex.hosts.clone_from(&settings.hosts);
            vertex.ignore_cache = ignore_cache;
        });
    }

    /// `--allow network.host`; the whole build in the machine's network allows it too, as with docker buildx.
    fn may_use_host_network(&self) -> bool {
        self.request.allow.iter().any(|a| a == "network.host") || self.request.network.as_deref() == Some("host")
    }

    /// The proxies of the command line: whatever the case of a name, a RUN gets it in both.
    ///
    /// Source: BuildKit `proxyEnvFromBuildArgs` (`dockerfile2llb/convert.go`) and `proxyEnvList` (`solver/llbsolver/ops/exec.go`).
    fn proxies(&self) -> Vec<String> {
        let given = |name: &str| {
            let mut same = self.request.build_args.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
            same.next_back().map(|(_, value)| value).filter(|value| !value.is_empty())
        };
        PROXIES.iter().filter_map(|name| given(name).map(|value| format!("{name}={value}"))).collect()
    }

    /// The words for the kernel. A single heredoc as the whole command is the script itself, and one that begins with `#!` a
    /// program that the shell starts; in all other places the shell gets the line with the bodies below it.
    fn command(&mut self, state: &StageState, at: &Instruction, mounts: &mut Mounts) -> Option<Vec<String>> {
        let text = match run_script(at, &self.source)? {
            RunScript::Exec(args) => return Some(args),
            RunScript::Shell(text) => text,
            RunScript::File { name, content } => mounts.script(&name, content),
        };
        let mut args = state.config.config.shell.clone().unwrap_or_else(|| vec!["/bin/sh".into(), "-c".into()]);
        args.push(text);
        Some(args)
    }
}

/// A step with an agent's socket knows where it is, unless it was told something else.
///
/// Source: BuildKit `ExecOp.Marshal`, `client/llb/exec.go`.
fn with_agent(mut env: Vec<Variable>, mounts: &Mounts) -> Vec<Variable> {
    let name = "SSH_AUTH_SOCK";
    if let Some(socket) = mounts.sockets.first().filter(|_| !env.iter().any(|variable| variable.name == name)) {
        env.push(Variable { name: name.into(), value: socket.clone(), origin: VariableOrigin::Env });
    }
    env
}

/// `|2 A=1 B= /bin/sh -c text`: every declared argument comes first, once, with the value that it has here; an ENV of the same
/// name wins. Other than in BuildKit, addresses among the values have no credentials.
///
/// Source: BuildKit `runCommandString`, `dockerfile2llb/convert.go`.
fn history_text(args: &[String], state: &StageState) -> String {
    let mut declared: Vec<(&str, String)> = Vec::new();
    for (name, value) in &state.declared {
        let value = state.get(name).or_else(|| value.clone()).unwrap_or_default();
        match declared.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => declared.push((name, value)),
        }
    }
    let shown: Vec<String> = declared.iter().map(|(name, value)| redacted(&format!("{name}={value}"))).collect();
    let prefix = if shown.is_empty() { String::new() } else { format!("|{} {} ", shown.len(), shown.join(" ")) };
    format!("{prefix}{}", args.join(" "))
}
