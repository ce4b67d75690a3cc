//! Layer blobs, made to break out, and their legitimate twins. The canary is compared after every unpack.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::lab::{Lab, Tar, lab};
use rbuild_tui::engine::protocol::*;
use rbuild_tui::ground::digest::Digest;

fn tar() -> Tar {
    Tar::default()
}

/// What a file of a chain holds.
fn text(lab: &Lab, chain: &[&str], path: &str) -> Option<String> {
    chain.iter().rev().find_map(|layer| fs::read_to_string(lab.layer(layer).join(path)).ok())
}

/// With `/etc/{passwd,whitedout}` and a link to it.
fn below(lab: &Lab) {
    let tar = tar().dir("etc", 0o755).file("etc/passwd", 0o644, b"p").file("etc/whitedout", 0o644, b"w");
    lab.unpack("below", &[], &tar.link("localetc", "/etc").link("dangling", "/none/dir")).unwrap();
}

#[test]
fn t01_t02_writes_through_links_stay_inside() {
    let Some(lab) = lab("t01_t02_writes_through_links_stay_inside") else { return };
    for (n, target) in ["/etc", "../../../../../../../etc", "/dummy/../etc", "upandout/../../../etc"].into_iter().enumerate()
    {
        let name = format!("l{n}");
        let tar = tar().dir("etc", 0o755).link("localetc", target).file("localetc/unbroken", 0o644, b"x");
        let result = lab.unpack(&name, &[], &tar);
        if n < 2 {
            result.unwrap();
            assert_eq!(text(&lab, &[&name], "etc/unbroken").as_deref(), Some("x"));
        }
        assert!(!Path::new("/etc/unbroken").exists());
        // The same with the link in a layer below.
        below(&lab);
        let upper = format!("u{n}");
        lab.unpack(&upper, &["below"], &self::tar().file("/localetc/unbroken", 0o644, b"x")).unwrap();
        assert_eq!(text(&lab, &[&upper], "etc/unbroken").as_deref(), Some("x"));
    }
}

#[test]
fn t03_chains_and_loops() {
    let Some(lab) = lab("t03_chains_and_loops") else { return };
    let mut chain = tar().dir("etc", 0o755);
    for n in 0..38 {
        chain = chain.link(&format!("l{n}"), &if n % 2 == 0 { format!("/l{}", n + 1) } else { format!("l{}", n + 1) });
    }
    lab.unpack("chain", &[], &chain.link("l38", "/etc").file("l0/f", 0o644, b"x")).unwrap();
    assert_eq!(text(&lab, &["chain"], "etc/f").as_deref(), Some("x"));
    let failure = lab.unpack("loop", &[], &tar().link("a", "b").link("b", "a").file("a/f", 0o644, b"x")).unwrap_err();
    assert!(failure.message.contains("a/f") && failure.message.contains("ELOOP"), "{failure:?}");
}

#[test]
fn t04_t06_hard_links_inside() {
    let Some(lab) = lab("t04_t06_hard_links_inside") else { return };
    let tar = tar().dir("etc", 0o755).file("etc/passwd", 0o644, b"p").link("breakouts/d1", "../../etc");
    lab.unpack("l", &[], &tar.hard("breakouts/my", "/breakouts/d1/passwd").hard("abs", "/etc/passwd")).unwrap();
    let inode = |path: &str| fs::symlink_metadata(lab.layer("l").join(path)).unwrap().ino();
    assert_eq!(inode("etc/passwd"), inode("breakouts/my"));
    assert_eq!(inode("etc/passwd"), inode("abs"));
    assert!(lab.unpack("m", &[], &self::tar().hard("x", "/etc/hostname")).is_err());
}

#[test]
fn t07_hardlink_to_symlink_does_not_chmod_outside() {
    let Some(lab) = lab("t07_hardlink_to_symlink_does_not_chmod_outside") else { return };
    let outside = format!("{}/perm0400", lab.canary());
    lab.unpack("l", &[], &tar().link("ep", &outside).raw(b"s", b'1', 0o777, 0, b"ep", b"")).unwrap();
    assert!(fs::symlink_metadata(lab.layer("l").join("s")).unwrap().is_symlink());
}

