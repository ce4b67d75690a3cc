//! Contexts that are not what they seem: nothing outside is read, nothing hangs, everything else is copied as it is. Ids are
//! those of the reliability plan, section C; C06, C18, C19 and C29 stand beside the worker's copies.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType};
use serde_json::Value;

use super::program::{Ended, Program, can_build, codes, line};

/// Builds into a folder, in bounded time.
fn built(program: &Program) -> (Ended, PathBuf) {
    let (image, out) = (program.path("image"), program.path("out"));
    for folder in [&image, &out] {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir(folder).unwrap();
    }
    let started = Instant::now();
    let ended = program.run(&["build", "-o", &format!("type=oci,tar=false,dest={}", image.display())]);
    assert!(started.elapsed() < Duration::from_secs(30), "it took {:?}", started.elapsed());
    if ended.code == Some(0) {
        unpack(&image, &out);
    }
    (ended, out)
}

/// The layers of an OCI layout, laid over each other by the machine's own tar.
fn unpack(image: &Path, out: &Path) {
    let json = |path: PathBuf| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let blob = |descriptor: &Value| image.join("blobs").join(descriptor["digest"].as_str().unwrap().replace(':', "/"));
    let manifest = json(blob(&json(image.join("index.json"))["manifests"][0]));
    for layer in manifest["layers"].as_array().unwrap() {
        let mut tar = std::process::Command::new("tar");
        tar.args(["--no-same-owner", "-xzpf"]).arg(blob(layer)).arg("-C").arg(out);
        assert!(tar.status().unwrap().success());
    }
}

fn tree(program: &Program) -> PathBuf {
    let (ended, out) = built(program);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    out
}

fn target(path: &Path) -> String {
    fs::read_link(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).display().to_string()
}

fn fifo(path: &Path) {
    rustix::fs::mknodat(CWD, path, FileType::Fifo, 0o644.into(), 0).unwrap();
}

