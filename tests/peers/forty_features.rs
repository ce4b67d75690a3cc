//! Issue 4, must show 6: one large Dockerfile, built by us and by BuildKit, gives the same tree: bytes, modes, owners, extended
//! attributes, links, times that are defined; and the same configuration.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

use super::lab::{Docker, Ours, Running, image, write};

const DOCKERFILE: &str = include_str!("forty_features.dockerfile");

#[test]
fn forty_features() {
    let test = Running::start("forty_features");
    let layout = match image("busybox") {
        Ok(layout) => layout,
        Err(why) => return test.skip(why),
    };
    let docker = match Docker::open() {
        Ok(docker) => docker,
        Err(why) => return test.skip(why),
    };
    let features = DOCKERFILE.lines().filter(|line| line.starts_with("# feature ")).count();
    assert!(features >= 40, "{features} features");
    let ours = Ours::with_image(&layout, &["busybox:local"]);
    let context = ours.folder("context");
    fill(&context);
    let secret = ours.folder("secret").join("token");
    std::fs::write(&secret, "canary\n").unwrap();
    let extra = ours.folder("extra");
    write(&extra, "named.txt", "from a named context\n");
    old(&extra);
    let flags = [
        "--build-arg=GIVEN=given value".to_owned(),
        format!("--secret=id=token,src={}", secret.display()),
        format!("--build-context=extra={}", extra.display()),
        "--add-host=somewhere:10.1.2.3".to_owned(),
        "--label=org.example.flag=1".to_owned(),
        "--shm-size=128m".to_owned(),
        "--ulimit=nofile=1024:2048".to_owned(),
    ];
    let out = ours.folder("out");
    let read = |name: &str| super::tree::Image::read(&out.join(name)).unwrap();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let to = |name: &str| format!("type=oci,tar=false,dest={}", out.join(name).display());
    let (to_ours, to_theirs) = (to("ours"), to("theirs"));
    ours.build(&context, &[&["-o", &to_ours], &flags[..]].concat());
    let mut args = vec!["buildx", "build", "--quiet", "--provenance=false", "--network=host", "-o", &to_theirs];
    args.extend(&flags);
    args.push(context.to_str().unwrap());
    docker.ok(&args);
    let (own, other) = (read("ours"), read("theirs"));
    let found = super::compare::differences(&own, &other);
    assert!(found.is_empty(), "ours and BuildKit's image differ:\n{}", found.join("\n"));
    let links = own.hard_links().len();
    test.pass(format!(
        "{features} features, {} paths equal, {links} of them hard links: {}",
        own.tree.len(),
        docker.version
    ));
}

/// Files of many kinds, all of one old time, so that the copies must have it too.
fn fill(context: &Path) {
    write(context, "Dockerfile", DOCKERFILE);
    write(context, ".dockerignore", "# nothing of these\n*.log\n!keep.log\nignored/\n**/deep/skip*\n");
    for (path, text) in [
        ("a.txt", "a\n"),
        ("b.txt", "b\n"),
        ("c d.txt", "blank\n"),
        ("gone.log", "ignored\n"),
        ("keep.log", "kept\n"),
        ("ignored/x", "ignored\n"),
        ("src/main.c", "int main;\n"),
        ("src/main.o", "object\n"),
        ("src/deep/skip.me", "ignored\n"),
        ("src/deep/er/leaf", "leaf\n"),
        ("src/lib/[odd] name", "odd\n"),
        ("bin/tool", "#!/bin/sh\necho tool\n"),
        ("plain", "plain\n"),
    ] {
        write(context, path, text);
    }
    let mode = |path: &str, mode| std::fs::set_permissions(context.join(path), PermissionsExt::from_mode(mode)).unwrap();
    mode("bin/tool", 0o4755);
    mode("src/lib", 0o2750);
    mode("plain", 0o600);
    std::os::unix::fs::symlink("a.txt", context.join("link")).unwrap();
    std::os::unix::fs::symlink("deep/er", context.join("src/to-er")).unwrap();
    std::os::unix::fs::symlink("/no/where", context.join("src/broken")).unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    let mut add = |name: &str, mode, uid, kind: tar::EntryType, text: &str, link: &str| {
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(uid);
        header.set_gid(uid);
        header.set_mtime(1_300_000_000);
        header.set_size(text.len() as u64);
        match link {
            "" => builder.append_data(&mut header, name, text.as_bytes()).unwrap(),
            link => builder.append_link(&mut header, name, link).unwrap(),
        }
    };
    use tar::EntryType::{Directory, Fifo, Link, Regular, Symlink};
    add("t/", 0o1777, 3, Directory, "", "");
    add("t/one", 0o4711, 7, Regular, "one\n", "");
    add("t/two", 0o4711, 7, Link, "", "t/one");
    add("t/soft", 0o777, 8, Symlink, "", "../t/one");
    add("t/pipe", 0o600, 9, Fifo, "", "");
    // `cap_net_bind_service=ep`. Other attributes, and those of a context's files, BuildKit loses on the way into a layer.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    builder.append_pax_extensions([("SCHILY.xattr.security.capability", &capability[..])]).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(4);
    header.set_mtime(1_300_000_000);
    builder.append_data(&mut header, "t/capable", &b"cap\n"[..]).unwrap();
    let tar = builder.into_inner().unwrap();
    std::fs::write(context.join("archive.tar"), &tar).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut gzip, &tar).unwrap();
    std::fs::write(context.join("archive.tar.gz"), gzip.finish().unwrap()).unwrap();
    old(context);
}

/// Gives everything one old time.
fn old(path: &Path) {
    if path.is_dir() && !path.is_symlink() {
        std::fs::read_dir(path).unwrap().for_each(|entry| old(&entry.unwrap().path()));
    }
    let time = Timespec { tv_sec: 1_500_000_000, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}
