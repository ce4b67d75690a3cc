//! `--cache-from` and `--cache-to`.
//!
//! Source of names and meanings: docker buildx, `build --cache-from` and `--cache-to`, and the caches of BuildKit's README.

use std::path::PathBuf;

use super::build::usage;
use crate::engine::EngineError;
use crate::engine::exchange::{CacheFrom, CacheMode, CacheTo, DEFAULT_TAG};

const OTHERS: [&str; 5] = ["registry", "inline", "gha", "s3", "azblob"];

/// Reads one `--cache-from`. Errors: usage, with the key that is wrong.
pub fn cache_from(spec: &str) -> Result<CacheFrom, EngineError> {
    let fields = fields("--cache-from", spec)?;
    let mut from = CacheFrom { folder: PathBuf::new(), tag: DEFAULT_TAG.into() };
    for (key, value) in fields {
        match key {
            "src" => from.folder = value.into(),
            "tag" if !value.is_empty() => from.tag = value.into(),
            _ => {
                return Err(wrong(
                    "--cache-from",
                    spec,
                    &format!("has `{}`: there is type, src and tag", key.escape_debug()),
                ));
            }
        }
    }
    match from.folder.as_os_str().is_empty() {
        true => Err(wrong("--cache-from", spec, "names no folder: add src=DIR")),
        false => Ok(from),
    }
}

/// Reads one `--cache-to`. Errors: usage, with the key that is wrong.
pub fn cache_to(spec: &str) -> Result<CacheTo, EngineError> {
    let fail = |why: &str| wrong("--cache-to", spec, why);
    let mut to =
        CacheTo { folder: PathBuf::new(), tag: DEFAULT_TAG.into(), mode: CacheMode::default(), ignore_error: false };
    for (key, value) in fields("--cache-to", spec)? {
        match (key, value) {
            ("dest", _) => to.folder = value.into(),
            ("tag", _) if !value.is_empty() => to.tag = value.into(),
            ("mode", "min") => to.mode = CacheMode::Min,
            ("mode", "max") => to.mode = CacheMode::Max,
            ("mode", _) => return Err(fail(&format!("has the mode `{}`: there is min and max", value.escape_debug()))),
            ("ignore-error", "true" | "1") => to.ignore_error = true,
            ("ignore-error", "false" | "0") => to.ignore_error = false,
            _ => {
                let key = key.escape_debug();
                return Err(fail(&format!("has `{key}`: there is type, dest, tag, mode and ignore-error")));
            }
        }
    }
    match to.folder.as_os_str().is_empty() {
        true => Err(fail("names no folder: add dest=DIR")),
        false => Ok(to),
    }
}

/// Keys and values of a cache in a folder, without its type.
fn fields<'s>(flag: &str, spec: &'s str) -> Result<Vec<(&'s str, &'s str)>, EngineError> {
    if !spec.contains('=') {
        return Err(other_type(flag, spec, "registry"));
    }
    let pair = |part: &'s str| {
        let part = part.trim_matches('"');
        part.split_once('=').ok_or_else(|| wrong(flag, spec, "is not a list of key=value"))
    };
    let fields: Vec<(&str, &str)> = spec.split(',').map(pair).collect::<Result<_, _>>()?;
    match fields.iter().find(|(key, _)| *key == "type").map(|(_, value)| *value) {
        Some("local") => Ok(fields.into_iter().filter(|(key, _)| *key != "type").collect()),
        Some(other) if OTHERS.contains(&other) => Err(other_type(flag, spec, other)),
        Some(other) => Err(wrong(flag, spec, &format!("has the type `{}`, which nobody knows", other.escape_debug()))),
        None => Err(wrong(flag, spec, "has no type: add type=local")),
    }
}

fn other_type(flag: &str, spec: &str, kind: &str) -> EngineError {
    let place = if flag == "--cache-to" { "dest" } else { "src" };
    let why = format!(
        "is a cache of type `{kind}`, which this builder does not have: it keeps caches in folders only. Give \
         type=local,{place}=DIR, and carry the folder (an OCI layout) with what carries your artifacts"
    );
    wrong(flag, spec, &why)
}

fn wrong(flag: &str, spec: &str, why: &str) -> EngineError {
    usage(format!("{flag} `{}` {why}", spec.chars().take(200).collect::<String>().escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_s_names_are_read_and_what_is_not_there_is_named() {
        let to = cache_to("type=local,dest=/c,mode=max,ignore-error=true").unwrap();
        assert_eq!(
            (to.folder.to_str(), to.mode, to.tag.as_str(), to.ignore_error),
            (Some("/c"), CacheMode::Max, "latest", true)
        );
        assert_eq!(cache_to("type=local,dest=c").unwrap().mode, CacheMode::Min, "docker's default");
        assert_eq!(cache_from("type=local,src=c,tag=x").unwrap(), CacheFrom { folder: "c".into(), tag: "x".into() });
        let says = |error: EngineError, part: &str| assert!(error.message.contains(part), "{}", error.message);
        says(cache_from("registry.example/app:cache").unwrap_err(), "type `registry`");
        says(cache_from("type=registry,ref=a").unwrap_err(), "Give type=local,src=DIR");
        says(cache_to("type=inline").unwrap_err(), "Give type=local,dest=DIR");
        says(cache_to("type=local").unwrap_err(), "add dest=DIR");
        says(cache_to("type=local,dest=c,mode=all").unwrap_err(), "there is min and max");
        says(cache_to("type=local,dest=c,compression=zstd").unwrap_err(), "has `compression`");
        says(cache_to("dest=c").unwrap_err(), "add type=local");
        says(cache_from("type=local,dest=c").unwrap_err(), "there is type, src and tag");
        says(cache_from("type=nothing").unwrap_err(), "which nobody knows");
    }
}