#[test]
fn c01_c02_c15_links_out_of_the_context() {
    if !can_build("c01_c02_c15_links_out_of_the_context") {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY leak /\n");
    symlink("/etc/hostname", program.context.join("leak")).unwrap();
    symlink("../../../etc", program.context.join("folder")).unwrap();
    symlink("nowhere", program.context.join("dangling")).unwrap();
    program.run(&["build"]).says(1, &["Dockerfile:2 COPY leak /", "`leak`", "does not exist"]);
    program.write("Dockerfile", "FROM scratch\nCOPY dangling /\n");
    program.run(&["build"]).says(1, &["Dockerfile:2 COPY dangling /", "`dangling`", "does not exist"]);
    program.write("Dockerfile", "FROM scratch\nCOPY . /\n");
    let out = tree(&program);
    let links = ["leak", "folder", "dangling"].map(|name| target(&out.join(name)));
    assert_eq!(links, ["/etc/hostname", "../../../etc", "nowhere"]);
}

#[test]
fn c03_c04_paths_that_lead_out() {
    if !can_build("c03_c04_paths_that_lead_out") {
        return;
    }
    let program = Program::new("FROM scratch\n");
    symlink("/etc", program.context.join("d")).unwrap();
    fs::write(program.path("x"), "outside\n").unwrap();
    let sources = [
        "d/hostname",
        "d/*",
        "d/..",
        "../x",
        "/../x",
        "a/../../x",
        "d/../../x",
        "./../../../../../../../../../../etc/hostname",
    ];
    for source in sources {
        program.write("Dockerfile", &format!("FROM scratch\nARG UP={source}\nCOPY $UP /to/\n"));
        let (ended, out) = built(&program);
        match ended.code {
            Some(1) => ended.says(1, &["Dockerfile:3 COPY", "does not exist"]),
            // `d/..` is the context itself.
            Some(0) => assert!(!out.join("to/hostname").exists() && !out.join("to/passwd").exists(), "{source}"),
            other => panic!("{source}: {other:?} {}", ended.stderr),
        }
    }
    program.write("x", "inside\n");
    program.write("Dockerfile", "FROM scratch\nCOPY ../../x /\n");
    assert_eq!(fs::read_to_string(tree(&program).join("x")).unwrap(), "inside\n", "`..` ends at the context");
}

#[test]
fn c05_links_of_a_stage_stay_in_the_stage() {
    if !can_build("c05_links_of_a_stage_stay_in_the_stage") {
        return;
    }
    let program = Program::new("FROM scratch AS st\nCOPY . /\nFROM scratch\nCOPY --from=st /link /up /got/\n");
    symlink("/etc/shadow", program.context.join("link")).unwrap();
    symlink("../../../../etc/shadow", program.context.join("up")).unwrap();
    program.run(&["build"]).says(1, &["Dockerfile:4 COPY --from=st", "`link`, `up` do not exist in what it copies from"]);
    program.write("etc/shadow", "the stage's own\n");
    let out = tree(&program);
    for name in ["link", "up"] {
        assert_eq!(fs::read_to_string(out.join("got").join(name)).unwrap(), "the stage's own\n");
    }
}

#[test]
fn c07_destinations_that_cannot_be() {
    if !can_build("c07_destinations_that_cannot_be") {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY loop /loop\nCOPY a /loop/x/\n");
    program.write("a", "1\n");
    fs::create_dir(program.context.join("loop")).unwrap();
    symlink("y", program.context.join("loop/x")).unwrap();
    symlink("x", program.context.join("loop/y")).unwrap();
    program.run(&["build"]).says(1, &["Dockerfile:3 COPY a /loop/x/", "/loop/", "ELOOP"]);
    program.write("Dockerfile", "FROM scratch\nCOPY a /file\nCOPY a /file/x\n");
    program.run(&["build"]).says(1, &["Dockerfile:3 COPY a /file/x", "/file"]);
}

#[test]
fn c08_flags_that_make_no_sense() {
    let program = Program::new("FROM scratch\n");
    program.write("a", "1\n");
    for flag in ["--chmod=9999", "--chmod=abc", "--chown=4294967296", "--chown=-1", "--exclude=[", "--parents=maybe"] {
        program.write("Dockerfile", &format!("FROM scratch\nCOPY {flag} a /\n"));
        let ended = program.run(&["build"]);
        if can_build("c08_flags_that_make_no_sense") {
            ended.says(1, &["Dockerfile:2"]);
        }
    }
}

#[test]
fn c09_dockerfiles_that_are_none() {
    let program = Program::new("FROM scratch\n");
    let path = program.context.join("Dockerfile");
    let refused = |parts: &[&str]| {
        let started = Instant::now();
        let ended = program.run(&["build"]);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        ended.says(1, parts);
        fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).unwrap();
    };
    fs::write(&path, "").unwrap();
    refused(&["Dockerfile"]);
    fs::write(&path, "FROM scratch\nCOPY \0 /\n").unwrap();
    refused(&["Dockerfile"]);
    fs::create_dir(&path).unwrap_or_else(|_| panic!("the Dockerfile is still there"));
    refused(&["Dockerfile"]);
    fifo(&path);
    refused(&["Dockerfile"]);
    symlink("/dev/zero", &path).unwrap();
    refused(&["Dockerfile"]);
    fs::File::create(&path).unwrap().set_len(1 << 30).unwrap();
    refused(&["Dockerfile"]);
    if can_build("c09_dockerfiles_that_are_none") {
        fs::write(&path, "\u{feff}FROM scratch\nCOPY Dockerfile /\n").unwrap();
        assert_eq!(program.run(&["build"]).code, Some(0), "a byte order mark is no instruction");
    }
}

#[test]
fn c10_ignore_files_that_are_none() {
    let program = Program::new("FROM scratch\nCOPY . /\n");
    let path = program.context.join(".dockerignore");
    let bounded = || {
        let started = Instant::now();
        let ended = program.run(&["build"]);
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        assert!(matches!(ended.code, Some(0 | 1)), "{ended:?}");
        fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).unwrap();
        ended
    };
    if !can_build("c10_ignore_files_that_are_none") {
        return;
    }
    fifo(&path);
    bounded().says(1, &[".dockerignore"]);
    fs::create_dir(&path).unwrap();
    bounded().says(1, &[".dockerignore"]);
    symlink("/dev/zero", &path).unwrap();
    bounded().says(1, &[".dockerignore"]);
    fs::write(&path, "x\n".repeat(5 << 20)).unwrap();
    bounded().says(1, &[".dockerignore"]);
}

