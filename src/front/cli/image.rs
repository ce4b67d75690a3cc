//! `image`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use clap::{Args, Subcommand, ValueEnum};

use super::{Context, cancellable};
use crate::engine::image::{ExportFormat, ExportRequest, Packaging, export, import};
use crate::engine::oci::{Platform, Reference};
use crate::engine::store::image::DAEMON_PREFIX;
use crate::engine::store::{ImageRecord, Store};
use crate::engine::{EngineError, Remote, ToPush};
use crate::front::report::images::{self, ImageRow, Moved};
use crate::front::text;

/// `image`.
#[derive(Debug, Args)]
pub struct ImageArgs {
    /// What about them.
    #[command(subcommand)]
    pub command: ImageCommand,
}

/// `image ...`.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Bring images in from an OCI layout (folder or tar) or an archive of `docker save`.
    Load {
        /// The layout or archive.
        path: PathBuf,
        /// Name of the image, where the file holds one.
        #[arg(short, long, value_name = "NAME")]
        tag: Option<String>,
    },
    /// List images.
    Ls,
    /// Fetch an image from its registry.
    Pull {
        /// The image.
        name: String,
        /// Of several, the image for this platform [default: this machine's].
        #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
        platform: Option<String>,
    },
    /// Deliver an image to its registry.
    Push {
        /// The image in the store.
        name: String,
        /// Under another name than its own.
        #[arg(long, value_name = "NAME")]
        to: Option<String>,
    },
    /// Write an image to a file or folder.
    Save(SaveArgs),
    /// Take names of images away; what no image and no step needs any more stays in the store until it is pruned.
    Rm {
        /// Names or ids.
        #[arg(required = true)]
        names: Vec<String>,
    },
}

/// `image save`.
#[derive(Debug, Args)]
pub struct SaveArgs {
    /// The image in the store.
    pub name: String,
    /// The file; a folder for oci-dir.
    #[arg(short, long, value_name = "PATH")]
    pub output: PathBuf,
    /// What is written.
    #[arg(long, value_enum, default_value = "docker")]
    pub format: SaveFormat,
}

/// `image save --format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SaveFormat {
    /// What `docker load` reads.
    Docker,
    /// An OCI layout in a tar.
    Oci,
    /// An OCI layout in a folder.
    OciDir,
}

pub fn run(context: &Context, args: &ImageArgs) -> Result<u8, EngineError> {
    match &args.command {
        ImageCommand::Load { path, tag } => load(context, path, tag.as_deref()),
        ImageCommand::Ls => list(context),
        ImageCommand::Pull { name, platform } => pull(context, name, platform.as_deref()),
        ImageCommand::Push { name, to } => push(context, name, to.as_deref()),
        ImageCommand::Save(args) => save(context, args),
        ImageCommand::Rm { names } => remove(context, names),
    }
}

fn reference(name: &str) -> Result<Reference, EngineError> {
    Reference::parse(name).map_err(|e| EngineError::usage(e.to_string(), None))
}

/// Says each kind of progress once, beside the result.
pub(super) fn reporter(quiet: bool) -> impl Fn(&str, u64, Option<u64>) + Sync {
    let said = Mutex::new(BTreeSet::new());
    move |what: &str, _, total: Option<u64>| {
        let mut said = said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !quiet && said.insert(what.to_owned()) {
            let size = total.filter(|n| *n > 1).map(|n| format!(", {}", text::size(n))).unwrap_or_default();
            eprintln!("{}{size}", text::line(what));
        }
    }
}

fn pull(context: &Context, name: &str, platform: Option<&str>) -> Result<u8, EngineError> {
    let wanted = reference(name)?;
    let platform = match platform {
        Some(text) => Platform::parse(text).ok_or_else(|| {
            EngineError::usage(format!("`{}` is no platform", text.escape_debug()), Some("write it like linux/amd64".into()))
        })?,
        None => Platform::host(),
    };
    let (store, sources) = (context.store()?, context.sources()?);
    // Blobs come before the name that keeps them.
    let _lease = store.lease()?;
    let report = reporter(context.output.quiet || context.output.json);
    let found = cancellable::run(|cancel| Remote::new(&sources, cancel, &report, true).pull(&store, &wanted, &platform))?;
    for note in &found.notes {
        eprintln!("warning: {}", text::line(note));
    }
    let moved = Moved { name: shown_name(&found.name), digest: found.digest.to_string(), size: found.record.size };
    context.output.write(|out| if context.output.json { moved.json(out) } else { moved.plain(out, "pulled") })
}

