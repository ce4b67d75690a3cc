//! Where a result goes: names in the store, files and folders, registries, a daemon.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use super::build::{Run, cancelled, unix_micros};
use super::error::EngineError;
use super::sources::{Remote, ToPush};
use crate::engine::event::BuildEvent;
use crate::engine::graph::BuildGraph;
use crate::engine::image::{Assembled, ExportFormat, ExportRequest, Packaging, export};
use crate::engine::oci::{LayerId, Reference};
use crate::engine::protocol::{Reply, Request};
use crate::engine::snapshot::archive::Archive;
use crate::engine::snapshot::unpack::Apply;
use crate::engine::solver::Solver;
use crate::engine::worker::WorkerError;
use crate::ground::digest::Digest;
use crate::ground::fs::{AtomicFile, PathResultExt, RootDir};

/// What a `-o` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportKind {
    /// An image.
    Image(ExportFormat),
    /// `type=local`: the files of the result, in a folder.
    Files,
    /// `type=tar`: the files of the result, in a tar.
    Tar,
}

impl ExportKind {
    fn image(self) -> Option<ExportFormat> {
        match self {
            Self::Image(format) => Some(format),
            Self::Files | Self::Tar => None,
        }
    }
}

/// One `-o`.
#[derive(Debug, Clone)]
pub struct ExportTo {
    /// What.
    pub kind: ExportKind,
    /// File or folder.
    pub destination: PathBuf,
    /// `dest=-`: standard output, as an open file.
    pub stream: Option<Arc<File>>,
    /// A folder instead of a tar.
    pub directory: bool,
    /// Times of files become SOURCE_DATE_EPOCH too.
    pub rewrite_timestamps: bool,
    /// How layers are packed.
    pub packaging: Packaging,
    /// `name=`: further names of the image, in this file alone.
    pub names: Vec<String>,
}

/// A name under which the image goes to its registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PushTo {
    /// The name.
    pub name: String,
    /// Times of files become SOURCE_DATE_EPOCH too.
    pub rewrite_timestamps: bool,
    /// How layers are packed.
    pub packaging: Packaging,
}

impl ExportTo {
    /// Whether it needs an image, not only files.
    pub fn is_image(&self) -> bool {
        self.kind.image().is_some()
    }

    fn shown(&self) -> String {
        match &self.stream {
            Some(_) => "standard output".to_owned(),
            None => self.destination.display().to_string(),
        }
    }
}

