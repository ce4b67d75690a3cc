//! COPY, ADD and WORKDIR.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::bench::entries;
use super::lab::{Lab, Tar, id, lab};
use rbuild_tui::engine::protocol::*;

/// A context: `a`, `d/{b,s -> b}`, `d/e/c`.
fn context(lab: &Lab) -> std::path::PathBuf {
    let root = lab.dir.path().join("context");
    fs::create_dir_all(root.join("d/e")).unwrap();
    fs::write(root.join("a"), "A").unwrap();
    fs::write(root.join("d/b"), "B").unwrap();
    fs::write(root.join("d/e/c"), "C").unwrap();
    fs::set_permissions(root.join("d/e"), fs::Permissions::from_mode(0o711)).unwrap();
    fs::set_permissions(root.join("d/e/c"), fs::Permissions::from_mode(0o4755)).unwrap();
    symlink("b", root.join("d/s")).unwrap();
    symlink("/etc/hostname", root.join("leak")).unwrap();
    root
}

fn spec(sources: &[&str], destination: &str) -> CopySpec {
    let sources = sources.iter().map(|s| (*s).to_owned()).collect();
    CopySpec { sources, destination: destination.into(), ..CopySpec::default() }
}

fn copy(lab: &Lab, name: &str, parents: &[&str], copy: CopySpec, previous: Option<&str>) -> Result<Reply, Failure> {
    let root = lab.dir.path().join("context");
    let source = CopySource::Directory { entries: entries(&root), root };
    let parents = parents.iter().map(|p| id(p)).collect();
    lab.call(Request::Copy { layer: id(name), parents, source, copy, previous: previous.map(id) })
}

#[test]
fn copies_like_fsutil() {
    let Some(lab) = lab("copies_like_fsutil") else { return };
    context(&lab);
    lab.base("base");
    copy(&lab, "all", &["base"], spec(&["a", "d"], "/app/"), None).unwrap();
    let names: Vec<_> = lab.names(&["all"]);
    assert_eq!(names, ["app", "app/a", "app/b", "app/e", "app/e/c", "app/s"]);
    let entries = lab.list(&["base", "all"]);
    let entry = |path: &str| entries.iter().find(|e| e.path == path).unwrap();
    assert_eq!((entry("app").mode, entry("app/e").mode, entry("app/e/c").mode), (0o755, 0o711, 0o4755));
    assert_eq!(entry("app/s").link.as_deref(), Some("b"));
    copy(
        &lab,
        "named",
        &["base"],
        CopySpec { chown: Some("bob".into()), chmod: FileMode::parse("640").ok(), ..spec(&["a"], "/x/y") },
        None,
    )
    .unwrap();
    let entries = lab.list(&["named"]);
    let entry = |path: &str| entries.iter().find(|e| e.path == path).unwrap();
    // As BuildKit does it: directories made on the way get the mode, too.
    assert_eq!((entry("x").uid, entry("x").mode), (1000, 0o640));
    assert_eq!((entry("x/y").uid, entry("x/y").gid, entry("x/y").mode), (1000, 1001, 0o640));
    // Onto an existing directory: into it; its own attributes stay.
    copy(&lab, "into", &["base"], spec(&["a"], "/tmp"), None).unwrap();
    let into = fs::metadata(lab.layer("into").join("tmp")).unwrap();
    assert_eq!(into.mode() & 0o7777, 0o1777);
    assert!(lab.layer("into").join("tmp/a").exists());
    assert!(copy(&lab, "bad", &["base"], spec(&["d"], "/etc/passwd"), None).is_err());
    assert!(copy(&lab, "c01", &["base"], spec(&["leak"], "/"), None).unwrap_err().message.contains("`leak`"));
    assert!(copy(&lab, "c05", &["base"], spec(&["nosuch"], "/"), None).is_err());
}

