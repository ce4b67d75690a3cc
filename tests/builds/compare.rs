//! In how much two images differ. Used by the tests beside real clients too.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::tree::Image;

/// Times until here come from a context, an archive or the Dockerfile, and must be kept; later ones are those of the builds.
const NOT_OF_THE_BUILD: i64 = 1_700_000_000;

/// In how much two images differ; ours first.
pub fn differences(own: &Image, other: &Image) -> Vec<String> {
    let mut found = Vec::new();
    let paths: BTreeSet<&String> = own.tree.keys().chain(other.tree.keys()).collect();
    let (own_links, other_links) = (own.hard_links(), other.hard_links());
    for path in paths {
        match (own.tree.get(path), other.tree.get(path)) {
            (Some(a), None) => found.push(format!("{path}: only ours has it: {}", a.what)),
            (None, Some(b)) => found.push(format!("{path}: only BuildKit has it: {}", b.what)),
            (Some(a), Some(b)) if a.what != b.what => {
                let texts = match (&a.text, &b.text) {
                    (Some(a), Some(b)) if a != b && a.len() + b.len() < 600 => format!(" ({a:?}, {b:?})"),
                    _ => String::new(),
                };
                found.push(format!("{path}: ours {}, BuildKit {}{texts}", a.what, b.what));
            }
            (Some(a), Some(b)) if a.time != b.time && b.time < NOT_OF_THE_BUILD => {
                found.push(format!("{path}: time ours {}, BuildKit {}", a.time, b.time));
            }
            _ => {}
        }
        if own_links.get(path) != other_links.get(path) {
            found.push(format!(
                "{path}: one file with ours {:?}, BuildKit {:?}",
                own_links.get(path),
                other_links.get(path)
            ));
        }
    }
    found.truncate(12);
    found.extend(configurations(own, other));
    found
}

fn configurations(own: &Image, other: &Image) -> Vec<String> {
    let (own, other) = (flat(&own.config), flat(&other.config));
    let keys: BTreeSet<&String> = own.keys().chain(other.keys()).collect();
    let differs = keys.into_iter().filter(|key| own.get(*key) != other.get(*key));
    let shown = |value: Option<&Value>| value.map_or("nothing".into(), Value::to_string);
    differs.map(|key| format!("{key}: ours {}, BuildKit {}", shown(own.get(key)), shown(other.get(key)))).collect()
}

/// What counts of a configuration; empty values are none.
fn flat(config: &Value) -> BTreeMap<String, Value> {
    let mut out = BTreeMap::new();
    let times = ["created", "rootfs", "history", "config", "moby.buildkit.buildinfo.v1"];
    for (key, value) in config.as_object().into_iter().flatten().filter(|(key, _)| !times.contains(&key.as_str())) {
        out.insert(key.clone(), value.clone());
    }
    for (key, value) in config["config"].as_object().into_iter().flatten() {
        out.insert(format!("config {key}"), value.clone());
    }
    let empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    // A Healthcheck without a time and one of no time are the same.
    for value in out.values_mut() {
        if let Value::Object(map) = value {
            map.retain(|_, inner| *inner != json!(0));
        }
    }
    out.retain(|_, value| !empty(value));
    let entries = config["history"].as_array().cloned().unwrap_or_default();
    for (at, entry) in entries.iter().enumerate() {
        let layer = if entry["empty_layer"] == true { "no layer" } else { "a layer" };
        out.insert(format!("history {at:02}"), json!([entry["created_by"], layer]));
    }
    let layers = config["rootfs"]["diff_ids"].as_array().map_or(0, Vec::len);
    out.insert("layers".into(), json!(layers));
    out
}