fn push(context: &Context, name: &str, to: Option<&str>) -> Result<u8, EngineError> {
    let (from, to) = (reference(name)?, reference(to.unwrap_or(name))?);
    // Before any thread: a layer that was built here is compressed by the worker.
    let engine = context.engine()?;
    let _lease = engine.store.lease()?;
    let record = stored(&engine.store, name, &from)?;
    let report = reporter(context.output.quiet || context.output.json);
    let (digest, size) = cancellable::run(|cancel| {
        let packaging = &Packaging::default();
        let image = ToPush { reference: &to, record: &record, clamp_times: None, packaging, mount_from: None };
        Remote::new(&engine.sources, cancel, &report, false).push(&engine.store, &engine.worker, &image)
    })?;
    let moved = Moved { name: to.familiar(), digest: digest.to_string(), size };
    context.output.write(|out| if context.output.json { moved.json(out) } else { moved.plain(out, "pushed") })
}

fn stored(store: &Store, name: &str, reference: &Reference) -> Result<ImageRecord, EngineError> {
    store.index.image(&reference.to_string())?.ok_or_else(|| {
        let hint = "see `rbuild-tui image ls`".to_owned();
        EngineError::user(format!("the store has no image `{}`", name.escape_debug()), Some(hint))
    })
}

fn save(context: &Context, args: &SaveArgs) -> Result<u8, EngineError> {
    let wanted = reference(&args.name)?;
    let engine = context.engine()?;
    let _lease = engine.store.lease()?;
    let record = stored(&engine.store, &args.name, &wanted)?;
    let config = engine.store.content.read(&record.id, 8 << 20)?;
    let request = ExportRequest {
        format: if args.format == SaveFormat::Docker { ExportFormat::Docker } else { ExportFormat::Oci },
        destination: args.output.clone(),
        directory: args.format == SaveFormat::OciDir,
        names: vec![wanted.to_string()],
        ..ExportRequest::default()
    };
    let done = export(&engine.store, &engine.worker, &record, &config, &request)?;
    let moved = Moved { name: wanted.familiar(), digest: done.digest.to_string(), size: done.bytes };
    context.output.write(|out| if context.output.json { moved.json(out) } else { moved.plain(out, "saved") })
}

fn remove(context: &Context, names: &[String]) -> Result<u8, EngineError> {
    let store = context.store()?;
    let images = store.index.images()?;
    // All are looked up before the first one goes.
    let mut gone = BTreeSet::new();
    for name in names {
        let id = name.strip_prefix("sha256:").unwrap_or(name);
        let is_id = id.len() >= 12 && id.bytes().all(|b| b.is_ascii_hexdigit());
        let full = Reference::parse(name).map(|r| r.to_string()).unwrap_or_default();
        let meant = |(known, record, _): &&(String, ImageRecord, u64)| {
            *known == full || known == name || (is_id && record.id.hex().starts_with(id))
        };
        let found: Vec<&String> = images.iter().filter(meant).map(|(known, ..)| known).collect();
        if found.is_empty() {
            let hint = "see `rbuild-tui image ls`".to_owned();
            return Err(EngineError::user(format!("the store has no image `{}`", name.escape_debug()), Some(hint)));
        }
        gone.extend(found.into_iter().cloned());
    }
    for name in &gone {
        store.index.remove_image(name)?;
    }
    let shown: Vec<String> = gone.iter().map(|name| shown_name(name)).collect();
    context.output.write(|out| {
        if context.output.json { images::removed_json(out, &shown) } else { images::removed_plain(out, &shown) }
    })
}

fn load(context: &Context, path: &Path, tag: Option<&str>) -> Result<u8, EngineError> {
    let store = context.store()?;
    let _lease = store.lease()?;
    let mut found = import(&store, path)?;
    if let Some(tag) = tag {
        let name = Reference::parse(tag).map_err(|e| EngineError::user(e.to_string(), None))?.to_string();
        found.dedup_by(|a, b| a.1 == b.1);
        match found.as_mut_slice() {
            [(known, _)] => known.clone_from(&name),
            _ => {
                let message = format!("the file holds {} images, so one name does not do", found.len());
                return Err(EngineError::user(message, Some("leave -t out".into())));
            }
        }
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    for (name, record) in &found {
        store.index.put_image(name, record, now)?;
    }
    let rows: Vec<ImageRow> = found.iter().map(|(name, record)| row(name, record, now)).collect();
    show(context, &rows)
}

fn list(context: &Context) -> Result<u8, EngineError> {
    let images = context.store_to_read()?.index.images()?;
    // What a daemon has is listed by the daemon.
    let own = images.iter().filter(|(name, ..)| !name.starts_with(DAEMON_PREFIX));
    let rows: Vec<ImageRow> = own.map(|(name, record, created)| row(name, record, *created)).collect();
    show(context, &rows)
}

fn shown_name(name: &str) -> String {
    Reference::parse(name).map_or_else(|_| name.to_owned(), |r| r.familiar())
}

fn row(name: &str, record: &ImageRecord, created: u64) -> ImageRow {
    ImageRow { name: shown_name(name), id: record.id.to_string(), size: record.size, created: Some(created) }
}

fn show(context: &Context, rows: &[ImageRow]) -> Result<u8, EngineError> {
    if context.output.json {
        return context.output.write(|out| images::json(out, rows));
    }
    context.output.write(|out| images::plain(out, rows))
}
