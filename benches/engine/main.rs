//! The engine beside the physical limit and, where the lab is up, beside a real BuildKit: `cargo bench --bench engine`.
//! Needs root. Ratios of one run count, not seconds: all of a row is measured within the same minute on the same machine.
//!
//! `RBUILD_LAB_SCRIPTS` names the folder of the lab's scripts (`dk`); without it, or when its daemon does not answer, the
//! BuildKit column says so. An argument picks rows: `cargo bench --bench engine -- cached`.

mod buildkit;
mod context;
mod limit;
mod ours;
mod table;
mod trace;

use std::path::Path;
use std::time::Duration;

use buildkit::Buildkit;
use ours::Ours;
use table::Row;

const FILES: usize = 10_000;
const BYTES: usize = 100 << 20;
const RUNS: usize = 50;
/// How often cheap rows are measured; dear ones three times.
const TIMES: usize = 7;

fn main() {
    // `cargo bench` passes `--bench`; `cargo test` runs bench targets without it, and has nothing to measure.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|a| a == "--bench") {
        return;
    }
    let wanted = |name: &str| {
        let mut names = arguments.iter().filter(|a| !a.starts_with('-')).peekable();
        names.peek().is_none() || names.any(|picked| name.contains(picked.as_str()))
    };
    let work = tempfile::tempdir().unwrap();
    let buildkit = Buildkit::find(work.path());
    // Each row as soon as it is measured: what fails later costs nothing.
    let print = |rows: Vec<Row>| rows.iter().for_each(Row::print);
    table::print_head();
    if wanted("cold") {
        print(cold(work.path(), buildkit.as_ref()));
    }
    if wanted("cached") || wanted("changed") {
        print(rebuild(work.path(), buildkit.as_ref(), FILES, TIMES));
    }
    if wanted("huge") {
        print(rebuild(work.path(), buildkit.as_ref(), 10 * FILES, 3));
    }
    if wanted("stages") {
        print(vec![stages(work.path(), buildkit.as_ref())]);
    }
    if wanted("runs") {
        print(vec![runs(work.path(), buildkit.as_ref())]);
    }
    trace::print(work.path(), &|case| wanted(&format!("trace {case}")));
}

/// The middle of several measurements.
fn median(times: usize, mut measure: impl FnMut(usize) -> Duration) -> Duration {
    let mut all: Vec<Duration> = (0..times).map(&mut measure).collect();
    all.sort();
    all[all.len() / 2]
}

const COPY_ALL: &str = "FROM scratch\nCOPY . /src\n";

/// The middle of several measurements of a BuildKit; none where there is none, or where it failed more often than not.
fn theirs(
    buildkit: Option<&Buildkit>,
    times: usize,
    measure: impl Fn(&Buildkit, usize) -> Option<Duration>,
) -> Option<Duration> {
    let measured: Vec<Duration> = (0..times).filter_map(|at| measure(buildkit?, at)).collect();
    (2 * measured.len() > times).then(|| median(measured.len(), |at| measured[at]))
}

/// A context that nobody has seen, copied and made an image of, with an empty store.
fn cold(work: &Path, buildkit: Option<&Buildkit>) -> Vec<Row> {
    let mut memory = 0;
    let (mut theirs, mut archives, mut copies) = (Vec::new(), Vec::new(), Vec::new());
    let ours = median(3, |at| {
        // Unlike every earlier context, also of earlier runs of this program: BuildKit keeps what it has seen.
        let seed = 1000 * u64::from(std::process::id()) + at as u64;
        let folder = work.join(format!("cold-{at}"));
        context::write(&folder, FILES, BYTES, seed, COPY_ALL);
        let engine = Ours::new(&work.join(format!("store-{at}")));
        archives.push(limit::archive(&folder, &work.join("limit.tar")));
        copies.push(limit::copy(&folder, &work.join(format!("copy-{at}"))));
        let (time, peak) = engine.build(&folder, &[]);
        memory = memory.max(peak);
        theirs.extend(buildkit.and_then(|b| b.build(&folder, &[])));
        for name in [format!("copy-{at}"), format!("store-{at}"), format!("cold-{at}")] {
            let _ = std::fs::remove_dir_all(work.join(name));
        }
        time
    });
    let middle = |all: &Vec<Duration>| median(all.len(), |at| all[at]);
    let buildkit = (!theirs.is_empty()).then(|| middle(&theirs));
    let row = |limit, limit_name| Row {
        work: "cold COPY of 10,000 files, 100 MB, and image".into(),
        ours,
        limit,
        limit_name,
        buildkit,
        memory,
    };
    vec![row(middle(&copies), "cp -a"), row(middle(&archives), "read + tar")]
}

