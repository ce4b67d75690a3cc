//! Builds on images of a registry, with the program.

use super::*;
use crate::program::{Program, can_build};

fn zstd(bytes: &[u8], window_log: u32) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(window_log).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn layers_are_read_however_they_are_packed() {
    if !can_build("layers_are_read_however_they_are_packed") {
        return;
    }
    let registry = Registry::new();
    let plain = "application/vnd.docker.image.rootfs.diff.tar";
    let packed = |kind: &str, layer: Vec<u8>| Image::packed(kind, layer, &tar("a"), &Platform::host());
    packed(ZSTD, zstd(&tar("a"), 27)).serve(&registry, "zstd");
    packed(ZSTD, [zstd(&tar("a")[..700], 20), zstd(&tar("a")[700..], 20)].concat()).serve(&registry, "frames");
    packed(GZIP, gzip(&tar("a"), 9)).serve(&registry, "gzip");
    packed(plain, tar("a")).serve(&registry, "plain");
    packed(ZSTD, zstd(&tar("a"), 30)).serve(&registry, "bomb");
    packed(ZSTD, gzip(&tar("a"), 9)).serve(&registry, "lie");
    for tag in ["zstd", "frames", "gzip", "plain"] {
        let program = Program::new(&format!("FROM scratch\nCOPY --from={} /a /b\n", registry.name(&format!("x:{tag}"))));
        let out = program.path("out");
        program.build(&["-o", &format!("type=oci,tar=false,dest={}", out.display())]);
        assert!(out.join("index.json").is_file(), "{tag}");
    }
    for tag in ["bomb", "lie"] {
        let program = Program::new(&format!("FROM scratch\nCOPY --from={} /a /b\n", registry.name(&format!("x:{tag}"))));
        let why = if tag == "bomb" { "too much memory" } else { "cannot unpack the layer" };
        program.run(&["build"]).says(3, &[why]);
    }
}

#[test]
fn r19_what_is_in_the_store_needs_no_registry_unless_it_is_asked_for() {
    if !can_build("r19_what_is_in_the_store_needs_no_registry_unless_it_is_asked_for") {
        return;
    }
    let (registry, image) = (Registry::new(), Image::new("a"));
    let digest = image.serve(&registry, "1");
    let name = registry.name("x:1");
    let program = Program::new(&format!("FROM {name}\nCOPY Dockerfile /d\n"));
    program.build(&[]);
    let asked = registry.requests().len();
    program.build(&[]);
    assert_eq!(registry.requests().len(), asked, "the store has it");
    // The tag means something else now.
    let second = Image::new("b").serve(&registry, "1");
    program.build(&["--pull"]);
    assert!(registry.requests().len() > asked);
    let listed = program.run(&["image", "ls", "--json"]).stdout;
    assert!(listed.contains(&Digest::of(&Image::new("b").config).to_string()), "{listed}");
    // By digest nobody has to be asked, not even with --pull; by tag --pull fails, and says what the store has.
    program.write("Dockerfile", &format!("FROM {}\nCOPY Dockerfile /d\n", registry.name(&format!("x@{second}"))));
    registry.fault("/v2/", 999, super::server::Action::Answer(500, String::new(), Vec::new()));
    program.build(&["--pull"]);
    program.write("Dockerfile", &format!("FROM {name}\nCOPY Dockerfile /d\n"));
    program.build(&[]);
    let image = super::server::Action::Answer(404, String::new(), Vec::new());
    let gone = Registry::new();
    gone.fault("/v2/", 9, image);
    program.run(&["build", "--pull"]).says(3, &["Dockerfile:1:6", "cannot be pulled", "500", "leave --pull out"]);
    program.write("Dockerfile", &format!("FROM {}\n", gone.name("nothing:1")));
    program.run(&["build"]).says(3, &["the base image", "cannot be pulled", "has no"]);
    assert_ne!(digest, second);
}

