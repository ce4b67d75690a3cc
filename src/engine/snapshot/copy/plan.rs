//! Decides where every node goes, and makes the directories through the mounted overlay.

use std::collections::HashSet;

use std::io::Read;
use std::os::fd::AsFd;

use rustix::fs::Mode;

use super::super::archive::Archive;
use super::super::failure::{During, user};
use super::super::metadata;
use super::super::unpack::Apply;
use super::source::{Node, Source};
use super::{Rules, check_name};
use crate::engine::protocol::{CopySpec, EntryKind, Failure, FileMode};
use crate::ground::fs::{Missing, RealPath, RootDir};

/// Where everything goes.
#[derive(Default)]
pub(super) struct Plan {
    /// Files, links and devices with their place.
    pub(super) files: Vec<(RealPath, Node)>,
    /// Directories that get the source's attributes, parents first.
    pub(super) directories: Vec<(RealPath, Node)>,
    /// Directories that got the contents of one of the source: they get its time.
    pub(super) times: Vec<(RealPath, (i64, u32))>,
    /// Made by this copy: nothing of lower layers is in them.
    fresh: HashSet<RealPath>,
}

impl Plan {
    /// Places the nodes of one source, whose first is the source itself.
    pub(super) fn add(
        &mut self,
        target: &RootDir,
        spec: &CopySpec,
        base: &str,
        nodes: Vec<Node>,
        rules: &Rules,
    ) -> Result<(), Failure> {
        let Some(top) = nodes.first() else { return Ok(()) };
        if top.kind == EntryKind::Directory {
            let base = self.make(target, spec.destination.as_bytes(), rules)?;
            self.times.retain(|(known, _)| *known != base);
            // The root of a context has no time that counts.
            if let Some(time) = top.modified.filter(|_| !(top.path.is_empty() && top.entry.is_some())) {
                self.times.push((base.clone(), time));
            }
            return nodes.into_iter().skip(1).try_for_each(|node| self.place(target, &base, node));
        }
        let place = self.file_place(target, spec, base.as_bytes(), rules)?;
        check_name(place.name().unwrap_or(b""))?;
        self.check_file(target, &place)?;
        self.times.retain(|(known, _)| *known != place.parent());
        self.files.extend(nodes.into_iter().map(|node| (place.clone(), node)));
        Ok(())
    }

    /// Where a single file goes: into a directory under its own name, else to the destination itself, whose links are followed.
    fn file_place(&mut self, target: &RootDir, spec: &CopySpec, base: &[u8], rules: &Rules) -> Result<RealPath, Failure> {
        let destination = spec.destination.as_bytes();
        let slash = destination.ends_with(b"/") || destination.ends_with(b"/.") || destination.ends_with(b"/..");
        if slash {
            return Ok(self.make(target, destination, rules)?.join(base));
        }
        let real = target.resolve(destination, Missing::Keep).during("resolve", &spec.destination)?;
        if target.open_dir(&real).is_ok() {
            return Ok(self.make(target, &real.bytes(), rules)?.join(base));
        }
        self.make(target, &real.parent().bytes(), rules)?;
        Ok(real)
    }

