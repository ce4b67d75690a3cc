//! Issue 2, must show 4: what is in the image is what RUN saw, by clients that we did not write; and the configuration is
//! that of BuildKit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::lab::{Docker, Ours, Running, image, program, write};

const DOCKERFILE: &str = r#"FROM busybox:local AS tools
RUN mkdir -p /t/deep/er && echo tool > /t/deep/tool && ln /t/deep/tool /t/hard && ln -s deep/tool /t/link && ln -s nowhere /t/broken
FROM busybox:local
ARG VERSION=1
ENV APP=/app NAME="two words"
ENV MORE=$APP/more
LABEL org.example.a="1" b='two words'
EXPOSE 8080 53/udp
VOLUME /data /v1
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=5s --timeout=3s --retries=2 CMD test -e /app/run.sh
WORKDIR /app
WORKDIR sub
COPY --from=tools /t /t
COPY --chown=1000:1001 --chmod=640 files /app/files/
COPY run.sh /app/
ADD files/a /added
RUN echo removed > /t/deep/gone && mkdir /t/emptied && echo x > /t/emptied/x
RUN rm /t/deep/gone /t/emptied/x && chmod 1777 /t/emptied && chown -h 5:6 /t/broken && chown 7:8 /t/deep && chmod 4755 /app/run.sh && mkfifo /t/fifo && echo " $VERSION" > "/t/name with blank" && : > /t/ünï
USER 1000:1001
RUN id -u > /tmp/by-user
USER root
SHELL ["/bin/sh", "-e", "-c"]
RUN <<EOF
echo heredoc > /t/heredoc
EOF
RUN (cd / && find t app added data etc tmp -not -name listing | sort | while read -r f; do stat -c '%N|%a|%u:%g|%F|%s|%h' "$f"; if [ -f "$f" ] && [ ! -L "$f" ]; then sha256sum < "$f"; fi; done) > /listing 2>&1 || true
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["cat /listing"]
"#;

#[test]
fn image_equals_what_run_saw() {
    let test = Running::start("image_equals_what_run_saw");
    let layout = match image("busybox") {
        Ok(layout) => layout,
        Err(why) => return test.skip(why),
    };
    let ours = Ours::with_image(&layout, &["busybox:local"]);
    let context = ours.folder("context");
    write(&context, "Dockerfile", DOCKERFILE);
    write(&context, "files/a", "a\n");
    write(&context, "files/sub/b", "b\n");
    write(&context, "run.sh", "#!/bin/sh\necho hi\n");
    rustix::fs::setxattr(context.join("run.sh"), "user.peers", b"value", rustix::fs::XattrFlags::empty()).unwrap();
    let out = ours.folder("out");
    let (oci, docker_tar) = (out.join("oci"), out.join("docker.tar"));
    let to_oci = format!("type=oci,dest={},tar=false", oci.display());
    let to_docker = format!("type=docker,dest={}", docker_tar.display());
    ours.build(&context, &["-t", "peers-image:1", "-o", &to_oci, "-o", &to_docker]);
    let mut done = Vec::new();
    match program("umoci") {
        Ok(umoci) => done.push(unpacked(&umoci, &oci, &out)),
        Err(why) => println!("skipped: image_equals_what_run_saw: umoci: {why}"),
    }
    match program("skopeo") {
        Ok(skopeo) => done.push(inspected(&skopeo, &oci, &docker_tar)),
        Err(why) => println!("skipped: image_equals_what_run_saw: skopeo: {why}"),
    }
    match Docker::open() {
        Ok(docker) => done.push(docker_agrees(&docker, &docker_tar, &context)),
        Err(why) => println!("skipped: image_equals_what_run_saw: docker: {why}"),
    }
    if done.is_empty() { test.skip("no client is there") } else { test.pass(done.join("; ")) }
}

/// Unpacks with umoci, and lists the tree again with this machine's stat.
fn unpacked(umoci: &Path, oci: &Path, out: &Path) -> String {
    let bundle = out.join("bundle");
    let image = format!("{}:1", oci.display());
    let done = Command::new(umoci).args(["unpack", "--image", &image]).arg(&bundle).output().unwrap();
    assert!(done.status.success(), "umoci: {}", String::from_utf8_lossy(&done.stderr));
    let root = bundle.join("rootfs");
    let seen = std::fs::read_to_string(root.join("listing")).unwrap();
    // Inside the tree with its own busybox: the same words for the same things, and its own mounts do not show.
    let command = DOCKERFILE.lines().find(|line| line.starts_with("RUN (cd / ")).unwrap();
    let command = command.trim_start_matches("RUN ").replace("> /listing 2>&1 || true", "");
    let again = Command::new("chroot").arg(&root).args(["/bin/sh", "-c", &command]).output().unwrap();
    assert!(seen.lines().count() > 40, "{seen}");
    let now = String::from_utf8_lossy(&again.stdout).into_owned();
    let difference = differences(&seen, &now);
    assert!(difference.is_empty(), "umoci's tree is not what RUN saw:\n{}", difference.join("\n"));
    let mut value = [0u8; 16];
    let length = rustix::fs::getxattr(root.join("app/run.sh"), "user.peers", &mut value[..]).unwrap_or(0);
    assert_eq!(&value[..length], b"value", "the xattr of the context's file");
    format!("umoci: {} lines of listing equal", seen.lines().count())
}

