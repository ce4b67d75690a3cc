//! Pulls.

use std::time::Instant;

use super::server::Action;
use super::*;

#[test]
fn an_image_comes_whole_and_once() {
    let (registry, bench, image) = (Registry::new(), Bench::new(), Image::new("a"));
    let digest = image.serve(&registry, "1");
    let record = bench.pull(&registry.name("x:1")).unwrap();
    assert_eq!(record.manifest.to_string(), digest);
    assert_eq!(bench.store.content.read(&record.id, 1 << 20).unwrap(), image.config);
    assert_eq!(bench.blobs(), 3);
    bench.pull(&registry.name("x:1")).unwrap();
    assert_eq!(registry.count("/blobs/"), 2, "what is there is not fetched again");
}

#[test]
fn r01_blobs_with_another_content_are_not_stored() {
    for damaged in ["layer", "config"] {
        let (registry, bench, image) = (Registry::new(), Bench::new(), Image::new("a"));
        image.serve(&registry, "1");
        let good = if damaged == "layer" { &image.layer } else { &image.config };
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        registry.replace(&Digest::of(good).to_string(), &bad);
        let error = bench.refused(&registry.name("x:1"));
        assert!(error.contains(&Digest::of(good).to_string()) && error.contains("expected"), "{error}");
        assert!(!bench.store.content.contains(&Digest::of(good)) && !bench.store.content.contains(&Digest::of(&bad)));
    }
}

#[test]
fn r02_manifests_that_are_not_what_they_are_called() {
    let (registry, bench, image) = (Registry::new(), Bench::new(), Image::new("a"));
    let digest = image.serve(&registry, "1");
    let other = Image::new("b");
    other.serve(&registry, "2");
    registry.fault(&digest, 9, Action::Answer(200, format!("Content-Type: {MANIFEST}"), other.manifest.clone().into()));
    assert!(bench.refused(&registry.name(&format!("x@{digest}"))).contains("should have the manifest"));
    registry.fault("manifests/1", 1, Action::Header("Docker-Content-Digest", Digest::of("lie").to_string()));
    assert!(bench.refused(&registry.name("x:1")).contains("came with the digest"));
    bench.pull(&registry.name("x:1")).unwrap();
}

#[test]
fn r03_sizes_that_are_wrong() {
    for size in ["LEN+1", "LEN-1", "0", "-1", "9223372036854775808", "1e400", "\"5\""] {
        let (registry, bench, image) = (Registry::new(), Bench::new(), Image::new("a"));
        image.serve(&registry, "1");
        let length = image.layer.len();
        let wrong = size.replace("LEN+1", &(length + 1).to_string()).replace("LEN-1", &(length - 1).to_string());
        let manifest = image.manifest.replace(&format!("\"size\":{length}}}]"), &format!("\"size\":{wrong}}}]"));
        assert_ne!(manifest, image.manifest);
        registry.manifest("1", MANIFEST, &manifest);
        bench.refused(&registry.name("x:1"));
        assert!(!bench.store.content.contains(&Digest::of(&image.layer)), "{size}");
    }
    let (registry, bench, image) = (Registry::new(), Bench::new(), Image::new("a"));
    image.serve(&registry, "1");
    registry.replace(&image.layer_digest(), &[image.layer.clone(), vec![0]].concat());
    bench.refused(&registry.name("x:1"));
    assert!(!bench.store.content.contains(&Digest::of(&image.layer)), "a byte after the valid ones");
}

#[test]
fn r04_documents_that_are_too_large_or_too_deep() {
    let started = Instant::now();
    let (registry, bench) = (Registry::new(), Bench::new());
    registry.manifest("large", MANIFEST, &"[".repeat(100 << 20));
    assert!(bench.refused(&registry.name("x:large")).contains("4 MiB"));
    let entry = |digest: &str, size: usize| format!(r#"{{"mediaType":"{INDEX}","digest":"{digest}","size":{size}}}"#);
    let index = |entries: &str| format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{entries}]}}"#);
    let many = vec![entry(&Digest::of("x").to_string(), 1); 2000].join(",");
    registry.manifest("many", INDEX, &index(&many));
    assert!(bench.refused(&registry.name("x:many")).contains("1000 entries"));
    let mut inner = index("");
    for level in 0..50 {
        let digest = registry.manifest(&format!("deep{level}"), INDEX, &inner);
        inner = index(&entry(&digest, inner.len()));
    }
    registry.manifest("deep", INDEX, &inner);
    assert!(bench.refused(&registry.name("x:deep")).contains("index in an index"));
    assert!(registry.count("manifests/sha256") < 6);
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

