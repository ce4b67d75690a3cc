//! Statements of docker's documentation about which lines miss after one change, played on both engines.

use serde_json::Value;

use super::lab::{Docker, Ours, Random, Running, at_line, folder, image, write};
use super::pair::{Options, buildkit, compare, ours};

#[test]
fn cache_facts() {
    let test = Running::start("cache_facts");
    let ready = || Ok::<_, String>((image("busybox")?, folder("RBUILD_TUI_CONFORMANCE")?));
    let (layout, conformance) = match ready() {
        Ok(ready) => ready,
        Err(why) => return test.skip(why),
    };
    let docker = Docker::open().map_err(|why| println!("skipped: cache_facts: the side of BuildKit: {why}")).ok();
    let engine = Ours::with_image(&layout, &["ubuntu", "alpine", "busybox:local"]);
    if let Some(docker) = &docker {
        for name in ["ubuntu", "alpine"] {
            docker.ok(&["tag", "busybox:local", name]);
        }
    }
    let text = std::fs::read_to_string(conformance.join("cache-facts/cases.json")).unwrap();
    let set: Value = serde_json::from_str(&text).unwrap();
    let mut random = Random::from_environment();
    let (mut passed, mut skipped, mut wrong) = (0, 0, Vec::new());
    for case in set["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        match play(case, &engine, docker.as_ref(), &mut random) {
            Ok(()) => {
                passed += 1;
                println!("  passed  {name}");
            }
            Err(Verdict::Skipped(why)) => {
                skipped += 1;
                println!("  skipped {name}: {why}");
            }
            Err(Verdict::Wrong(why)) => wrong.push(format!("  {name}: {why}")),
        }
    }
    if let Some(docker) = &docker {
        let _ = docker.output(&["rmi", "ubuntu", "alpine"]);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    test.pass(format!("{passed} cases, {skipped} skipped"));
}

enum Verdict {
    Skipped(String),
    Wrong(String),
}

fn play(case: &Value, engine: &Ours, docker: Option<&Docker>, random: &mut Random) -> Result<(), Verdict> {
    let change = &case["change"];
    let dockerfile = case["dockerfile"].as_str().unwrap();
    // What only a network or a failure would show is left out: the text, not what it fetches, is the fact.
    // The syntax line would be fetched; a comment in its place keeps the line numbers.
    let dockerfile = dockerfile.replace("apk add curl", "true curl").replace("# syntax=docker/dockerfile:1", "#");
    let word = format!("{:x}", random.next());
    let context = engine.folder(&format!("facts-{word}"));
    // Contents and values are new each time, so that a miss is not hidden by what the lab remembers of an earlier run.
    write(&context, "Dockerfile", &dockerfile);
    for path in case["context_files"].as_array().into_iter().flatten() {
        write(&context, path.as_str().unwrap(), &format!("{word}\n"));
    }
    let mut options = Options::default();
    if change["build_arg"].is_string() {
        options.args.push((change["build_arg"].as_str().unwrap().into(), format!("one-{word}")));
    }
    if change["target"].is_string() {
        options.target = Some(change["target"].as_str().unwrap().into());
    }
    let first = ours(engine, &context, &options);
    if let Some(docker) = docker {
        buildkit(docker, &context, &options);
    }
    for line in lines(case, "not_built_lines") {
        let built = |document: &Value| document["steps"].as_array().unwrap().iter().any(|s| s["line"] == line);
        if built(&first) {
            return Err(Verdict::Wrong(format!("line {line} was built")));
        }
    }
    match change {
        _ if change["build_arg"].is_string() => options.args[0].1 = format!("two-{word}"),
        _ if change["touch"].is_string() => {
            let path = change["touch"].as_str().unwrap().split(' ').next().unwrap();
            let file = std::fs::File::options().write(true).open(context.join(path)).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        }
        _ if change["edit"].is_string() => write(&context, change["edit"].as_str().unwrap(), "edited\n"),
        _ if change["base_image"].is_string() => return base_moves(case, engine, docker, &context, &options),
        _ if change["time_passes"].is_string() || change["target"].is_string() => {}
        other => return Err(Verdict::Skipped(format!("the change {other} is not known to this test"))),
    }
    let second = ours(engine, &context, &options);
    let mut wrong = Vec::new();
    if let Some(docker) = docker {
        let vertices = buildkit(docker, &context, &options);
        for row in compare(&second, &vertices).iter().filter(|row| !row.agrees()) {
            wrong.push(format!("line {}: ours {}, BuildKit {}", row.line, row.ours, row.buildkit));
        }
    }
    let result = |line: u64| at_line(&second, line)["result"].as_str().unwrap().to_owned();
    if let Some(line) = case["expect"]["first_miss_line"].as_u64() {
        let missed = second["steps"].as_array().unwrap().iter().find(|s| s["result"] == "ran");
        if missed.is_none_or(|s| s["line"] != line) {
            wrong.push(format!("the first miss is {missed:?}, not line {line}"));
        }
    }
    for line in lines(case, "hit_lines").chain(lines(case, "no_miss_lines")) {
        if !matches!(result(line).as_str(), "hit" | "config") {
            wrong.push(format!("line {line} is {}", result(line)));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Verdict::Wrong(wrong.join("; "))) }
}

/// The name of the base is given to another image. BuildKit and we make two steps out of `COPY --link`: the copy, which hits,
/// and the merge with the new base.
fn base_moves(
    case: &Value,
    engine: &Ours,
    docker: Option<&Docker>,
    context: &std::path::Path,
    options: &Options,
) -> Result<(), Verdict> {
    let images = super::lab::folder("RBUILD_LAB").map_err(Verdict::Skipped)?.join("images");
    let (layout, archive) = (images.join("debian-mini.oci"), images.join("debian-mini.tar"));
    if !layout.exists() || !archive.exists() {
        return Err(Verdict::Skipped("there is no second base image".into()));
    }
    engine.ok(&["image", "load", "-t", "alpine", layout.to_str().unwrap()]);
    let second = ours(engine, context, options);
    let busybox = images.join("busybox.oci");
    engine.ok(&["image", "load", "-t", "alpine", busybox.to_str().unwrap()]);
    let mut wrong = Vec::new();
    for line in lines(case, "no_miss_lines") {
        let copy = second["steps"].as_array().unwrap().iter().find(|s| s["line"] == line).unwrap();
        if copy["result"] != "hit" {
            wrong.push(format!("line {line} is {}", copy["result"]));
        }
    }
    if let Some(docker) = docker {
        docker.ok(&["load", "-q", "-i", archive.to_str().unwrap()]);
        docker.ok(&["tag", "debian-mini:local", "alpine"]);
        let vertices = buildkit(docker, context, options);
        docker.ok(&["tag", "busybox:local", "alpine"]);
        let copy = vertices.iter().find(|v| v.name.starts_with("COPY --link"));
        if copy.and_then(|v| v.cached) != Some(true) {
            wrong.push(format!("BuildKit: {copy:?}"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Verdict::Wrong(wrong.join("; "))) }
}

fn lines<'a>(case: &'a Value, field: &str) -> impl Iterator<Item = u64> + use<'a> {
    case["expect"][field].as_array().into_iter().flatten().filter_map(Value::as_u64)
}
