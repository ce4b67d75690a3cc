//! Small layers for tests.

use super::entry::Listing;
use super::read::{Limits, from_stream};
use crate::engine::snapshot::tar_reader::{Kind, Member};
use crate::engine::snapshot::tar_writer::TarWriter;

/// A tar under way.
pub(crate) struct Tape(TarWriter<Vec<u8>>);

impl Default for Tape {
    fn default() -> Self {
        Self(TarWriter::new(Vec::new()))
    }
}

impl Tape {
    fn add(mut self, name: &str, kind: Kind, body: &str) -> Self {
        let mode = if kind == Kind::Directory { 0o755 } else { 0o644 };
        let (name, size) = (name.as_bytes().to_vec(), body.len() as u64);
        self.0.header(&Member { name, kind, mode, uid: 0, gid: 0, size, modified: (0, 0), xattrs: Vec::new() }).unwrap();
        self.0.body(body.as_bytes()).unwrap();
        self.0.pad(size).unwrap();
        self
    }

    pub(crate) fn file(self, name: &str, body: &str) -> Self {
        self.add(name, Kind::File, body)
    }

    pub(crate) fn dir(self, name: &str) -> Self {
        self.add(name, Kind::Directory, "")
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.add(name, Kind::Symlink(target.into()), "")
    }

    pub(crate) fn link(self, name: &str, target: &str) -> Self {
        self.add(name, Kind::HardLink(target.into()), "")
    }

    /// The mark that takes a path away.
    pub(crate) fn gone(self, path: &str) -> Self {
        let (parent, name) = path.rsplit_once('/').map_or(("", path), |(parent, name)| (parent, name));
        let slash = if parent.is_empty() { "" } else { "/" };
        self.file(&format!("{parent}{slash}.wh.{name}"), "")
    }

    /// The mark that empties a directory.
    pub(crate) fn opaque(self, path: &str) -> Self {
        self.file(&format!("{path}/.wh..wh..opq"), "")
    }

    pub(crate) fn end(self) -> Vec<u8> {
        self.0.finish().unwrap()
    }

    pub(crate) fn listing(self) -> Listing {
        from_stream(&mut &self.end()[..], true, Limits::default()).unwrap()
    }
}