#[test]
fn images_go_out_and_come_back_the_same() {
    if !can_build("images_go_out_and_come_back_the_same") {
        return;
    }
    let registry = Registry::new();
    let (one, two) = (registry.name("r:1"), registry.name("r:2"));
    let program = Program::new("FROM scratch\nCOPY Dockerfile /d\n");
    let metadata = program.path("metadata");
    program.build(&["-t", &one, "--push", "--metadata-file", metadata.to_str().unwrap()]);
    let metadata: serde_json::Value = serde_json::from_slice(&std::fs::read(metadata).unwrap()).unwrap();
    let digest = metadata["containerimage.digest"].as_str().unwrap();
    program.build(&["-o", &format!("type=image,name={two},push=true")]);
    assert!(registry.has_manifest("2") && registry.has_manifest(digest));
    let other = Program::new("");
    let pulled = other.run(&["image", "pull", "--json", &one]);
    let pulled: serde_json::Value = serde_json::from_str(&pulled.stdout).unwrap();
    assert_eq!(pulled["image"]["digest"], digest);
    let again = other.run(&["image", "push", "--json", &one, "--to", &registry.name("r:3")]);
    assert!(again.stdout.contains(digest), "pushed byte by byte as it came: {}", again.stdout);
    let file = other.path("saved.tar");
    for format in ["docker", "oci"] {
        let ended = other.run(&["image", "save", &one, "-o", file.to_str().unwrap(), "--format", format]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let third = Program::new("");
        third.run(&["image", "load", file.to_str().unwrap()]).says(0, &[&one]);
    }
    other.run(&["image", "rm", &one]).says(0, &["removed"]);
    other.run(&["image", "rm", &one]).says(1, &["the store has no image"]);
    other.run(&["image", "push", &one]).says(1, &["the store has no image"]);
    other.run(&["image", "pull", &registry.name("r:none")]).says(3, &["has no"]);
    other.run(&["image", "pull", "UPPER"]).says(2, &["lower case"]);
    program.run(&["build", "--push"]).says(2, &["--push needs a name"]);
    program.run(&["build", "--load"]).says(2, &["--load needs a name"]);
    program.run(&["build", "--load", "-t", "x"]).says(3, &["no docker daemon answers", "DOCKER_HOST"]);
    program.run(&["build", "-o", "type=registry"]).says(2, &["needs a name"]);
    program.run(&["build", "-o", "type=image,frob=1"]).says(2, &["frob"]);
}

#[test]
fn a_configuration_file_names_mirrors_and_plain_hosts() {
    let (registry, image) = (Registry::new(), Image::new("a"));
    image.serve(&registry, "1");
    let program = Program::new("");
    let file = program.path("config.json");
    let text = format!(r#"{{"registries": {{"far.example": {{"mirrors": ["http://{}"]}}}}}}"#, registry.address);
    std::fs::write(&file, text).unwrap();
    let config = file.to_str().unwrap();
    program.run(&["--config", config, "image", "pull", "far.example/x:1"]).says(0, &["pulled far.example/x:1"]);
    std::fs::write(&file, r#"{"registries": {"a": {"frob": 1}}}"#).unwrap();
    program
        .run(&["--config", config, "image", "pull", "far.example/x:1"])
        .says(2, &["cannot read the configuration", "frob"]);
}

#[test]
fn e22_a_broken_proxy_is_named() {
    let program = Program::new("");
    let mut command = program.command(&["--insecure-registry", "far.example", "image", "pull", "far.example/x"]);
    let ended = crate::program::Ended::of(command.env("HTTP_PROXY", "http://127.0.0.1:1").output().unwrap());
    ended.says(3, &["through the proxy `http://127.0.0.1:1`", "NO_PROXY"]);
    let registry = Registry::new();
    Image::new("a").serve(&registry, "1");
    let mut command = program.command(&["image", "pull", &registry.name("x:1")]);
    let ended = crate::program::Ended::of(command.env("HTTP_PROXY", "http://127.0.0.1:1").output().unwrap());
    ended.says(0, &["pulled"]);
}

#[test]
fn r08_an_interrupt_ends_a_pull_at_once() {
    if !can_build("r08_an_interrupt_ends_a_pull_at_once") {
        return;
    }
    let registry = Registry::new();
    registry.fault("/v2/", 99, super::server::Action::Silence);
    let program = Program::new(&format!("FROM {}\n", registry.name("x:1")));
    let name = registry.name("x:1");
    for args in [&["build"][..], &["image", "pull", &name]] {
        let asked = registry.requests().len();
        let mut child =
            program.command(args).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        for _ in 0..200 {
            if registry.requests().len() > asked {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let started = std::time::Instant::now();
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{args:?}");
        assert!(started.elapsed() < Duration::from_secs(2), "{args:?}: {:?}", started.elapsed());
    }
}
