//! Parse throughput and latency beside `parse-dockerfile` and `dockerfile-parser-rs`: a table with ratios.
//!
//! They do less: neither keeps the whole text, reads on after an error, or checks. `dockerfile-parser-rs` reads from a path
//! only, so its numbers include opening a file in memory (`/dev/shm` where there is one).
#![allow(dead_code, unused_imports)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[path = "../../../src/language/mod.rs"]
mod language;
#[path = "../../measure/mod.rs"]
mod measure;

use language::dockerfile::checks::{LintRequest, Target, lint};
use measure::{corpus, long_file, shortest, throughput};

const TIME: Duration = Duration::from_secs(3);

fn main() -> std::io::Result<()> {
    let shared = Path::new("/dev/shm");
    let folder = if shared.is_dir() { tempfile::tempdir_in(shared)? } else { tempfile::tempdir()? };
    let on_disk = |files: &[String]| -> std::io::Result<Vec<PathBuf>> {
        let write = |(at, text): (usize, &String)| {
            let path = folder.path().join(at.to_string());
            std::fs::write(&path, text).map(|()| path)
        };
        files.iter().enumerate().map(write).collect()
    };
    let mut sets = vec![("2,000 lines".to_owned(), vec![long_file(2000)])];
    if let Some(cases) = std::env::var_os("RBUILD_TUI_CONFORMANCE") {
        let files = corpus(cases.as_ref());
        sets.push((format!("corpus of {}", files.len()), files));
    }
    println!("{:<16} {:<22} {:>9} {:>12} {:>8} {:>9}", "input", "parser", "MB/s", "time", "ratio", "accepted");
    for (name, files) in &sets {
        let bytes: usize = files.iter().map(String::len).sum();
        let paths = on_disk(files)?;
        let ours = shortest(TIME, || files.iter().for_each(|file| drop(std::hint::black_box(language::dockerfile::parse(file)))));
        let row = |parser: &str, time: Duration, accepted: usize| {
            let ratio = time.as_secs_f64() / ours.as_secs_f64();
            let speed = throughput(bytes, time);
            println!("{name:<16} {parser:<22} {speed:>9.1} {time:>12.2?} {ratio:>8.2} {accepted:>5}/{}", files.len());
        };
        row("ours", ours, files.iter().filter(|file| !language::dockerfile::parse(file).has_errors()).count());
        row("ours and checks", shortest(TIME, || files.iter().for_each(|file| check(file))), files.len());
        let good = |file: &&String| parse_dockerfile::parse(file).is_ok();
        let time = shortest(TIME, || files.iter().for_each(|file| drop(std::hint::black_box(parse_dockerfile::parse(file)))));
        row("parse-dockerfile", time, files.iter().filter(good).count());
        let read = |path: &PathBuf| dockerfile_parser_rs::Dockerfile::from(path.clone()).is_ok();
        let time = shortest(TIME, || paths.iter().for_each(|path| { std::hint::black_box(read(path)); }));
        row("dockerfile-parser-rs", time, paths.iter().filter(|path| read(path)).count());
    }
    Ok(())
}

fn check(source: &str) {
    let dockerfile = language::dockerfile::parse(source);
    let request = LintRequest {
        dockerfile: &dockerfile,
        ignore: None,
        target: Target::All,
        build_args: &BTreeMap::new(),
        platform: "linux/amd64",
        base: &|_| None,
    };
    std::hint::black_box(lint(&request));
}
