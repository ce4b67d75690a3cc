//! A podman daemon, played by the test: where its socket is looked for, what it is asked, and what goes in and out.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::program::{Ended, Program, can_build, line};

/// Images by name, as archives of `save`; and what was asked.
#[derive(Default)]
struct Holds {
    images: Vec<(String, Vec<u8>)>,
    loaded: Vec<Vec<u8>>,
    asked: Vec<String>,
    /// Refuses to load, with status 200 and a message in the stream, as podman does.
    full: bool,
}

/// Answers as podman's service does: HTTP/1.1 if it is asked so, else closes after the answer; names are looked up with the
/// registry podman gives them.
struct Podman(Arc<Mutex<Holds>>);

impl Podman {
    fn listen(socket: &Path) -> Self {
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(socket).unwrap();
        let holds: Arc<Mutex<Holds>> = Arc::default();
        let shared = Arc::clone(&holds);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let holds = Arc::clone(&shared);
                std::thread::spawn(move || answer(&stream, &holds));
            }
        });
        Self(holds)
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().asked)
    }
}

fn answer(mut stream: &UnixStream, holds: &Mutex<Holds>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length: usize = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(|n| n.trim().parse().unwrap()))
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let request = head.lines().next()?.rsplit_once(' ')?.0.to_owned();
    let (status, kind, reply) = {
        let mut holds = holds.lock().unwrap();
        holds.asked.push(request.clone());
        reply(&request, body, &mut holds)
    };
    let head = format!(
        "HTTP/1.0 {status} X\r\nApi-Version: 1.41\r\nLibpod-Api-Version: 5.4.0\r\nServer: Libpod/5.4.0 (linux)\r\n\
         Content-Type: {kind}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&reply).ok()
}

fn reply(request: &str, body: Vec<u8>, holds: &mut Holds) -> (u16, &'static str, Vec<u8>) {
    let (json, text) = ("application/json", "text/plain; charset=utf-8");
    if request == "GET /_ping" {
        return (200, text, b"OK".to_vec());
    }
    if request.starts_with("POST /images/load") {
        if holds.full {
            return (200, json, br#"{"error":"write /var/tmp/x: no space left on device"}"#.to_vec());
        }
        holds.loaded.push(body);
        return (200, json, b"{\"stream\":\"Loaded image: localhost/out:1\\n\"}\n".to_vec());
    }
    let name = request.strip_prefix("GET /images/").unwrap_or_default();
    let (name, what) = name.rsplit_once('/').unwrap_or_default();
    let found = holds.images.iter().find(|(known, _)| known == name || *known == format!("localhost/{name}"));
    match (found, what) {
        (Some((_, archive)), "json") => {
            // Podman's ids have no `sha256:`.
            let id = rbuild_tui::ground::digest::Digest::of(archive).hex();
            (200, json, format!("{{\"Id\":\"{id}\",\"RepoTags\":[\"localhost/{name}\"]}}").into_bytes())
        }
        (Some((_, archive)), "get") => (200, "application/x-tar", archive.clone()),
        _ => {
            let said = format!("{{\"cause\":\"image not known\",\"message\":\"{name}: image not known\",\"response\":404}}");
            (404, json, said.into_bytes())
        }
    }
}

/// An archive as `podman save` writes it, of an image with one file.
fn archive(program: &Program) -> Vec<u8> {
    let other = Program::new("FROM scratch\nCOPY f /from-podman\nENV OF=podman\n");
    other.write("f", "podman\n");
    let file = program.path("saved.tar");
    other.build(&["-t", "localhost/base:1", "-o", &format!("type=docker,dest={}", file.display())]);
    std::fs::read(file).unwrap()
}

fn run(program: &Program, runtime: &Path, args: &[&str]) -> Ended {
    let mut command = program.command(args);
    Ended::of(command.env_remove("DOCKER_HOST").env("XDG_RUNTIME_DIR", runtime).output().unwrap())
}

fn set_up(test: &str) -> Option<(Program, PathBuf, Podman)> {
    if !can_build(test) {
        return None;
    }
    let program = Program::new("FROM base:1\nCOPY Dockerfile /d\n");
    let runtime = program.path("run");
    let podman = Podman::listen(&runtime.join("podman/podman.sock"));
    Some((program, runtime, podman))
}

#[test]
fn an_image_of_podman_is_a_base() {
    let Some((program, runtime, podman)) = set_up("an_image_of_podman_is_a_base") else { return };
    podman.0.lock().unwrap().images.push(("localhost/base:1".into(), archive(&program)));
    let out = program.path("out");
    let ended = run(&program, &runtime, &["build", "-o", out.to_str().unwrap()]);
    ended.says(0, &[]);
    assert_eq!(std::fs::read_to_string(out.join("from-podman")).unwrap(), "podman\n");
    let asked = podman.asked();
    assert!(asked.iter().any(|request| request.starts_with("GET /images/") && request.ends_with("/get")), "{asked:?}");
    // It is in the store now: the archive is not fetched again.
    let ended = run(&program, &runtime, &["build", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(line(&document, 2)["result"], "hit", "{document}");
    let asked = podman.asked();
    assert!(!asked.iter().any(|request| request.ends_with("/get")), "{asked:?}");
    // An archive that is cut is no base.
    let mut holds = podman.0.lock().unwrap();
    let half = holds.images[0].1[..3000].to_vec();
    holds.images.push(("localhost/cut:1".into(), half));
    drop(holds);
    program.write("Dockerfile", "FROM localhost/cut:1\nCOPY Dockerfile /d\n");
    let ended = run(&program, &runtime, &["build"]);
    assert!(matches!(ended.code, Some(1 | 3)), "{ended:?}");
    assert_eq!(ended.stderr.matches("error: ").count(), 1, "{}", ended.stderr);
}

#[test]
fn an_image_is_loaded_into_podman() {
    let Some((program, runtime, podman)) = set_up("an_image_is_loaded_into_podman") else { return };
    program.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /d\n");
    run(&program, &runtime, &["build", "-t", "out:1", "--load"]).says(0, &[]);
    let loaded = std::mem::take(&mut podman.0.lock().unwrap().loaded);
    assert_eq!(loaded.len(), 1);
    let mut names = Vec::new();
    for entry in tar::Archive::new(&loaded[0][..]).entries().unwrap() {
        names.push(entry.unwrap().path().unwrap().display().to_string());
    }
    assert!(names.iter().any(|name| name == "manifest.json"), "{names:?}");
    podman.0.lock().unwrap().full = true;
    let ended = run(&program, &runtime, &["build", "-t", "out:1", "--load"]);
    ended.says(3, &["error: ", "podman/podman.sock", "no space left on device"]);
    // DOCKER_HOST alone counts when it is set, and docker's own socket comes before podman's.
    podman.asked();
    program.run(&["build", "-t", "out:1", "--load"]).says(3, &["no docker daemon answers"]);
    assert!(podman.asked().is_empty());
    let docker = Podman::listen(&runtime.join("docker.sock"));
    run(&program, &runtime, &["build", "-t", "out:1", "--load"]).says(0, &[]);
    assert_eq!(docker.0.lock().unwrap().loaded.len(), 1);
    assert!(podman.asked().is_empty());
}
