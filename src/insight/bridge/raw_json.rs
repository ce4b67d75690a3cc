//! `--progress=rawjson`: one `SolveStatus` a line.
//!
//! Source: BuildKit `client/graph.go`.

use std::collections::HashMap;

use base64::Engine as _;
use serde::Deserialize;

use crate::engine::event::Stream;
use crate::engine::{Told, ToldStep};

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    vertexes: Option<Vec<Vertex>>,
    #[serde(default)]
    logs: Option<Vec<Log>>,
}

#[derive(Deserialize)]
struct Vertex {
    digest: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    cached: bool,
    started: Option<String>,
    completed: Option<String>,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
struct Log {
    vertex: String,
    #[serde(default)]
    stream: i64,
    #[serde(default)]
    data: String,
}

/// Microseconds since 1970 of an RFC 3339 time.
fn micros(text: &str) -> Option<u64> {
    let at = humantime::parse_rfc3339(text).ok()?;
    at.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_micros() as u64)
}

/// Reads the lines; those that are no status (warnings of docker before and after) are passed over. Errors: there is none.
pub fn read(bytes: &[u8]) -> Result<Told, String> {
    let mut told = Gathered::default();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"{")) {
        let Ok(status) = serde_json::from_slice::<Status>(line) else { continue };
        for vertex in status.vertexes.into_iter().flatten() {
            let step = told.step(&vertex.digest);
            step.name = vertex.name;
            // A step that is told twice as it goes on began with the first.
            step.started = step.started.or(vertex.started.as_deref().and_then(micros));
            step.completed = vertex.completed.as_deref().and_then(micros).or(step.completed);
            step.cached |= vertex.cached;
            step.error = Some(vertex.error).filter(|error| !error.is_empty()).or(step.error.take());
        }
        for log in status.logs.into_iter().flatten() {
            let stream = if log.stream == 2 { Stream::Stderr } else { Stream::Stdout };
            let data = base64::engine::general_purpose::STANDARD.decode(&log.data).unwrap_or_default();
            told.step(&log.vertex).output.push((stream, data));
        }
    }
    told.finish()
}

/// Steps by their digests, in the order in which they were named.
#[derive(Default)]
pub(super) struct Gathered {
    places: HashMap<String, usize>,
    steps: Vec<ToldStep>,
}

impl Gathered {
    /// The step of a digest.
    pub(super) fn step(&mut self, digest: &str) -> &mut ToldStep {
        let at = *self.places.entry(digest.to_owned()).or_insert_with(|| {
            self.steps.push(ToldStep::default());
            self.steps.len() - 1
        });
        &mut self.steps[at]
    }

    /// Errors: nothing was told.
    pub(super) fn finish(self) -> Result<Told, String> {
        match self.steps.is_empty() {
            true => Err("it names no steps".to_owned()),
            false => Ok(Told { steps: self.steps }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_steps_and_noise_is_passed_over() {
        let text = r#"#0 building with "default"
{"vertexes":[{"digest":"sha256:a","name":"[1/2] RUN x"}]}
{"vertexes":[{"digest":"sha256:a","name":"[1/2] RUN x","started":"2026-11-28T19:44:44.5Z"}]}
{"logs":[{"vertex":"sha256:a","stream":1,"data":"aGkK","timestamp":"2026-11-28T19:44:44.6Z"}]}
{"vertexes":[{"digest":"sha256:a","name":"[1/2] RUN x","started":"2026-11-28T19:44:44.5Z","completed":"2026-11-28T19:44:45Z"},{"digest":"sha256:b","name":"[2/2] RUN y","cached":true}]}
{"half
"#;
        let told = read(text.as_bytes()).unwrap();
        assert_eq!(told.steps.len(), 2);
        assert_eq!(told.steps[0].completed.unwrap() - told.steps[0].started.unwrap(), 500_000);
        assert_eq!(told.steps[0].output, [(Stream::Stdout, b"hi\n".to_vec())]);
        assert!(told.steps[1].cached);
        assert!(read(b"no").is_err());
    }
}
