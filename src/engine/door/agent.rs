//! `--ssh`: the user's agent, or one of our own that holds given keys for as long as the build lasts.

use std::collections::BTreeMap;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::error::EngineError;
use crate::engine::graph::op::MountKind;
use crate::engine::graph::{BuildGraph, Operation};
use crate::ground::fs::PathResultExt;

/// What an id of `--ssh` stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SshSource {
    /// The socket of an agent.
    Agent(PathBuf),
    /// Files with private keys.
    Keys(Vec<PathBuf>),
}

impl SshSource {
    /// `default`, `ID`, `ID=SOCKET` or `ID=KEY[,KEY]`; `agent` is SSH_AUTH_SOCK. Errors: the message.
    pub fn parse(text: &str, agent: Option<&Path>) -> Result<(String, Self), String> {
        let (id, paths) = text.split_once('=').unwrap_or((text, ""));
        let id = if id.is_empty() { "default" } else { id };
        if paths.is_empty() {
            let agent = agent.ok_or("needs an agent, but SSH_AUTH_SOCK is not set: start one, or give keys as ID=FILE")?;
            return Ok((id.to_owned(), Self::Agent(agent.to_owned())));
        }
        let paths: Vec<PathBuf> = paths.split(',').map(PathBuf::from).collect();
        let mut sockets = 0;
        for path in &paths {
            let shown = path.display().to_string().escape_debug().to_string();
            let meta = std::fs::metadata(path)
                .map_err(|e| format!("cannot use `{shown}`: {}", crate::ground::fs::error::describe(&e)))?;
            sockets += usize::from(meta.file_type().is_socket());
            if !meta.is_file() && !meta.file_type().is_socket() {
                return Err(format!("cannot use `{shown}`: it is neither a key nor a socket"));
            }
        }
        match (sockets, paths.as_slice()) {
            (0, _) => Ok((id.to_owned(), Self::Keys(paths))),
            (1, [only]) => Ok((id.to_owned(), Self::Agent(only.clone()))),
            _ => Err("takes one socket, or keys, but not both".to_owned()),
        }
    }
}

/// Agents at hand. Those that were started end with this.
#[derive(Default)]
pub struct Agents {
    /// Sockets by id.
    pub sockets: BTreeMap<String, PathBuf>,
    started: Vec<Child>,
    folder: Option<PathBuf>,
}

impl Agents {
    /// Starts what the steps ask for: `ssh-agent` and `ssh-add` are searched in `path`. Errors: there are no such programs; a
    /// key that cannot be read without a passphrase.
    pub fn start(
        graph: &BuildGraph,
        sources: &BTreeMap<String, SshSource>,
        path: &[PathBuf],
        place: &Path,
    ) -> Result<Self, EngineError> {
        let mut agents = Self::default();
        for (id, source) in sources.iter().filter(|(id, _)| is_asked_for(graph, id)) {
            match source {
                SshSource::Agent(socket) => drop(agents.sockets.insert(id.clone(), socket.clone())),
                SshSource::Keys(keys) => agents.hold(id, keys, path, place)?,
            }
        }
        Ok(agents)
    }

    fn hold(&mut self, id: &str, keys: &[PathBuf], path: &[PathBuf], place: &Path) -> Result<(), EngineError> {
        let folder = match &self.folder {
            Some(folder) => folder.clone(),
            None => {
                let folder = place.join(format!("ssh-{}", crate::ground::random_hex(6)));
                std::fs::DirBuilder::new().mode(0o700).create(&folder).at("create", &folder)?;
                self.folder.insert(folder).clone()
            }
        };
        let socket = folder.join(self.sockets.len().to_string());
        let mut agent = program(path, "ssh-agent")?;
        // The address of a socket holds a hundred bytes, less than some paths have: it is named from its folder.
        let name = socket.file_name().unwrap_or_default();
        agent.arg("-D").arg("-a").arg(name).current_dir(&folder).stdout(Stdio::null()).stderr(Stdio::null());
        self.started.push(agent.spawn().map_err(|e| not_started("ssh-agent", &e))?);
        let until = Instant::now() + Duration::from_secs(5);
        while !socket.exists() {
            if Instant::now() > until {
                return Err(EngineError::environment("`ssh-agent` did not begin to listen", None));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        keys.iter().try_for_each(|key| add(key, path, &folder, name))?;
        self.sockets.insert(id.to_owned(), socket);
        Ok(())
    }
}

/// Nobody is asked for a passphrase in the middle of a build.
fn add(key: &Path, path: &[PathBuf], folder: &Path, socket: &std::ffi::OsStr) -> Result<(), EngineError> {
    let shown = key.display().to_string().escape_debug().to_string();
    let mut add = program(path, "ssh-add")?;
    let key = key.canonicalize().at("read", key)?;
    add.arg("-q").arg(key).current_dir(folder).env("SSH_AUTH_SOCK", socket).env("SSH_ASKPASS_REQUIRE", "never");
    let done = add.stdout(Stdio::null()).stderr(Stdio::piped()).output().map_err(|e| not_started("ssh-add", &e))?;
    if done.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&done.stderr).trim().chars().take(200).collect::<String>();
    let hint = "a key with a passphrase belongs into your agent: give --ssh default".to_owned();
    let message = format!("the ssh key `{shown}` cannot be used: {}", why.escape_debug());
    Err(EngineError::user(message, Some(hint)))
}

fn is_asked_for(graph: &BuildGraph, id: &str) -> bool {
    graph.vertices.iter().any(|vertex| match &vertex.operation {
        Some(Operation::Run { mounts, .. }) => {
            mounts.iter().any(|mount| matches!(&mount.kind, MountKind::Ssh { id: wanted, .. } if wanted == id))
        }
        _ => false,
    })
}

impl Drop for Agents {
    fn drop(&mut self) {
        for child in &mut self.started {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

fn program(path: &[PathBuf], name: &str) -> Result<Command, EngineError> {
    let found = path.iter().map(|folder| folder.join(name)).find(|file| file.is_absolute() && file.is_file());
    let missing = || {
        let hint = "install OpenSSH, or give --ssh default with an agent of yours".to_owned();
        EngineError::environment(format!("there is no `{name}`, which holds keys given as files"), Some(hint))
    };
    let mut command = Command::new(found.ok_or_else(missing)?);
    command.env_clear().stdin(Stdio::null());
    Ok(command)
}

fn not_started(name: &str, error: &std::io::Error) -> EngineError {
    EngineError::environment(format!("cannot start `{name}`: {}", crate::ground::fs::error::describe(error)), None)
}
