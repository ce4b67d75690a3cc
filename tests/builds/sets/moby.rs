//! The test suite of docker's classic builder.

use super::*;

/// The group it is of, and the case.
pub fn case(value: &Value) -> (String, Case) {
    let mut case = Case::new(value["name"].as_str().unwrap());
    case.classic = true;
    case.dockerfile = without_syntax(bytes(&value["dockerfile"]));
    let dockerfile = String::from_utf8_lossy(&case.dockerfile).into_owned();
    for (path, content) in value["files"].as_object().into_iter().flatten() {
        case.context.push(Change::File { path: path.clone(), content: bytes(content), mode: None });
    }
    for op in list(&value["context_ops"]) {
        // `⟪ctx0⟫` is the context's own folder: a link out of it.
        let target = text(&op[1]).replace("⟪ctx0⟫", "/nowhere");
        case.context.push(Change::Symlink { path: text(&op[2]), target });
    }
    case.named = bases(value, &dockerfile);
    case.skip = unplayable(value, &dockerfile);
    let tag = text(&value["tag"]);
    if !tag.is_empty() && !tag.contains('⟪') {
        case.tags.push(tag);
    }
    flags(&mut case, list(&value["flags"]));
    case.expected = match value["result"].as_str() {
        Some("ok") => Expected::Ok,
        Some("error") => Expected::Error,
        _ => Expected::Unknown,
    };
    case.asserts = list(&value["asserts"]).to_vec();
    (text(&value["split_key"]), case)
}

fn flags(case: &mut Case, flags: &[Value]) {
    let mut words = flags.iter().map(text);
    while let Some(word) = words.next() {
        let (name, inline) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word.clone(), None),
        };
        match name.as_str() {
            "--label" | "--build-arg" | "--add-host" => {
                let value = inline.or_else(|| words.next()).unwrap_or_default();
                case.flags.push(format!("{name}={value}"));
            }
            "-t" => case.tags.extend(words.next()),
            "--no-cache" => case.flags.push(word),
            // About containers, files and words of the client, not about the image.
            "-q" | "--rm" => {}
            "--iidfile" | "--cgroup-parent" => drop(words.next()),
            _ => {
                case.skip.get_or_insert_with(|| format!("{name} is asked of the classic builder"));
            }
        }
    }
}