#[test]
fn c06_destinations_behind_links() {
    let Some(lab) = lab("c06_destinations_behind_links") else { return };
    context(&lab);
    let canary = lab.canary();
    lab.unpack(
        "base",
        &[],
        &Tar::default().dir("etc", 0o755).link("dst", "/etc").link("out", &canary).link("up", "../../tmp/t"),
    )
    .unwrap();
    let before = lab.canary_state();
    for (n, destination) in ["/dst", "/dst/", "/out/", "/up/", "/../../x/", "/out/new"].into_iter().enumerate() {
        copy(&lab, &format!("l{n}"), &["base"], spec(&["a"], destination), None).unwrap();
    }
    assert_eq!(before, lab.canary_state());
    assert!(lab.layer("l0").join("etc/a").exists() && lab.layer("l1").join("etc/a").exists());
    assert!(lab.layer("l2").join(&canary[1..]).join("a").exists());
    assert!(lab.layer("l3").join("tmp/t/a").exists() && lab.layer("l4").join("x/a").exists());
    assert!(lab.layer("l5").join(&canary[1..]).join("new").exists());
}

#[test]
fn c18_c19_changed_while_copied() {
    let Some(lab) = lab("c18_c19_changed_while_copied") else { return };
    let root = context(&lab);
    let entries = entries(&root);
    let call = |name: &str| {
        let source = CopySource::Directory { root: root.clone(), entries: entries.clone() };
        lab.call(Request::Copy { layer: id(name), parents: vec![], source, copy: spec(&["a"], "/"), previous: None })
    };
    for (n, text) in ["B", "longer", ""].into_iter().enumerate() {
        fs::write(root.join("a"), text).unwrap();
        assert_eq!(call(&format!("c{n}")).unwrap_err().message, "`a` changed while it was copied");
    }
    fs::remove_file(root.join("a")).unwrap();
    assert_eq!(call("gone").unwrap_err().message, "`a` changed while it was copied");
    symlink("/etc/hostname", root.join("a")).unwrap();
    assert_eq!(call("link").unwrap_err().message, "`a` changed while it was copied");
    assert!(!lab.layer("gone").exists());
}

#[test]
fn unchanged_files_are_linked_from_the_previous_layer() {
    let Some(lab) = lab("unchanged_files_are_linked_from_the_previous_layer") else { return };
    if !super::lab::is_root() {
        return println!("skipped unchanged_files_are_linked_from_the_previous_layer: looks at inodes, needs root");
    }
    let root = context(&lab);
    copy(&lab, "one", &[], spec(&[""], "/app"), None).unwrap();
    let modified = fs::metadata(root.join("a")).unwrap().modified().unwrap();
    // Same size and same time, other content: only the digest tells.
    fs::write(root.join("a"), "Z").unwrap();
    fs::File::options().write(true).open(root.join("a")).unwrap().set_modified(modified).unwrap();
    copy(&lab, "two", &[], spec(&[""], "/app"), Some("one")).unwrap();
    let inode = |layer: &str, path: &str| fs::metadata(lab.layer(layer).join(path)).unwrap().ino();
    assert_eq!(inode("one", "app/d/b"), inode("two", "app/d/b"));
    assert_ne!(inode("one", "app/a"), inode("two", "app/a"));
    assert_eq!(fs::read(lab.layer("two").join("app/a")).unwrap(), b"Z");
    let other = CopySpec { chmod: FileMode::parse("600").ok(), ..spec(&[""], "/app") };
    copy(&lab, "three", &[], other, Some("two")).unwrap();
    assert_ne!(inode("two", "app/a"), inode("three", "app/a"));
    assert_eq!(fs::metadata(lab.layer("two").join("app/a")).unwrap().mode() & 0o777, 0o644);
}