    /// `mkdir -p`, links followed inside; the directory is in the upper afterwards. `--chmod` counts for directories made on
    /// the way too, as it does in BuildKit.
    fn make(&mut self, target: &RootDir, path: &[u8], rules: &Rules) -> Result<RealPath, Failure> {
        let shown = String::from_utf8_lossy(path).into_owned();
        let owner = rules.owner.unwrap_or((0, 0));
        let fresh = &mut self.fresh;
        let mut dress = |dir: std::os::fd::BorrowedFd<'_>, path: &RealPath| {
            fresh.insert(path.clone());
            metadata::chown(dir, b".", owner.0, owner.1)?;
            metadata::chmod(dir, b".", rules.mode.as_ref().map_or(0o755, FileMode::of_made_directory))
        };
        let real = target.resolve(path, Missing::Make(&mut dress)).during("create", &shown)?;
        if !self.fresh.contains(&real) {
            copy_up(target, &real)?;
        }
        Ok(real)
    }

    fn place(&mut self, target: &RootDir, base: &RealPath, node: Node) -> Result<(), Failure> {
        let mut place = base.clone();
        for name in node.below.split(|b| *b == b'/').filter(|name| !name.is_empty()) {
            place = place.join(name);
        }
        check_name(place.name().unwrap_or(b""))?;
        if node.kind != EntryKind::Directory {
            self.check_file(target, &place)?;
            self.files.push((place, node));
            return Ok(());
        }
        let parent = target.open_dir(&place.parent()).during("open", place.absolute())?;
        let name = place.name().unwrap_or(b".").to_vec();
        let there = if self.fresh.contains(&place.parent()) && !self.fresh.contains(&place) {
            None
        } else {
            metadata::lstat(parent.as_fd(), &name).during("look at", place.absolute())?
        };
        match there.as_ref().map(metadata::kind) {
            None => {
                use std::os::unix::ffi::OsStrExt;
                let os = std::ffi::OsStr::from_bytes(&name);
                rustix::fs::mkdirat(&parent, os, Mode::from_raw_mode(0o755)).during("create", place.absolute())?;
                self.fresh.insert(place.clone());
            }
            Some(Some(EntryKind::Directory)) => copy_up(target, &place)?,
            Some(_) => {
                return Err(user(format!(
                    "cannot copy a directory onto `{}`: it is not a directory",
                    place.absolute().display()
                )));
            }
        }
        self.directories.push((place, node));
        Ok(())
    }

    /// A file takes the place of anything but a directory.
    fn check_file(&self, target: &RootDir, place: &RealPath) -> Result<(), Failure> {
        if self.fresh.contains(&place.parent()) && !self.fresh.contains(place) {
            return Ok(());
        }
        let parent = target.open_dir(&place.parent()).during("open", place.absolute())?;
        let there = metadata::lstat(parent.as_fd(), place.name().unwrap_or(b".")).during("look at", place.absolute())?;
        match there.as_ref().and_then(metadata::kind) {
            Some(EntryKind::Directory) => {
                Err(user(format!("cannot replace the directory `{}` by a file", place.absolute().display())))
            }
            _ => Ok(()),
        }
    }

    /// ADD: unpacks a source that is an archive into the destination. False if it is none.
    pub(super) fn add_archive(
        &mut self,
        target: &RootDir,
        spec: &CopySpec,
        source: &Source<'_>,
        nodes: &[Node],
        rules: &Rules,
    ) -> Result<bool, Failure> {
        let [node] = nodes else { return Ok(false) };
        if node.kind != EntryKind::File {
            return Ok(false);
        }
        let shown = String::from_utf8_lossy(&node.path).into_owned();
        let Ok(file) = source.open_file(&node.path) else { return Ok(false) };
        let mut content = super::write::Checked::new(file, node.entry.as_ref());
        let Some(archive) = Archive::sniff(&mut content).during("read", &shown)? else { return Ok(false) };
        let plain = Rules { owner: rules.owner, mode: None };
        let real = self.make(target, spec.destination.as_bytes(), &plain)?;
        let inside = RootDir::from_fd(target.open_dir(&real).during("open", real.absolute())?);
        Apply::archive(inside, rules.owner).run(archive)?;
        // What comes after the archive's end still belongs to the file whose digest was asked for.
        std::io::copy(&mut content.by_ref(), &mut std::io::sink()).during("read", &shown)?;
        content.verify(&shown)?;
        Ok(true)
    }
}

/// Makes overlayfs copy a directory into the upper by setting the mode that it has.
fn copy_up(target: &RootDir, real: &RealPath) -> Result<(), Failure> {
    let dir = target.open_dir(real).during("open", real.absolute())?;
    let stat = rustix::fs::fstat(&dir).during("look at", real.absolute())?;
    metadata::chmod(dir.as_fd(), b".", stat.st_mode).during("copy up", real.absolute())
}
