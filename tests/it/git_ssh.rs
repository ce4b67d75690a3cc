//! git over ssh, with a real sshd, a real agent and known hosts of the test's own.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::git::{Repository, has_git};
use super::program::{Ended, Program};

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn quiet(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn key(path: &Path) {
    assert!(quiet(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path)));
}

fn wait_for(what: &str, ready: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !ready() {
        assert!(Instant::now() < until, "{what} does not come up");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An sshd for this user on a port of loopback that knows one key.
struct Server {
    _sshd: Running,
    port: u16,
    user: String,
}

impl Server {
    fn start(folder: &Path) -> Option<Self> {
        let root = rustix::process::geteuid().is_root();
        if !root || !Path::new("/usr/sbin/sshd").is_file() {
            return None;
        }
        key(&folder.join("host"));
        key(&folder.join("user"));
        fs::copy(folder.join("user.pub"), folder.join("authorized")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {0}/host\nAuthorizedKeysFile {0}/authorized\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nPidFile none\n",
            folder.display()
        );
        fs::write(folder.join("sshd_config"), text).unwrap();
        // The folder that sshd wants stands in a mount namespace of its own.
        let start = "mount -t tmpfs none /run && mkdir -m 755 /run/sshd && exec /usr/sbin/sshd -D -e -f \"$0\"";
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", start]).arg(folder.join("sshd_config"));
        let sshd = Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?);
        wait_for("sshd", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(Self { _sshd: sshd, port, user: "root".into() })
    }

    /// Its line of a file of known hosts.
    fn known(&self, key: &Path) -> String {
        let key = fs::read_to_string(key).unwrap();
        let words: Vec<&str> = key.split(' ').take(2).collect();
        format!("[127.0.0.1]:{} {}\n", self.port, words.join(" "))
    }
}

fn agent(folder: &Path) -> (Running, PathBuf) {
    let socket = folder.join("agent");
    let mut command = Command::new("ssh-agent");
    command.arg("-D").arg("-a").arg(&socket).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let agent = Running(command.spawn().unwrap());
    wait_for("the agent", || socket.exists());
    (agent, socket)
}

#[test]
fn a_repository_comes_over_ssh_by_the_agents_key_from_a_known_host() {
    let test = "a_repository_comes_over_ssh_by_the_agents_key_from_a_known_host";
    if !has_git(test) {
        return;
    }
    let program = Program::new("");
    let folder = program.path("ssh");
    fs::create_dir(&folder).unwrap();
    let Some(server) = Server::start(&folder) else {
        return println!("skipped: {test}: needs root, and sshd in /usr/sbin");
    };
    let (_agent, socket) = agent(&folder);
    // ssh takes the known hosts of the user's own home, whatever HOME says: this one is told of the test's.
    let (bin, known) = (program.path("bin"), folder.join("known_hosts"));
    fs::create_dir(&bin).unwrap();
    let wrapper = format!(
        "#!/bin/sh\necho \"$*\" >> {}\nexec /usr/bin/ssh -o UserKnownHostsFile={} -o GlobalKnownHostsFile=/dev/null -o IdentityFile=none \"$@\"\n",
        folder.join("asked").display(),
        known.display()
    );
    fs::write(bin.join("ssh"), wrapper).unwrap();
    fs::set_permissions(bin.join("ssh"), fs::Permissions::from_mode(0o755)).unwrap();
    let repository = Repository::new(&program);
    repository.pack();
    let url = format!("ssh://{}@127.0.0.1:{}{}", server.user, server.port, repository.bare.display());
    program.write("Dockerfile", &format!("FROM scratch\nADD {url}#main:sub /s/\n"));
    let out = program.path("out");
    let build = |with_agent: bool| {
        let mut command = program.command(&["build", "-o", out.to_str().unwrap(), "."]);
        command.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
        // A program that the user's own environment would have ssh run is not asked.
        command.env("GIT_SSH_COMMAND", "false").env("GIT_SSH", "/bin/false");
        if with_agent {
            command.env("SSH_AUTH_SOCK", &socket);
        }
        Ended::of(command.output().unwrap())
    };
    // Nobody has said that this host is the right one: no question, no trust on first sight.
    let ended = build(true);
    ended.says(3, &["Dockerfile:2", "its host key is not in ~/.ssh/known_hosts", "ssh-keyscan"]);
    assert!(!known.exists() || fs::read_to_string(&known).unwrap().is_empty());
    // Another key than the known one.
    fs::write(&known, server.known(&folder.join("user.pub"))).unwrap();
    build(true).says(3, &["Dockerfile:2", "its host key is another than the one in ~/.ssh/known_hosts"]);
    fs::write(&known, server.known(&folder.join("host.pub"))).unwrap();
    // No agent, and an agent without the key.
    for with_agent in [false, true] {
        build(with_agent).says(3, &["Dockerfile:2", "it accepts none of the keys", "ssh-add"]);
    }
    assert!(!out.exists());
    assert!(quiet(Command::new("ssh-add").arg(folder.join("user")).env("SSH_AUTH_SOCK", &socket)));
    build(true).says(0, &[]);
    assert_eq!(fs::read_to_string(out.join("s/b")).unwrap(), "2");
    let asked = fs::read_to_string(folder.join("asked")).unwrap();
    assert!(asked.lines().all(|line| line.contains("-F /dev/null -o BatchMode=yes")), "{asked}");
    // Everything is there now: the commit is asked for, and nothing is fetched.
    let before = asked.lines().count();
    build(true).says(0, &["cached"]);
    let asked = fs::read_to_string(folder.join("asked")).unwrap();
    assert_eq!(asked.lines().count(), before + 1, "{asked}");
}
