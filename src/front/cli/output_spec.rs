//! `-o`: what is written, and where to.
//!
//! Source of names and meanings: docker buildx, `build --output`, and the exporters of BuildKit's README.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

use super::build::usage;
use crate::engine::image::{ExportFormat, Packaging};
use crate::engine::oci::Reference;
use crate::engine::protocol::Compression;
use crate::engine::{EngineError, ExportKind, ExportTo};

const TYPES: &str = "there is local, tar, oci, docker, image and registry";
const KEYS: &str = "type, dest, tar, name, annotation.NAME, compression, compression-level, force-compression, \
                    rewrite-timestamp, push and platform-split";

/// Reads one `-o` that writes files. Errors: usage, with the key that is wrong.
pub fn export_to(spec: &str) -> Result<ExportTo, EngineError> {
    Spec::read(spec)?.checked()
}

/// Reads one `-o` that names an image, and whether it is pushed. Errors: usage, with the key that is wrong.
pub fn image_to(spec: &str) -> Result<(ExportTo, bool), EngineError> {
    let read = Spec::read(spec)?;
    if !read.to.destination.as_os_str().is_empty() || read.tar.is_some() {
        return Err(read.fail("writes no file, so dest and tar say nothing"));
    }
    read.check_level()?;
    let push = read.push.unwrap_or(read.named == Some("registry"));
    Ok((read.to, push))
}

/// A `-o` as it is written.
struct Spec<'s> {
    text: &'s str,
    to: ExportTo,
    /// `type=`.
    named: Option<&'s str>,
    /// `tar=`.
    tar: Option<bool>,
    /// `push=`.
    push: Option<bool>,
    /// Keys that only images have.
    image_keys: Vec<&'s str>,
}

impl<'s> Spec<'s> {
    fn read(text: &'s str) -> Result<Self, EngineError> {
        let to = ExportTo {
            kind: ExportKind::Files,
            destination: PathBuf::new(),
            stream: None,
            directory: false,
            rewrite_timestamps: false,
            packaging: Packaging::default(),
            names: Vec::new(),
        };
        let mut spec = Self { text, to, named: None, tar: None, push: None, image_keys: Vec::new() };
        // A path alone is a folder, and `-` a tar on standard output.
        if !text.contains('=') {
            spec.named = Some(if text == "-" { "tar" } else { "local" });
            spec.to.destination = text.into();
            return Ok(spec);
        }
        let mut in_name = false;
        for part in text.split(',') {
            let part = part.trim_matches('"');
            match part.split_once('=') {
                Some((key, value)) => spec.set(key.trim(), value)?,
                None if in_name => spec.name(part)?,
                None => return Err(spec.fail("is not a list of key=value")),
            }
            in_name = part.starts_with("name=") || (in_name && !part.contains('='));
        }
        Ok(spec)
    }

    fn fail(&self, why: &str) -> EngineError {
        usage(format!("--output `{}` {why}", self.text.escape_debug()))
    }

    fn truth(&self, key: &str, value: &str) -> Result<bool, EngineError> {
        match value {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            _ => Err(self.fail(&format!("has the value `{}` for {key}, which is true or false", value.escape_debug()))),
        }
    }

    fn name(&mut self, name: &str) -> Result<(), EngineError> {
        Reference::parse(name).map_err(|error| self.fail(&error.to_string()))?;
        self.to.names.push(name.to_owned());
        Ok(())
    }

    fn set(&mut self, key: &'s str, value: &'s str) -> Result<(), EngineError> {
        if !matches!(key, "type" | "dest" | "platform-split") {
            self.image_keys.push(key);
        }
        match key {
            "type" => self.named = Some(value),
            "dest" => self.to.destination = value.into(),
            "push" => self.push = Some(self.truth(key, value)?),
            "tar" => self.tar = Some(self.truth(key, value)?),
            "name" => self.name(value)?,
            "rewrite-timestamp" => self.to.rewrite_timestamps = self.truth(key, value)?,
            "force-compression" => self.to.packaging.force = self.truth(key, value)?,
            "compression" => self.to.packaging.compression = Some(self.compression(value)?),
            "compression-level" => {
                let level = value.parse().map_err(|_| self.fail("has a compression-level that is no number"))?;
                self.to.packaging.level = Some(level);
            }
            // One platform is built, so there is nothing to split.
            "platform-split" => drop(self.truth(key, value)?),
            _ => return self.annotation(key, value),
        }
        Ok(())
    }

    fn compression(&self, value: &str) -> Result<Compression, EngineError> {
        match value {
            "uncompressed" => Ok(Compression::None),
            "gzip" => Ok(Compression::Gzip),
            "zstd" => Ok(Compression::Zstd),
            "estargz" => Err(self
                .fail("asks for compression=estargz, which this builder does not write: take gzip, zstd or uncompressed")),
            other => {
                Err(self
                    .fail(&format!("has the compression `{}`; there is uncompressed, gzip and zstd", other.escape_debug())))
            }
        }
    }

