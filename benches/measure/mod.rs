//! What is measured, and the table.

use std::path::Path;
use std::time::{Duration, Instant};

/// The Dockerfiles of the corpus below the folder of the conformance cases.
pub fn corpus(folder: &Path) -> Vec<String> {
    let folder = folder.join("corpus");
    let Ok(text) = std::fs::read_to_string(folder.join("cases.json")) else { return Vec::new() };
    let document: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let files = document["cases"].as_array().into_iter().flatten().filter_map(|case| case["file"].as_str());
    files.filter_map(|file| std::fs::read_to_string(folder.join(file)).ok()).collect()
}

/// A file of `lines` lines with some of everything.
pub fn long_file(lines: usize) -> String {
    let mut out = String::from("# syntax=docker/dockerfile:1\nARG VERSION=3.20\n");
    let mut line = 2;
    let mut stage = 0;
    while line + 12 < lines {
        out.push_str(&format!(
            "# s{stage} is a stage\nFROM alpine:${{VERSION}} AS s{stage}\nARG NAME=value{stage}\nENV PATH=/opt/${{NAME}}/bin:$PATH \\\n    LANG=C.UTF-8\n\
             WORKDIR /src\nCOPY --chown=1000:1000 package.json package-lock.json ./\n\
             RUN --mount=type=cache,target=/root/.npm npm ci && \\\n    npm cache verify\nRUN <<EOF\necho \"$NAME\"\nEOF\n"
        ));
        line += 12;
        stage += 1;
    }
    while line < lines {
        out.push_str("EXPOSE 8080/tcp\n");
        line += 1;
    }
    out
}

/// The shortest of the runs of `work` in `time`.
pub fn shortest(time: Duration, mut work: impl FnMut()) -> Duration {
    let begun = Instant::now();
    let mut best = Duration::MAX;
    while begun.elapsed() < time {
        let run = Instant::now();
        work();
        best = best.min(run.elapsed());
    }
    best
}

/// Megabytes a second.
pub fn throughput(bytes: usize, time: Duration) -> f64 {
    bytes as f64 / 1e6 / time.as_secs_f64()
}
