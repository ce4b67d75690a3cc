//! The layering of the house: a room may import only rooms of earlier rows. A room without a row fails.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// From the ground up. What `engine` itself gives is the door's.
const ROOMS: &[&str] = &[
    "ground/hint",
    "ground/path",
    "ground/cancel",
    "ground/digest",
    "ground/fs",
    "ground/config",
    "language/dockerfile",
    "language/shell",
    "engine/oci",
    "engine/context",
    "engine/verdict",
    "engine/reads",
    "engine/event",
    "engine/protocol",
    "engine/http",
    "engine/graph",
    "engine/store",
    "engine/registry",
    "engine/fetch",
    "engine/snapshot",
    "engine/sandbox",
    "engine/worker",
    "engine/cache",
    "engine/image",
    "engine/exchange",
    "engine/upkeep",
    "engine/solver",
    "engine/door",
    "engine/forecast",
    "insight/model",
    "insight/suggest",
    "insight/workbench",
    "insight/bridge",
    "front/text",
    "front/report",
    "front/tui",
    "front/cli",
];

/// The room of a module path such as `engine/cache/reason/…`.
fn room(path: &str) -> Option<&'static str> {
    let found = ROOMS.iter().find(|room| path == **room || path.starts_with(&format!("{room}/")));
    let door = path.strip_prefix("engine/").filter(|rest| !rest.is_empty() && !rest.contains('/'));
    found.copied().or(door.map(|_| "engine/door"))
}

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// Module paths below `crate::` that a line imports or names.
fn imports(line: &str) -> Vec<String> {
    let mut out = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let rest = &line[at + "crate::".len()..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(rest.len());
        let path = rest[..end].trim_end_matches(':').replace("::", "/");
        match rest[end..].strip_prefix('{') {
            Some(list) => {
                let list = list.split('}').next().unwrap_or("");
                out.extend(list.split(',').map(|item| format!("{path}/{}", item.trim().replace("::", "/"))));
            }
            None => out.push(path),
        }
    }
    out
}

#[test]
fn rooms_import_only_earlier_rooms() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut wrong = BTreeSet::new();
    for file in files {
        let module = file.strip_prefix(&root).unwrap().with_extension("").display().to_string();
        let module = module.trim_end_matches("/mod").to_owned();
        if matches!(module.as_str(), "lib" | "main" | "ground" | "language" | "insight" | "front") || module.contains("test")
        {
            continue;
        }
        let own = if module == "engine" { Some("engine/door") } else { room(&module) };
        let Some(own) = own else {
            wrong.insert(format!("{module} has no row"));
            continue;
        };
        let rank = |room: &str| ROOMS.iter().position(|r| *r == room).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or("");
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for path in imports(line) {
                let target = room(&path).filter(|target| *target != own);
                if let Some(target) = target
                    && rank(target) > rank(own)
                {
                    wrong.insert(format!("{module} ({own}) imports {path} ({target})"));
                }
            }
        }
    }
    let list: Vec<&str> = wrong.iter().map(String::as_str).collect();
    assert!(wrong.is_empty(), "{}", list.join("\n"));
}

#[test]
fn only_the_command_line_prints_and_only_config_reads_the_environment() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let name = file.strip_prefix(&root).unwrap().display().to_string();
        if name.contains("tests") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or("");
        let prints = ["println!(", "print!(", "eprintln!(", "eprint!(", "dbg!("].iter().any(|m| code.contains(m));
        if prints && !name.starts_with("front/cli") {
            wrong.push(format!("{name} prints"));
        }
        if code.contains("env::var") && name != "ground/config.rs" {
            wrong.push(format!("{name} reads the environment"));
        }
        if code.contains("unsafe ") && !name.starts_with("engine/sandbox") {
            wrong.push(format!("{name} has unsafe code"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
