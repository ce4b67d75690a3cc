//! ADD of URLs, against a server on loopback. Tests carry the ids of the rows of the reliability reference, section 4.4.

use std::fs;
use std::os::unix::fs::MetadataExt;

use rbuild_tui::ground::digest::Digest;

use super::program::{Program, can_build, codes, line};
use super::registry::server::{Action, Registry};

fn serve(server: &Registry, path: &str, headers: &str, body: &[u8]) {
    server.fault(&format!("GET {path}"), 1000, Action::Answer(200, headers.to_owned(), body.to_vec()));
}

/// The files of a build's result.
fn built(program: &Program, args: &[&str]) -> (serde_json::Value, std::path::PathBuf) {
    let out = program.path("out");
    let _ = fs::remove_dir_all(&out);
    let document = program.build(&[&["-o", out.to_str().unwrap()], args, &["."]].concat());
    (document, out)
}

#[test]
fn a_file_comes_with_its_name_mode_and_time_and_is_asked_for_again() {
    if !can_build("a_file_comes_with_its_name_mode_and_time_and_is_asked_for_again") {
        return;
    }
    let server = Registry::new();
    let time = "Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT\nETag: \"one\"";
    serve(&server, "/a/b.txt", time, b"first");
    serve(&server, "/none", "", b"second");
    let program = Program::new(&format!(
        "FROM scratch\nADD http://{0}/a/b.txt?q=1 /d/\nADD --chmod=755 --chown=3:4 http://{0}/none /e\nADD http://{0}/none b.txt http://{0}/a/b.txt /f/\n",
        server.address
    ));
    program.write("b.txt", "local");
    let (_, out) = built(&program, &[]);
    let read = |name: &str| fs::read_to_string(out.join(name)).unwrap();
    assert_eq!(
        (read("d/b.txt"), read("e"), read("f/b.txt"), read("f/none")),
        ("first".into(), "second".into(), "first".into(), "second".into())
    );
    let meta = fs::metadata(out.join("d/b.txt")).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.mtime(), meta.uid()), (0o600, 1_445_412_480, 0));
    let meta = fs::metadata(out.join("e")).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.mtime(), meta.uid(), meta.gid()), (0o755, 0, 3, 4));
    // Unchanged: what has a tag is asked about and not loaded again, what has none is loaded; both are hits.
    server.fault("HEAD /a/b.txt", 2, Action::Answer(304, String::new(), Vec::new()));
    let before = server.count("GET /a/b.txt");
    let (document, _) = built(&program, &[]);
    for at in [2, 3, 4] {
        assert_eq!(line(&document, at)["result"], "hit", "line {at}");
    }
    assert_eq!(server.count("GET /a/b.txt"), before);
    let head = server.requests().into_iter().find(|head| head.starts_with("HEAD")).unwrap();
    assert!(head.to_lowercase().contains("if-none-match: \"one\""), "{head}");
}

#[test]
fn changed_content_is_a_miss_that_names_the_address_and_a_new_time_is_none() {
    if !can_build("changed_content_is_a_miss_that_names_the_address_and_a_new_time_is_none") {
        return;
    }
    let server = Registry::new();
    let url = format!("http://{}/x.txt", server.address);
    let answer = |headers: &str, body: &str, times| {
        server.fault("GET /x.txt", times, Action::Answer(200, headers.into(), body.as_bytes().to_vec()));
    };
    answer("Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT", "one", 1);
    answer("Last-Modified: Wed, 21 Oct 2015 07:28:01 GMT", "one", 1);
    answer("Last-Modified: Wed, 21 Oct 2015 07:28:01 GMT", "two", 1);
    let program = Program::new(&format!("FROM scratch\nADD {url} /x\n"));
    program.build(&["."]);
    assert_eq!(line(&program.build(&["."]), 2)["result"], "hit", "the same content with another time");
    let document = program.build(&["."]);
    let step = line(&document, 2);
    assert_eq!((step["result"].as_str().unwrap(), codes(step)), ("ran", vec!["M17"]));
    assert_eq!(step["reasons"][0]["text"], format!("the content of `{url}` changed"));
}

#[test]
fn c32_checksums() {
    if !can_build("c32_checksums") {
        return;
    }
    let server = Registry::new();
    serve(&server, "/x", "", b"content");
    let (right, wrong) = (Digest::of("content").to_string(), Digest::of("other").to_string());
    let url = format!("http://{}/x", server.address);
    let program = Program::new(&format!("FROM scratch\nARG SUM\nADD --checksum=$SUM {url} /x\n"));
    let bad = program.run(&["build", "--build-arg", &format!("SUM={wrong}"), "."]);
    bad.says(1, &["Dockerfile:3", "has the digest", "instead of", &wrong]);
    let kept: Vec<_> = fs::read_dir(program.store.join("fetched")).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(kept.is_empty(), "{kept:?}");
    let sum = format!("SUM={right}");
    program.build(&["--build-arg", &sum, "."]);
    let before = server.requests().len();
    assert_eq!(line(&program.build(&["--build-arg", &sum, "."]), 3)["result"], "hit");
    assert_eq!(server.requests().len(), before, "a checksum that is at hand needs no request");
    for (flag, part) in [
        ("--checksum=sha256:12", "is not sha256: and 64 hex digits"),
        ("--checksum=md5:12", "is not sha256: and 64 hex digits"),
    ] {
        program.write("Dockerfile", &format!("FROM scratch\nADD {flag} {url} /x\n"));
        program.run(&["build", "."]).says(1, &["Dockerfile:2", part]);
    }
    program.write("Dockerfile", &format!("FROM scratch\nADD --checksum={right} Dockerfile /x\n"));
    program.run(&["build", "."]).says(1, &["Dockerfile:2", "--checksum needs a URL"]);
}

