//! `-o` from outside: folders and tars of the result, images in every packing, and what is refused.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::program::{Ended, Program, busybox, can_build};

const FILES: &str = "FROM scratch\nCOPY a /d/a\nCOPY --chown=7:8 --chmod=640 b /d/b\n";

fn files() -> Program {
    let program = Program::new(FILES);
    program.write("a", "1");
    program.write("b", "2");
    program
}

fn says(ended: &Ended, part: &str) {
    ended.says(2, &[part]);
}

#[test]
fn a_folder_gets_the_files_keeps_others_and_is_never_left() {
    if !can_build("a_folder_gets_the_files_keeps_others_and_is_never_left") {
        return;
    }
    let program = files();
    let out = program.path("out");
    let outside = program.path("outside");
    fs::create_dir_all(out.join("d")).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("a"), "untouched").unwrap();
    fs::write(out.join("kept"), "k").unwrap();
    // A file that leads out is replaced, not written through.
    symlink(outside.join("a"), out.join("d/a")).unwrap();
    program.build(&["-o", out.to_str().unwrap(), "."]);
    let read = |name: &str| fs::read_to_string(out.join(name)).unwrap();
    assert_eq!((read("d/a"), read("d/b"), read("kept")), ("1".into(), "2".into(), "k".into()));
    assert_eq!(fs::read_to_string(outside.join("a")).unwrap(), "untouched");
    let b = fs::metadata(out.join("d/b")).unwrap();
    assert_eq!((b.uid(), b.gid(), b.permissions().mode() & 0o7777), (7, 8, 0o640));
    // A folder that leads out is replaced, too.
    fs::remove_dir_all(out.join("d")).unwrap();
    symlink(&outside, out.join("d")).unwrap();
    program.run(&["build", "-o", out.to_str().unwrap(), "."]);
    assert_eq!(fs::read_to_string(outside.join("a")).unwrap(), "untouched");
    assert!(!outside.join("b").exists());
}

fn listed(tar: &[u8]) -> Vec<(String, u64)> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        (entry.path().unwrap().display().to_string(), entry.header().mtime().unwrap())
    });
    entries.collect()
}

#[test]
fn a_tar_to_a_file_and_to_standard_output() {
    if !can_build("a_tar_to_a_file_and_to_standard_output") {
        return;
    }
    let program = files();
    let file = program.path("out.tar");
    let wanted = ["d/", "d/a", "d/b"].map(|name| (name.to_owned(), 42));
    let output = format!("type=tar,dest={}", file.display());
    let mut command = program.command(&["build", "-o", &output, "."]);
    assert!(command.env("SOURCE_DATE_EPOCH", "42").status().unwrap().success());
    assert_eq!(listed(&fs::read(&file).unwrap()), wanted);
    let done = program.command(&["build", "-o", "-", "."]).env("SOURCE_DATE_EPOCH", "42").output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(done.stdout, fs::read(&file).unwrap());
    assert!(String::from_utf8_lossy(&done.stderr).contains("COPY a /d/a"), "the report goes to standard error");
    says(&program.run(&["build", "--json", "-o", "-", "."]), "standard output cannot take both");
    says(&program.run(&["build", "-o", "type=local,dest=-", "."]), "writes a folder");
    says(&program.run(&["build", "-o", "type=oci,dest=x,compression=estargz", "."]), "estargz");
}

fn layout(folder: &Path) -> Value {
    let read = |digest: &Value| -> Value {
        let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
        serde_json::from_slice(&fs::read(folder.join("blobs/sha256").join(hex)).unwrap()).unwrap()
    };
    let index: Value = serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
    read(&index["manifests"][0]["digest"])
}

#[test]
fn images_in_every_packing_with_annotations_and_an_own_name() {
    let Some(busybox) = busybox("images_in_every_packing_with_annotations_and_an_own_name") else { return };
    let program = Program::new("FROM base\nCOPY a /a\n");
    program.write("a", "1");
    let context = format!("base=oci-layout://{}", busybox.display());
    for (name, more, wanted) in [
        ("plain", "compression=uncompressed,force-compression=true", ["tar", "tar"]),
        ("zstd", "compression=zstd,compression-level=7,force-compression=true", ["tar+zstd", "tar+zstd"]),
        ("new", "compression=zstd", ["tar+gzip", "tar+zstd"]),
        ("gzip", "compression=gzip,compression-level=1", ["tar+gzip", "tar+gzip"]),
    ] {
        let folder = program.path(name);
        let output =
            format!("type=oci,dest={},tar=false,name=own/{name}:1,annotation.org.example.x=y,{more}", folder.display());
        program.build(&["--build-context", &context, "-o", &output, "."]);
        let manifest = layout(&folder);
        let kinds: Vec<&str> =
            manifest["layers"].as_array().unwrap().iter().map(|l| l["mediaType"].as_str().unwrap()).collect();
        assert_eq!(kinds, wanted.map(|kind| format!("application/vnd.oci.image.layer.v1.{kind}")), "{name}");
        assert_eq!(manifest["annotations"]["org.example.x"], "y");
        // What was written is read back with every digest checked.
        program.run(&["image", "load", folder.to_str().unwrap()]).says(0, &[&format!("own/{name}:1")]);
    }
}

#[test]
fn the_same_digests_whatever_the_umask_the_locale_and_the_number_of_jobs() {
    if !can_build("the_same_digests_whatever_the_umask_the_locale_and_the_number_of_jobs") {
        return;
    }
    let program = Program::new("FROM scratch AS s\nCOPY a /s/a\nFROM scratch\nWORKDIR /w\nCOPY --from=s /s /s\nCOPY b /b\n");
    program.write("a", "1");
    program.write("b", "2");
    let mut found = Vec::new();
    for (at, (mask, locale, jobs)) in [("022", "C", "1"), ("077", "de_DE.UTF-8", "4")].iter().enumerate() {
        let (store, file) = (program.path(&format!("store{at}")), program.path(&format!("{at}.tar")));
        let output = format!("type=oci,dest={},rewrite-timestamp=true", file.display());
        let line = format!("umask {mask}; exec \"$0\" build --no-cache --jobs {jobs} -o '{output}' .");
        let mut command = Command::new("sh");
        command.args(["-c", &line, env!("CARGO_BIN_EXE_rbuild-tui")]).current_dir(&program.context);
        command.env("SOURCE_DATE_EPOCH", "42").env("RBUILD_TUI_STORE", &store).env("LC_ALL", locale).env("HOME", "/");
        let done = command.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        found.push(fs::read(file).unwrap());
    }
    assert!(found[0] == found[1], "the two archives differ");
}
