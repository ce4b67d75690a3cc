//! Issue 5, must show 2: a plan before each of 200 random edits on ten Dockerfiles says what the build then does, and the build
//! does what BuildKit does. The edits pile up, are undone now and then, and are the same for the same seed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use serde_json::Value;

use super::changes::Play;
use super::lab::{Docker, Ours, Random, Running, image, work};
use super::matrix::restore;
use super::pair::{Options, buildkit, compare, keeps_the_plan};
use super::projects::{PROJECTS, Project, base};

const EDITS: usize = 20;
const DOCKERFILES: usize = 10;
/// Fixed: the table below is of these very edits.
const SEED: u64 = 20_261_128;

#[derive(Default)]
struct Score {
    edits: usize,
    /// What plans said, and how often.
    planned: BTreeMap<String, usize>,
    kinds: BTreeMap<&'static str, usize>,
    agree: usize,
    unseen: usize,
    wrong: Vec<String>,
}

#[test]
fn plans_of_random_edits() {
    let test = Running::start("plans");
    let layout = match image("busybox") {
        Ok(layout) => layout,
        Err(why) => return test.skip(why),
    };
    let docker = Docker::open().map_err(|why| println!("skipped: plans: the side of BuildKit: {why}")).ok();
    let mut random = Random(std::env::var("RBUILD_PEERS_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(SEED));
    println!("plans_of_random_edits: RBUILD_PEERS_SEED={}", random.0);
    let queue: Vec<_> = PROJECTS.iter().take(DOCKERFILES).map(|project| (project, Random(random.next()))).collect();
    let (queue, score) = (Mutex::new(queue), Mutex::new(Score::default()));
    let next = || queue.lock().unwrap().pop();
    let work = || {
        while let Some((project, random)) = next() {
            play(project, &layout, docker.as_ref(), random, &score);
        }
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(work))));
    let score = score.into_inner().unwrap();
    println!("edits: {:?}", score.kinds);
    assert!(score.wrong.is_empty(), "{} differ:\n{}", score.wrong.len(), score.wrong.join("\n"));
    let beside = docker.map_or_else(|| "without BuildKit".to_owned(), |docker| format!("beside {}", docker.version));
    test.pass(format!(
        "{} edits on {DOCKERFILES} Dockerfiles: plans said {:?}, all kept; {} steps agree {beside}, 0 differ, {} are not named by it",
        score.edits, score.planned, score.agree, score.unseen
    ));
}

fn play(project: &Project, layout: &Path, docker: Option<&Docker>, mut random: Random, score: &Mutex<Score>) {
    let engine = Ours::in_memory();
    engine.load(layout, &["busybox:local"]);
    // Another word in every run: BuildKit remembers those of before.
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let word = format!("n{:012x}", Random(clock ^ random.next()).next() & 0xffff_ffff_ffff);
    let context = engine.folder(&word);
    let mut play =
        Play { context: &context, ours: &engine, docker, word, options: Options::default(), random, alone: false };
    base(&play, project, 1);
    restore(&mut play, project);
    for at in 0..=EDITS {
        let kind = if at == 0 { "first build" } else { edit(&mut play, project) };
        let (plan, built, theirs) = answers(&play);
        let mut score = score.lock().unwrap();
        score.edits += usize::from(at > 0);
        *score.kinds.entry(kind).or_default() += 1;
        for step in work(&plan) {
            let mut said = step["result"].as_str().unwrap().to_owned();
            // What a step gives that runs; or what lies in a result that is there, and that a look could tell.
            if said == "unknown" && step["depends"].as_str().unwrap().contains("nobody has looked at") {
                said = "unknown without a look".to_owned();
            }
            *score.planned.entry(said).or_default() += 1;
        }
        let kept = std::panic::catch_unwind(|| keeps_the_plan(&plan, &built));
        if kept.is_err() {
            score.wrong.push(format!("{} edit {at} ({kind}): the build did not keep the plan", project.name));
        }
        for row in compare(&built, &theirs.unwrap_or_default()) {
            match row.buildkit {
                "-" => score.unseen += 1,
                _ if row.agrees() => score.agree += 1,
                other => score.wrong.push(format!(
                    "{} edit {at} ({kind}): line {} {}: ours {}, BuildKit {other}",
                    project.name, row.line, row.instruction, row.ours
                )),
            }
        }
    }
    if let Some(docker) = docker {
        let _ = docker.output(&["rmi", "--force", &format!("peers-{}:base", play.word)]);
    }
}