#[test]
fn from_layers_with_owners_links_and_devices() {
    let Some(lab) = lab("from_layers_with_owners_links_and_devices") else { return };
    let tar = Tar::default().dir("s", 0o750).file("s/f", 0o644, b"x").hard("s/g", "s/f").link("s/l", "/etc/shadow");
    let tar = tar.raw(b"s/p", b'6', 0o644, 0, b"", b"").link("alias", "s/f").link("esc", "../../../etc/hostname");
    lab.unpack("stage", &[], &tar.file("s/.keep", 0o644, b"")).unwrap();
    lab.unpack("stage2", &["stage"], &Tar::default().file("s/.wh..keep", 0o644, b"")).unwrap();
    let from = |name: &str, source: &str, to: &str| {
        let layers = vec![id("stage"), id("stage2")];
        let source_of = CopySource::Layers { layers };
        lab.call(Request::Copy {
            layer: id(name),
            parents: vec![],
            source: source_of,
            copy: spec(&[source], to),
            previous: None,
        })
    };
    from("dir", "s", "/t").unwrap();
    assert_eq!(lab.names(&["dir"]), ["t", "t/f", "t/g", "t/l", "t/p"]);
    let inode = |path: &str| fs::metadata(lab.layer("dir").join(path)).unwrap().ino();
    assert_eq!(inode("t/f"), inode("t/g"));
    from("alias", "alias", "/t/").unwrap();
    assert_eq!(fs::read(lab.layer("alias").join("t/alias")).unwrap(), b"x");
    assert!(from("esc", "esc", "/t/").is_err());
}

#[test]
fn patterns_leave_files_out_and_keep_the_directories_above_the_rest() {
    let Some(lab) = lab("patterns_leave_files_out_and_keep_the_directories_above_the_rest") else { return };
    let tar = Tar::default().dir("s", 0o755).dir("s/a", 0o711).file("s/a/x", 0o644, b"x").file("s/a/y", 0o644, b"y");
    lab.unpack("stage", &[], &tar.dir("s/empty", 0o755).file("s/z", 0o644, b"z")).unwrap();
    let from = |name: &str, include: &[&str], exclude: &[&str]| {
        let patterns = |list: &[&str]| list.iter().map(|p| (*p).to_owned()).collect();
        let selector = Selector { include: patterns(include), exclude: patterns(exclude), ..Selector::new("s") };
        let copy = CopySpec { selectors: vec![selector], ..spec(&["s"], "/t") };
        let source = CopySource::Layers { layers: vec![id("stage")] };
        lab.call(Request::Copy { layer: id(name), parents: vec![], source, copy, previous: None }).unwrap();
        lab.names(&[name])
    };
    assert_eq!(from("only", &["a/x"], &[]), ["t", "t/a", "t/a/x"]);
    assert_eq!(from("but", &[], &["a/x", "empty"]), ["t", "t/a", "t/a/y", "t/z"]);
    assert_eq!(from("back", &[], &["a", "!a/y"]), ["t", "t/a", "t/a/y", "t/empty", "t/z"]);
    assert_eq!(from("both", &["a"], &["a/y"]), ["t", "t/a", "t/a/x"]);
    assert_eq!(from("none", &["gone"], &[]), ["t"]);
    assert_eq!(fs::metadata(lab.layer("only").join("t/a")).unwrap().mode() & 0o777, 0o711);
}

#[test]
fn c25_names_that_mean_removals_are_refused() {
    let Some(lab) = lab("c25_names_that_mean_removals_are_refused") else { return };
    let root = context(&lab);
    fs::write(root.join("d/.wh.x"), "").unwrap();
    assert!(copy(&lab, "wh", &[], spec(&["d"], "/"), None).unwrap_err().message.contains(".wh."));
}

