//! Issue 4, must show 2: every verdict of the taxonomy, played on many Dockerfiles: the same CACHED lines as BuildKit, and the
//! code that was played beside them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Mutex;

use serde_json::Value;

use super::board::{Board, Cell};
use super::changes::{Play, mark};
use super::differences::MATRIX;
use super::lab::{Docker, Ours, Random, Running, codes, image, work};
use super::pair::{Options, Vertex, buildkit, compare, ours};
use super::projects::{FILES, PROJECTS, Project, base};

/// One verdict: how it is brought about, and which other codes may stand beside it.
pub struct Verdict {
    pub code: &'static str,
    also: &'static [&'static str],
    play: fn(&mut Play, &Project, usize),
    /// The lab's BuildKit cannot play along, and why.
    pub alone: Option<&'static str>,
}

const fn verdict(code: &'static str, also: &'static [&'static str], play: fn(&mut Play, &Project, usize)) -> Verdict {
    Verdict { code, also, play, alone: None }
}

const AFTER_PRUNE: &str = "after any prune the lab's BuildKit forgets all its links, even of other builds";
const NO_FORMAT: &str = "the lab's BuildKit has one version";

/// In the order in which they are played: the last ones take the store away.
pub const VERDICTS: &[Verdict] = &[
    verdict("M1", &[], |_, _, _| {}),
    verdict("M2", &[], |p, _, _| p.write("src/a.txt", "other @N@\n")),
    verdict("M3", &[], |p, _, _| p.write("src/new.txt", "new @N@\n")),
    verdict("M4", &[], |p, _, _| fs::remove_file(p.context.join("src/b.txt")).unwrap()),
    verdict("M5", &[], |p, _, _| fs::rename(p.context.join("src/b.txt"), p.context.join("src/d.txt")).unwrap()),
    verdict("M6", &[], |p, _, _| p.mode("src/a.txt", 0o755)),
    verdict("M7", &[], |p, _, _| mark(p, "src/a.txt")),
    verdict("M8", &[], |p, _, _| {
        fs::remove_file(p.context.join("src/sub/link")).unwrap();
        symlink("../b.txt", p.context.join("src/sub/link")).unwrap();
    }),
    // A line of the source stage is what gives a file another owner.
    verdict("M9", &["M12"], |p, _, _| p.edit("chown 1:1", "chown 2:2")),
    verdict("M10", &[], |p, _, _| p.write(".dockerignore", "Dockerfile\n.dockerignore\n")),
    verdict("M11", &[], |p, _, _| p.write(".git/HEAD", "two @N@\n")),
    verdict("M12", &[], |p, _, _| p.edit("step-one", "step-two")),
    // Where a destination is relative, another WORKDIR is another destination.
    verdict("M13", &["M21"], |p, project, _| p.edit(project.setting.0, project.setting.1)),
    verdict("M14", &[], |p, _, _| p.edit("E=1", "E=2")),
    // `ENV B=${V}`: the variable goes on under another name.
    verdict("M15", &["M14"], |p, _, _| p.arg("V", "2")),
    verdict("M16", &[], |p, project, _| base(p, project, 2)),
    verdict("M19", &[], |p, _, turn| match turn % 3 {
        0 => p.options.more.push("--add-host=db:10.0.0.1".into()),
        1 => p.options.more.push("--ulimit=nofile=640".into()),
        _ => p.edit_run("--network=none"),
    }),
    verdict("M20", &[], |p, _, turn| match turn % 4 {
        0 => p.edit_run("--mount=type=cache,target=/matrix"),
        1 => p.edit_run("--mount=type=tmpfs,target=/matrix"),
        2 => p.edit_run("--mount=type=secret,id=matrix,target=/matrix"),
        _ => p.edit_run("--mount=type=bind,source=docs,target=/matrix"),
    }),
    verdict("M21", &[], |p, project, _| p.edit(project.copy.0, project.copy.1)),
    verdict("M22", &[], |p, _, _| p.arg("SOURCE_DATE_EPOCH", "1000000001")),
    verdict("M23", &[], |p, project, _| match project.filter {
        Some(stage) => p.options.more.push(format!("--no-cache-filter={stage}")),
        None => p.options.no_cache = true,
    }),
    Verdict {
        code: "M24",
        also: &[],
        play: |p, _, _| drop(p.ours.ok(&["prune", "--all", "--force"])),
        alone: Some(AFTER_PRUNE),
    },
    Verdict { code: "M26", also: &[], play: |p, _, _| older_format(p), alone: Some(NO_FORMAT) },
];

/// What a store looks like in which an older version of this program, with other keys, built.
fn older_format(play: &mut Play) {
    let index = rusqlite::Connection::open(play.ours.store.join("index.db")).unwrap();
    let forget = "delete from links; delete from records; delete from results;
        update builds set record = replace(record, '\"format\":1,', '\"format\":0,')";
    index.execute_batch(forget).unwrap();
}

#[test]
fn m_matrix() {
    let test = Running::start("matrix");
    let layout = match image("busybox") {
        Ok(layout) => layout,
        Err(why) => return test.skip(why),
    };
    let docker = match Docker::open() {
        Ok(docker) => docker,
        Err(why) => return test.skip(why),
    };
    let mut random = Random::from_environment();
    println!("m_matrix: RBUILD_PEERS_SEED={}", random.0);
    let only = std::env::var("RBUILD_PEERS_CASE").ok();
    let chosen = PROJECTS.iter().enumerate().filter(|(_, p)| only.as_ref().is_none_or(|only| p.name == only));
    let queue: Vec<_> = chosen.map(|(turn, project)| (turn, project, Random(random.next()))).collect();
    let (queue, board) = (Mutex::new(queue), Mutex::new(Board::default()));
    let next = || queue.lock().unwrap().pop();
    let work = || {
        while let Some((turn, project, random)) = next() {
            play_all(project, turn, &layout, &docker, random, &board);
        }
    };
    // Both sides wait for the disk most of the time.
    std::thread::scope(|scope| (0..6).for_each(|_| drop(scope.spawn(work))));
    let board = board.into_inner().unwrap();
    board.print();
    assert!(board.wrong.is_empty(), "{} differ:\n{}", board.wrong.len(), board.wrong.join("\n"));
    test.pass(format!("{} beside {}", board.totals(), docker.version));
}

/// One Dockerfile through all verdicts, on a store of its own.
fn play_all(project: &Project, turn: usize, layout: &Path, docker: &Docker, mut random: Random, board: &Mutex<Board>) {
    let engine = Ours::in_memory();
    engine.load(layout, &["busybox:local"]);
    let word = format!("n{:012x}", random.next() & 0xffff_ffff_ffff);
    let context = engine.folder(&word);
    let options = Options::default();
    let mut play = Play { context: &context, ours: &engine, docker: Some(docker), word, options, random, alone: false };
    base(&play, project, 1);
    for verdict in VERDICTS {
        restore(&mut play, project);
        if verdict.code != "M1" {
            let again = ours(&engine, &context, &play.options);
            let ran: Vec<&str> = ran(&again).iter().map(|step| step["instruction"].as_str().unwrap()).collect();
            if !ran.is_empty() && verdict.alone.is_none() {
                board
                    .lock()
                    .unwrap()
                    .wrong
                    .push(format!("{} {}: ran although all was undone: {ran:?}", verdict.code, project.name));
            }
        }
        (verdict.play)(&mut play, project, turn);
        let (document, vertices) = both(&play, verdict);
        judge(verdict, project, &document, vertices.as_deref(), &mut board.lock().unwrap());
        if verdict.code == "M16" {
            base(&play, project, 1);
        }
    }
    let _ = docker.output(&["rmi", "--force", &format!("peers-{}:base", play.word)]);
}

/// The project as it was at first.
pub fn restore(play: &mut Play, project: &Project) {
    for entry in fs::read_dir(play.context).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }
    play.write("Dockerfile", &project.dockerfile.replace("@BASE@", "peers-@N@:base"));
    for (path, text) in FILES {
        play.write(path, text);
    }
    symlink("../a.txt", play.context.join("src/sub/link")).unwrap();
    let mut archive = tar::Builder::new(fs::File::create(play.context.join("archive.tar")).unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_size(2);
    header.set_mode(0o640);
    archive.append_data(&mut header, "in/file", &b"1\n"[..]).unwrap();
    archive.finish().unwrap();
    let context = play.context.display().to_string();
    let flags = project.flags.iter().map(|flag| flag.replace("@CONTEXT@", &context)).collect();
    play.options = Options { more: flags, ..Options::default() };
    play.arg("SOURCE_DATE_EPOCH", "1000000000");
}

/// Both sides at once.
fn both(play: &Play, verdict: &Verdict) -> (Value, Option<Vec<Vertex>>) {
    let (context, options) = (play.context, &play.options);
    std::thread::scope(|scope| {
        let docker = play.docker.filter(|_| verdict.alone.is_none());
        let theirs = docker.map(|docker| scope.spawn(move || buildkit(docker, context, options)));
        let document = ours(play.ours, context, options);
        (document, theirs.map(|thread| thread.join().unwrap()))
    })
}

fn ran(document: &Value) -> Vec<&Value> {
    document["steps"].as_array().unwrap().iter().filter(|step| step["result"] == "ran").collect()
}

fn judge(verdict: &Verdict, project: &Project, document: &Value, vertices: Option<&[Vertex]>, board: &mut Board) {
    let mut cell = Cell { alone: verdict.alone.is_some(), ..Cell::default() };
    let at = format!("{} {}", verdict.code, project.name);
    let rows = compare(document, vertices.unwrap_or_default());
    for (row, step) in rows.iter().zip(work(document)) {
        let meant = |(code, name, instruction, _): &(&str, &str, &str, &str)| {
            *code == verdict.code && *name == project.name && row.instruction.starts_with(instruction)
        };
        if std::env::var_os("RBUILD_PEERS_STEPS").is_some() {
            let codes = codes(step).join(" ");
            println!("  {at:<18} {:>3} {:<46} {:<5} {:<5} {codes}", row.line, row.instruction, row.ours, row.buildkit);
        }
        match row.buildkit {
            "-" => cell.unseen += 1,
            _ if row.agrees() => cell.agree += 1,
            _ if MATRIX.iter().any(meant) => cell.meant += 1,
            other => {
                cell.differ += 1;
                board
                    .wrong
                    .push(format!("{at}: line {} {}: ours {}, BuildKit {other}", row.line, row.instruction, row.ours));
            }
        }
    }
    board.wrong.extend(wrong_codes(verdict, document).into_iter().map(|what| format!("{at}: {what}")));
    board.cells.insert((verdict.code, project.name), cell);
}

/// Every step that ran has the code that was played, or follows one that has; and one at least has it.
fn wrong_codes(verdict: &Verdict, document: &Value) -> Vec<String> {
    let mut out = Vec::new();
    let mut seen = 0;
    for step in ran(document) {
        let codes = codes(step);
        seen += usize::from(codes.iter().any(|code| code == verdict.code));
        let known =
            |code: &String| code == verdict.code || code == "C1" || code == "C2" || verdict.also.contains(&code.as_str());
        if codes.is_empty() || !codes.iter().all(known) {
            out.push(format!("line {} {}: {codes:?}: {}", step["line"], step["instruction"], step["reasons"]));
        }
    }
    if seen == 0 {
        out.push(format!("no step says {}", verdict.code));
    }
    out
}
