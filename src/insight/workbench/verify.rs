//! Proof of a rewrite: the original is built twice and the rewrite once, all in a scratch store, and the images are compared;
//! where they differ, the original is built a third time. Then the files in question are changed, and both are built once more,
//! with a clock.
//!
//! Compared are kind, mode, owner, link target, extended attributes and bytes of every path, and the configuration. Times are
//! not, and neither is what the builds of the original do not have in common.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::difference::{Image, differences, unreproduced};
use crate::engine::context::{EntryKind, IgnoreFile, Selector, list};
use crate::engine::oci::{ImageConfig, LayerId};
use crate::engine::protocol::{Reply, Request};
use crate::engine::worker::Snapshots;
use crate::engine::{BuildRequest, Engine, EngineError, ErrorKind, Project, Scratch};
use crate::ground::cancel::CancelToken;
use crate::ground::fs::{PathError, PathResultExt};
use crate::insight::suggest::{Measured, Suggestion, Verification};

/// So many differing paths are listed.
const LISTED: usize = 50;

/// Where and how a rewrite is verified.
pub struct Bench<'a> {
    /// Whose images are used.
    pub engine: &'a Engine,
    /// How layers become a root.
    pub snapshots: Snapshots,
    /// As for the build that is to become faster: secrets and agents. Project, outputs and names are not used.
    pub request: &'a BuildRequest,
    /// Told what is done, in words.
    pub say: &'a dyn Fn(&str),
    /// Stops it.
    pub cancel: CancelToken,
}

/// Verifies a suggestion for a project. Errors: the machine is at fault, or it was cancelled; a build that fails is an outcome.
pub fn verify(bench: &Bench<'_>, project: &Project, suggestion: &Suggestion) -> Result<Verification, EngineError> {
    let scratch = bench.engine.scratch(bench.snapshots)?;
    let found = with_a_watcher(&bench.cancel, || scratch.abandon(), || verify_in(bench, &scratch, project, suggestion));
    // Whatever broke when it was abandoned broke because of that.
    if bench.cancel.is_cancelled() { Err(cancelled()) } else { found }
}

/// Works, and abandons what it works on as soon as that is asked for.
fn with_a_watcher<T>(cancel: &CancelToken, abandon: impl FnOnce() + Send, work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                if cancel.is_cancelled() {
                    return abandon();
                }
                std::thread::park_timeout(std::time::Duration::from_millis(50));
            }
        });
        let _end = WatchersEnd { done: &done, watcher: watcher.thread() };
        work()
    })
}

/// Ends the watcher when it goes, also in a panic: the scope waits for it.
struct WatchersEnd<'a> {
    done: &'a AtomicBool,
    watcher: &'a std::thread::Thread,
}

impl Drop for WatchersEnd<'_> {
    fn drop(&mut self) {
        self.done.store(true, Ordering::SeqCst);
        self.watcher.unpark();
    }
}

fn cancelled() -> EngineError {
    EngineError { kind: ErrorKind::Cancelled, message: "the verification was cancelled".into(), hint: None }
}

fn verify_in(
    bench: &Bench<'_>,
    scratch: &Scratch,
    project: &Project,
    suggestion: &Suggestion,
) -> Result<Verification, EngineError> {
    let place = Place::make(scratch, project, &bench.cancel)?;
    let say = bench.say;
    let build = |text: &str, name: &str, again: bool| -> Result<Result<Image, String>, EngineError> {
        say(&format!("building {name}"));
        let built = place.build(bench, text, again)?;
        match built {
            Ok(tag) => image(&scratch.engine, &tag).map(Ok),
            Err(why) => Ok(Err(format!("{name} cannot be built here: {why}"))),
        }
    };
    let mut originals = Vec::new();
    for name in ["the original", "the original once more"] {
        match build(&suggestion.before, name, !originals.is_empty())? {
            Ok(image) => originals.push(image),
            Err(why) => return Ok(failed(why)),
        }
    }
    let rewrite = match build(&suggestion.after, "the rewrite", false)? {
        Ok(image) => image,
        Err(why) => return Ok(failed(why)),
    };
    let mut differing = differences(&originals, &rewrite);
    if !differing.is_empty() {
        // What two builds have in common by chance a third one may not.
        match build(&suggestion.before, "the original a third time, because the images differ", true)? {
            Ok(image) => originals.push(image),
            Err(why) => return Ok(failed(why)),
        }
        differing = differences(&originals, &rewrite);
    }
    let unreproducible = unreproduced(&originals);
    let compared = originals[0].files.keys().filter(|path| !unreproducible.contains(*path)).count();
    let mut out = Verification {
        proven: false,
        why: None,
        differing: differing.iter().take(LISTED).cloned().collect(),
        unreproducible: unreproducible.into_iter().collect(),
        compared,
        measured: None,
    };
    if !differing.is_empty() {
        out.why = Some(format!("the images differ in {}, first: {}", count(differing.len(), "place"), differing[0]));
        return Ok(out);
    }
    let touched = suggestion.saving.as_ref().map(|saving| saving.touched.clone()).unwrap_or_default();
    if touched.is_empty() {
        out.why = Some("the images are equal, but no file is known whose change it would make cheaper".to_owned());
        return Ok(out);
    }
    say(&format!("changing {} and building both", touched.join(", ")));
    match place.measure(bench, suggestion, &touched)? {
        Ok(measured) => {
            let saves = measured.after_micros < measured.now_micros;
            out.proven = saves;
            out.why = (!saves).then(|| "the images are equal, but nothing was saved when it was measured".to_owned());
            out.measured = Some(measured);
        }
        Err(why) => out.why = Some(format!("the images are equal, but after the change a build failed: {why}")),
    }
    Ok(out)
}