/// Builds again, so many times each: with nothing changed, and with one file changed.
fn rebuild(work: &Path, buildkit: Option<&Buildkit>, files: usize, times: usize) -> Vec<Row> {
    let folder = work.join(format!("context-{files}"));
    context::write(&folder, files, BYTES, u64::from(std::process::id()), COPY_ALL);
    let engine = Ours::new(&work.join(format!("store-{files}")));
    // Twice: a file younger than the scan that saw it is read again once.
    std::thread::sleep(Duration::from_millis(50));
    engine.build(&folder, &[]);
    engine.build(&folder, &[]);
    buildkit.and_then(|b| b.build(&folder, &[]));
    let mut memory = 0;
    let cached = Row {
        work: format!("cached rebuild, {files} files"),
        limit: median(times, |_| limit::walk(&folder)),
        limit_name: "parallel stat walk",
        ours: median(times, |_| {
            let (time, peak) = engine.build(&folder, &[]);
            memory = memory.max(peak);
            time
        }),
        buildkit: theirs(buildkit, times, |b, _| b.build(&folder, &[])),
        memory,
    };
    let mut memory = 0;
    let changed = Row {
        work: format!("one file of {files} changed"),
        limit: median(3, |at| limit::walk(&folder) + limit::link_all(&folder, &work.join(format!("linked-{files}-{at}")))),
        limit_name: "stat walk + a link each",
        ours: median(times, |at| {
            context::touch(&folder, at);
            let (time, peak) = engine.build(&folder, &[]);
            memory = memory.max(peak);
            time
        }),
        buildkit: theirs(buildkit, times, |b, at| {
            context::touch(&folder, times + at);
            b.build(&folder, &[])
        }),
        memory,
    };
    vec![cached, changed]
}

/// The same Dockerfile, on a base of this machine's tools, run through without the cache on both sides: time of ours and of
/// BuildKit's, and our memory.
fn without_cache(
    work: &Path,
    name: &str,
    buildkit: Option<&Buildkit>,
    dockerfile: &dyn Fn(&str) -> String,
) -> (Duration, Option<Duration>, u64) {
    let engine = Ours::new(&work.join(format!("store-{name}")));
    let base = engine.base();
    let folder = work.join(name);
    context::write(&folder, 0, 0, 0, &dockerfile(&base));
    // The base is unpacked by the first build.
    engine.build(&folder, &[]);
    let mut memory = 0;
    let ours = median(3, |_| {
        let (time, peak) = engine.build(&folder, &["--no-cache"]);
        memory = memory.max(peak);
        time
    });
    let theirs = buildkit.and_then(|b| {
        let base = b.load(&engine.export(&folder, work))?;
        context::write(&folder, 0, 0, 0, &dockerfile(&base));
        b.build(&folder, &[]);
        let time = theirs(Some(b), 3, |b, _| b.build(&folder, &["--no-cache"]));
        b.forget(&base);
        time
    });
    (ours, theirs, memory)
}

/// Four stages beside each other, each of which sleeps two seconds.
fn stages(work: &Path, buildkit: Option<&Buildkit>) -> Row {
    let (ours, buildkit, memory) = without_cache(work, "stages", buildkit, &|base| {
        let stages: String = (0..4).map(|n| format!("FROM {base} AS s{n}\nRUN sleep 2; echo {n} > /{n}\n")).collect();
        let copies: String = (0..4).map(|n| format!("COPY --from=s{n} /{n} /{n}\n")).collect();
        format!("{stages}FROM scratch\n{copies}")
    });
    let limit = Duration::from_secs(2);
    Row { work: "four parallel stages of 2 s".into(), ours, limit, limit_name: "sleep 2", buildkit, memory }
}

/// Many RUNs that do nothing.
fn runs(work: &Path, buildkit: Option<&Buildkit>) -> Row {
    let (ours, theirs, memory) = without_cache(work, "runs", buildkit, &|base| {
        let runs: String = (0..RUNS).map(|n| format!("RUN : {n}\n")).collect();
        format!("FROM {base}\n{runs}")
    });
    let each = |time: Duration| time / RUNS as u32;
    Row {
        work: format!("one RUN (of {RUNS} in a row)"),
        ours: each(ours),
        limit: each(limit::processes(RUNS)),
        limit_name: "unshare and exec a shell",
        buildkit: theirs.map(each),
        memory,
    }
}
