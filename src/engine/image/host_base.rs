//! A base image out of this machine's own shell and core tools, for projects that must build without a registry. What goes in
//! is found by reading files (nothing of the machine is executed); the same machine gives the same image, another machine
//! another one, so it is for use here only and its label says so.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::assemble::rfc3339;
use super::elf::Elf;
use crate::engine::oci::{
    Descriptor, History, ImageConfig, Manifest, Platform, Reference, chain_ids, config::DEFAULT_PATH, media_type,
};
use crate::engine::store::image::{ImageLayer, ImageRecord};
use crate::engine::store::{Store, StoreError};
use crate::ground::digest::{Digest, Digester};
use crate::ground::fs::{PathError, PathResultExt};
use crate::ground::hint::Hint;

/// The label that says what the image depends on.
pub const LABEL: &str = "io.rbuild-tui.host-base";
const LABEL_TEXT: &str = "assembled from this machine's own programs: for use on this machine, not for publishing";
/// The label with the digest of all that went in.
const INPUTS: &str = "io.rbuild-tui.host-base.inputs";
/// Time of every file: the image must not depend on when it was made. 2026-01-01.
const TIME: u64 = 1_767_225_600;
/// Folders in which tools are looked for.
const TOOL_FOLDERS: [&str; 4] = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];
/// What may not be missing.
const REQUIRED: [&str; 3] = ["sh", "tar", "sha256sum"];
const TOOLS: &str = "sh tar sha256sum awk base64 basename bash cat chgrp chmod chown cksum cmp comm cp cut date dd df \
    diff dirname du echo egrep env expand expr false fgrep find fold grep gunzip gzip head hostname id install join kill \
    link ln ls md5sum mkdir mkfifo mktemp mv nl nproc od paste pathchk pr printenv printf pwd readlink realpath rm rmdir \
    sed seq sha1sum sha512sum shuf sleep sort split stat stty sum sync tac tail tee test timeout touch tr true truncate \
    tsort uname unexpand uniq unlink wc whoami xargs yes zcat [";

/// Why the image cannot be assembled.
#[derive(Debug, thiserror::Error)]
pub enum HostBaseError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A tool that every script needs.
    #[error("this machine has no `{0}`, which a base image of its own tools needs")]
    NoTool(String),
    /// Neither an ELF file nor a shell script.
    #[error("`{}` is no program that can be read", .0.display())]
    NoProgram(PathBuf),
    /// A program that cannot start.
    #[error("`{}` needs the library `{library}`, which this machine does not have", .program.display())]
    NoLibrary {
        /// Who needs it.
        program: PathBuf,
        /// As the program names it.
        library: String,
    },
    /// The image's name.
    #[error("`{0}` is no name")]
    Name(String),
}

impl Hint for HostBaseError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Path(error) => error.hint(),
            Self::NoTool(_) | Self::NoProgram(_) | Self::NoLibrary { .. } => {
                Some("bring a base image instead: `rbuild-tui image load PATH`".into())
            }
            Self::Name(_) => None,
        }
    }
}

/// One thing of the image by its path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Folder {
        mode: u32,
    },
    Link {
        to: String,
    },
    /// A file of this machine, with what is read from it.
    Host {
        from: PathBuf,
        mode: u32,
    },
    /// A file of ours.
    Text {
        bytes: Vec<u8>,
        mode: u32,
    },
}

/// A file that the image carries beside the tools: path from the root without a leading `/`, content; it is executable.
pub type Extra<'a> = (&'a str, &'a [u8]);

/// The image and how it came to be.
#[derive(Debug, Clone, PartialEq)]
pub struct HostBase {
    /// Its record.
    pub record: ImageRecord,
    /// Programs in it.
    pub programs: usize,
    /// It was at hand already.
    pub reused: bool,
}