#[test]
fn c31_redirects_and_refusals() {
    if !can_build("c31_redirects_and_refusals") {
        return;
    }
    let server = Registry::new();
    let program = Program::new("");
    let add = |target: &str| {
        program.write("Dockerfile", &format!("FROM scratch\nADD http://{}{target} /x\n", server.address));
        program.run(&["build", "."])
    };
    for (path, to) in [("/file", "file:///etc/passwd"), ("/meta", "http://169.254.169.254/latest"), ("/loop", "/loop")] {
        server.fault(&format!("GET {path}"), 1000, Action::Answer(302, format!("Location: {to}"), Vec::new()));
        add(path).says(1, &["Dockerfile:2", "which is refused"]);
    }
    add("/missing").says(1, &["Dockerfile:2", "was answered with 404"]);
    serve(&server, "/target", "", b"t");
    server.fault("GET /moved", 1000, Action::Answer(301, "Location: /target".into(), Vec::new()));
    assert_eq!(add("/moved").code, Some(0));
    program.write("Dockerfile", "FROM scratch\nADD http://127.0.0.1:1/x /x\n");
    program.run(&["build", "."]).says(3, &["Dockerfile:2", "cannot reach `127.0.0.1:1`"]);
}

#[test]
fn c38_credentials_reach_the_server_and_nothing_else() {
    if !can_build("c38_credentials_reach_the_server_and_nothing_else") {
        return;
    }
    let server = Registry::new();
    serve(&server, "/x", "", b"x");
    let program = Program::new(&format!("FROM scratch\nADD http://user:RB-S3CR3T@{}/x /x\n", server.address));
    let ended = program.run(&["build", "-t", "secret", "."]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(server.requests()[0].to_lowercase().contains("authorization: basic dxnlcjpsqi1tm0nsm1q="));
    assert!(!format!("{}{}", ended.stdout, ended.stderr).contains("S3CR3T"));
    let mut todo = vec![program.store.clone()];
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().flatten().map(|entry| entry.path()));
        } else {
            let bytes = fs::read(&path).unwrap();
            assert!(!bytes.windows(6).any(|w| w == b"S3CR3T"), "{}", path.display());
        }
    }
}

/// A body that never ends, until nobody reads it.
fn endless() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten().take(20) {
            use std::io::{Read, Write};
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            let chunk = [&b"100000\r\n"[..], &vec![b'x'; 1 << 20], b"\r\n"].concat();
            while stream.write_all(&chunk).is_ok() {}
        }
    });
    address
}

#[test]
fn c32_a_body_without_end_is_given_up_before_the_disk_is_full() {
    let test = "c32_a_body_without_end_is_given_up_before_the_disk_is_full";
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: {test}: needs root");
    }
    let program = Program::new(&format!("FROM scratch\nADD http://{}/x /x\n", endless()));
    fs::create_dir(&program.store).unwrap();
    let build = program.command(&["build", "--plain"]);
    let mut command = std::process::Command::new("unshare");
    // What is left of the file system says what was kept.
    let script = "mount -t tmpfs -o size=300m,mode=700 none \"$RBUILD_TUI_STORE\" && \"$@\"; c=$?; \
                  du -sm \"$RBUILD_TUI_STORE\" | cut -f1; exit $c";
    command.args(["-m", "sh", "-c", script, "sh"]).arg(build.get_program()).args(build.get_args());
    command.env_clear().current_dir(&program.context);
    build.get_envs().for_each(|(name, value)| {
        command.env(name, value.unwrap_or_default());
    });
    let ended = super::program::Ended::of(command.output().unwrap());
    assert!(matches!(ended.code, Some(1 | 3)), "{ended:?}");
    ended.says(ended.code.unwrap(), &["Dockerfile:2"]);
    let kept: u64 = ended.stdout.lines().last().unwrap().trim().parse().unwrap();
    assert!(kept < 20, "{kept} MiB are left: {}", ended.stdout);
}

#[test]
fn c32_lengths_that_are_not_true() {
    if !can_build("c32_lengths_that_are_not_true") {
        return;
    }
    let server = Registry::new();
    let program = Program::new(&format!("FROM scratch\nADD http://{}/long /x\n", server.address));
    serve(&server, "/long", "Content-Length: 99", b"content");
    serve(&server, "/short", "Content-Length: 3", b"content");
    let started = std::time::Instant::now();
    program.run(&["build"]).says(3, &["Dockerfile:2", "broke off after 7 bytes"]);
    assert!(started.elapsed().as_secs() < 90, "{:?}", started.elapsed());
    let sum = Digest::of("content");
    program.write("Dockerfile", &format!("FROM scratch\nADD --checksum={sum} http://{}/short /x\n", server.address));
    program.run(&["build"]).says(1, &["Dockerfile:2", "has the digest", "instead of"]);
    let kept: Vec<_> = fs::read_dir(program.store.join("fetched")).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(kept.is_empty(), "{kept:?}");
}
