//! BuildKit's own tests.

use super::*;

/// The group it is of, and the case.
pub fn case(value: &Value) -> (String, Case) {
    let mut case = Case::new(value["name"].as_str().unwrap());
    let dockerfile = known_values(&String::from_utf8_lossy(&without_syntax(bytes(&value["dockerfile"]))));
    case.dockerfile = dockerfile.clone().into_bytes();
    case.context = changes(&value["context"]);
    if !list(&value["dockerfile_dir"]).is_empty() {
        case.beside = Some(changes(&value["dockerfile_dir"]));
    }
    case.named = bases(value, &dockerfile);
    case.skip = unplayable(value, &dockerfile);
    for (key, given) in value["frontend_attrs"].as_object().into_iter().flatten() {
        let given = given.as_str().unwrap_or("⟪⟫");
        attribute(&mut case, key, &known_values(given));
    }
    for export in list(&value["exports"]) {
        let names = known_values(export["attrs"]["name"].as_str().unwrap_or(""));
        case.tags.extend(names.split(',').filter(|name| !name.is_empty()).map(str::to_owned));
    }
    if let Some(file) = value["filename"].as_str() {
        case.file = file.to_owned();
    }
    case.rewrite_timestamps = list(&value["exports"]).iter().any(|e| e["attrs"]["rewrite-timestamp"] == "true");
    case.expected = match value["result"].as_str() {
        Some("ok") => Expected::Ok,
        Some("error") => Expected::Error,
        _ => Expected::Unknown,
    };
    if case.name.contains("testSecretFileParams/") {
        case.secrets = secrets(&dockerfile);
    }
    case.asserts = list(&value["asserts"]).to_vec();
    (text(&value["split_key"]), case)
}

/// Values of a run of the test suite that can be known.
fn known_values(text: &str) -> String {
    text.replace("⟪sb.NewRegistry()⟫", "registry.invalid:5000")
        .replace("⟪time.Date(2023, ⟪time.January⟫, 10, 12, 34, 56, 0, ⟪time.UTC⟫).Unix()⟫", "1673354096")
        .replace("⟪time.Date(2023, 1, 10, 15, 34, 56, 0, ⟪time.UTC⟫).Unix()⟫", "1673364896")
}

fn attribute(case: &mut Case, key: &str, given: &str) {
    let (kind, name) = key.split_once(':').unwrap_or((key, ""));
    if kind == "context" && given.starts_with("oci-layout:ocione@") {
        return case.named.push(Named::Before(name.to_owned()));
    }
    if let Some(tag) = given.strip_prefix("docker-image://").filter(|_| kind == "context") {
        return case.named.push(Named::Tagged(name.to_owned(), tag.to_owned()));
    }
    if given.contains('⟪') {
        let why = "holds values that are known only when its own test suite runs";
        case.skip.get_or_insert_with(|| why.to_owned());
        return;
    }
    match kind {
        "build-arg" => case.flags.push(format!("--build-arg={name}={given}")),
        "label" => case.flags.push(format!("--label={name}={given}")),
        "target" => case.flags.push(format!("--target={given}")),
        "filename" => case.file = given.to_owned(),
        "shm-size" => case.flags.push(format!("--shm-size={given}")),
        "add-hosts" => case.flags.extend(given.split(',').map(|host| format!("--add-host={}", host.replace('=', ":")))),
        "force-network-mode" => case.flags.push(format!("--network={given}")),
        "platform" if given == "linux/amd64" => {}
        "platform" => {
            case.skip.get_or_insert_with(|| "builds for another platform".into());
        }
        // About how a result is described, and about where the Dockerfile's language comes from.
        "attest" | "vcs" | "source" | "cmdline" => {}
        _ => {
            case.skip.get_or_insert_with(|| format!("asks the frontend by itself: {key}"));
        }
    }
}

fn changes(value: &Value) -> Vec<Change> {
    let one = |op: &Value| {
        let path = text(&op["path"]);
        match op["op"].as_str().unwrap_or("") {
            "dir" => Change::Dir { path, mode: octal(&op["mode"]) },
            "symlink" => Change::Symlink { path, target: text(&op["target"]) },
            _ => {
                // `os.FileMode(448)` is 0700.
                let mode = if text(&op["mode"]).contains("448") { Some(0o700) } else { octal(&op["mode"]) };
                Change::File { path, content: bytes(&op["content"]), mode }
            }
        }
    };
    list(value).iter().map(one).collect()
}