/// The plan first, then both builds at once.
fn answers(play: &Play) -> (Value, Value, Option<Vec<super::pair::Vertex>>) {
    let (context, options) = (play.context, &play.options);
    let flags = options.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let plan = play.ours.plan(context, &flags);
    std::thread::scope(|scope| {
        let theirs = play.docker.map(|docker| scope.spawn(move || buildkit(docker, context, options)));
        let built = play.ours.build(context, &flags);
        (plan, built, theirs.map(|thread| thread.join().unwrap()))
    })
}

/// One random change; says which kind.
fn edit(play: &mut Play, project: &Project) -> &'static str {
    let at = |play: &mut Play, of: &[&'static str]| of[play.random.below(of.len() as u64) as usize];
    let path = |name: &str| play.context.join(name);
    play.options.no_cache = false;
    play.options.more.retain(|flag| !flag.starts_with("--no-cache"));
    match play.random.below(16) {
        0..4 => {
            let name =
                at(play, &["src/a.txt", "src/b.txt", "docs/read.md", "package.json", "requirements.txt", "hidden.txt"]);
            let text = play.fresh().repeat(1 + play.random.below(3) as usize);
            play.write(name, &text);
            "content"
        }
        4 => {
            let name = at(play, &["src/new.txt", "docs/new.md", "top.txt", "src/sub/more"]);
            play.write(name, "new\n");
            "added"
        }
        5 => {
            let name = at(play, &["src/new.txt", "docs/new.md", "top.txt", "src/sub/c.txt"]);
            let _ = fs::remove_file(path(name));
            "removed"
        }
        6 => {
            let (from, to) = (path("src/sub/c.txt"), path("src/sub/d.txt"));
            let _ = if from.exists() { fs::rename(from, to) } else { fs::rename(to, from) };
            "renamed"
        }
        7 => {
            let name = at(play, &["src/a.txt", "docs/read.md"]);
            let mode = [0o600, 0o644, 0o755][play.random.below(3) as usize];
            play.mode(name, mode);
            "mode"
        }
        8 => {
            let rules = at(
                play,
                &[
                    "",
                    "hidden.txt\n",
                    "docs\n",
                    "**/*.md\n",
                    "*\n!src\n!package.json\n!requirements.txt\n!docs\n!archive.tar\n",
                ],
            );
            play.write(".dockerignore", &format!("Dockerfile\n.dockerignore\n{rules}"));
            "ignore file"
        }
        9 => {
            let value = at(play, &["1", "2", "3"]);
            play.arg("V", value);
            "argument"
        }
        10..13 => edit_dockerfile(play, project),
        13 => {
            let name = at(play, &["src/a.txt", "package.json"]);
            let file = fs::File::options().write(true).open(path(name)).unwrap();
            file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(play.random.below(1 << 30))).unwrap();
            "time only"
        }
        14 => {
            match project.filter {
                Some(stage) => play.options.more.push(format!("--no-cache-filter={stage}")),
                None => play.options.no_cache = true,
            }
            "no cache"
        }
        _ => {
            restore(play, project);
            "all undone"
        }
    }
}

fn edit_dockerfile(play: &mut Play, project: &Project) -> &'static str {
    let file = play.context.join("Dockerfile");
    let text = fs::read_to_string(&file).unwrap();
    let (setting, copy) = (project.setting, project.copy);
    let pairs = [("step-one", "step-two"), ("E=1", "E=2"), ("chown 1:1", "chown 2:2"), setting, copy, ("RUN ls", "RUN  ls")];
    let (from, to) = pairs[play.random.below(pairs.len() as u64) as usize];
    let (from, to) = (play.text(from), play.text(to));
    let lines = ["# a comment\n", "LABEL added=1\n", "RUN echo added\n", "ENV ADDED=1\n"];
    let line = lines[play.random.below(lines.len() as u64) as usize];
    let last = text.rfind("\nFROM ").map_or(0, |at| at + 1);
    let below = text[last..].find('\n').map_or(text.len(), |at| last + at + 1);
    let (new, kind) = match play.random.below(3) {
        0 if !text.contains(line) => (format!("{}{line}{}", &text[..below], &text[below..]), "line added"),
        0 => (text.replacen(line, "", 1), "line removed"),
        _ if text.contains(&from) => (text.replacen(&from, &to, 1), "line reworded"),
        _ if !to.is_empty() => (text.replacen(&to, &from, 1), "line reworded"),
        _ => (text, "nothing"),
    };
    fs::write(file, new).unwrap();
    kind
}