fn failed(why: String) -> Verification {
    let (differing, unreproducible) = (Vec::new(), Vec::new());
    Verification { proven: false, why: Some(why), differing, unreproducible, compared: 0, measured: None }
}

fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// A copy of the context, and both Dockerfiles beside it.
struct Place<'s> {
    scratch: &'s Scratch,
    project: Project,
    context: PathBuf,
}

impl<'s> Place<'s> {
    fn make(scratch: &'s Scratch, project: &Project, cancel: &CancelToken) -> Result<Self, EngineError> {
        project.require_folder()?;
        let ignore = IgnoreFile::find(&project.context, Some(&project.dockerfile))?;
        let context = scratch.folder().join("context");
        copy_context(&project.context, &ignore, &context, cancel).map_err(crate::engine::store::StoreError::from)?;
        if cancel.is_cancelled() {
            return Err(cancelled());
        }
        Ok(Self { scratch, project: project.clone(), context })
    }

    /// Builds a Dockerfile of this text. `again`: everything runs. Gives the image's name, or why the build failed.
    fn build(&self, bench: &Bench<'_>, text: &str, again: bool) -> Result<Result<String, String>, EngineError> {
        let name = format!("verify-{}", crate::ground::random_hex(6));
        // Beside the context: what is copied is the Dockerfile that lies there, in both.
        let dockerfile = self.scratch.folder().join("Dockerfile");
        std::fs::write(&dockerfile, text).at("write", &dockerfile).map_err(crate::engine::store::StoreError::from)?;
        let project = Project {
            context: self.context.clone(),
            dockerfile,
            no_cache: again,
            given: None,
            // Both builds are made here, whatever others have made.
            cache_from: Vec::new(),
            ..self.project.clone()
        };
        let request = BuildRequest {
            project,
            tags: vec![name.clone()],
            exports: Vec::new(),
            push: Vec::new(),
            load: false,
            cache_to: Vec::new(),
            ..bench.request.clone()
        };
        match self.scratch.engine.build(&request, bench.cancel.clone(), None) {
            Ok(_) => Ok(Ok(name)),
            Err(error) if bench.cancel.is_cancelled() => Err(error),
            Err(error) => Ok(Err(error.message.lines().next().unwrap_or_default().to_owned())),
        }
    }

    /// Changes files and builds with both Dockerfiles. What each took, or why one failed.
    fn measure(
        &self,
        bench: &Bench<'_>,
        suggestion: &Suggestion,
        touched: &[String],
    ) -> Result<Result<Measured, String>, EngineError> {
        for path in touched {
            let full = self.context.join(path);
            let mut file = std::fs::File::options()
                .append(true)
                .open(&full)
                .at("change", &full)
                .map_err(crate::engine::store::StoreError::from)?;
            file.write_all(b"\n").at("change", &full).map_err(crate::engine::store::StoreError::from)?;
        }
        let mut took = [0; 2];
        for (text, took) in [&suggestion.before, &suggestion.after].into_iter().zip(&mut took) {
            let began = std::time::Instant::now();
            if let Err(why) = self.build(bench, text, false)? {
                return Ok(Err(why));
            }
            *took = began.elapsed().as_micros() as u64;
        }
        let [now_micros, after_micros] = took;
        Ok(Ok(Measured { touched: touched.to_vec(), now_micros, after_micros }))
    }
}

