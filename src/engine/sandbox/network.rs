//! A network of its own for a step: a namespace whose way out is a program in user space, `pasta` or `slirp4netns`. It needs no
//! rights on the machine, and the step cannot reach what listens on the machine's loopback.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::engine::protocol::Failure;
use crate::engine::snapshot::failure::environment;
use crate::ground::fs::error::describe;

/// Where the programs are looked for. The environment may be anybody's, and they run with our rights.
const FOLDERS: [&str; 6] = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"];
/// How long they may take to set a network up.
const PATIENCE: Duration = Duration::from_secs(10);

/// A program that connects a network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connector {
    /// Of passt.
    Pasta(PathBuf),
    /// The older one.
    Slirp(PathBuf),
}

/// The program of this machine. Errors: there is none.
pub fn connector() -> Result<Connector, Failure> {
    let find = |name: &str| FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file());
    let found = find("pasta").map(Connector::Pasta).or_else(|| find("slirp4netns").map(Connector::Slirp));
    let hint = "install one of them, or choose --network=host or --network=none";
    found.ok_or_else(|| environment("an isolated network needs `pasta` or `slirp4netns`, and neither is installed", hint))
}

impl Connector {
    /// What the step's `/etc/resolv.conf` says: the address at which the program answers for the machine's resolvers.
    pub fn resolvers(&self) -> Vec<u8> {
        match self {
            Self::Pasta(_) => b"nameserver 169.254.1.53\n".to_vec(),
            Self::Slirp(_) => b"nameserver 10.0.2.3\n".to_vec(),
        }
    }

    /// Connects the network namespace of the process `pid`; `notes` is a folder for a file. The connection lasts as long as
    /// the result. Errors: the program's words.
    pub fn connect(&self, pid: u32, notes: &Path) -> Result<Connection, Failure> {
        let failed = |path: &Path, why: String| {
            let hint = "choose --network=host or --network=none; the program needs /dev/net/tun";
            environment(format!("`{}` cannot connect the step's network: {why}", path.display()), hint)
        };
        match self {
            Self::Pasta(path) => pasta(path, pid, notes).map_err(|why| failed(path, why)),
            Self::Slirp(path) => slirp(path, pid).map_err(|why| failed(path, why)),
        }
    }
}

/// A running program; killed on drop.
#[derive(Debug)]
pub struct Connection {
    program: Child,
    _namespace: Option<Namespace>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// A network namespace under a name in the worker's own mount namespace: `pasta` gives up the rights that it would need to
/// look at another process's.
#[derive(Debug)]
struct Namespace(PathBuf);

impl Namespace {
    fn of(pid: u32, folder: &Path) -> io::Result<Self> {
        let place = folder.join("netns");
        File::create(&place)?;
        rustix::mount::mount_bind(format!("/proc/{pid}/ns/net"), &place)?;
        Ok(Self(place))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

fn start(command: &mut Command, namespace: Option<Namespace>) -> Result<Connection, String> {
    command.env_clear().stdout(Stdio::null()).stderr(Stdio::piped());
    let program = command.spawn().map_err(|error| describe(&error))?;
    Ok(Connection { program, _namespace: namespace })
}

fn pasta(path: &Path, pid: u32, notes: &Path) -> Result<Connection, String> {
    let ready = notes.join("network");
    let namespace = Namespace::of(pid, notes).map_err(|error| describe(&error))?;
    let mut command = Command::new(path);
    // Nothing of the machine is forwarded in or out of loopback.
    command.args([
        "--foreground",
        "--quiet",
        "--netns-only",
        "--config-net",
        "--no-map-gw",
        "--dns-forward",
        "169.254.1.53",
    ]);
    command.args(["-t", "none", "-u", "none", "-T", "none", "-U", "none", "--runas", "0", "--pid"]).arg(&ready);
    command.arg("--netns").arg(&namespace.0).stdin(Stdio::null());
    let mut connection = start(&mut command, Some(namespace))?;
    let until = Instant::now() + PATIENCE;
    while !std::fs::read(&ready).is_ok_and(|text| !text.is_empty()) {
        if Instant::now() > until || !matches!(connection.program.try_wait(), Ok(None)) {
            return Err(words(connection));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(connection)
}

fn slirp(path: &Path, pid: u32) -> Result<Connection, String> {
    let (reader, writer) = io::pipe().map_err(|error| describe(&error))?;
    let mut command = Command::new(path);
    // It writes to its standard input when it is ready: the one number that is given on without further ado.
    command.args(["--configure", "--mtu=65520", "--disable-host-loopback", "--ready-fd=0"]);
    command.arg(pid.to_string()).arg("tap0").stdin(Stdio::from(OwnedFd::from(writer)));
    let connection = start(&mut command, None)?;
    // Our copy of the writer goes with the command, so that the program's end is the end of the pipe.
    drop(command);
    let patience = Timespec { tv_sec: i64::try_from(PATIENCE.as_secs()).unwrap_or(10), tv_nsec: 0 };
    let heard = poll(&mut [PollFd::new(&reader, PollFlags::IN)], Some(&patience)).is_ok_and(|count| count > 0);
    let mut byte = [0];
    match heard && File::from(OwnedFd::from(reader)).read_exact(&mut byte).is_ok() {
        true => Ok(connection),
        false => Err(words(connection)),
    }
}

/// What a program that failed has said.
fn words(mut connection: Connection) -> String {
    let _ = connection.program.kill();
    let mut said = String::new();
    let _ = connection.program.stderr.take().map(|pipe| pipe.take(4096).read_to_string(&mut said));
    match said.trim() {
        "" => "it was not ready in time, and said nothing".to_owned(),
        said => said.escape_debug().to_string().replace("\\n", "; "),
    }
}
