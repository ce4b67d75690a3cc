//! Debian's docker-registry on loopback: what we push others read, what others push we read; images of docker as bases.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::lab::{Docker, Ours, Running, folder, image, program, write};

/// A registry of our own, so that what is in the lab's is left alone.
struct Registry {
    server: Child,
    address: String,
    _dir: tempfile::TempDir,
}

impl Registry {
    fn start() -> Result<Self, String> {
        let program = program("docker-registry")?;
        let dir = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let config = dir.path().join("config.yml");
        let storage = dir.path().join("data");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: {address}}}\n",
            storage.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut server = Command::new(program);
        server.arg("serve").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = server.spawn().map_err(|e| e.to_string())?;
        let registry = Self { server, address, _dir: dir };
        for _ in 0..100 {
            if TcpStream::connect(&registry.address).is_ok() {
                return Ok(registry);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err("docker-registry does not start".into())
    }

    fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn skopeo(args: &[&str]) -> String {
    let done = Command::new("skopeo").args(args).stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "skopeo {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn digest(text: &str) -> String {
    let document: Value = serde_json::from_str(text).unwrap();
    document["image"]["digest"].as_str().unwrap().to_owned()
}

fn dockerfile(ours: &Ours, text: &str) -> std::path::PathBuf {
    let context = ours.folder("context");
    write(&context, "Dockerfile", text);
    write(&context, "a", "a\n");
    context
}

#[test]
fn registry_and_skopeo() {
    let test = Running::start("registry_and_skopeo");
    let (layout, registry) = match (image("busybox"), program("skopeo"), Registry::start()) {
        (Ok(layout), Ok(_), Ok(registry)) => (layout, registry),
        (Err(why), ..) | (_, Err(why), _) | (.., Err(why)) => return test.skip(why),
    };
    let source = format!("oci:{}:local", layout.display());
    skopeo(&["copy", "-q", "--dest-tls-verify=false", &source, &format!("docker://{}", registry.name("busybox:1"))]);
    let ours = Ours::new();
    let name = registry.name("ours:1");
    let text = format!("FROM {}\nRUN echo hi > /hi\nCOPY a /a\n", registry.name("busybox:1"));
    ours.build(&dockerfile(&ours, &text), &["-t", &name, "--push"]);
    let pushed = digest(&ours.ok(&["image", "push", "--json", &name]));
    // Others see the digest that we say, and can take it.
    let remote = format!("docker://{name}");
    let seen = skopeo(&["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &remote]);
    assert_eq!(seen.trim(), pushed);
    let out = ours.folder("out");
    skopeo(&["copy", "-q", "--src-tls-verify=false", &remote, &format!("oci:{}:x", out.display())]);
    let fresh = Ours::new();
    assert_eq!(digest(&fresh.ok(&["image", "pull", "--json", &name])), pushed);
    let other = registry.name("copy:1");
    assert_eq!(digest(&fresh.ok(&["image", "push", "--json", &name, "--to", &other])), pushed, "byte by byte as it came");
    let pinned = format!("FROM {}@{pushed}\nRUN test \"$(cat /hi)\" = hi && test -e /a\n", registry.name("ours"));
    fresh.build(&dockerfile(&fresh, &pinned), &[]);
    // zstd, as skopeo writes it.
    let packed = format!("docker://{}", registry.name("zstd:1"));
    let zstd = ["--dest-compress-format", "zstd", "--dest-tls-verify=false"];
    let from = format!("oci:{}:x", out.display());
    skopeo(&[&["copy", "-q", "--format", "oci"], zstd.as_slice(), &[&from, &packed]].concat());
    let last = Ours::new();
    last.build(&dockerfile(&last, &format!("FROM {}\nRUN test -e /hi\n", registry.name("zstd:1"))), &[]);
    test.pass("pushed, seen by skopeo under the same digest, pulled, pushed again, pinned, zstd");
}

#[test]
fn bases_of_docker() {
    let test = Running::start("bases_of_docker");
    let (docker, registry) = match (Docker::open(), Registry::start(), image("busybox")) {
        (Ok(docker), Ok(registry), Ok(_)) => (docker, registry),
        (Err(why), ..) | (_, Err(why), _) | (.., Err(why)) => return test.skip(why),
    };
    let context = tempfile::tempdir().unwrap();
    write(context.path(), "Dockerfile", "FROM busybox:local\nRUN echo docker > /by-docker\nENV BY=docker\n");
    let name = registry.name("by-docker:1");
    docker.ok(&["build", "-q", "--network=host", "-t", &name, context.path().to_str().unwrap()]);
    docker.ok(&["push", "-q", &name]);
    let text = format!("FROM {name}\nRUN test \"$(cat /by-docker)\" = \"$BY\"\nCOPY a /a\n");
    // By the registry.
    let ours = Ours::new();
    ours.build(&dockerfile(&ours, &text), &[]);
    // By `docker save`.
    let archive = context.path().join("saved.tar");
    docker.ok(&["save", "-o", archive.to_str().unwrap(), &name]);
    drop(registry);
    let ours = Ours::new();
    ours.ok(&["image", "load", archive.to_str().unwrap()]);
    ours.build(&dockerfile(&ours, &text), &[]);
    // By the daemon's socket, and back.
    let socket = folder("RBUILD_LAB").unwrap().join("run/docker.sock");
    let by_socket = Ours::new();
    let folder = dockerfile(&by_socket, &text);
    let back = "rbuild-peers-loaded:1";
    loaded(&by_socket, &socket, &folder, back);
    assert_eq!(docker.ok(&["run", "--rm", "--network=host", back, "cat", "/a"]), "a\n");
    docker.ok(&["image", "rm", "-f", back, &name]);
    test.pass("by registry, by docker save, by the daemon's socket; loaded into the daemon and run");
}

fn loaded(ours: &Ours, socket: &Path, context: &Path, tag: &str) {
    let mut command = ours.command(&["build", "-t", tag, "--load", context.to_str().unwrap()]);
    let done = command.env("DOCKER_HOST", format!("unix://{}", socket.display())).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