/// Assembles the image and stores it under `name`; when the store has one of the same inputs, that is it.
///
/// Errors: a tool that every script needs is missing, a program is none that can be read, or the store is not writable.
pub fn host_base(store: &Store, name: &str, extras: &[Extra<'_>]) -> Result<HostBase, HostBaseError> {
    let mut parts = Parts::default();
    parts.skeleton();
    let programs = parts.tools()?;
    for (path, bytes) in extras {
        parts.put(path, Part::Text { bytes: bytes.to_vec(), mode: 0o755 });
    }
    let inputs = parts.digest()?.to_string();
    let name = Reference::parse(name).map_err(|_| HostBaseError::Name(name.to_owned()))?.to_string();
    if let Some(record) = known(store, &name, &inputs) {
        return Ok(HostBase { record, programs, reused: true });
    }
    let layer = parts.write(store)?;
    let record = describe(store, layer, &inputs)?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    store.index.put_image(&name, &record, now)?;
    Ok(HostBase { record, programs, reused: false })
}

/// The image of that name, if it was made of these inputs and is complete.
fn known(store: &Store, name: &str, inputs: &str) -> Option<ImageRecord> {
    let record = store.index.image(name).ok()??;
    let config: ImageConfig = serde_json::from_slice(&store.content.read(&record.id, 1 << 20).ok()?).ok()?;
    let complete = record.layers.iter().all(|l| l.blob.as_ref().is_some_and(|b| store.content.contains(&b.digest)));
    (complete && config.config.labels.get(INPUTS).map(String::as_str) == Some(inputs)).then_some(record)
}

/// The contents by path, `usr/bin/sh`; sorted, so a folder comes before what is in it.
#[derive(Default)]
struct Parts(BTreeMap<String, Part>);

impl Parts {
    /// Puts something in, and the folders above it.
    fn put(&mut self, path: &str, part: Part) {
        let mut at = 0;
        while let Some(slash) = path[at..].find('/') {
            at += slash;
            self.0.entry(path[..at].to_owned()).or_insert(Part::Folder { mode: 0o755 });
            at += 1;
        }
        self.0.entry(path.to_owned()).or_insert(part);
    }

    /// Folders, links of a merged `/usr`, and the few files of `/etc` that tools look at.
    fn skeleton(&mut self) {
        for path in ["dev", "etc", "home", "proc", "sys", "usr/bin", "usr/lib", "var"] {
            self.put(path, Part::Folder { mode: 0o755 });
        }
        self.put("root", Part::Folder { mode: 0o700 });
        self.put("tmp", Part::Folder { mode: 0o1777 });
        self.put("var/tmp", Part::Folder { mode: 0o1777 });
        for name in ["bin", "sbin"] {
            self.put(name, Part::Link { to: "usr/bin".into() });
        }
        self.put("usr/sbin", Part::Link { to: "bin".into() });
        for name in ["lib", "lib32", "lib64", "libx32"] {
            // As here: the loader is asked for by a path through one of these.
            if let Ok(to) = std::fs::read_link(Path::new("/").join(name))
                && let Some(to) = to.to_str().filter(|to| !to.starts_with('/') && !to.contains(".."))
            {
                self.put(to, Part::Folder { mode: 0o755 });
                self.put(name, Part::Link { to: to.to_owned() });
            }
        }
        let mut text = |path: &str, text: &str| self.put(path, Part::Text { bytes: text.into(), mode: 0o644 });
        text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n");
        text("etc/group", "root:x:0:\nnogroup:x:65534:\n");
        text("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n");
        text("etc/os-release", "NAME=\"this machine's tools\"\nID=rbuild-host\n");
    }

    /// The tools with all that they need to start. Returns how many programs there are.
    fn tools(&mut self) -> Result<usize, HostBaseError> {
        let mut libraries = Libraries::new();
        let mut programs = BTreeSet::new();
        for tool in TOOLS.split_whitespace() {
            let found = TOOL_FOLDERS.iter().find_map(|folder| Path::new(folder).join(tool).canonicalize().ok());
            let Some(file) = found.filter(|file| file.is_file()) else {
                if REQUIRED.contains(&tool) {
                    return Err(HostBaseError::NoTool(tool.to_owned()));
                }
                continue;
            };
            let bytes = std::fs::read(&file).at("read", &file)?;
            match Elf::parse(&bytes) {
                Some(elf) => libraries.need(&elf, &file, self)?,
                None if bytes.starts_with(b"#!/bin/sh") => {}
                None if REQUIRED.contains(&tool) => {
                    return Err(HostBaseError::NoProgram(file));
                }
                None => continue,
            }
            let own = file.file_name().map_or(tool.to_owned(), |name| name.to_string_lossy().into_owned());
            if own != tool {
                self.put(&format!("usr/bin/{tool}"), Part::Link { to: own.clone() });
            }
            self.put(&format!("usr/bin/{own}"), Part::Host { from: file.clone(), mode: 0o755 });
            programs.insert(file);
        }
        Ok(programs.len())
    }

    /// What the layer depends on: paths, our own texts, and size and time of the machine's files.
    fn digest(&self) -> Result<Digest, HostBaseError> {
        let mut digester = Digester::default();
        digester.update(format!("host-base 1 {}\n", Platform::host().text()));
        for (path, part) in &self.0 {
            let line = match part {
                Part::Host { from, mode } => {
                    let meta = std::fs::metadata(from).at("read", from)?;
                    let (size, time, nanos) = (meta.len(), meta.mtime(), meta.mtime_nsec());
                    format!("{path:?} {from:?} {mode:o} {size} {time} {nanos}\n")
                }
                other => format!("{path:?} {other:?}\n"),
            };
            digester.update(line);
        }
        Ok(digester.finish())
    }

    /// Writes the layer's tar into the store. Returns its descriptor; uncompressed, so the digest is the DiffID too.
    fn write(&self, store: &Store) -> Result<Descriptor, HostBaseError> {
        let ingest = store.content.ingest()?;
        let mut sink = Sink { out: ingest.file(), digester: Digester::default(), size: 0 };
        let mut tar = tar::Builder::new(io::BufWriter::with_capacity(1 << 20, &mut sink));
        for (path, part) in &self.0 {
            append(&mut tar, path, part).at("write", path)?;
        }
        let flushed = tar.into_inner().and_then(|mut buffer| buffer.flush());
        flushed.at("write", "the layer of the base image")?;
        let (digest, size) = (sink.digester.finish(), sink.size);
        store.content.commit(ingest, &digest)?;
        Ok(descriptor(media_type::LAYER, digest, size))
    }
}

fn append(tar: &mut tar::Builder<impl Write>, path: &str, part: &Part) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_mtime(TIME);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    match part {
        Part::Folder { mode } => {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(*mode);
            tar.append_data(&mut header, format!("{path}/"), io::empty())
        }
        Part::Link { to } => {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_mode(0o777);
            tar.append_link(&mut header, path, to)
        }
        Part::Host { from, mode } => {
            let mut file = std::fs::File::open(from)?;
            let size = file.metadata()?.len();
            header.set_size(size);
            header.set_mode(*mode);
            tar.append_data(&mut header, path, Read::by_ref(&mut file).take(size))
        }
        Part::Text { bytes, mode } => {
            header.set_size(bytes.len() as u64);
            header.set_mode(*mode);
            tar.append_data(&mut header, path, bytes.as_slice())
        }
    }
}

