//! kaniko's tests: what docker builds is what is expected, and not recorded.

use super::*;

/// A case; most take their context from one folder of the set.
pub fn case(value: &Value, root: &Path) -> Case {
    let mut case = Case::new(value["name"].as_str().unwrap());
    case.dockerfile = without_syntax(bytes(&value["dockerfile"]));
    let dockerfile = String::from_utf8_lossy(&case.dockerfile).into_owned();
    let file = value["dockerfile_name"].as_str().unwrap_or("Dockerfile").to_owned();
    let mut beside = Vec::new();
    match value["context"].as_array() {
        None => case.context.push(Change::CopyOf(root.to_owned())),
        Some(entries) => {
            for entry in entries {
                let path = text(&entry["path"]);
                case.context.push(match entry["target"].as_str() {
                    Some(target) => Change::Symlink { path, target: target.to_owned() },
                    None => Change::File { path, content: bytes(&entry["content"]), mode: octal(&entry["mode"]) },
                });
            }
        }
    }
    if let Some(rules) = value["dockerignore"].as_str() {
        let path = format!("{file}.dockerignore");
        beside.push(Change::File { path, content: rules.as_bytes().to_vec(), mode: None });
    }
    case.file = file;
    case.beside = Some(beside);
    for given in list(&value["build_args"]) {
        case.flags.push(format!("--build-arg={}", text(given)));
    }
    case.flags.extend(list(&value["docker_flags"]).iter().map(text));
    for given in list(&value["env"]) {
        let given = text(given);
        let (name, value) = given.split_once('=').unwrap_or((&given, ""));
        case.environment.push((name.to_owned(), value.to_owned()));
    }
    case.named = bases(value, &dockerfile);
    case.skip = unplayable(value, &dockerfile);
    case
}