#[test]
fn c13_c16_special_files_and_loops() {
    if !can_build("c13_c16_special_files_and_loops") {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY d /d\n");
    program.write("d/a", "1\n");
    fifo(&program.context.join("d/fifo"));
    symlink("self", program.context.join("d/self")).unwrap();
    symlink("..", program.context.join("d/parent")).unwrap();
    let out = tree(&program);
    assert_eq!((target(&out.join("d/self")), target(&out.join("d/parent"))), ("self".into(), "..".into()));
    assert_eq!(fs::read_to_string(out.join("d/a")).unwrap(), "1\n");
    let _socket = std::os::unix::net::UnixListener::bind(program.context.join("d/socket")).unwrap();
    let (ended, out) = built(&program);
    match ended.code {
        Some(0) => assert!(!out.join("d/socket").exists() || fs::metadata(out.join("d/socket")).unwrap().len() == 0),
        _ => ended.says(1, &["Dockerfile:2 COPY d /d", "socket"]),
    }
    program.write("Dockerfile", "FROM scratch\nCOPY d/self /\n");
    program.run(&["build"]).says(1, &["Dockerfile:2 COPY d/self /"]);
}

#[test]
fn c14_what_may_not_be_read_is_named_unless_it_is_ignored() {
    let name = "c14_what_may_not_be_read_is_named_unless_it_is_ignored";
    if rustix::process::geteuid().is_root() {
        return println!("skipped: {name}: root reads everything");
    }
    if !can_build(name) {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY . /\n");
    program.write("d/closed", "1\n");
    let path = program.context.join("d/closed");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    program.run(&["build"]).says(3, &["d/closed", "EACCES"]);
    program.write(".dockerignore", "d/closed\n");
    assert_eq!(program.run(&["build"]).code, Some(0));
    let folder = program.context.join("d");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o000)).unwrap();
    program.run(&["build"]).says(3, &["/d`", "EACCES"]);
    program.write(".dockerignore", "d\n");
    let ended = program.run(&["build"]);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn c17_hard_links_lose_nothing() {
    if !can_build("c17_hard_links_lose_nothing") {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY d /d\n");
    program.write("d/a", "same\n");
    fs::hard_link(program.context.join("d/a"), program.context.join("d/b")).unwrap();
    let out = tree(&program);
    assert_eq!(["a", "b"].map(|name| fs::read_to_string(out.join("d").join(name)).unwrap()), ["same\n", "same\n"]);
    fs::remove_file(program.context.join("d/b")).unwrap();
    program.write("d/b", "same\n");
    assert_eq!(line(&program.build(&[]), 2)["result"], "hit", "a copy has the digest of a hard link");
    fs::hard_link(program.context.join("d/a"), program.context.join("d/c")).unwrap();
    assert_eq!(codes(line(&program.build(&[]), 2)), ["M3"]);
}

#[test]
fn c21_a_change_in_the_same_tick_is_seen() {
    if !can_build("c21_a_change_in_the_same_tick_is_seen") {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY a /a\n");
    for round in 0..10 {
        program.write("a", &format!("{round}\n"));
        assert_eq!(line(&program.build(&[]), 2)["result"], "ran", "round {round}");
    }
}

#[test]
fn c25_names_of_any_bytes() {
    if !can_build("c25_names_of_any_bytes") {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY d /d\n");
    let long = "n".repeat(255);
    let names: [&[u8]; 7] = [b"new\nline", b"\x1b[31m", b"-rf", b"--help", b" ", long.as_bytes(), "\u{202e}".as_bytes()];
    fs::create_dir(program.context.join("d")).unwrap();
    for name in names {
        fs::write(program.context.join("d").join(std::ffi::OsStr::from_bytes(name)), name).unwrap();
    }
    let out = tree(&program);
    for name in names {
        assert_eq!(fs::read(out.join("d").join(std::ffi::OsStr::from_bytes(name))).unwrap(), name);
    }
    for name in [".wh.x", ".wh..wh..opq"] {
        fs::write(program.context.join("d").join(name), "").unwrap();
        program.run(&["build"]).says(1, &["Dockerfile:2 COPY d /d", name, "removals"]);
        fs::remove_file(program.context.join("d").join(name)).unwrap();
    }
}

#[test]
fn c26_paths_longer_than_a_call_takes() {
    if !can_build("c26_paths_longer_than_a_call_takes") {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY d /d\n");
    let name = "x".repeat(200);
    let mut folder = rustix::fs::open(&program.context, rustix::fs::OFlags::DIRECTORY, 0.into()).unwrap();
    for part in std::iter::once("d").chain(std::iter::repeat_n(name.as_str(), 25)) {
        rustix::fs::mkdirat(&folder, part, 0o755.into()).unwrap();
        folder = rustix::fs::openat(&folder, part, rustix::fs::OFlags::DIRECTORY, 0.into()).unwrap();
    }
    let ended = program.run(&["build"]);
    match ended.code {
        Some(0) => {}
        _ => ended.says(3, &["ENAMETOOLONG"]),
    }
}

#[test]
fn c27_modes_and_holes_are_kept() {
    if !can_build("c27_modes_and_holes_are_kept") {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY d /d\n");
    program.write("d/tool", "1\n");
    fs::set_permissions(program.context.join("d/tool"), fs::Permissions::from_mode(0o6711)).unwrap();
    let sparse = fs::File::create(program.context.join("d/sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    let out = tree(&program);
    assert_eq!(fs::metadata(out.join("d/sparse")).unwrap().size(), 64 << 20);
    assert_eq!(fs::metadata(out.join("d/tool")).unwrap().mode() & 0o7777, 0o6711);
}

#[test]
fn c28_nothing_is_written_into_a_context() {
    if !can_build("c28_nothing_is_written_into_a_context") {
        return;
    }
    let program = Program::new("FROM scratch\nCOPY . /\n");
    program.write("a", "1\n");
    let before = fs::metadata(&program.context).unwrap();
    let names = || fs::read_dir(&program.context).unwrap().flatten().map(|e| e.file_name()).collect::<Vec<_>>();
    let listed = names();
    fs::set_permissions(&program.context, fs::Permissions::from_mode(0o555)).unwrap();
    assert_eq!(program.run(&["build"]).code, Some(0));
    let after = fs::metadata(&program.context).unwrap();
    assert_eq!((before.mtime(), before.mtime_nsec(), listed), (after.mtime(), after.mtime_nsec(), names()));
    fs::set_permissions(&program.context, fs::Permissions::from_mode(0o755)).unwrap();
}
