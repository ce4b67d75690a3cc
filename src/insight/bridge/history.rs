//! Bundles of `docker buildx history export`: an OCI layout in a tar, with the statuses of the build as one blob.
//!
//! Source: BuildKit `solver/llbsolver/history.go` (a length of four bytes, little end first, before each status) and
//! `api/services/control/control.proto` (StatusResponse, Vertex, VertexLog).

use std::collections::HashMap;
use std::io::Read;

use serde::Deserialize;

use super::protobuf::{Value, fields};
use super::raw_json::Gathered;
use crate::engine::Told;
use crate::engine::event::Stream;

const STATUS: &str = "application/vnd.buildkit.status.v0";
/// No file of a bundle is larger.
const FILE_LIMIT: u64 = 256 << 20;

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    #[serde(rename = "mediaType", default)]
    media_type: String,
    digest: String,
}

/// Whether these bytes begin like a packed or a plain tar.
pub fn is_bundle(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b]) || bytes.get(257..262) == Some(b"ustar")
}

/// Reads a bundle. Errors: in words.
pub fn read(bytes: &[u8]) -> Result<Told, String> {
    let files = match bytes.starts_with(&[0x1f, 0x8b]) {
        true => files(flate2::read::MultiGzDecoder::new(bytes)),
        false => files(bytes),
    }
    .map_err(|error| format!("its tar is damaged: {error}"))?;
    let blob = |digest: &str| {
        let hex = digest.strip_prefix("sha256:").unwrap_or("");
        files.get(&format!("blobs/sha256/{hex}")).ok_or_else(|| format!("it lacks the blob {}", digest.escape_debug()))
    };
    let index = files.get("index.json").ok_or("it has no index.json")?;
    let index: Index = serde_json::from_slice(index).map_err(|error| format!("its index is no JSON: {error}"))?;
    for manifest in &index.manifests {
        let Ok(manifest) = serde_json::from_slice::<Manifest>(blob(&manifest.digest)?) else { continue };
        if let Some(status) = manifest.layers.iter().find(|layer| layer.media_type == STATUS) {
            return statuses(blob(&status.digest)?);
        }
    }
    Err("it holds no status of a build".to_owned())
}

/// The small files of the tar, by name.
fn files(tar: impl Read) -> std::io::Result<HashMap<String, Vec<u8>>> {
    let mut out = HashMap::new();
    for entry in tar::Archive::new(tar).entries()? {
        let entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
        if entry.header().entry_type().is_file() {
            let mut bytes = Vec::new();
            entry.take(FILE_LIMIT).read_to_end(&mut bytes)?;
            out.insert(name, bytes);
        }
    }
    Ok(out)
}

fn statuses(mut rest: &[u8]) -> Result<Told, String> {
    let mut told = Gathered::default();
    while let Some((length, more)) = rest.split_first_chunk::<4>() {
        let Some((status, more)) = more.split_at_checked(u32::from_le_bytes(*length) as usize) else { break };
        rest = more;
        for (field, value) in fields(status) {
            match field {
                1 => vertex(&mut told, value.bytes()),
                3 => log(&mut told, value.bytes()),
                _ => {}
            }
        }
    }
    told.finish()
}

fn vertex(told: &mut Gathered, message: &[u8]) {
    let Some(digest) = fields(message).find(|(field, _)| *field == 1).map(|(_, value)| value.text()) else { return };
    let step = told.step(&digest);
    for (field, value) in fields(message) {
        match (field, value) {
            (3, value) => step.name = value.text(),
            (4, Value::Number(cached)) => step.cached |= cached != 0,
            (5, value) => step.started = step.started.or(moment(value.bytes())),
            (6, value) => step.completed = moment(value.bytes()).or(step.completed),
            (7, value) => step.error = Some(value.text()).filter(|text| !text.is_empty()),
            _ => {}
        }
    }
}

fn log(told: &mut Gathered, message: &[u8]) {
    let (mut digest, mut stream, mut data) = (String::new(), Stream::Stdout, Vec::new());
    for (field, value) in fields(message) {
        match (field, value) {
            (1, value) => digest = value.text(),
            (3, Value::Number(2)) => stream = Stream::Stderr,
            (4, value) => data = value.bytes().to_vec(),
            _ => {}
        }
    }
    told.step(&digest).output.push((stream, data));
}

/// Microseconds since 1970 of a `Timestamp`.
fn moment(message: &[u8]) -> Option<u64> {
    let (mut seconds, mut nanos) = (0, 0);
    for (field, value) in fields(message) {
        match (field, value) {
            (1, Value::Number(number)) => seconds = number,
            (2, Value::Number(number)) => nanos = number,
            _ => {}
        }
    }
    (seconds > 0).then(|| seconds.saturating_mul(1_000_000).saturating_add(nanos / 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_bundles_are_errors_in_words() {
        assert!(is_bundle(&[0x1f, 0x8b, 0]) && !is_bundle(b"{}"));
        assert!(read(&[0x1f, 0x8b, 0, 1]).unwrap_err().contains("damaged"));
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(2);
        tar.append_data(&mut header, "index.json", &b"{}"[..]).unwrap();
        assert_eq!(read(&tar.into_inner().unwrap()).unwrap_err(), "it holds no status of a build");
    }

    #[test]
    fn a_status_is_read() {
        let vertex = [&[0x0a, 1, b'd', 0x1a, 1, b'n', 0x20, 1][..], &[0x2a, 2, 0x08, 5, 0x32, 2, 0x08, 7]].concat();
        let status = [&[0x0a, vertex.len() as u8][..], &vertex].concat();
        let stream = [&(status.len() as u32).to_le_bytes()[..], &status].concat();
        let told = statuses(&stream).unwrap();
        assert_eq!((told.steps[0].name.as_str(), told.steps[0].cached), ("n", true));
        assert_eq!((told.steps[0].started, told.steps[0].completed), (Some(5_000_000), Some(7_000_000)));
    }
}