#[test]
fn r05_digests_that_are_none() {
    let image = Image::new("a");
    let good = image.layer_digest();
    let upper = good.replace("sha256:", "").to_uppercase();
    let long = format!("sha256:{}", "a".repeat(10 << 10));
    let bad = ["sha256:../../../../etc/passwd", &format!("sha256:{upper}"), "sha256:abc", "sha512:", "md5:00", "", &long];
    for digest in bad {
        let (registry, bench) = (Registry::new(), Bench::new());
        image.serve(&registry, "1");
        for place in [&good, &Digest::of(&image.config).to_string()] {
            registry.manifest("1", MANIFEST, &image.manifest.replace(place, digest));
            assert!(bench.refused(&registry.name("x:1")).contains("malformed"), "{digest}");
        }
        let index =
            format!(r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{MANIFEST}","digest":"{digest}","size":1}}]}}"#);
        registry.manifest("1", INDEX, &index);
        bench.refused(&registry.name("x:1"));
        assert_eq!(registry.count("/blobs/"), 0);
        assert_eq!(bench.blobs(), 0);
    }
}

#[test]
fn r06_bodies_that_break_off() {
    let image = Image::new("a");
    let n = image.layer.len();
    let digest = image.layer_digest();
    let whole = || Action::Answer(200, String::new(), image.layer.clone());
    let wrong = Action::Answer(206, format!("Content-Range: bytes 0-{}/{n}", n - 1), image.layer.clone());
    for cut in [0, 1, n / 2, n - 1] {
        for (name, then) in [
            ("206", None),
            ("200", Some(whole())),
            ("wrong range", Some(wrong.clone())),
            ("416", Some(Action::Answer(416, String::new(), Vec::new()))),
        ] {
            let (registry, bench) = (Registry::new(), Bench::new());
            image.serve(&registry, "1");
            registry.fault(&digest, 1, Action::Cut(cut));
            if let Some(action) = then {
                registry.fault(&digest, 1, action);
            }
            // What a server answers to a range that it was not asked for is its own affair.
            if cut == 0 && name != "206" && name != "200" {
                continue;
            }
            bench.pull(&registry.name("x:1")).unwrap_or_else(|e| panic!("cut at {cut}, {name}: {e}"));
            assert!(bench.store.content.contains(&Digest::of(&image.layer)));
        }
    }
    let (registry, bench) = (Registry::new(), Bench::new());
    image.serve(&registry, "1");
    registry.fault(&digest, 99, Action::Cut(n / 2));
    assert!(bench.refused(&registry.name("x:1")).contains("broke off"));
    assert!(registry.count(&digest) < 20);
}

#[test]
fn r07_busy_registries() {
    let busy = |status, header: &str, body: &str| Action::Answer(status, header.into(), body.into());
    for (times, action, succeeds) in [
        (1, busy(429, "Retry-After: 1", ""), true),
        (1, busy(429, "Retry-After: 99999", ""), false),
        (1, busy(503, "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT", ""), true),
        (2, busy(500, "", ""), true),
        (99, busy(500, "", "{\"errors\":[{\"message\":\"disk on fire\"}]}"), false),
        (99, busy(503, "", "<html>\u{1b}[31mbusy</html>"), false),
    ] {
        let (registry, bench, image) = (Registry::new(), Bench::new(), Image::new("a"));
        image.serve(&registry, "1");
        registry.fault("manifests/1", times, action);
        let started = Instant::now();
        if succeeds {
            bench.pull(&registry.name("x:1")).unwrap();
        } else {
            let error = bench.refused(&registry.name("x:1"));
            assert!(error.contains(&registry.address) && (error.contains("429") || error.contains("50")), "{error}");
        }
        assert!(registry.count("manifests/1") <= 3);
        assert!(started.elapsed() < Duration::from_secs(4));
    }
}

#[test]
fn r08_silence_and_cancelling() {
    let (registry, bench, image) = (Registry::new(), Bench::new(), Image::new("a"));
    image.serve(&registry, "1");
    registry.fault("manifests", 9, Action::Silence);
    let started = Instant::now();
    assert!(bench.refused(&registry.name("x:1")).contains("no answer within"));
    assert!(started.elapsed() < Duration::from_secs(3));

    let mut bench = Bench::new();
    bench.settings.http.idle = Duration::from_secs(30);
    let cancelled = Arc::clone(&bench.cancelled);
    let started = Instant::now();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        cancelled.store(true, Ordering::SeqCst);
    });
    assert!(bench.pull(&registry.name("x:1")).unwrap_err().is_cancelled());
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn r11_foreign_addresses_of_layers_are_not_asked() {
    let (registry, elsewhere, bench, image) = (Registry::new(), Registry::new(), Bench::new(), Image::new("a"));
    image.serve(&registry, "1");
    let urls = format!("\"size\":{},\"urls\":[\"http://{}/x\"]}}]", image.layer.len(), elsewhere.address);
    registry.manifest("1", MANIFEST, &image.manifest.replace(&format!("\"size\":{}}}]", image.layer.len()), &urls));
    registry.fault("/blobs/", 9, Action::Answer(404, String::new(), Vec::new()));
    assert!(bench.refused(&registry.name("x:1")).contains("has no"));
    assert!(elsewhere.requests().is_empty());
}

