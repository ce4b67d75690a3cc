//! `-o type=image` and `type=registry`, and `--push`: names of the image, and those of them that are pushed.
//!
//! Source of names and meanings: the exporters `image` and `registry` of BuildKit's README.

use super::build::usage;
use super::output_spec::image_to;
use crate::engine::{EngineError, PushTo};

/// Names of the image, and those of them that are pushed.
pub struct Delivery {
    pub tags: Vec<String>,
    pub push: Vec<PushTo>,
}

impl Delivery {
    /// With the names of `-t`.
    pub fn of(tags: &[String]) -> Self {
        Self { tags: tags.to_vec(), push: Vec::new() }
    }

    /// `type=image` and `type=registry`, which write no file.
    pub fn is_one(spec: &str) -> bool {
        spec.split(',').any(|part| part == "type=image" || part == "type=registry")
    }

    /// `type=image,name=A,push=true`, `type=registry,name=A`; several names as `"name=A,B"`, as buildx has it; with the keys
    /// of packed images.
    pub fn add(&mut self, spec: &str) -> Result<(), EngineError> {
        let (to, push) = image_to(spec)?;
        let new = to.names.iter().filter(|name| !self.tags.contains(name)).cloned().collect::<Vec<_>>();
        self.tags.extend(new);
        let pushed = |name: &String| PushTo {
            name: name.clone(),
            rewrite_timestamps: to.rewrite_timestamps,
            packaging: to.packaging.clone(),
        };
        match (push, to.names.is_empty()) {
            (true, true) if self.tags.is_empty() => return Err(nameless("--output type=registry")),
            (true, true) => self.push.extend(self.tags.iter().map(pushed).collect::<Vec<_>>()),
            (true, false) => self.push.extend(to.names.iter().map(pushed)),
            (false, _) => {}
        }
        Ok(())
    }

    /// `--push`: all names that no output pushes.
    pub fn push_all(&mut self) -> Result<(), EngineError> {
        if self.tags.is_empty() {
            return Err(nameless("--push"));
        }
        for tag in &self.tags {
            if !self.push.iter().any(|to| to.name == *tag) {
                self.push.push(PushTo { name: tag.clone(), ..PushTo::default() });
            }
        }
        Ok(())
    }
}

fn nameless(flag: &str) -> EngineError {
    usage(format!("{flag} needs a name for the image: add -t NAME"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::protocol::Compression;

    #[test]
    fn a_push_has_the_packing_of_its_output() {
        let mut delivery = Delivery::of(&["a:1".to_owned()]);
        delivery.add("type=registry,\"name=b:1,c\",compression=zstd,compression-level=3,annotation.x=y").unwrap();
        delivery.push_all().unwrap();
        let names: Vec<(&str, Option<Compression>)> =
            delivery.push.iter().map(|to| (to.name.as_str(), to.packaging.compression)).collect();
        assert_eq!(names, [("b:1", Some(Compression::Zstd)), ("c", Some(Compression::Zstd)), ("a:1", None)]);
        assert_eq!(delivery.push[0].packaging.annotations["x"], "y");
        assert!(Delivery::of(&[]).add("type=registry").is_err());
        assert!(Delivery::of(&[]).push_all().is_err());
        for wrong in
            ["type=registry,name=A!", "type=image,dest=x", "type=image,name=a,compression=gzip,compression-level=12"]
        {
            assert!(Delivery::of(&[]).add(wrong).is_err(), "{wrong}");
        }
    }
}