/// Counts and digests on the way to a file.
struct Sink<'f> {
    out: &'f std::fs::File,
    digester: Digester,
    size: u64,
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.digester.update(&bytes[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn descriptor(media_type: &str, digest: Digest, size: u64) -> Descriptor {
    Descriptor { media_type: media_type.into(), digest, size, platform: None, annotations: BTreeMap::new() }
}

/// Configuration, manifest and record of the image with that one layer.
fn describe(store: &Store, layer: Descriptor, inputs: &str) -> Result<ImageRecord, HostBaseError> {
    let mut config = ImageConfig::scratch(&Platform::host());
    config.created = Some(rfc3339(TIME));
    config.rootfs.diff_ids = vec![layer.digest];
    config.config.env = vec![format!("PATH={DEFAULT_PATH}"), "LC_ALL=C".into()];
    config.config.cmd = Some(vec!["sh".into()]);
    config.config.labels.insert(LABEL.into(), LABEL_TEXT.into());
    config.config.labels.insert(INPUTS.into(), inputs.into());
    config.history.push(History {
        created: config.created.clone(),
        created_by: Some("rbuild-tui: shell and core tools of this machine".into()),
        ..History::default()
    });
    let bytes = serde_json::to_vec(&config).unwrap_or_default();
    let id = store.content.put_bytes(&bytes)?;
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type::MANIFEST.into()),
        config: descriptor(media_type::CONFIG, id, bytes.len() as u64),
        layers: vec![layer.clone()],
        annotations: Default::default(),
    };
    let manifest = store.content.put_bytes(&serde_json::to_vec(&manifest).unwrap_or_default())?;
    let (diff_id, size) = (layer.digest, layer.size);
    let chain = chain_ids(&[diff_id]).first().map(Digest::hex).unwrap_or_default();
    let directory = format!("base-{chain}").parse().map_err(|_| HostBaseError::Name(chain))?;
    Ok(ImageRecord { id, manifest, layers: vec![ImageLayer { layer: directory, diff_id, blob: Some(layer) }], size })
}

