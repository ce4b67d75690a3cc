//! Builds made elsewhere, read into what the engine can take in. Files come from outside: everything in them is bounded, and
//! nothing of them is believed but times, names and output.

mod history;
mod protobuf;
mod raw_json;

use std::io::Read;
use std::path::Path;

use crate::engine::{EngineError, Told};

/// Larger files are no build's progress.
const LIMIT: u64 = 1 << 30;

/// Reads the output of `docker buildx build --progress=rawjson` or a bundle of `docker buildx history export`. Errors: it is
/// neither, or is damaged.
pub fn read(path: &Path) -> Result<Told, EngineError> {
    let shown = path.display().to_string().escape_debug().to_string();
    let fail = |error: std::io::Error| {
        EngineError::user(format!("cannot read `{shown}`: {}", crate::ground::fs::error::describe(&error)), None)
    };
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(fail)?.take(LIMIT + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > LIMIT {
        return Err(EngineError::user(format!("`{shown}` is larger than 1 GiB"), None));
    }
    let told = if history::is_bundle(&bytes) { history::read(&bytes) } else { raw_json::read(&bytes) };
    told.map_err(|why| {
        let hint = "give what `docker buildx build --progress=rawjson` wrote to standard error, or a file of \
                    `docker buildx history export`"
            .to_owned();
        EngineError::user(format!("`{shown}` is no build that can be imported: {why}"), Some(hint))
    })
}
