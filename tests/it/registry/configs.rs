//! Image configurations that are odd: data or an error, row R17.

use serde_json::{Value, json};

use super::*;
use crate::program::{Program, busybox};

/// The layer of the lab's busybox, its DiffID, and the media type.
fn layer(layout: &std::path::Path) -> (String, Vec<u8>, Value) {
    let read = |path: std::path::PathBuf| std::fs::read(path).unwrap();
    let json = |bytes: Vec<u8>| -> Value { serde_json::from_slice(&bytes).unwrap() };
    let blob = |d: &Value| read(layout.join("blobs").join(d["digest"].as_str().unwrap().replace(':', "/")));
    let mut manifest = json(blob(&json(read(layout.join("index.json")))["manifests"][0]));
    if manifest["manifests"].is_array() {
        manifest = json(blob(&manifest["manifests"][0]));
    }
    let diff_ids = json(blob(&manifest["config"]))["rootfs"]["diff_ids"].clone();
    let first = &manifest["layers"][0];
    (first["mediaType"].as_str().unwrap().to_owned(), blob(first), diff_ids)
}

#[test]
fn r17_configurations_that_are_odd() {
    let Some(layout) = busybox("r17_configurations_that_are_odd") else { return };
    let (kind, bytes, diff_ids) = layer(&layout);
    let registry = Registry::new();
    let many: Vec<_> = (0..100_000).map(|n| json!({"created_by": format!("step {n}"), "empty_layer": true})).collect();
    let cases = [
        ("no-equals", json!({"Env": ["NOEQUALS", "A=1"]}), json!([])),
        ("empty", json!({"Env": ["", "=", "=x", "A=1"]}), json!([])),
        ("nul", json!({"Env": ["N=a\u{0}b", "A=1"]}), json!([])),
        ("newline", json!({"Env": ["L=a\nb\u{1b}[31m", "A=1"]}), json!([])),
        ("user", json!({"User": "\u{1b}[31m:::-1", "Env": ["A=1"]}), json!([])),
        ("user-nul", json!({"User": "a\u{0}b", "Env": ["A=1"]}), json!([])),
        ("folder", json!({"WorkingDir": "../../\u{0}", "Env": ["A=1"]}), json!([])),
        ("shell", json!({"Shell": [], "Env": ["A=1"]}), json!([])),
        ("created", json!({"Env": ["A=1"]}), json!([{"created": "99999-01-01T00:00:00Z"}])),
        ("history", json!({"Env": ["A=1"]}), json!(many)),
    ];
    let mut good = Vec::new();
    for (tag, run, history) in cases {
        let config = json!({
            "architecture": Platform::host().architecture, "os": "linux", "created": "99999-01-01T00:00:00Z",
            "config": run, "history": history, "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = config.to_string().into_bytes();
        let described = descriptor("application/vnd.oci.image.config.v1+json", &config);
        let layers = descriptor(&kind, &bytes);
        let manifest = format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{described},"layers":[{layers}]}}"#);
        Image { layer: bytes.clone(), config, manifest }.serve(&registry, tag);
        let text = format!("FROM {}\nENV B=$A\nRUN env; echo ran\nLABEL x=y\n", registry.name(&format!("x:{tag}")));
        let ended = Program::new(&text).run(&["build", "--plain", "-t", "odd:1"]);
        let all = format!("{}{}", ended.stdout, ended.stderr);
        assert!(matches!(ended.code, Some(0 | 1 | 3)), "{tag}: {:?}: {all}", ended.code);
        assert!(!all.contains("panicked") && !all.contains('\u{1b}'), "{tag}: {all:?}");
        if ended.code == Some(0) {
            assert!(all.contains("| B=1") && all.contains("| ran"), "{tag}: {all}");
            good.push(tag);
        } else {
            assert!(all.contains("Dockerfile:") || all.contains("error"), "{tag}: {all}");
            println!("{tag}: {}", all.lines().rev().take(4).collect::<Vec<_>>().join(" / "));
        }
    }
    for tag in ["no-equals", "newline", "created", "history"] {
        assert!(good.contains(&tag), "{tag} is data: {good:?}");
    }
}