/// Copies what the ignore file leaves: kinds, modes, links and times. Ends early when it is cancelled.
fn copy_context(from: &Path, ignore: &IgnoreFile, to: &Path, cancel: &CancelToken) -> Result<(), PathError> {
    std::fs::create_dir_all(to).at("create", to)?;
    let mut directories = Vec::new();
    for (path, kind, (seconds, nanos)) in list(from, ignore)? {
        if cancel.is_cancelled() {
            return Ok(());
        }
        if path.is_empty() {
            continue;
        }
        let (source, target) = (from.join(&path), to.join(&path));
        match kind {
            EntryKind::Directory => {
                std::fs::create_dir_all(&target).at("create", &target)?;
                directories.push((source, target));
            }
            EntryKind::Symlink => {
                let link = std::fs::read_link(&source).at("read", &source)?;
                symlink(link, &target).at("create", &target)?;
            }
            EntryKind::File => {
                copy_file(&source, &target, cancel).at("copy", &source)?;
                let time = std::time::UNIX_EPOCH + std::time::Duration::new(seconds.max(0) as u64, nanos);
                let file = std::fs::File::options().write(true).open(&target);
                // A file that may not be written keeps the time of now: no step's key knows times.
                let _ = file.and_then(|file| file.set_modified(time));
            }
            // Steps cannot copy them out of a context any better than this.
            EntryKind::CharDevice | EntryKind::BlockDevice | EntryKind::Fifo => {}
        }
    }
    // Modes last: a folder that may not be written has been filled by now.
    for (source, target) in directories.into_iter().rev() {
        let mode = std::fs::metadata(&source).at("read", &source)?.permissions();
        std::fs::set_permissions(&target, mode).at("set the mode of", &target)?;
    }
    Ok(())
}

/// So much of a file is copied before somebody looks whether it is still wanted.
const PIECE: u64 = 8 << 20;

/// Copies a file and its mode; a part of it when it is cancelled meanwhile.
fn copy_file(from: &Path, to: &Path, cancel: &CancelToken) -> std::io::Result<()> {
    let (mut source, mut target) = (File::open(from)?, File::create(to)?);
    while !cancel.is_cancelled() && std::io::copy(&mut Read::by_ref(&mut source).take(PIECE), &mut target)? > 0 {}
    target.set_permissions(source.metadata()?.permissions())
}

/// Everything of an image of a store that is compared.
fn image(engine: &Engine, tag: &str) -> Result<Image, EngineError> {
    let name = crate::engine::oci::Reference::parse(tag).map(|reference| reference.to_string()).unwrap_or_default();
    let broken = |what: &str| EngineError::environment(format!("the image that was just built {what}"), None);
    let record = engine.store.index.image(&name)?.ok_or_else(|| broken("is not in the store"))?;
    let bytes = engine.store.content.read(&record.id, 8 << 20)?;
    let config: ImageConfig = serde_json::from_slice(&bytes).map_err(|_| broken("has no configuration that can be read"))?;
    let layers: Vec<LayerId> = record.layers.iter().map(|layer| layer.layer.clone()).collect();
    let request = Request::Scan { layers, selectors: vec![Selector::new("")] };
    match engine.worker.call(request, Vec::new())? {
        Reply::Entries { entries, .. } => {
            let files = entries.into_iter().map(|entry| (entry.path.clone(), entry)).collect();
            Ok(Image { files, config: config.config })
        }
        _ => Err(broken("cannot be listed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_does_not_wait_for_ever() {
        let cancel = CancelToken::default();
        let panics = || with_a_watcher(&cancel, || (), || panic!("for the test"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err());
        assert_eq!(with_a_watcher(&cancel, || (), || 7), 7);
    }

    #[test]
    fn a_file_is_copied_whole_with_its_mode_and_not_at_all_once_it_is_cancelled() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let bytes = vec![7; PIECE as usize + 1];
        std::fs::write(&from, &bytes).unwrap();
        std::fs::set_permissions(&from, std::fs::Permissions::from_mode(0o4751)).unwrap();
        let cancel = CancelToken::default();
        copy_file(&from, &to, &cancel).unwrap();
        assert!(std::fs::read(&to).unwrap() == bytes);
        assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o7777, 0o4751);
        cancel.cancel();
        copy_file(&from, &to, &cancel).unwrap();
        assert_eq!(std::fs::metadata(&to).unwrap().len(), 0);
    }
}