#[test]
fn r12_a_digest_wins_over_a_tag() {
    let (registry, bench, image) = (Registry::new(), Bench::new(), Image::new("a"));
    let digest = image.serve(&registry, "1");
    Image::new("b").serve(&registry, "2");
    let record = bench.pull(&registry.name(&format!("x:2@{digest}"))).unwrap();
    assert_eq!(record.manifest.to_string(), digest);
    assert!(Reference::parse(&registry.name(&format!("x:{}", "t".repeat(300)))).is_err());
}

#[test]
fn r13_the_platforms_that_there_are() {
    let (registry, bench) = (Registry::new(), Bench::new());
    let platform = |architecture: &str| Platform { architecture: architecture.into(), ..Platform::host() };
    let entry = |image: &Image, architecture: &str| {
        let digest = image.serve(&registry, architecture);
        format!(
            r#"{{"mediaType":"{MANIFEST}","digest":"{digest}","size":{},"platform":{{"os":"linux","architecture":"{architecture}"}}}}"#,
            image.manifest.len()
        )
    };
    let made =
        |name: &str, architecture: &str| Image::packed(GZIP, gzip(&tar(name), 6), &tar(name), &platform(architecture));
    let own = made("own", &Platform::host().architecture);
    let (s390x, riscv, host) = (
        entry(&made("s", "s390x"), "s390x"),
        entry(&made("r", "riscv64"), "riscv64"),
        entry(&own, &Platform::host().architecture),
    );
    let index = |entries: &[&str]| format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
    registry.manifest("without", INDEX, &index(&[&s390x, &riscv]));
    let error = bench.refused(&registry.name("x:without"));
    assert!(error.contains("linux/s390x, linux/riscv64"), "{error}");
    registry.manifest("with", INDEX, &index(&[&s390x, &host]));
    assert_eq!(bench.pull(&registry.name("x:with")).unwrap().id, Digest::of(&own.config));
    let reference = Reference::parse(&registry.name("x:s390x")).unwrap();
    let pulled = bench.client().pull(&bench.store, &reference, &Platform::host(), &|_, _, _| {}).unwrap();
    assert!(pulled.notes[0].contains("linux/s390x"), "{:?}", pulled.notes);
}

#[test]
fn r16_json_that_is_hostile() {
    let (registry, bench) = (Registry::new(), Bench::new());
    let deep = "[".repeat(100_000);
    let end = "]".repeat(100_000);
    for text in [
        r#"{"schemaVersion":2,"schemaVersion":2,"layers":[]}"#.to_owned(),
        format!(r#"{{"schemaVersion":2,"layers":{deep}{end}}}"#),
        r#"{"schemaVersion":1e400,"layers":[]}"#.to_owned(),
        "\u{feff}{\"schemaVersion\":2,\"layers\":[]}".to_owned(),
        r#"{"schemaVersion":2,"layers":[]}garbage"#.to_owned(),
        r#"{"schemaVersion":1,"fsLayers":[]}"#.to_owned(),
        r#"{"schemaVersion":2,"layers":[],"manifests":[]}"#.to_owned(),
        String::new(),
    ] {
        registry.manifest("1", MANIFEST, &text);
        bench.refused(&registry.name("x:1"));
    }
    registry.fault(
        "manifests",
        1,
        Action::Answer(200, String::new(), b"{\"schemaVersion\":2,\"layers\":[\"\xff\xfe\"]}".to_vec()),
    );
    bench.refused(&registry.name("x:1"));
    assert_eq!(bench.blobs(), 0);
}

#[test]
fn r22_what_a_registry_says_is_shown_without_harm() {
    let (registry, bench) = (Registry::new(), Bench::new());
    let long = format!("{{\"errors\":[{{\"message\":\"\\u001b[2J{}\"}}]}}", "x".repeat(10 << 20));
    registry.fault("manifests", 1, Action::Answer(400, "Warning: \u{1b}[31m".into(), long.into_bytes()));
    let error = bench.refused(&registry.name("x:1"));
    assert!(error.len() < 1000, "{}", error.len());
    let html = "<html>\u{1b}]0;title\u{7}no</html>".repeat(100_000);
    registry.fault("manifests", 1, Action::Answer(400, String::new(), html.into_bytes()));
    assert!(bench.refused(&registry.name("x:1")).len() < 2000);
}

#[test]
fn mirrors_are_asked_first_and_may_fail() {
    let (registry, mirror, mut bench, image) = (Registry::new(), Registry::new(), Bench::new(), Image::new("a"));
    image.serve(&registry, "1");
    let mirrors = vec!["http://127.0.0.1:1".into(), format!("http://{}", mirror.address)];
    let host = rbuild_tui::engine::registry::HostSettings { mirrors, ..Default::default() };
    bench.settings.hosts.insert(registry.address.clone(), host);
    bench.pull(&registry.name("x:1")).unwrap();
    assert_eq!(mirror.count("manifests/1"), 1);
    image.serve(&mirror, "1");
    let second = Bench { settings: bench.settings.clone(), ..Bench::new() };
    let before = registry.requests().len();
    second.pull(&registry.name("x:1")).unwrap();
    assert_eq!(registry.requests().len(), before, "the mirror has it");
}
