//! Build contexts that are no folder of this machine, and named ones of every kind.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;

use super::program::{Ended, Program, busybox, can_build, line};
use super::registry::server::{Action, Registry};

fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o640);
        header.set_uid(5);
        header.set_gid(6);
        builder.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn packed(tar: &[u8], packing: &str) -> Vec<u8> {
    let mut out = Vec::new();
    match packing {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(&mut out, flate2::Compression::fast());
            encoder.write_all(tar).unwrap();
            encoder.finish().unwrap();
        }
        "zstd" => out = zstd::encode_all(tar, 1).unwrap(),
        "bzip2" | "xz" => {
            let mut child = std::process::Command::new(packing);
            let mut child = child.arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(tar).unwrap();
            out = child.wait_with_output().unwrap().stdout;
        }
        _ => out = tar.to_vec(),
    }
    out
}

fn piped(program: &Program, args: &[&str], input: &[u8]) -> Ended {
    let mut command = program.command(args);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A build that refuses does not read to the end.
    let _ = child.stdin.take().unwrap().write_all(input);
    Ended::of(child.wait_with_output().unwrap())
}

const FILES: &[(&str, &str)] =
    &[("./Dockerfile", "FROM scratch\nCOPY . /all/\nCOPY d/a /a\n"), ("./d/a", "text"), (".dockerignore", "d")];

fn check_all(out: &Path) {
    assert_eq!(fs::read_to_string(out.join("all/d/a")).unwrap(), "text", "no .dockerignore applies");
    let meta = fs::metadata(out.join("a")).unwrap();
    assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (5, 6, 0o640), "owners of an archive count");
}

#[test]
fn a_tar_on_standard_input_in_every_packing() {
    if !can_build("a_tar_on_standard_input_in_every_packing") {
        return;
    }
    let program = Program::new("");
    let tar = archive(FILES);
    let out = program.path("out");
    let place = out.to_str().unwrap();
    for packing in ["plain", "gzip", "bzip2", "xz", "zstd"] {
        if matches!(packing, "bzip2" | "xz")
            && !Path::new("/usr/bin").join(packing).exists()
            && !Path::new("/bin").join(packing).exists()
        {
            println!("skipped: {packing}: there is no such program");
            continue;
        }
        let _ = fs::remove_dir_all(&out);
        let ended = piped(&program, &["build", "-o", place, "-"], &packed(&tar, packing));
        assert_eq!(ended.code, Some(0), "{packing}: {}{}", ended.stdout, ended.stderr);
        check_all(&out);
    }
    // The same tar again: all of it is served, whatever it was packed in.
    let ended = piped(&program, &["build", "--json", "-"], &tar);
    let document: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((line(&document, 2)["result"].as_str(), line(&document, 3)["result"].as_str()), (Some("hit"), Some("hit")));
}

#[test]
fn a_dockerfile_alone_on_standard_input_has_no_context() {
    if !can_build("a_dockerfile_alone_on_standard_input_has_no_context") {
        return;
    }
    let program = Program::new("");
    program.write("secret", "not copied");
    assert_eq!(piped(&program, &["build", "-"], b"FROM scratch\nCOPY <<x /x\ny\nx\n").code, Some(0));
    piped(&program, &["build", "-"], b"FROM scratch\nCOPY secret /\n").says(1, &["Dockerfile:2", "`secret` does not exist"]);
    piped(&program, &["build", "-"], b"").says(1, &["standard input", "is empty"]);
    piped(&program, &["build", "-f", "other", "-"], b"FROM scratch\n").says(1, &["standard input is a Dockerfile"]);
    piped(&program, &["build", "-f", "-", "-"], b"FROM scratch\n").says(2, &["cannot be both"]);
    piped(&program, &["build", "-f", "x/other", "-"], &archive(FILES)).says(1, &["there is no Dockerfile `x/other`"]);
}

