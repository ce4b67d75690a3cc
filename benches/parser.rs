//! Throughput of the parser over the corpus (`RBUILD_TUI_CONFORMANCE`), and the latency of parse and check of a file of 2,000
//! lines. `benches/peers` measures the same beside other parsers.

use std::collections::BTreeMap;
use std::time::Duration;

use rbuild_tui::language::dockerfile::checks::{LintRequest, Target, lint};
use rbuild_tui::language::dockerfile::parse;

mod measure;
use measure::{corpus, long_file, shortest, throughput};

const TIME: Duration = Duration::from_secs(3);

fn main() {
    if let Some(folder) = std::env::var_os("RBUILD_TUI_CONFORMANCE") {
        let files = corpus(folder.as_ref());
        let bytes: usize = files.iter().map(String::len).sum();
        let time = shortest(TIME, || files.iter().for_each(|file| drop(std::hint::black_box(parse(file)))));
        println!("corpus, {} files, {bytes} bytes: {:.1} MB/s", files.len(), throughput(bytes, time));
    }
    let long = long_file(2000);
    let parsed = shortest(TIME, || drop(std::hint::black_box(parse(&long))));
    let build_args = BTreeMap::new();
    let checked = shortest(TIME, || {
        let dockerfile = parse(&long);
        let request = LintRequest {
            dockerfile: &dockerfile,
            ignore: None,
            target: Target::All,
            build_args: &build_args,
            platform: "linux/amd64",
            base: &|_| None,
        };
        std::hint::black_box(lint(&request));
    });
    println!("2,000 lines: parse {parsed:.2?}, parse and check {checked:.2?} (goal: under 5 ms)");
}