#[test]
fn c29_add_unpacks_archives() {
    let Some(lab) = lab("c29_add_unpacks_archives") else { return };
    let root = context(&lab);
    let canary = lab.canary();
    let tar = Tar::default().file("in/x", 0o600, b"x").link("d", &canary).file("d/y", 0o644, b"y");
    fs::write(root.join("p.tar"), tar.finished()).unwrap();
    let before = lab.canary_state();
    let unpack = |sources: &[&str]| CopySpec { unpack: true, ..spec(sources, "/to/") };
    copy(&lab, "add", &[], unpack(&["p.tar", "a"]), None).unwrap();
    assert_eq!(before, lab.canary_state());
    assert_eq!(fs::read(lab.layer("add").join("to/in/x")).unwrap(), b"x");
    assert_eq!(fs::read(lab.layer("add").join("to/a")).unwrap(), b"A");
    // One file `in/x`, packed by other programs.
    let bzip2 = "425a68393141592653599091984900002ddb80e9804000f700000460211e400808200054568000034f5024a653207a434681f7b98c8674222f3c48d1e822412bc3a4fc308b3a1b6b5a936a51dc998007a245f177245385090909198490";
    let xz = "fd377a585a000004e6d6b446020021011c00000010cf58cce007ff003d5d00349b81e606275d91355443518fa676b9372fe1d90a40778a03a02afd30e1b8945f2a7ad700b2dd5aca0051f86e94d1fa890b3b5eaeb8c606616d4dde0000000000045df2936eeb55fe0001598010000000ef6a2b09b1c467fb020000000004595a";
    let plain = Tar::default().file("in/x", 0o600, b"x").finished();
    let packed = [("bzip2", from_hex(bzip2)), ("xz", from_hex(xz)), ("zstd", zstd::encode_all(&plain[..], 3).unwrap())];
    for (name, bytes) in packed {
        fs::write(root.join("p.tar"), &bytes).unwrap();
        copy(&lab, name, &[], unpack(&["p.tar"]), None).unwrap();
        assert_eq!(fs::read(lab.layer(name).join("to/in/x")).unwrap(), b"x", "{name}");
        copy(&lab, &format!("{name}-as-it-is"), &[], spec(&["p.tar"], "/to/"), None).unwrap();
        assert_eq!(fs::read(lab.layer(&format!("{name}-as-it-is")).join("to/p.tar")).unwrap(), bytes);
        // What only begins like one is a file.
        fs::write(root.join("p.tar"), &bytes[..8]).unwrap();
        copy(&lab, &format!("{name}-none"), &[], unpack(&["p.tar"]), None).unwrap();
        assert!(lab.layer(&format!("{name}-none")).join("to/p.tar").exists());
    }
    let escape = Tar::default().file(".wh.x", 0o644, b"");
    fs::write(root.join("p.tar"), escape.finished()).unwrap();
    assert!(copy(&lab, "wh", &[], unpack(&["p.tar"]), None).is_err());
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn an_archive_that_points_out_of_the_destination_is_refused() {
    let Some(lab) = lab("an_archive_that_points_out_of_the_destination_is_refused") else { return };
    let root = context(&lab);
    lab.unpack("base", &[], &Tar::default().dir("to", 0o755).dir("to/in", 0o755).link("to/up", "../x")).unwrap();
    let add = |name: &str, tar: Tar| {
        fs::write(root.join("p.tar"), tar.finished()).unwrap();
        copy(&lab, name, &["base"], CopySpec { unpack: true, ..spec(&["p.tar"], "/to/") }, None)
    };
    let outside = [
        ("name", Tar::default().file("../x", 0o644, b"x")),
        ("hidden", Tar::default().file("in/../../x", 0o644, b"x")),
        ("hard", Tar::default().file("a", 0o644, b"a").hard("h", "../a")),
        ("own-link", Tar::default().link("l", "..").file("l/etc/x", 0o644, b"x")),
        ("image-link", Tar::default().file("up/y", 0o644, b"x")),
    ];
    for (name, tar) in outside {
        assert!(add(name, tar).is_err(), "{name}");
        assert!(!lab.layer(name).exists(), "{name}");
    }
    // What stays inside is fine, a link that leads nowhere good too, and a member that names the destination itself says nothing.
    let inside = Tar::default().link("l", "/in").file("l/x", 0o644, b"x").link("out", "../../..").file("./", 0o600, b"");
    add("inside", inside).unwrap();
    assert_eq!(fs::read(lab.layer("inside").join("to/in/x")).unwrap(), b"x");
}

#[test]
fn several_sources_go_to_one_place_one_after_the_other() {
    let Some(lab) = lab("several_sources_go_to_one_place_one_after_the_other") else { return };
    context(&lab);
    copy(&lab, "file", &[], spec(&["a", "d/b"], "/one"), None).unwrap();
    assert_eq!(fs::read(lab.layer("file").join("one")).unwrap(), b"B", "the later one replaces the earlier one");
    lab.base("base");
    copy(&lab, "into", &["base"], spec(&["a", "d/b"], "/tmp"), None).unwrap();
    assert!(lab.layer("into").join("tmp/a").exists() && lab.layer("into").join("tmp/b").exists());
}

#[test]
fn a_directory_gives_its_time_to_the_destination() {
    let Some(lab) = lab("a_directory_gives_its_time_to_the_destination") else { return };
    let root = context(&lab);
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::open(root.join("d")).unwrap().set_modified(old).unwrap();
    fs::File::open(&root).unwrap().set_modified(old).unwrap();
    lab.base("base");
    let time = |name: &str, path: &str| fs::metadata(lab.layer(name).join(path)).unwrap().mtime();
    copy(&lab, "new", &["base"], spec(&["d"], "/new"), None).unwrap();
    copy(&lab, "there", &["base"], spec(&["d"], "/tmp"), None).unwrap();
    copy(&lab, "later", &["base"], spec(&["d", "a"], "/new/"), None).unwrap();
    copy(&lab, "root", &["base"], spec(&[""], "/new"), None).unwrap();
    assert_eq!((time("new", "new"), time("there", "tmp")), (1_000_000_000, 1_000_000_000));
    assert_ne!(time("later", "new"), 1_000_000_000, "a file was written into it afterwards");
    assert_ne!(time("root", "new"), 1_000_000_000, "the root of a context has no time of its own");
}

#[test]
fn texts_and_work_directories() {
    let Some(lab) = lab("texts_and_work_directories") else { return };
    lab.base("base");
    let files = vec![("EOF".to_owned(), "hello\n".to_owned())];
    context(&lab);
    let inline = vec![("one".to_owned(), "1\n".to_owned()), ("a".to_owned(), "later\n".to_owned())];
    super::copies::copy(&lab, "mixed", &["base"], CopySpec { inline, ..spec(&["a"], "/m/") }, None).unwrap();
    assert_eq!(lab.names(&["mixed"]), ["m", "m/a", "m/one"]);
    assert_eq!(fs::read(lab.layer("mixed").join("m/a")).unwrap(), b"later\n");
    let copy = spec(&["EOF"], "/run.sh");
    let source = CopySource::Inline { files };
    lab.call(Request::Copy { layer: id("text"), parents: vec![id("base")], source, copy, previous: None }).unwrap();
    assert_eq!(fs::read(lab.layer("text").join("run.sh")).unwrap(), b"hello\n");
    let request = Request::MakeDirectory {
        layer: id("workdir"),
        parents: vec![id("base"), id("text")],
        path: "/srv/app".into(),
        owner: Some("bob".into()),
        timestamp: Some(5),
    };
    let Reply::Layer { stat } = lab.call(request.clone()).unwrap() else { panic!() };
    assert_eq!(stat.entries, 2);
    assert_eq!(lab.call(request).unwrap(), Reply::Layer { stat });
    let (entries, _) = lab.scan(&["workdir"], "srv/app", false);
    let made = entries.iter().find(|entry| entry.path == "srv/app").unwrap();
    assert_eq!((made.uid, made.gid, made.modified.0, made.mode), (1000, 1001, 5, 0o755));
    let request = Request::Remove { layers: vec![id("workdir"), id("nosuch")] };
    assert_eq!(lab.call(request).unwrap(), Reply::Done);
    assert!(!lab.layer("workdir").exists());
}