/// Finds libraries as the dynamic loader does, without running it.
struct Libraries {
    /// Folders that loaders search by themselves.
    own: Vec<PathBuf>,
    /// Folders of `/etc/ld.so.conf`; the image has no such list, so what is found there is put beside the loader's own.
    configured: Vec<PathBuf>,
    seen: BTreeSet<PathBuf>,
}

impl Libraries {
    fn new() -> Self {
        let mut own = Vec::new();
        for folder in ["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(Path::new) {
            // Debian's folders by architecture: x86_64-linux-gnu, aarch64-linux-gnu, arm-linux-gnueabihf.
            let names = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
            let mut by_architecture: Vec<PathBuf> =
                names.filter(|path| path.to_string_lossy().contains("-linux-")).collect();
            by_architecture.sort();
            own.extend(by_architecture);
            own.push(folder.to_owned());
        }
        let mut configured = Vec::new();
        read_configuration(Path::new("/etc/ld.so.conf"), &mut configured, 0);
        Self { own, configured, seen: BTreeSet::new() }
    }

    /// Puts the loader and all libraries of a program into the image, and what those need in turn.
    fn need(&mut self, elf: &Elf, file: &Path, parts: &mut Parts) -> Result<(), HostBaseError> {
        if let Some(loader) = &elf.interpreter {
            place(parts, Path::new(loader), None)?;
        }
        let origin = file.parent().unwrap_or(Path::new("/"));
        for name in &elf.needed {
            let Some((found, library, own)) = self.find(name, elf, origin) else {
                return Err(HostBaseError::NoLibrary { program: file.to_owned(), library: name.clone() });
            };
            if !self.seen.insert(found.clone()) {
                continue;
            }
            place(parts, &found, (!own).then_some(Path::new("/usr/lib")))?;
            self.need(&library, &found, parts)?;
        }
        Ok(())
    }

