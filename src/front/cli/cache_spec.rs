//! `--cache-from` and `--cache-to`.
//!
//! Source of names and meanings: docker buildx, `build --cache-from` and `--cache-to`, and the caches of BuildKit's README.

use std::path::PathBuf;

use super::build::usage;
use crate::engine::EngineError;
use crate::engine::exchange::{CacheMode, CachePlace, CacheTo, DEFAULT_TAG};
use crate::engine::oci::Reference;

/// Types that docker has and this builder has not.
const OTHERS: [&str; 4] = ["inline", "gha", "s3", "azblob"];

/// Reads one `--cache-from`; a name alone is one of a registry. Errors: usage, with the key that is wrong.
pub fn cache_from(spec: &str) -> Result<CachePlace, EngineError> {
    let spec = Spec { flag: "--cache-from", folder: "src", text: spec };
    let (place, rest) = spec.place()?;
    match rest.first() {
        Some((key, _)) => Err(spec.wrong(&format!("has `{}`: there is type, src, tag and ref", key.escape_debug()))),
        None => Ok(place),
    }
}

/// Reads one `--cache-to`. Errors: usage, with the key that is wrong.
pub fn cache_to(spec: &str) -> Result<CacheTo, EngineError> {
    let spec = Spec { flag: "--cache-to", folder: "dest", text: spec };
    let (place, rest) = spec.place()?;
    let mut to = CacheTo { place, mode: CacheMode::default(), ignore_error: false };
    for (key, value) in rest {
        match (key, value) {
            ("mode", "min") => to.mode = CacheMode::Min,
            ("mode", "max") => to.mode = CacheMode::Max,
            ("mode", _) => return Err(spec.wrong(&format!("has the mode `{}`: there is min and max", value.escape_debug()))),
            ("ignore-error", "true" | "1") => to.ignore_error = true,
            ("ignore-error", "false" | "0") => to.ignore_error = false,
            // What is written is just that.
            ("image-manifest" | "oci-mediatypes", "true" | "1")
            | ("compression", "gzip")
            | ("force-compression", "false" | "0") => {}
            _ => {
                let given = format!("{key}={value}");
                let why = "there is type, dest, tag, ref, mode and ignore-error";
                return Err(spec.wrong(&format!("has `{}`: {why}", given.escape_debug())));
            }
        }
    }
    Ok(to)
}

/// A flag with its value.
struct Spec<'s> {
    flag: &'static str,
    /// The key of a folder.
    folder: &'static str,
    text: &'s str,
}

/// Keys with their values.
type Fields<'s> = Vec<(&'s str, &'s str)>;

impl<'s> Spec<'s> {
    /// Where the cache lies, and what else is said.
    fn place(&self) -> Result<(CachePlace, Fields<'s>), EngineError> {
        if !self.text.contains('=') {
            return Ok((self.registry(self.text)?, Vec::new()));
        }
        let fields = self.fields()?;
        let value = |name: &str| fields.iter().rfind(|(key, _)| *key == name).map(|(_, value)| *value);
        let (place, own): (CachePlace, &[&str]) = match value("type") {
            Some("local") => {
                let path: PathBuf = value(self.folder).unwrap_or_default().into();
                if path.as_os_str().is_empty() {
                    return Err(self.wrong(&format!("names no folder: add {}=DIR", self.folder)));
                }
                let tag = value("tag").filter(|tag| !tag.is_empty()).unwrap_or(DEFAULT_TAG).to_owned();
                (CachePlace::Folder { path, tag }, &["type", "tag", self.folder])
            }
            Some("registry") => match value("ref").filter(|name| !name.is_empty()) {
                Some(name) => (self.registry(name)?, &["type", "ref"]),
                None => return Err(self.wrong("names no image: add ref=HOST/NAME:TAG")),
            },
            Some(other) if OTHERS.contains(&other) => {
                let folder = self.folder;
                return Err(self.wrong(&format!(
                    "is a cache of type `{other}`, which this builder does not have: it keeps caches in folders and \
                     registries. Give type=local,{folder}=DIR or type=registry,ref=HOST/NAME:TAG"
                )));
            }
            Some(other) => {
                return Err(self.wrong(&format!("has the type `{}`: there is local and registry", other.escape_debug())));
            }
            None => return Err(self.wrong("has no type: add type=local or type=registry")),
        };
        let rest = fields.iter().filter(|(key, _)| !own.contains(key)).copied().collect();
        Ok((place, rest))
    }

    fn fields(&self) -> Result<Fields<'s>, EngineError> {
        let pair =
            |part: &'s str| part.trim_matches('"').split_once('=').ok_or_else(|| self.wrong("is not a list of key=value"));
        self.text.split(',').map(pair).collect()
    }

    fn registry(&self, name: &str) -> Result<CachePlace, EngineError> {
        Reference::parse(name).map(CachePlace::Registry).map_err(|error| self.wrong(&format!("is no cache: {error}")))
    }

    fn wrong(&self, why: &str) -> EngineError {
        let text = self.text.chars().take(200).collect::<String>();
        usage(format!("{} `{}` {why}", self.flag, text.escape_debug()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_s_names_are_read_and_what_is_not_there_is_named() {
        let to = cache_to("type=local,dest=/c,mode=max,ignore-error=true").unwrap();
        let folder = |path: &str, tag: &str| CachePlace::Folder { path: path.into(), tag: tag.into() };
        assert_eq!((to.place, to.mode, to.ignore_error), (folder("/c", "latest"), CacheMode::Max, true));
        assert_eq!(cache_to("type=local,dest=c").unwrap().mode, CacheMode::Min, "docker's default");
        assert_eq!(cache_from("type=local,src=c,tag=x").unwrap(), folder("c", "x"));
        let registry = |name: &str| CachePlace::Registry(Reference::parse(name).unwrap());
        assert_eq!(cache_from("registry.example/app:cache").unwrap(), registry("registry.example/app:cache"));
        assert_eq!(cache_from("type=registry,ref=a").unwrap(), registry("a"));
        assert_eq!(cache_to("type=registry,ref=a:1,image-manifest=true").unwrap().place, registry("a:1"));
        let says = |error: EngineError, part: &str| assert!(error.message.contains(part), "{}", error.message);
        assert!(cache_to("type=local,dest=c,compression=gzip,oci-mediatypes=true").is_ok(), "what is written is that");
        says(cache_to("type=inline").unwrap_err(), "Give type=local,dest=DIR or type=registry");
        says(cache_from("type=gha,scope=x").unwrap_err(), "Give type=local,src=DIR or type=registry");
        says(cache_to("type=local").unwrap_err(), "add dest=DIR");
        says(cache_to("type=registry").unwrap_err(), "add ref=");
        says(cache_to("type=registry,ref=a,dest=c").unwrap_err(), "has `dest=c`");
        says(cache_to("type=local,dest=c,mode=all").unwrap_err(), "there is min and max");
        says(cache_to("type=local,dest=c,compression=zstd").unwrap_err(), "has `compression=zstd`");
        says(cache_to("type=registry,ref=a,image-manifest=false").unwrap_err(), "has `image-manifest=false`");
        says(cache_to("dest=c").unwrap_err(), "add type=local");
        says(cache_from("type=local,src=c,mode=max").unwrap_err(), "there is type, src, tag and ref");
        says(cache_from("type=nothing").unwrap_err(), "there is local and registry");
        says(cache_from("A!").unwrap_err(), "is no cache");
    }
}
