//! Issue 2, must show 3: the same CACHED lines as BuildKit after each of these changes, and the right reason beside them.

use super::changes::{CASES, Case, Play};
use super::differences::SEEDED as MEANT;
use super::lab::{Docker, Ours, Random, Running, at_line, codes, image, write};
use super::pair::{Options, buildkit, compare, ours};

#[test]
fn seeded_changes() {
    let test = Running::start("seeded_changes");
    let layout = match image("busybox") {
        Ok(layout) => layout,
        Err(why) => return test.skip(why),
    };
    let docker = Docker::open();
    if let Err(why) = &docker {
        println!("skipped: seeded_changes: the side of BuildKit: {why}");
    }
    let docker = docker.ok();
    let mut random = Random::from_environment();
    println!("seeded_changes: RBUILD_PEERS_SEED={}", random.0);
    let only = std::env::var("RBUILD_PEERS_CASE").ok();
    let engine = Ours::with_image(&layout, &["busybox:local"]);
    let mut wrong = Vec::new();
    let mut played = 0;
    println!("{:<50} {:>4} {:<46} {:<5} {:<8} reasons", "case", "line", "instruction", "ours", "BuildKit");
    for case in CASES.iter().filter(|case| only.as_ref().is_none_or(|only| case.name.contains(only.as_str()))) {
        played += 1;
        play(case, &engine, docker.as_ref(), &mut random, &mut wrong);
    }
    assert!(wrong.is_empty(), "{} of {played} cases differ:\n{}", wrong.len(), wrong.join("\n"));
    let beside = docker.map_or("without BuildKit".to_owned(), |d| format!("beside {}", d.version));
    test.pass(format!("{played} changes {beside}, {} lines differ on purpose", MEANT.len()));
}

fn play(case: &Case, engine: &Ours, docker: Option<&Docker>, random: &mut Random, wrong: &mut Vec<String>) {
    let word = format!("n{:012x}", random.next() & 0xffff_ffff_ffff);
    let context = engine.folder(&word);
    let random = Random(random.next());
    let mut play = Play { context: &context, ours: engine, docker, word, options: Options::default(), random, alone: false };
    write(&context, "Dockerfile", &play.text(case.dockerfile));
    for (path, text) in case.files {
        play.write(path, text);
    }
    (case.prepare)(&mut play);
    let mut document = ours(engine, &context, &play.options);
    let mut vertices = docker.map(|docker| buildkit(docker, &context, &play.options));
    for change in case.changes {
        change(&mut play);
        document = ours(engine, &context, &play.options);
        vertices = docker.filter(|_| !play.alone).map(|docker| buildkit(docker, &context, &play.options));
    }
    let mut differs = Vec::new();
    for row in compare(&document, vertices.as_deref().unwrap_or_default()) {
        let meant = MEANT.iter().find(|(name, line, _)| *name == case.name && *line == row.line);
        let step = at_line(&document, row.line);
        let mark = match (row.agrees(), meant) {
            (true, _) => "",
            (false, Some(_)) => "meant",
            (false, None) => "DIFFERS",
        };
        if mark == "DIFFERS" {
            differs.push(format!("line {}: ours {}, BuildKit {}", row.line, row.ours, row.buildkit));
        }
        println!(
            "{:<50} {:>4} {:<46} {:<5} {:<8} {} {} {mark}",
            case.name,
            row.line,
            row.instruction,
            row.ours,
            row.buildkit,
            step["how"].as_str().unwrap_or(""),
            codes(step).join(" ")
        );
    }
    for (line, expected) in case.expected {
        let step = at_line(&document, *line);
        let (result, found) = (step["result"].as_str().unwrap(), codes(step));
        let wanted = if expected.is_empty() { "hit" } else { "ran" };
        if result != wanted || !expected.iter().all(|code| found.iter().any(|f| f == code)) {
            differs
                .push(format!("line {line}: expected {wanted} {expected:?}, found {result} {found:?}: {}", step["reasons"]));
        }
    }
    if !differs.is_empty() {
        wrong.push(format!("  {}: {}", case.name, differs.join("; ")));
    }
    if let Some(docker) = docker {
        let _ = docker.output(&["rmi", "--force", &format!("peers-{}:base", play.word)]);
    }
}