    /// A library of the same kind by name; whether the loader of the image will search where it lies here.
    fn find(&self, name: &str, elf: &Elf, origin: &Path) -> Option<(PathBuf, Elf, bool)> {
        let fits = |path: PathBuf| {
            let library = Elf::parse(&std::fs::read(&path).ok()?)?;
            (library.wide == elf.wide && library.machine == elf.machine).then_some((path, library))
        };
        if name.contains('/') {
            return fits(name.into()).map(|(path, library)| (path, library, true));
        }
        let origin = origin.to_string_lossy();
        let expand = |folder: &String| folder.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin);
        let named = elf.search.iter().map(|folder| PathBuf::from(expand(folder)));
        let mut known = named.chain(self.own.iter().cloned()).map(|folder| folder.join(name));
        let found = known.find_map(&fits).map(|(path, library)| (path, library, true));
        let mut rest = self.configured.iter().map(|folder| folder.join(name));
        found.or_else(|| rest.find_map(&fits).map(|(path, library)| (path, library, false)))
    }
}

/// Puts a loader or library where it is looked for: its folder with links resolved, its own name kept.
fn place(parts: &mut Parts, path: &Path, folder: Option<&Path>) -> Result<(), HostBaseError> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let parent = parent.canonicalize().at("open", parent)?;
    let from = path.canonicalize().at("open", path)?;
    let name = path.file_name().unwrap_or_default();
    let to = folder.unwrap_or(&parent).join(name);
    let plain = to.components().filter(|c| matches!(c, Component::Normal(_)));
    let to: PathBuf = plain.collect();
    parts.put(&to.to_string_lossy(), Part::Host { from, mode: 0o755 });
    Ok(())
}

/// Folders that `ld.so.conf` and the files it includes name.
fn read_configuration(path: &Path, folders: &mut Vec<PathBuf>, depth: u32) {
    let Ok(text) = std::fs::read_to_string(path) else { return };
    for line in text.lines().map(|line| line.split('#').next().unwrap_or("").trim()) {
        match line.strip_prefix("include ") {
            Some(pattern) if depth < 4 => {
                // Only the last component is ever a pattern in practice: `ld.so.conf.d/*.conf`.
                let pattern = Path::new("/etc").join(pattern.trim());
                let (Some(folder), Some(name)) = (pattern.parent(), pattern.file_name()) else { continue };
                let end = name.to_string_lossy().replace('*', "");
                let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|e| e.path());
                let mut files: Vec<PathBuf> = entries.filter(|p| p.to_string_lossy().ends_with(&end)).collect();
                files.sort();
                files.iter().for_each(|file| read_configuration(file, folders, depth + 1));
            }
            Some(_) => {}
            None if line.starts_with('/') => folders.push(line.into()),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_machine_gives_the_same_image_and_the_second_time_it_is_at_hand() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let extras: [Extra<'_>; 1] = [("usr/bin/hello", b"#!/bin/sh\necho hello\n")];
        let store = Store::open(one.path()).unwrap();
        let first = host_base(&store, "x:host", &extras).unwrap();
        let again = host_base(&store, "x:host", &extras).unwrap();
        let other = host_base(&Store::open(two.path()).unwrap(), "x:host", &extras).unwrap();
        assert!(!first.reused && again.reused && !other.reused);
        assert_eq!((&first.record, &first.record), (&again.record, &other.record));
        let changed = host_base(&store, "x:host", &[("usr/bin/hello", b"#!/bin/sh\n")]).unwrap();
        assert!(!changed.reused && changed.record.id != first.record.id);
    }

    #[test]
    fn every_program_finds_its_loader_and_libraries_in_the_image() {
        let mut parts = Parts::default();
        parts.skeleton();
        assert!(parts.tools().unwrap() >= 3);
        let names: BTreeSet<&str> = parts.0.keys().filter_map(|path| path.rsplit('/').next()).collect();
        for part in parts.0.values() {
            let Part::Host { from, .. } = part else { continue };
            let Some(elf) = Elf::parse(&std::fs::read(from).unwrap()) else { continue };
            let loader = elf.interpreter.as_deref().and_then(|path| path.rsplit('/').next());
            for name in elf.needed.iter().map(String::as_str).chain(loader) {
                assert!(names.contains(name), "{} needs {name}", from.display());
            }
        }
    }
}
