//! ADD of URLs, git repositories and further contexts beside BuildKit: the same trees, and hits and misses on the same changes. One
//! server on loopback that both ask.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use super::lab::{Docker, Ours, Running, at_line, image, program, write};
use super::pair::{Options, ours};
use serde_json::Value;

/// A folder, served as it is, with its own time of change for each file.
struct Server {
    address: String,
    times: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Server {
    fn new(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, times) = (listener.local_addr().unwrap().to_string(), Arc::default());
        let server = Self { address, times };
        let (root, times) = (root.to_owned(), Arc::clone(&server.times));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (root, times) = (root.clone(), Arc::clone(&times));
                std::thread::spawn(move || answer(stream.unwrap(), &root, &times));
            }
        });
        server
    }

    fn time(&self, name: &str, time: &str) {
        self.times.lock().unwrap().insert(name.to_owned(), time.to_owned());
    }
}

fn answer(mut stream: TcpStream, root: &Path, times: &Mutex<BTreeMap<String, String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let target = head.split(' ').nth(1).unwrap_or("/").split('?').next().unwrap_or("/").trim_start_matches('/').to_owned();
    let time = times.lock().unwrap().get(&target).map(|time| format!("Last-Modified: {time}\r\n")).unwrap_or_default();
    let (status, body) = fs::read(root.join(&target)).map_or((404, Vec::new()), |bytes| (200, bytes));
    let _ = write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n{time}\r\n", body.len());
    if !head.starts_with("HEAD") {
        let _ = stream.write_all(&body);
    }
}

/// Path, kind, mode, owner, content or target; time where `timed` says so.
fn listing(tar: &Path, timed: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(fs::File::open(tar).unwrap());
    let mut out = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let (header, mut bytes) = (entry.header().clone(), Vec::new());
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        let link = entry.link_name().unwrap().map(|link| link.display().to_string());
        let time = timed(&path).then(|| header.mtime().unwrap());
        let (uid, gid) = (header.uid().unwrap(), header.gid().unwrap());
        let described = format!(
            "{:?} {:o} {uid}:{gid} {link:?} {time:?} {bytes:?}",
            header.entry_type(),
            header.mode().unwrap() & 0o7777
        );
        out.insert(path, described);
    }
    out
}

fn git(folder: &Path, args: &[&str]) {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"]).args(args);
    let done = command.current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

fn publish(work: &Path, root: &Path, message: &str) {
    git(work, &["add", "-A"]);
    git(work, &["commit", "-q", "--allow-empty", "-m", message]);
    let bare = root.join("r.git");
    let _ = fs::remove_dir_all(&bare);
    git(work, &["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
    git(&bare, &["repack", "-qad"]);
    git(&bare, &["update-server-info"]);
}

/// Whether BuildKit served the copies, by their text. The download before a copy has the same name, but nothing that it stands on.
fn copies(docker: &Docker, context: &Path) -> BTreeMap<String, bool> {
    let args =
        ["buildx", "build", "--network=host", "--progress=rawjson", "--output=type=cacheonly", context.to_str().unwrap()];
    let done = docker.command(&args).output().unwrap();
    let text = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{text}");
    let mut out = BTreeMap::new();
    for line in text.lines() {
        let Ok(value) = serde_json::from_str::<Value>(line) else { continue };
        for vertex in value["vertexes"].as_array().into_iter().flatten() {
            let name = vertex["name"].as_str().unwrap_or("").split_once("] ").map_or("", |(_, name)| name).to_owned();
            let inputs = vertex["inputs"].as_array().map_or(0, Vec::len);
            if inputs < 2 || !name.starts_with("ADD ") {
                continue;
            }
            if vertex["cached"] == true {
                out.insert(name, true);
            } else if vertex["completed"].is_string() {
                out.entry(name).or_insert(false);
            }
        }
    }
    out
}

#[test]
fn sources_of_servers() {
    let test = Running::start("sources_of_servers");
    let docker = match Docker::open() {
        Ok(docker) => docker,
        Err(why) => return test.skip(why),
    };
    let busybox = match image("busybox").and_then(|path| program("git").map(|_| path)) {
        Ok(path) => path,
        Err(why) => return test.skip(why),
    };
    let ours_side = Ours::with_image(&busybox, &["busybox:local"]);
    let (root, work, context) = (ours_side.folder("served"), ours_side.folder("work"), ours_side.folder("context"));
    let server = Server::new(&root);
    // The lab keeps what it built: no content may be that of an earlier run.
    let nonce = rbuild_tui::ground::random_hex(8);
    write(&root, "a.txt", &format!("one {nonce}"));
    write(&root, "b.sh", &format!("#!/bin/sh\n# {nonce}\n"));
    server.time("a.txt", "Wed, 21 Oct 2015 07:28:00 GMT");
    git(&work, &["init", "-q", "-b", "main"]);
    write(&work, "x/y", &format!("1 {nonce}"));
    write(&work, "z", &format!("2 {nonce}"));
    std::os::unix::fs::symlink("z", work.join("l")).unwrap();
    publish(&work, &root, "first");
    let url = format!("http://{}", server.address);
    let lines = [
        format!("ADD {url}/a.txt /a/"),
        format!("ADD --chmod=755 --chown=3:4 {url}/b.sh /b"),
        format!("ADD {url}/r.git#main /g/"),
        format!("ADD {url}/r.git#main:x /x/"),
    ];
    write(&context, "Dockerfile", &format!("FROM busybox:local\n{}\n", lines.join("\n")));
    let tars: [PathBuf; 2] = ["ours.tar", "theirs.tar"].map(|name| ours_side.folder("tars").join(name));
    let place = context.to_str().unwrap();
    ours_side.ok(&["build", "-o", &format!("type=tar,dest={}", tars[0].display()), place]);
    docker.ok(&["buildx", "build", "--network=host", "-q", "-o", &format!("type=tar,dest={}", tars[1].display()), place]);
    let timed = |path: &str| path == "a/a.txt" || path == "b";
    let [mine, theirs] = tars.map(|tar| listing(&tar, timed));
    let differing: Vec<_> = mine.iter().filter(|(path, entry)| theirs.get(*path) != Some(entry)).collect();
    assert!(differing.is_empty() && mine.len() == theirs.len(), "{differing:#?}");
    let mut compared = 0;
    let mut compare = |change: &str| {
        let document = ours(&ours_side, &context, &Options::default());
        let vertices = copies(&docker, &context);
        for (at, instruction) in lines.iter().enumerate() {
            let step = at_line(&document, at as u64 + 2);
            let hit = step["result"] == "hit";
            if let Some(theirs) = vertices.get(instruction) {
                assert_eq!(hit, *theirs, "{change}: {instruction}: {step}\n{vertices:#?}");
                compared += 1;
            }
        }
    };
    compare("nothing changed");
    server.time("b.sh", "Wed, 21 Oct 2015 07:28:00 GMT");
    compare("another time");
    publish(&work, &root, "no file changed");
    compare("another commit of the same files");
    write(&work, "z", &format!("3 {nonce}"));
    publish(&work, &root, "a file changed");
    compare("another commit");
    write(&root, "a.txt", &format!("two {nonce}"));
    server.time("a.txt", "Wed, 21 Oct 2015 07:28:01 GMT");
    compare("another content");
    assert!(compared >= 16, "only {compared} answers were compared");
    test.pass(format!("{}; {} entries equal, {compared} answers equal", docker.version, mine.len()));
}
