//! `layers`: of steps, images and files.

use std::path::Path;

use rbuild_tui::engine::snapshot::tar_reader::{Kind, Member};
use rbuild_tui::engine::snapshot::tar_writer::TarWriter;
use rbuild_tui::ground::digest::Digest;
use serde_json::{Value, json};

use super::program::{Program, can_build};

fn tar(files: &[(&str, Kind, &[u8])]) -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    for (name, kind, body) in files {
        let (name, kind, size) = (name.as_bytes().to_vec(), kind.clone(), body.len() as u64);
        let mode = if kind == Kind::Directory { 0o755 } else { 0o644 };
        tar.header(&Member { name, kind, mode, uid: 0, gid: 0, size, modified: (0, 0), xattrs: Vec::new() }).unwrap();
        tar.body(body).unwrap();
        tar.pad(size).unwrap();
    }
    tar.finish().unwrap()
}

/// An archive as `docker save` writes it; `diff_ids` are those of its configuration.
fn archive(path: &Path, layers: &[Vec<u8>], diff_ids: &[Digest], history: &[&str]) {
    let history: Vec<Value> = history.iter().map(|words| json!({"created_by": words})).collect();
    let config = json!({"architecture": "amd64", "os": "linux", "history": history,
                        "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let names: Vec<String> = (0..layers.len()).map(|n| format!("{n}/layer.tar")).collect();
    let manifest = json!([{"Config": "config.json", "RepoTags": ["small:1"], "Layers": names}]).to_string();
    let config = config.to_string();
    let mut files = vec![("manifest.json", Kind::File, manifest.as_bytes()), ("config.json", Kind::File, config.as_bytes())];
    files.extend(names.iter().zip(layers).map(|(name, layer)| (name.as_str(), Kind::File, layer.as_slice())));
    std::fs::write(path, tar(&files)).unwrap();
}

fn document(program: &Program, args: &[&str]) -> Value {
    let ended = program.run(&[&["layers", "--json"], args].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

#[test]
fn steps_of_any_stage_and_the_image_they_made_show_the_same_layers() {
    if !can_build("steps_of_any_stage_and_the_image_they_made_show_the_same_layers") {
        return;
    }
    let dockerfile =
        "FROM scratch AS tools\nCOPY a /t/a\n\nFROM scratch\nCOPY a b /f/\nENV X=1\nCOPY --from=tools /t/a \\\n  /f/b\n";
    let program = Program::new(dockerfile);
    program.write("a", "12345");
    program.write("b", "123");
    program.run(&["layers"]).says(1, &["Dockerfile was not built here yet", "rbuild-tui build"]);
    program.build(&["-t", "made:1", "."]);
    let last = document(&program, &[]);
    assert_eq!(last["layers"].as_array().unwrap().len(), 2, "{last}");
    assert_eq!((last["layers"][1]["line"].as_u64(), last["layers"][1]["files_changed"].as_u64()), (Some(7), Some(1)));
    assert_eq!((last["wasted_bytes"].as_u64(), last["waste"][0]["path"].as_str()), (Some(3), Some("/f/b")));
    // By hand: f/a 5, f/b 3 and 5.
    assert_eq!(
        (last["efficiency"]["smallest_bytes"].as_u64(), last["efficiency"]["total_bytes"].as_u64()),
        (Some(8), Some(13))
    );
    let image = document(&program, &["made:1"]);
    assert_eq!(image["waste"], last["waste"]);
    assert_eq!(image["layers"][1]["made_by"], "COPY /t/a /f/b");
    // A line in the middle of an instruction, one that only configures, and a stage that is not the last.
    assert_eq!(document(&program, &["8"])["layers"], last["layers"]);
    assert_eq!(document(&program, &["6"])["layers"].as_array().unwrap().len(), 1);
    assert_eq!(document(&program, &["tools:2", "--layer", "1"])["tree"]["entries"][1]["path"], "/t/a");
    program.run(&["layers", "99"]).says(1, &["the last build has no step at line 99"]);
    program.run(&["layers", "--path", "f/b"]).says(0, &["1 ", "2 ", "layer 2 provides it; it hides what layer 1 brought"]);
    program.run(&["layers", "--cat", "/f/b"]).says(0, &["12345"]);
    program.run(&["layers", "--cat", "/f/b", "--layer", "1"]).says(0, &["123"]);
    program.run(&["layers", "5", "--compare", "made:1"]).says(0, &["C ", "/f/b  (content, size)", "changed: 1 file"]);
    program.run(&["layers", "--layer", "3"]).says(2, &["there is no layer 3"]);
}

#[test]
fn an_archive_is_looked_at_where_it_lies_and_leaves_nothing_in_the_store() {
    let program = Program::new("FROM scratch\n");
    let path = program.path("small.tar");
    let first = tar(&[("etc/", Kind::Directory, b""), ("etc/x", Kind::File, b"12345"), ("etc/y", Kind::File, b"1")]);
    let second = tar(&[("etc/.wh.x", Kind::File, b""), ("l", Kind::Symlink(b"etc".to_vec()), b"")]);
    let ids = [Digest::of(&first), Digest::of(&second)];
    archive(&path, &[first, second], &ids, &["/bin/sh -c #(nop) ADD file:1 in / ", "RUN /bin/sh -c rm /etc/x # buildkit"]);
    let name = path.display().to_string();
    let ended = program.run(&["layers", &name]);
    ended.says(0, &["2 layers, 6 B in files", "ADD file:1 in /", "RUN rm /etc/x", "5 B", "/etc/x", "efficiency: 16.7 %"]);
    program
        .run(&["layers", &format!("{name}:1"), "--path", "/l/x"])
        .says(0, &["/etc/x", "removes it", "layer 2 removed what layer 1"]);
    program.run(&["layers", &name, "--all"]).says(0, &["/etc/y", "/l -> etc"]);
    let blobs = std::fs::read_dir(program.store.join("blobs/sha256")).unwrap().count();
    assert_eq!(blobs, 0);
}

#[test]
fn a_layer_that_is_not_what_its_digest_says_is_an_error() {
    let program = Program::new("FROM scratch\n");
    let path = program.path("bad.tar");
    let layer = tar(&[("a", Kind::File, &[b'1'; 300])]);
    let name = path.display().to_string();
    archive(&path, std::slice::from_ref(&layer), &[Digest::of("another")], &["X"]);
    program.run(&["layers", &name]).says(3, &["layer 1: it has the DiffID", "instead of"]);
    let ids = [Digest::of(&layer[..700])];
    archive(&path, &[layer[..700].to_vec()], &ids, &["X"]);
    program.run(&["layers", &name]).says(3, &["layer 1: its tar cannot be read"]);
}

#[test]
fn hostile_names_reach_the_terminal_escaped() {
    let program = Program::new("FROM scratch\n");
    let path = program.path("evil.tar");
    let evil = "x\u{1b}[2J\u{202e}\n\u{9b}y";
    let link = Kind::Symlink(evil.as_bytes().to_vec());
    let first = tar(&[(evil, Kind::File, evil.as_bytes()), ("../../l", link, b""), ("d/\u{7}", Kind::File, b"1")]);
    let second = tar(&[(&format!(".wh.{evil}"), Kind::File, b""), ("d/.wh..wh..opq", Kind::File, b"")]);
    let ids = [Digest::of(&first), Digest::of(&second)];
    archive(&path, &[first, second], &ids, &[evil, evil]);
    let name = path.display().to_string();
    let views: [&[&str]; 7] = [
        &[],
        &["--layer", "1"],
        &["--layer", "2"],
        &["--all"],
        &["--path", evil],
        &["--cat", evil, "--layer", "1"],
        &["--compare", &name],
    ];
    for args in views {
        for json in [&[][..], &["--json"]] {
            let ended = program.run(&[&["layers", &name], args, json].concat());
            assert_eq!(ended.code, Some(0), "{args:?} {}", ended.stderr);
            let bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!ended.stdout.chars().any(bad), "{args:?} {:?}", ended.stdout);
        }
    }
}
