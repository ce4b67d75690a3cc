//! buildah's tests: what docker builds is what is expected, and not recorded.

use super::*;
use crate::case::Change;

/// `tests/conformance`: some cases say at which line the build fails.
pub fn conformance(value: &Value) -> Case {
    let mut case = plain(value);
    case.classic = true;
    for tweak in list(&value["tweaks"]) {
        tweaked(&mut case, tweak);
    }
    for (name, given) in value["build_args"].as_object().into_iter().flatten() {
        case.flags.push(format!("--build-arg={name}={}", text(given)));
    }
    case
}

/// `tests/bud`: nothing is expected.
pub fn bud(value: &Value) -> Case {
    plain(value)
}

/// Lines that change an image: as a Dockerfile.
pub fn commit(value: &Value) -> Case {
    let mut case = Case::new(value["name"].as_str().unwrap());
    let base = text(&value["baseImage"]);
    let lines: Vec<String> = list(&value["changes"]).iter().map(text).collect();
    if lines.is_empty() {
        case.skip = Some("configures a container, not a Dockerfile".into());
    }
    case.dockerfile = format!("FROM {base}\n{}\n", lines.join("\n")).into_bytes();
    case.named.push(Named::Base(base));
    case
}

fn plain(value: &Value) -> Case {
    let mut case = Case::new(value["name"].as_str().unwrap());
    case.dockerfile = without_syntax(bytes(&value["dockerfile"]));
    let dockerfile = String::from_utf8_lossy(&case.dockerfile).into_owned();
    if let Some(file) = value["dockerfile_name"].as_str() {
        case.file = file.to_owned();
    }
    for entry in list(&value["context"]) {
        let path = text(&entry["path"]);
        case.context.push(match entry["type"].as_str() {
            Some("symlink") => Change::Symlink { path, target: text(&entry["target"]) },
            Some("dir") => Change::Dir { path, mode: octal(&entry["mode"]) },
            _ if path == case.file => {
                Change::File { path, content: without_syntax(bytes(&entry["content"])), mode: octal(&entry["mode"]) }
            }
            _ => Change::File { path, content: bytes(&entry["content"]), mode: octal(&entry["mode"]) },
        });
    }
    if value["dockerfile_inline"] == true {
        case.beside = Some(Vec::new());
    }
    case.named = bases(value, &dockerfile);
    case.secrets = secrets(&dockerfile);
    case.skip = unplayable(value, &dockerfile);
    case
}

fn tweaked(case: &mut Case, tweak: &Value) {
    let path = text(&tweak["path"]);
    let change = match tweak["op"].as_str().unwrap_or("") {
        "file" => Change::File { path, content: bytes(&tweak["content"]), mode: octal(&tweak["mode"]) },
        "chmod" => Change::Mode { path, mode: octal(&tweak["mode"]).unwrap() },
        "mtime" => Change::Time { path, seconds: tweak["unix"].as_i64().unwrap() },
        "xattr" => {
            for (name, given) in tweak["set"].as_object().into_iter().flatten() {
                let (path, name) = (path.clone(), name.clone());
                case.context.push(Change::Attribute { path, name, value: bytes(given) });
            }
            return;
        }
        "tar" => Change::File { path, content: archive(list(&tweak["entries"])), mode: None },
        other => panic!("the tweak `{other}` of {} is not known", case.name),
    };
    case.context.push(change);
}

fn archive(entries: &[Value]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let content = bytes(&entry["content"]);
        let mut header = tar::Header::new_gnu();
        let directory = entry["type"] == "dir";
        header.set_entry_type(if directory { tar::EntryType::Directory } else { tar::EntryType::Regular });
        header.set_size(content.len() as u64);
        header.set_mode(octal(&entry["mode"]).unwrap_or(0o644));
        header.set_uid(entry["uid"].as_u64().unwrap_or(0));
        header.set_gid(entry["gid"].as_u64().unwrap_or(0));
        header.set_mtime(entry["mtime"].as_u64().unwrap_or(0));
        builder.append_data(&mut header, text(&entry["name"]), &content[..]).unwrap();
    }
    builder.into_inner().unwrap()
}