fn differences(a: &str, b: &str) -> Vec<String> {
    // Folders grow with their file system.
    let clean = |text: &str| -> BTreeSet<String> {
        let size = |line: &str| {
            let mut parts: Vec<&str> = line.split('|').collect();
            if parts.len() == 6 && parts[3] == "directory" {
                parts[4] = "-";
                parts[5] = "-";
            }
            parts.join("|")
        };
        // The engine mounts these while RUN runs.
        let own = ["etc/resolv.conf", "etc/hosts", "etc/hostname"];
        text.lines().map(size).filter(|line| !own.iter().any(|name| line.contains(name))).collect()
    };
    let (a, b) = (clean(a), clean(b));
    let only = |sign: &str, x: &BTreeSet<String>, y: &BTreeSet<String>| -> Vec<String> {
        x.difference(y).filter(|line| line.contains('|')).map(|line| format!("{sign} {line}")).collect()
    };
    [only("RUN saw", &a, &b), only("image has", &b, &a)].concat()
}

fn inspected(skopeo: &Path, oci: &Path, docker_tar: &Path) -> String {
    let inspect = |from: String| -> Value {
        let done = Command::new(skopeo).args(["inspect", "--config", &from]).output().unwrap();
        assert!(done.status.success(), "skopeo {from}: {}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap()
    };
    let (a, b) = (inspect(format!("oci:{}:1", oci.display())), inspect(format!("docker-archive:{}", docker_tar.display())));
    assert_eq!(a["config"], b["config"]);
    assert_eq!(a["rootfs"], b["rootfs"]);
    // A copy reads and verifies every blob.
    let copy = tempfile::tempdir().unwrap();
    for (name, from) in
        [("a", format!("oci:{}:1", oci.display())), ("b", format!("docker-archive:{}", docker_tar.display()))]
    {
        let to = format!("dir:{}", copy.path().join(name).display());
        let done = Command::new(skopeo).args(["--insecure-policy", "copy", "--quiet", &from, &to]).output().unwrap();
        assert!(done.status.success(), "skopeo copy {from}: {}", String::from_utf8_lossy(&done.stderr));
    }
    let layers = a["rootfs"]["diff_ids"].as_array().unwrap().len();
    let history = a["history"].as_array().unwrap();
    let full = history.iter().filter(|entry| entry["empty_layer"] != true).count();
    assert_eq!(layers, full, "history and layers do not fit: {history:?}");
    format!("skopeo: inspect and copy of both archives, {layers} layers")
}

fn docker_agrees(docker: &Docker, archive: &Path, context: &Path) -> String {
    docker.ok(&["load", "-i", archive.to_str().unwrap()]);
    let theirs = "peers-image:theirs";
    docker.ok(&["buildx", "build", "--quiet", "--network=host", "--load", "-t", theirs, context.to_str().unwrap()]);
    let show = |name: &str| docker.ok(&["run", "--rm", "--network=host", name]);
    let (ours_says, their_says) = (show("peers-image:1"), show(theirs));
    let tree = differences(&their_says, &ours_says);
    let listing = docker.ok(&["run", "--rm", "--network=host", "peers-image:1", "stat -c %a /app/run.sh; cat /t/heredoc"]);
    assert_eq!(listing, "4755\nheredoc\n");
    let config = |name: &str| -> Value {
        let text = docker.ok(&["image", "inspect", "--format", "{{json .Config}}", name]);
        serde_json::from_str(&text).unwrap()
    };
    let (own, other) = (config("peers-image:1"), config(theirs));
    let mut found = Vec::new();
    let keys: BTreeSet<&String> = own.as_object().unwrap().keys().chain(other.as_object().unwrap().keys()).collect();
    for key in keys {
        let empty = |value: &Value| matches!(value, Value::Null) || value == "" || *value == serde_json::json!(false);
        if own[key] != other[key] && !(empty(&own[key]) && empty(&other[key])) {
            found.push(format!("config {key}: ours {}, BuildKit {}", own[key], other[key]));
        }
    }
    let (own, other) = (history(docker, "peers-image:1"), history(docker, theirs));
    for at in 0..own.len().max(other.len()) {
        let (own, other) = (own.get(at), other.get(at));
        if own != other {
            found.push(format!("history {at}: ours {own:?}, BuildKit {other:?}"));
        }
    }
    found.extend(tree.iter().map(|line| line.replace("RUN saw", "tree of BuildKit:").replace("image has", "tree of ours:")));
    let _ = docker.output(&["rmi", "--force", "peers-image:1", theirs]);
    assert!(found.is_empty(), "ours and BuildKit's image differ:\n{}", found.join("\n"));
    format!("{}: load, run, configuration and {} history entries as BuildKit's", docker.version, own.len())
}

/// What made each entry, and whether it has a layer, oldest first.
fn history(docker: &Docker, name: &str) -> Vec<(String, bool)> {
    let folder = tempfile::tempdir().unwrap();
    let tar = folder.path().join("image.tar");
    docker.ok(&["save", "-o", tar.to_str().unwrap(), name]);
    let mut archive = tar::Archive::new(std::fs::File::open(&tar).unwrap());
    let mut documents: BTreeMap<String, Value> = BTreeMap::new();
    for member in archive.entries().unwrap() {
        let mut member = member.unwrap();
        let path = member.path().unwrap().display().to_string();
        if member.size() < 1 << 20
            && let Ok(value) = serde_json::from_reader(&mut member)
        {
            documents.insert(path, value);
        }
    }
    let config = documents["manifest.json"][0]["Config"].as_str().unwrap();
    let entries = documents[config]["history"].as_array().unwrap();
    let entry = |e: &Value| (e["created_by"].as_str().unwrap_or("").to_owned(), e["empty_layer"] == true);
    entries.iter().map(entry).collect()
}