impl Run<'_> {
    /// `type=local` and `type=tar`: what the target's chain shows. Times are SOURCE_DATE_EPOCH where that is set.
    ///
    /// Source: BuildKit `exporter/local/fs.go`, `CreateFS`.
    pub(super) fn write_trees(&self, graph: &BuildGraph, solver: &Solver<'_>) -> Result<(), EngineError> {
        let layers = graph.target.and_then(|id| solver.known_result(id)).map(|result| result.layers).unwrap_or_default();
        for to in self.request.exports.iter().filter(|to| !to.is_image()) {
            if self.cancel.is_cancelled() {
                return Err(cancelled());
            }
            if let Some(target) = graph.target {
                solver.unpack_for(target, &layers)?;
            }
            let what = "exporting".to_owned();
            self.speaker.say(BuildEvent::Progress { vertex: None, what, done: 0, total: None });
            let (digest, bytes) = match to.kind {
                ExportKind::Files => self.write_files(to, &layers, graph.epoch)?,
                _ => self.write_tar(to, &layers, graph.epoch)?,
            };
            let format = if to.kind == ExportKind::Files { "local" } else { "tar" }.to_owned();
            self.speaker.say(BuildEvent::ExportFinished { format, destination: to.shown(), digest, bytes });
        }
        Ok(())
    }

    fn write_tar(&self, to: &ExportTo, layers: &[LayerId], times: Option<u64>) -> Result<(Digest, u64), EngineError> {
        if let Some(stream) = &to.stream {
            let out = stream.try_clone().at("write", "standard output")?;
            return self.stream_tree(layers, times, out.into());
        }
        let file = AtomicFile::create(&to.destination)?;
        let written = self.stream_tree(layers, times, file.file().try_clone().at("write", &to.destination)?.into())?;
        file.commit()?;
        Ok(written)
    }

    /// Files that are there already are replaced, others are left alone; nothing is written outside of the folder, whatever
    /// links it has. Only root can give files to others.
    fn write_files(&self, to: &ExportTo, layers: &[LayerId], times: Option<u64>) -> Result<(Digest, u64), EngineError> {
        std::fs::create_dir_all(&to.destination).at("create", &to.destination)?;
        let root = RootDir::open(&to.destination)?;
        let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
        let owner = (!user.is_root()).then(|| (user.as_raw(), group.as_raw()));
        let (mut reader, writer) = std::io::pipe().at("open", "a pipe")?;
        let (applied, written) = std::thread::scope(|scope| {
            let apply = scope.spawn(move || {
                let applied = Apply::files(root, owner).run(Archive::plain(&mut reader));
                // The writer is not cut off behind the end of the archive.
                let drained = applied.is_ok().then(|| std::io::copy(&mut reader, &mut std::io::sink()));
                drop(drained);
                applied
            });
            let written = self.stream_tree(layers, times, writer.into());
            (apply.join(), written)
        });
        let applied = applied.map_err(|_| EngineError::environment("the files were not written to their end", None))?;
        // A reader that gives up is why the writer fails.
        applied.map_err(|failure| {
            let place = to.destination.display().to_string().escape_debug().to_string();
            EngineError::environment(format!("cannot write the result into `{place}`: {}", failure.message), failure.hint)
        })?;
        written
    }

    fn stream_tree(
        &self,
        layers: &[LayerId],
        times: Option<u64>,
        out: std::os::fd::OwnedFd,
    ) -> Result<(Digest, u64), EngineError> {
        let request = Request::WriteTree { layers: layers.to_vec(), times };
        match self.engine.worker.call(request, vec![out]) {
            Ok(Reply::Written { digest, size, .. }) => Ok((digest, size)),
            Ok(other) => Err(EngineError::environment(format!("the worker gave an unexpected answer ({other:?})"), None)),
            Err(WorkerError::Failed(failure)) => Err(EngineError::environment(failure.message, failure.hint)),
            Err(error) => Err(error.into()),
        }
    }

    /// Under its names in the store, and into files.
    pub(super) fn write(&self, assembled: &Assembled) -> Result<(), EngineError> {
        for tag in &self.request.tags {
            let name = Reference::parse(tag).map_err(|e| EngineError::user(e.to_string(), None))?;
            self.store().index.put_image(&name.to_string(), &assembled.record, unix_micros() / 1_000_000)?;
            self.speaker.say(BuildEvent::ExportFinished {
                format: "store".into(),
                destination: name.familiar(),
                digest: assembled.record.id,
                bytes: assembled.record.size,
            });
        }
        for (to, format) in self.request.exports.iter().filter_map(|to| Some((to, to.kind.image()?))) {
            if self.cancel.is_cancelled() {
                return Err(cancelled());
            }
            let what = "exporting".to_owned();
            self.speaker.say(BuildEvent::Progress { vertex: None, what, done: 0, total: None });
            let request = ExportRequest {
                format,
                destination: to.destination.clone(),
                stream: to.stream.clone(),
                directory: to.directory,
                names: self.request.tags.iter().chain(&to.names).cloned().collect(),
                // One image leaves a build: its configuration names the layers as they are for all outputs.
                clamp_times: assembled.clamp_times,
                packaging: to.packaging.clone(),
            };
            let done = export(self.store(), &self.engine.worker, &assembled.record, &assembled.config, &request)?;
            self.speaker.say(BuildEvent::ExportFinished {
                format: if format == ExportFormat::Oci { "oci" } else { "docker" }.into(),
                destination: to.shown(),
                digest: done.digest,
                bytes: done.bytes,
            });
        }
        Ok(())
    }

    /// To registries, and to the daemon.
    pub(super) fn deliver(&self, graph: &BuildGraph, assembled: &Assembled, remote: &Remote<'_>) -> Result<(), EngineError> {
        let base = graph.target_base.and_then(|at| graph.bases.get(at)).and_then(|b| Reference::parse(&b.image).ok());
        for to in &self.request.push {
            let reference = Reference::parse(&to.name).map_err(|e| EngineError::user(e.to_string(), None))?;
            let mount_from = base.clone().filter(|base| base.domain == reference.domain).map(|base| base.path);
            let (record, clamp_times) = (&assembled.record, assembled.clamp_times);
            let image = ToPush { reference: &reference, record, clamp_times, packaging: &to.packaging, mount_from };
            let (digest, bytes) = remote.push(self.store(), &self.engine.worker, &image)?;
            let (format, destination) = ("registry".to_owned(), reference.familiar());
            self.speaker.say(BuildEvent::ExportFinished { format, destination, digest, bytes });
        }
        if self.request.load {
            self.load(assembled, remote)?;
        }
        Ok(())
    }

    fn load(&self, assembled: &Assembled, remote: &Remote<'_>) -> Result<(), EngineError> {
        let daemon = remote.loader()?;
        (remote.report)(&format!("loading into the daemon at {}", daemon.shown()), 0, None);
        let archive = self.store().layout.root().join("tmp").join(format!("load-{}.tar", self.build));
        let request = ExportRequest {
            format: ExportFormat::Docker,
            destination: archive.clone(),
            names: self.request.tags.clone(),
            clamp_times: assembled.clamp_times,
            ..ExportRequest::default()
        };
        let done = export(self.store(), &self.engine.worker, &assembled.record, &assembled.config, &request)?;
        let loaded = std::fs::File::open(&archive).and_then(|file| Ok((file.metadata()?.len(), file)));
        let removed = std::fs::remove_file(&archive).at("remove", &archive);
        let (size, mut file) = loaded.at("read", &archive)?;
        removed?;
        daemon.load(&mut file, size)?;
        let (format, destination) = ("daemon".to_owned(), daemon.shown());
        self.speaker.say(BuildEvent::ExportFinished { format, destination, digest: done.digest, bytes: done.bytes });
        Ok(())
    }
}