#[test]
fn t08_root_entries_that_are_links() {
    let Some(lab) = lab("t08_root_entries_that_are_links") else { return };
    for (n, name) in [".", "./", "/.", "", "..", "localetc/sub/..", "./.", "/"].into_iter().enumerate() {
        let canary = lab.canary();
        for kind in [b'2', b'1', b'0'] {
            let layer = format!("l{n}-{kind}");
            let tar = tar().raw(name.as_bytes(), kind, 0o777, 0, canary.as_bytes(), b"");
            if lab.unpack(&layer, &[], &tar).is_ok() {
                lab.unpack(&format!("x{n}-{kind}"), &[&layer], &self::tar().file("x", 0o644, b"x")).unwrap();
            }
        }
        assert!(!Path::new(&canary).join("x").exists(), "{name}");
    }
    lab.unpack("dot", &[], &tar().dir("./", 0o700).file("./a", 0o644, b"x")).unwrap();
    assert_eq!(fs::metadata(lab.layer("dot")).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn t09_directory_over_link() {
    let Some(lab) = lab("t09_directory_over_link") else { return };
    let canary = lab.canary();
    lab.unpack("l", &[], &tar().link("d", &canary).dir("d", 0o777).file("d/f", 0o644, b"x")).unwrap();
    assert!(fs::symlink_metadata(lab.layer("l").join("d")).unwrap().is_dir());
    lab.unpack("b", &[], &tar().link("d", &canary)).unwrap();
    lab.unpack("u", &["b"], &tar().dir("d", 0o777)).unwrap();
    assert!(fs::symlink_metadata(lab.layer("u").join("d")).unwrap().is_dir());
}

#[test]
fn t10_a_directory_becomes_a_link_and_back() {
    let Some(lab) = lab("t10_a_directory_becomes_a_link_and_back") else { return };
    let tar = tar().dir("foo", 0o755).dir("foo/tmp", 0o755).file("foo/tmp/f", 0o644, b"1").link("foo", "/");
    let tar = tar.file("foo/tmp/f", 0o644, b"2").dir("foo", 0o755).file("foo/tmp/f", 0o644, b"3");
    lab.unpack("l", &[], &tar).unwrap();
    assert_eq!(text(&lab, &["l"], "foo/tmp/f").as_deref(), Some("3"));
    assert_eq!(text(&lab, &["l"], "tmp/f").as_deref(), Some("2"));
    // A directory that is remembered must not be, once a link stands in its place.
    let canary = lab.canary();
    let tar = self::tar().dir("d", 0o755).file("d/a", 0o644, b"a").link("d", &canary).file("d/b", 0o644, b"b");
    lab.unpack("m", &[], &tar).unwrap();
    assert!(!Path::new(&canary).join("b").exists());
}

#[test]
fn t12_invalid_whiteouts() {
    let Some(lab) = lab("t12_invalid_whiteouts") else { return };
    below(&lab);
    for (n, name) in [".wh..", ".wh...", "etc/.wh..", "etc/.wh...", ".wh.", "etc/.wh."].into_iter().enumerate() {
        let failure = lab.unpack(&format!("w{n}"), &["below"], &tar().file(name, 0o644, b"")).unwrap_err();
        assert!(failure.message.contains("invalid whiteout"), "{failure:?}");
    }
}

#[test]
fn t13_t18_whiteouts_through_links_and_of_nothing() {
    let Some(lab) = lab("t13_t18_whiteouts_through_links_and_of_nothing") else { return };
    below(&lab);
    let tar = tar().file("localetc/.wh.whitedout", 0o644, b"").file("dangling/.wh.x", 0o644, b"");
    let tar =
        tar.file(".wh.nothing", 0o644, b"").file("no/such/.wh.x", 0o644, b"").file("localetc/.wh.whitedout", 0o644, b"");
    let stat = lab.unpack("w", &["below"], &tar).unwrap();
    assert_eq!(stat.removed, 1);
    assert_eq!(lab.names(&["below", "w"]), ["dangling", "etc", "etc/passwd", "localetc"]);
}

#[test]
fn t15_opaque_in_any_order() {
    let Some(lab) = lab("t15_opaque_in_any_order") else { return };
    let old = tar().dir("d", 0o755).file("d/old", 0o644, b"o").dir("d/n", 0o755).file("d/n/old", 0o644, b"o");
    lab.unpack("old", &[], &old).unwrap();
    let parts: [fn(Tar) -> Tar; 4] = [
        |t| t.dir("d", 0o755),
        |t| t.file("d/.wh..wh..opq", 0o644, b""),
        |t| t.file("d/new", 0o644, b"n"),
        |t| t.dir("d/n", 0o755).file("d/n/new", 0o644, b"n"),
    ];
    for (n, order) in [[0, 1, 2, 3], [0, 2, 1, 3], [0, 2, 3, 1], [1, 0, 3, 2], [3, 1, 2, 0]].iter().enumerate() {
        let layer = format!("o{n}");
        lab.unpack(&layer, &["old"], &order.iter().fold(tar(), |tar, part| parts[*part](tar))).unwrap();
        assert_eq!(lab.names(&["old", &layer]), ["d", "d/n", "d/n/new", "d/new"], "{order:?}");
    }
}

#[test]
fn t16_aufs_notes_are_left_out() {
    let Some(lab) = lab("t16_aufs_notes_are_left_out") else { return };
    let tar = tar().dir(".wh..wh.plnk", 0o700).file(".wh..wh.plnk/12.34", 0o644, b"x").file(".wh..wh.aufs", 0o644, b"");
    let tar = tar.dir(".wh..wh.orph", 0o700).hard("linked", ".wh..wh.plnk/12.34").file("f", 0o644, b"");
    lab.unpack("l", &[], &tar).unwrap();
    assert_eq!(lab.names(&["l"]), ["f"]);
}

#[test]
fn t17_whiteout_and_file_of_one_name() {
    let Some(lab) = lab("t17_whiteout_and_file_of_one_name") else { return };
    below(&lab);
    lab.unpack("a", &["below"], &tar().file("etc/.wh.passwd", 0o644, b"").file("etc/passwd", 0o644, b"new")).unwrap();
    lab.unpack("b", &["below"], &tar().file("etc/passwd", 0o644, b"new").file("etc/.wh.passwd", 0o644, b"")).unwrap();
    lab.unpack("c", &["below"], &tar().file(".wh.etc", 0o644, b"").file("etc/x", 0o644, b"new")).unwrap();
    lab.unpack("d", &["below"], &tar().file("etc/x", 0o644, b"new").file(".wh.etc", 0o644, b"")).unwrap();
    for layer in ["a", "b"] {
        assert_eq!(text(&lab, &[layer], "etc/passwd").as_deref(), Some("new"));
        assert!(lab.names(&["below", layer]).contains(&"etc/passwd".to_owned()));
    }
    for layer in ["c", "d"] {
        assert_eq!(lab.names(&["below", layer]), ["dangling", "etc", "etc/x", "localetc"], "{layer}");
    }
}

#[test]
fn t19_t20_names() {
    let Some(lab) = lab("t19_t20_names") else { return };
    let up = "../".repeat(30) + "x";
    for (n, name) in ["../x", "/../x", "a/../../x", "././../x", "//x", "x/", "/", up.as_str(), "/etc/x"].iter().enumerate() {
        let layer = format!("l{n}");
        let _ = lab.unpack(&layer, &[], &tar().file(name, 0o644, b"x"));
        assert!(!lab.dir.path().join("store/x").exists() && !Path::new("/x").exists() && !Path::new("/etc/x").exists());
        assert!(!lab.dir.path().join("store/layers/x").exists());
    }
    assert_eq!(text(&lab, &["l8"], "etc/x").as_deref(), Some("x"));
    let failure = lab.unpack("nul", &[], &tar().pax(&[("path", "a\0b")]).file("c", 0o644, b"")).unwrap_err();
    assert!(failure.message.contains("NUL"), "{failure:?}");
}

/// A whole member, to be hidden in the body of another.
fn smuggled() -> Vec<u8> {
    tar().file("smuggled", 0o644, b"evil").0
}

#[test]
fn t21_t22_sizes_of_extended_headers_count() {
    let Some(lab) = lab("t21_t22_sizes_of_extended_headers_count") else { return };
    for (name, ustar, real) in [("a", 0, 1024), ("b", 512, 1536)] {
        let mut body = vec![b'.'; usize::try_from(ustar).unwrap()];
        body.extend(smuggled());
        assert_eq!(body.len(), real);
        let tar = tar().pax(&[("size", &real.to_string())]).raw(b"big", b'0', 0o644, ustar, b"", &body);
        lab.unpack(name, &[], &tar).unwrap();
        assert_eq!(lab.names(&[name]), ["big"]);
        assert_eq!(fs::metadata(lab.layer(name).join("big")).unwrap().len(), real as u64);
    }
}

#[test]
fn t23_extended_headers_in_a_row() {
    let Some(lab) = lab("t23_extended_headers_in_a_row") else { return };
    let long = |tar: Tar| tar.raw(b"././@LongLink", b'L', 0o644, 13, b"", b"longname.txt\0");
    let mut body = b"0123456789abcdef".to_vec();
    body.resize(512, 0);
    body.extend(tar().file("file_b", 0o644, b"0123456789abcdef").0);
    body.resize(2048, 0);
    let tar = long(tar().pax(&[("size", "2048")])).raw(b"file_a", b'0', 0o644, 16, b"", &body);
    lab.unpack("xl", &[], &tar).unwrap();
    assert_eq!(lab.names(&["xl"]), ["longname.txt"]);
    assert_eq!(fs::metadata(lab.layer("xl").join("longname.txt")).unwrap().len(), 2048);
    let two = self::tar().pax(&[("size", "0")]).pax(&[("path", "x")]).file("f", 0o644, b"");
    assert!(lab.unpack("xx", &[], &two).is_err());
    let global = self::tar().raw(b"g", b'g', 0o644, 16, b"", b"16 path=smuggle\n").file("f", 0o644, b"");
    assert!(lab.unpack("g", &[], &global).is_err());
    let comment = self::tar().raw(b"g", b'g', 0o644, 13, b"", b"13 comment=x\n").file("f", 0o644, b"");
    lab.unpack("gc", &[], &comment).unwrap();
    let malformed = self::tar().raw(b"x", b'x', 0o644, 9, b"", b"99 path=x").file("f", 0o644, b"");
    assert!(lab.unpack("mal", &[], &malformed).unwrap_err().message.contains("malformed"));
}

#[test]
fn t24_sparse_and_unknown_types_are_refused() {
    let Some(lab) = lab("t24_sparse_and_unknown_types_are_refused") else { return };
    let sparse = tar().pax(&[("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0")]).file("f", 0o644, b"");
    assert!(lab.unpack("s", &[], &sparse).unwrap_err().message.contains("sparse"));
    assert!(lab.unpack("o", &[], &tar().raw(b"f", b'S', 0o644, 0, b"", b"")).unwrap_err().message.contains("sparse"));
    assert!(lab.unpack("z", &[], &tar().raw(b"f", b'Z', 0o644, 0, b"", b"")).unwrap_err().message.contains("unknown type"));
    assert!(lab.unpack("b", &[], &tar().raw(b"f", b'2', 0o644, 512, b"x", &[b'.'; 512])).is_err());
}

#[test]
fn t25_headers_of_any_size_are_refused_early() {
    let Some(lab) = lab("t25_headers_of_any_size_are_refused_early") else { return };
    let start = std::time::Instant::now();
    for kind in [b'L', b'K', b'x', b'g'] {
        let tar = tar().raw(b"h", kind, 0o644, 300 << 20, b"", &vec![b'a'; 2 << 20]);
        let failure = lab.unpack(&format!("h{kind}"), &[], &tar).unwrap_err();
        assert!(failure.message.contains("too large"), "{failure:?}");
    }
    assert!(start.elapsed().as_secs() < 2);
}

#[test]
fn t27_t28_ends_and_gzip() {
    let Some(lab) = lab("t27_t28_ends_and_gzip") else { return };
    let whole = tar().file("a", 0o644, b"x");
    let mut after = whole.finished();
    after.extend(tar().file("ignored", 0o644, b"x").finished());
    lab.unpack_bytes("after", &[], &after, Compression::None, Digest::of(&after)).unwrap();
    assert_eq!(lab.names(&["after"]), ["a"]);
    lab.unpack_bytes("bare", &[], &whole.0, Compression::None, Digest::of(&whole.0)).unwrap();
    let cut = &tar().file("a", 0o644, &[b'x'; 600]).0[..1000];
    assert!(lab.unpack_bytes("cut", &[], cut, Compression::None, Digest::of(cut)).is_err());
    // Two gzip members in a row are one stream.
    let plain = whole.finished();
    let pack = |bytes: &[u8]| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    };
    let two = [pack(&plain[..700]), pack(&plain[700..])].concat();
    lab.unpack_bytes("two", &[], &two, Compression::Gzip, Digest::of(&plain)).unwrap();
    assert_eq!(lab.names(&["two"]), ["a"]);
    let garbage = [pack(&plain), b"garbage".to_vec()].concat();
    assert!(lab.unpack_bytes("garbage", &[], &garbage, Compression::Gzip, Digest::of(&plain)).is_err());
    let failure = lab.unpack_bytes("t51", &[], &plain, Compression::None, Digest::of(b"other")).unwrap_err();
    assert!(failure.message.contains("diff id"), "{failure:?}");
    assert!(!lab.layer("t51").exists());
}

#[test]
fn t34_t35_t38_t39_attributes() {
    let Some(lab) = lab("t34_t35_t38_t39_attributes") else { return };
    let tar =
        tar().file("suid", 0o4755, b"x").patch_owner(7, 8).dir("sticky", 0o1777).raw(b"fifo", b'6', 0o644, 0, b"", b"");
    let tar = tar.raw(b"null", b'3', 0o666, 0, b"", b"").patch(|head| {
        head[329..337].copy_from_slice(b"0000001\0");
        head[337..345].copy_from_slice(b"0000003\0");
    });
    let tar = tar.pax(&[("SCHILY.xattr.user.x", "y"), ("SCHILY.xattr.trusted.overlay.redirect", "/etc"), ("mtime", "-1.5")]);
    lab.unpack("l", &[], &tar.file("attr", 0o600, b"")).unwrap();
    let entries = lab.list(&["l"]);
    let entry = |path: &str| entries.iter().find(|e| e.path == path).unwrap();
    assert_eq!((entry("suid").mode, entry("suid").uid, entry("suid").gid), (0o4755, 7, 8));
    assert_eq!(entry("sticky").mode, 0o1777);
    match super::lab::is_root() {
        true => assert_eq!(entry("null").device, Some((1, 3))),
        // Without root no device can be made: it is left out.
        false => assert!(!entries.iter().any(|e| e.path == "null")),
    }
    assert_eq!(entry("fifo").kind, EntryKind::Fifo);
    assert_eq!(entry("attr").xattrs, [("user.x".to_owned(), b"y".to_vec())]);
    assert_eq!(entry("attr").modified, (-2, 500_000_000));
    for id in ["4294967295", "4294967296", "-1"] {
        let failure = lab.unpack("big", &[], &self::tar().pax(&[("uid", id)]).file("f", 0o644, b"")).unwrap_err();
        assert!(failure.message.contains("owner out of range"), "{failure:?}");
    }
    assert!(lab.unpack("time", &[], &self::tar().pax(&[("mtime", "abc")]).file("f", 0o644, b"")).is_err());
    // A removal in disguise.
    assert!(lab.unpack("wh", &[], &self::tar().raw(b"f", b'3', 0o644, 0, b"", b"")).is_err());
}

#[test]
fn t43_t44_t45_later_members_win() {
    let Some(lab) = lab("t43_t44_t45_later_members_win") else { return };
    let canary = lab.canary();
    let tar = tar().file("a", 0o644, b"1").file("a", 0o644, b"2").file("b", 0o644, b"1").dir("b", 0o755);
    let tar = tar.dir("c", 0o755).file("c/x", 0o644, b"").file("c", 0o644, b"3").link("d", &format!("{canary}/new"));
    let tar = tar.file("d", 0o644, b"4").dir("e", 0o755).file("e/x", 0o644, b"").link("e", "a").file("f", 0o644, b"5");
    let tar = tar.hard("f", "f").file("nondir", 0o644, b"").file("nondir/foo/bar", 0o644, b"6").file("p/q/r", 0o644, b"7");
    lab.unpack("l", &[], &tar).unwrap();
    for (path, wanted) in [("a", "2"), ("c", "3"), ("d", "4"), ("f", "5"), ("nondir/foo/bar", "6"), ("p/q/r", "7")] {
        assert_eq!(text(&lab, &["l"], path).as_deref(), Some(wanted), "{path}");
    }
    let entries = lab.list(&["l"]);
    assert!(entries.iter().any(|e| e.path == "p/q" && (e.mode, e.uid, e.gid) == (0o755, 0, 0)));
    assert!(entries.iter().any(|e| e.path == "e" && e.kind == EntryKind::Symlink));
}

#[test]
fn t46_twin_links_of_the_root_are_followed() {
    let Some(lab) = lab("t46_twin_links_of_the_root_are_followed") else { return };
    lab.unpack("base", &[], &tar().dir("run", 0o755).link("var/run", "/run")).unwrap();
    let tar = tar().file("var/run/act/HEAD", 0o644, b"x").hard("var/run/act/again", "var/run/act/HEAD");
    lab.unpack("l", &["base"], &tar).unwrap();
    let inode = |path: &str| fs::metadata(lab.layer("l").join(path)).unwrap().ino();
    assert_eq!(inode("run/act/HEAD"), inode("run/act/again"));
}

#[test]
fn write_layer_round_trip() {
    let Some(lab) = lab("write_layer_round_trip") else { return };
    below(&lab);
    let long = format!("{}/{}", "d".repeat(120), "é".repeat(60));
    let tar = tar().file("etc/.wh.whitedout", 0o644, b"").file("z", 0o644, b"z").hard("a-link", "z").link("s", "t");
    let tar = tar.pax(&[("path", &long), ("SCHILY.xattr.user.k", "v")]).file("x", 0o600, b"long");
    lab.unpack("l", &["below"], &tar).unwrap();
    let (first, reply) = lab.tar_of("l");
    let (second, _) = lab.tar_of("l");
    assert_eq!(first, second);
    let Reply::Written { diff_id, digest, size } = reply else { panic!() };
    assert_eq!((diff_id, digest, size), (Digest::of(&first), Digest::of(&first), first.len() as u64));
    lab.unpack_bytes("again", &["below"], &first, Compression::None, diff_id).unwrap();
    // Times are written in whole seconds.
    let list = |layer| lab.list(&["below", layer]).into_iter().map(|e| Entry { modified: (0, 0), ..e }).collect::<Vec<_>>();
    assert_eq!(list("l"), list("again"));
    // Other programs read it alike.
    let path = lab.dir.path().join("out.tar");
    let listed = std::process::Command::new("tar").arg("-tf").arg(&path).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.starts_with("a-link\nddd") && listed.contains("etc/.wh.whitedout\n"), "{listed}");
}

impl Tar {
    /// The owner of the last member, whose body is one block.
    fn patch_owner(mut self, uid: u32, gid: u32) -> Self {
        let at = self.0.len() - 1024;
        self.0[at + 108..at + 124].copy_from_slice(format!("{uid:07o}\0{gid:07o}\0").as_bytes());
        Self::seal(&mut self.0[at..]);
        self
    }
}
