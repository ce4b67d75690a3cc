//! The sets, each in its own words, as cases.

use std::path::Path;

use serde_json::Value;

use super::case::{Case, Change, Expected, Group, Named};

#[path = "sets/buildah.rs"]
mod buildah;
#[path = "sets/buildkit.rs"]
mod buildkit;
#[path = "sets/kaniko.rs"]
mod kaniko;
#[path = "sets/moby.rs"]
mod moby;

/// Everything that is played, in the order of the sets.
pub fn all(folder: &Path) -> Vec<Group> {
    let mut out = Vec::new();
    out.extend(grouped(read(folder, "buildkit-integration").iter().map(buildkit::case).collect()));
    out.extend(grouped(read(folder, "moby-cli-build").iter().map(moby::case).collect()));
    let alone = |cases: Vec<Case>| cases.into_iter().map(|case| Group { cases: vec![case] });
    out.extend(alone(read(folder, "buildah-conformance").iter().map(buildah::conformance).collect()));
    out.extend(alone(read(folder, "buildah-commit").iter().map(buildah::commit).collect()));
    out.extend(alone(read(folder, "buildah-bud").iter().map(buildah::bud).collect()));
    let root = folder.join("kaniko-integration/context-root");
    out.extend(alone(read(folder, "kaniko-integration").iter().map(|value| kaniko::case(value, &root)).collect()));
    out
}

fn read(folder: &Path, set: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join(set).join("cases.json")).expect("the set has cases.json");
    let document: Value = serde_json::from_str(&text).expect("cases.json is JSON");
    document["cases"].as_array().expect("cases is a list").clone()
}

/// Steps of one test together: their names differ in the last part only. A later step may stand on what an earlier one built.
fn grouped(cases: Vec<(String, Case)>) -> Vec<Group> {
    let mut out: Vec<(String, Group)> = Vec::new();
    for (key, case) in cases {
        match out.last_mut().filter(|(known, _)| *known == key) {
            Some((_, group)) => group.cases.push(case),
            None => out.push((key, Group { cases: vec![case] })),
        }
    }
    let mut groups: Vec<Group> = out.into_iter().map(|(_, group)| group).collect();
    groups.iter_mut().for_each(linked);
    groups
}

/// Names of images that an earlier step built lead to that step.
fn linked(group: &mut Group) {
    let tags: Vec<Vec<String>> = group.cases.iter().map(|case| case.tags.clone()).collect();
    let bare = |name: &str| name.trim_end_matches(":latest").to_owned();
    for (at, case) in group.cases.iter_mut().enumerate() {
        let built = |name: &str| tags[..at].iter().rposition(|tags| tags.iter().any(|tag| bare(tag) == bare(name)));
        let text = String::from_utf8_lossy(&case.dockerfile).into_owned();
        let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || c == '=' || c == ',').collect();
        for tag in tags[..at].iter().flatten().filter(|tag| words.iter().any(|word| bare(word) == bare(tag))) {
            if !case.named.iter().any(|named| matches!(named, Named::Base(name) if bare(name) == bare(tag))) {
                case.named.push(Named::Base(tag.clone()));
            }
        }
        for named in &mut case.named {
            let found = match named {
                Named::Base(name) => built(name).map(|step| Named::Step(name.clone(), step)),
                Named::Before(name) => at.checked_sub(1).map(|step| Named::Step(name.clone(), step)),
                Named::Tagged(name, tag) => built(tag).map(|step| Named::Step(name.clone(), step)),
                Named::Step(..) => None,
            };
            if let Some(found) = found {
                *named = found;
            }
        }
        // What is named last wins on both sides, but a name must not be given twice.
        let mut seen = std::collections::BTreeSet::new();
        case.named.reverse();
        case.named.retain(|named| {
            let (Named::Base(name) | Named::Step(name, _) | Named::Before(name) | Named::Tagged(name, _)) = named;
            seen.insert(bare(name))
        });
    }
}

/// A Dockerfile without the line that asks for docker's own frontend, which both sides have built in.
fn without_syntax(dockerfile: Vec<u8>) -> Vec<u8> {
    let Ok(text) = String::from_utf8(dockerfile.clone()) else { return dockerfile };
    let plain = |line: &str| {
        let bare: String = line.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase();
        let ours = bare.starts_with("#syntax=") && bare.contains("docker/dockerfile");
        if ours { "#".to_owned() } else { line.to_owned() }
    };
    text.split('\n').map(plain).collect::<Vec<_>>().join("\n").into_bytes()
}

/// A text, or the bytes of one that is not UTF-8.
fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.clone().into_bytes(),
        // Numbers are bytes, and texts stand between them.
        Value::Array(list) => list.iter().flat_map(|n| n.as_u64().map_or_else(|| bytes(n), |n| vec![n as u8])).collect(),
        Value::Object(map) => from_base64(map.get("b64").and_then(Value::as_str).unwrap_or("")),
        _ => Vec::new(),
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut out, mut held, mut bits) = (Vec::new(), 0u32, 0);
    for value in text.bytes().filter_map(digit) {
        held = held << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((held >> bits) as u8);
        }
    }
    out
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("").to_owned()
}

fn octal(value: &Value) -> Option<u32> {
    u32::from_str_radix(value.as_str()?, 8).ok()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Every image name of a Dockerfile that is no stage of it stands for the base image of the lab.
fn bases(case: &Value, dockerfile: &str) -> Vec<Named> {
    let stage = |name: &str| {
        dockerfile.lines().any(|line| {
            let words: Vec<String> = line.split_whitespace().map(str::to_lowercase).collect();
            words.first().is_some_and(|w| w == "from")
                && words.windows(2).any(|w| w[0] == "as" && w[1] == name.to_lowercase())
        })
    };
    let mut names: Vec<String> = list(&case["needs"]["images"]).iter().map(text).collect();
    // Names that an ARG gives.
    names.extend(["busybox", "alpine"].map(str::to_owned));
    names.retain(|name| name != "scratch" && !name.contains(['$', '⟪', '{', '}']) && !stage(name));
    names.sort();
    names.dedup_by(|a, b| a.trim_end_matches(":latest") == b.trim_end_matches(":latest"));
    names.into_iter().map(Named::Base).collect()
}

/// The ids of the secrets that a Dockerfile asks for.
fn secrets(dockerfile: &str) -> Vec<String> {
    let mounts = dockerfile.split_whitespace().filter(|word| word.starts_with("--mount=") && word.contains("type=secret"));
    let id = |mount: &str| {
        let value = |key: &str| mount.split(',').find_map(|part| part.strip_prefix(key));
        let base = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
        value("id=").map(str::to_owned).or(value("target=").or(value("dst=")).map(base))
    };
    let ids: std::collections::BTreeSet<String> = mounts.filter_map(id).collect();
    ids.into_iter().collect()
}

/// Why a case cannot be played here at all.
fn unplayable(case: &Value, dockerfile: &str) -> Option<String> {
    let network = case["needs"]["network_in_build"] == true;
    if network {
        return Some("needs the network".into());
    }
    if dockerfile.contains('⟪') {
        return Some("holds values that are known only when its own test suite runs".into());
    }
    None
}