#[test]
fn c33_a_broken_archive_leaves_nothing_behind() {
    if !can_build("c33_a_broken_archive_leaves_nothing_behind") {
        return;
    }
    let program = Program::new("");
    let canary = program.path("canary");
    fs::write(&canary, "unchanged").unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    let mut link = tar::Header::new_ustar();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    builder.append_link(&mut link, "Dockerfile", &canary).unwrap();
    let mut broken = builder.into_inner().unwrap();
    broken.truncate(512);
    broken.extend_from_slice(b"FROM scratch\nCOPY . /\n");
    piped(&program, &["build", "-"], &broken).says(1, &[]);
    let gzip = packed(&archive(FILES), "gzip");
    piped(&program, &["build", "-"], &gzip[..gzip.len() - 9]).says(1, &["no archive that can be read to its end"]);
    let server = Registry::new();
    server.fault("GET /c.tar", 1, Action::Answer(200, String::new(), broken));
    server.fault("GET /c.tar", 9, Action::Answer(200, String::new(), b"FROM scratch\n".to_vec()));
    program.run(&["build", &format!("http://{}/c.tar", server.address)]).says(1, &[]);
    assert_eq!(fs::read_to_string(&canary).unwrap(), "unchanged");
    assert!(fs::symlink_metadata(&canary).unwrap().is_file());
}

#[test]
fn an_archive_and_a_dockerfile_of_a_server() {
    if !can_build("an_archive_and_a_dockerfile_of_a_server") {
        return;
    }
    let program = Program::new("");
    let server = Registry::new();
    let url = |path: &str| format!("http://{}{path}", server.address);
    server.fault("GET /c.tgz", 9, Action::Answer(200, String::new(), packed(&archive(FILES), "gzip")));
    server.fault("GET /D", 9, Action::Answer(200, String::new(), b"FROM scratch\nCOPY <<x /x\ny\nx\n".to_vec()));
    let out = program.path("out");
    let ended = program.run(&["build", "-o", out.to_str().unwrap(), &url("/c.tgz")]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    check_all(&out);
    assert_eq!(program.run(&["build", &url("/D")]).code, Some(0));
    program.run(&["build", &url("/missing")]).says(1, &["cannot get the build context", "404"]);
    program.run(&["build", "http://127.0.0.1:1/x"]).says(3, &["cannot get the build context", "127.0.0.1:1"]);
    program.run(&["lint", &url("/D")]).says(2, &["has to be a folder"]);
}

#[test]
fn named_contexts_of_every_kind() {
    let Some(busybox) = busybox("named_contexts_of_every_kind") else { return };
    let program = Program::new(
        "FROM folder AS a\nFROM web AS b\nFROM image\nCOPY --from=a /f /a\nCOPY --from=b /d/a /b\nCOPY --from=folder f /c\nRUN --network=none --mount=from=web,target=/m --mount=from=folder,target=/n cat /m/d/a /n/f > /e\n",
    );
    let folder = program.path("folder");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("f"), "1").unwrap();
    fs::write(folder.join("left"), "out").unwrap();
    fs::write(folder.join(".dockerignore"), "left").unwrap();
    let server = Registry::new();
    server.fault("GET /c.tar", 9, Action::Answer(200, String::new(), archive(FILES)));
    let contexts = [
        format!("--build-context=folder={}", folder.display()),
        format!("--build-context=web=http://{}/c.tar", server.address),
        format!("--build-context=image=oci-layout://{}", busybox.display()),
    ];
    let contexts: Vec<&str> = contexts.iter().map(String::as_str).collect();
    let out = program.path("out");
    let place = out.to_str().unwrap();
    let all = |more: &'static [&'static str]| [&["-o", place], &contexts[..], more, &["."]].concat();
    program.build(&all(&[]));
    let read = |name: &str| fs::read_to_string(out.join(name)).unwrap();
    assert_eq!((read("a"), read("b"), read("c"), read("e")), ("1".into(), "text".into(), "1".into(), "text1".into()));
    let document = program.build(&all(&[]));
    assert!(document["steps"].as_array().unwrap().iter().all(|step| step["result"] == "hit"), "{document}");
    fs::remove_dir_all(&out).unwrap();
    program.build(&all(&["--target=a"]));
    assert!(out.join("f").exists() && !out.join("left").exists());
    for (given, part) in
        [("x=target:b", "bake"), ("x=ftp://h/x", "is no context"), ("x=https://h/x.git?what=1", "unknown option")]
    {
        program.run(&["build", "--build-context", given, "."]).says(2, &[part]);
    }
}
