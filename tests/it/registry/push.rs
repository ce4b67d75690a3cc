//! Pushes: said to be done only when seen to be done.

use super::server::Action;
use super::*;
use rbuild_tui::engine::oci::{Descriptor, Manifest};
use rbuild_tui::engine::registry::PushImage;

/// The image in a store, ready to go.
fn ready(bench: &Bench, image: &Image) -> PushImage {
    for bytes in [&image.layer, &image.config] {
        bench.store.content.put_bytes(bytes).unwrap();
    }
    let manifest: Manifest = serde_json::from_str(&image.manifest).unwrap();
    let (config, layers): (Descriptor, Vec<Descriptor>) = (manifest.config, manifest.layers);
    PushImage { manifest: image.manifest.clone().into(), media_type: MANIFEST.into(), config, layers, mount_from: None }
}

fn push(bench: &Bench, registry: &Registry, image: &PushImage) -> Result<Digest, String> {
    let reference = Reference::parse(&registry.name("r:1")).unwrap();
    bench.client().push(&bench.store, &reference, image, &|_, _, _| {}).map_err(|error| error.to_string())
}

#[test]
fn what_was_pushed_can_be_pulled() {
    let (registry, bench, image) = (Registry::new(), Bench::new(), Image::new("a"));
    let digest = push(&bench, &registry, &ready(&bench, &image)).unwrap();
    assert_eq!(digest, Digest::of(&image.manifest));
    let other = Bench::new();
    assert_eq!(other.pull(&registry.name("r:1")).unwrap().manifest, digest);
    let uploads = registry.count("POST");
    push(&bench, &registry, &ready(&bench, &image)).unwrap();
    assert_eq!(registry.count("POST"), uploads, "what is there is not sent again");
    let order: Vec<String> = registry.requests().iter().map(|head| head.lines().next().unwrap().to_owned()).collect();
    let manifest = order.iter().position(|line| line.starts_with("PUT /v2/r/manifests")).unwrap();
    let last_blob = order[..manifest].iter().rposition(|line| line.contains("digest=")).unwrap();
    assert!(last_blob < manifest && order[..manifest].iter().filter(|l| l.contains("digest=")).count() == 2);
}

#[test]
fn r20_uploads_that_fail_on_the_way_go_on() {
    let broken = |status: u16| Action::Answer(status, String::new(), Vec::new());
    for (request, times, action) in [
        ("PATCH", 1, broken(500)),
        ("PATCH", 2, broken(503)),
        ("PATCH", 1, broken(416)),
        ("PATCH", 1, Action::Instead(502, String::new())),
        ("POST", 1, broken(500)),
        ("PUT /v2/r/manifests", 1, broken(500)),
        ("PUT /v2/r/blobs", 1, broken(502)),
    ] {
        let (registry, bench, image) = (Registry::new(), Bench::new(), Image::new("a"));
        registry.fault(request, times, action);
        push(&bench, &registry, &ready(&bench, &image)).unwrap_or_else(|e| panic!("{request}: {e}"));
        assert!(registry.has_blob(&image.layer_digest()) && registry.has_manifest("1"), "{request}");
    }
    for request in ["PATCH", "POST", "PUT /v2/r/blobs", "PUT /v2/r/manifests"] {
        let (registry, bench, image) = (Registry::new(), Bench::new(), Image::new("a"));
        registry.fault(request, 999, broken(500));
        assert!(push(&bench, &registry, &ready(&bench, &image)).is_err(), "{request}");
        assert!(!registry.has_manifest("1"));
        assert!(registry.requests().len() < 80, "{request}: {}", registry.requests().len());
    }
}

#[test]
fn r20_a_registry_that_took_something_else_is_not_believed() {
    let lie = format!("Docker-Content-Digest: {}", Digest::of("lie"));
    for request in ["PUT /v2/r/blobs", "PUT /v2/r/manifests"] {
        let (registry, bench, image) = (Registry::new(), Bench::new(), Image::new("a"));
        registry.fault(request, 9, Action::Answer(201, lie.clone(), Vec::new()));
        let error = push(&bench, &registry, &ready(&bench, &image)).unwrap_err();
        assert!(error.contains("was not pushed"), "{error}");
    }
    let (registry, bench, image) = (Registry::new(), Bench::new(), Image::new("a"));
    registry.fault("PUT /v2/r/manifests", 9, Action::Answer(201, String::new(), Vec::new()));
    assert!(push(&bench, &registry, &ready(&bench, &image)).is_err(), "said, but not there");
}

#[test]
fn r20_two_pushes_of_the_same_layer() {
    let (registry, bench, image) = (Registry::new(), Bench::new(), Image::new("a"));
    let ready = ready(&bench, &image);
    std::thread::scope(|scope| {
        let both: Vec<_> = (0..2).map(|_| scope.spawn(|| push(&bench, &registry, &ready))).collect();
        both.into_iter().for_each(|one| assert!(one.join().unwrap().is_ok()));
    });
}

#[test]
fn r21_blobs_of_a_sister_are_mounted_or_sent() {
    let (registry, bench, image) = (Registry::new(), Bench::new(), Image::new("a"));
    let mut ready = ready(&bench, &image);
    ready.mount_from = Some("base".into());
    // The registry does not have it: 202 opens an upload.
    push(&bench, &registry, &ready).unwrap();
    assert!(registry.count("mount=") > 0 && registry.count("PATCH") == 2);
    // It refuses to look.
    let registry = Registry::new();
    registry.fault("mount=", 99, Action::Answer(403, String::new(), Vec::new()));
    push(&bench, &registry, &ready).unwrap();
    // It has it: nothing is sent.
    let registry = Registry::new();
    registry.blob(&image.layer);
    registry.fault("HEAD", 1, Action::Answer(404, String::new(), Vec::new()));
    push(&bench, &registry, &ready).unwrap();
    assert_eq!(registry.count("PATCH"), 1, "the configuration alone");
}

#[test]
fn an_upload_is_not_led_away() {
    let (registry, other, bench, image) = (Registry::new(), Registry::new(), Bench::new(), Image::new("a"));
    for to in ["http://169.254.169.254/x", "file:///tmp/x", "ftp://a/"] {
        registry.fault("POST", 9, Action::Answer(202, format!("Location: {to}"), Vec::new()));
        assert!(push(&bench, &registry, &ready(&bench, &image)).unwrap_err().contains("refused"), "{to}");
    }
    assert!(other.requests().is_empty());
}