    fn annotation(&mut self, key: &str, value: &str) -> Result<(), EngineError> {
        let (scope, name) = key.split_once('.').unwrap_or((key, ""));
        match scope {
            "annotation" | "annotation-manifest" if !name.is_empty() => {
                self.to.packaging.annotations.insert(name.to_owned(), value.to_owned());
                Ok(())
            }
            _ if scope.starts_with("annotation-index") || scope.starts_with("annotation-manifest-descriptor") => {
                Err(self.fail(&format!("has `{}`; annotations are written to the manifest only", key.escape_debug())))
            }
            _ => Err(self.fail(&format!("has an unknown key `{}`; there is {KEYS}", key.escape_debug()))),
        }
    }

    fn checked(mut self) -> Result<ExportTo, EngineError> {
        self.to.kind = match self.named {
            Some("local") => ExportKind::Files,
            Some("tar") => ExportKind::Tar,
            Some("oci") => ExportKind::Image(ExportFormat::Oci),
            Some("docker") => ExportKind::Image(ExportFormat::Docker),
            Some(other) => return Err(self.fail(&format!("has an unknown type `{}`; {TYPES}", other.escape_debug()))),
            None => return Err(self.fail(&format!("names no type; {TYPES}"))),
        };
        if self.push.is_some() {
            return Err(self.fail("has `push`, which type=image has"));
        }
        if let (false, Some(key)) = (self.to.is_image(), self.image_keys.first()) {
            return Err(self.fail(&format!("has `{}`, which only images have: this type writes files", key.escape_debug())));
        }
        self.to.directory = self.tar == Some(false);
        if self.to.destination.as_os_str().is_empty() {
            return Err(self.fail("names no destination; add dest=PATH, or dest=- for standard output"));
        }
        if self.to.directory && self.to.kind == ExportKind::Image(ExportFormat::Docker) {
            return Err(self.fail("is a docker archive, which is always a tar"));
        }
        self.check_level()?;
        if self.to.destination.as_os_str() == "-" {
            self.to.stream = Some(self.standard_output()?);
        }
        Ok(self.to)
    }

    fn check_level(&self) -> Result<(), EngineError> {
        let packaging = &self.to.packaging;
        let Some(level) = packaging.level else { return Ok(()) };
        let range = match packaging.compression {
            Some(Compression::Zstd) => 1..=22,
            Some(Compression::None) => return Err(self.fail("has a compression-level without a compression")),
            None if self.to.kind == ExportKind::Image(ExportFormat::Docker) => {
                return Err(
                    self.fail("has a compression-level, but a docker archive is not compressed unless compression= says so")
                );
            }
            Some(Compression::Gzip) | None => 0..=9,
        };
        if range.contains(&level) {
            return Ok(());
        }
        Err(self.fail(&format!("has the compression-level {level}, which is {} to {}", range.start(), range.end())))
    }

    fn standard_output(&self) -> Result<Arc<std::fs::File>, EngineError> {
        if self.to.directory || self.to.kind == ExportKind::Files {
            return Err(self.fail("writes a folder, which cannot go to standard output: name one with dest=DIR"));
        }
        if std::io::IsTerminal::is_terminal(&std::io::stdout()) {
            return Err(self.fail("would write a tar to the terminal: redirect standard output, or name a file"));
        }
        let descriptor = std::io::stdout().as_fd().try_clone_to_owned();
        let fail = |error| EngineError::environment(format!("cannot write to standard output: {error}"), None);
        Ok(Arc::new(std::fs::File::from(descriptor.map_err(fail)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_docker_reads_them() {
        let kind = |text: &str| export_to(text).map(|to| (to.kind, to.destination)).map_err(|e| e.message);
        assert_eq!(kind("out"), Ok((ExportKind::Files, "out".into())));
        assert_eq!(kind("type=local,dest=a,platform-split=false"), Ok((ExportKind::Files, "a".into())));
        assert_eq!(kind("type=tar,dest=a.tar"), Ok((ExportKind::Tar, "a.tar".into())));
        let to = export_to("type=oci,dest=a,compression=zstd,compression-level=9,annotation.x=y,\"name=b:1,c\"").unwrap();
        assert_eq!((to.packaging.compression, to.packaging.level), (Some(Compression::Zstd), Some(9)));
        assert_eq!((to.names, to.packaging.annotations.len()), (vec!["b:1".to_owned(), "c".to_owned()], 1));
        for bad in [
            "type=oci",
            "type=zip,dest=a",
            "dest=a",
            "type=oci,dest=a,compression=estargz",
            "type=oci,dest=a,compression=gzip,compression-level=10",
            "type=oci,dest=a,compression-level=x",
            "type=docker,dest=a,compression-level=3",
            "type=docker,dest=a,tar=false",
            "type=local,dest=-",
            "type=local,dest=a,compression=gzip",
            "type=oci,dest=a,annotation-index.x=y",
            "type=oci,dest=a,nonsense=1",
            "type=oci,dest=a,tar=perhaps",
            "type=oci,dest=a,name=UPPER",
            "type=oci,dest",
        ] {
            assert!(export_to(bad).is_err(), "{bad}");
        }
    }
}
