//! What is built: a context with its Dockerfile, and what was said on the command line about it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bases::{NamedContext, Resolver};
use super::error::EngineError;
use super::sources::Remote;
use crate::engine::context::IgnoreFile;
use crate::engine::exchange::CachePlace;
use crate::engine::graph::fetch::elsewhere;
use crate::engine::graph::lower::{Bases, LowerRequest};
use crate::engine::graph::{BuildGraph, Fetch, MainContext, lower, slots};
use crate::engine::oci::Platform;
use crate::engine::protocol::Network;
use crate::engine::protocol::settings::{Limits, RunSettings};
use crate::engine::solver::record::BuildRecord;
use crate::engine::store::Store;
use crate::ground::digest::Digest;
use crate::language::dockerfile::{Dockerfile, encoding, parse};

/// The largest Dockerfile.
pub(super) const DOCKERFILE_LIMIT: u64 = 10 << 20;

/// `-f` for a Dockerfile that is read from standard input.
const STANDARD_INPUT: &str = "-";

/// `--network` of steps that get a network of their own where they do not say.
pub const ISOLATED: &str = "isolated";

/// A project as the user named it.
#[derive(Debug, Clone, Default)]
pub struct Project {
    /// The context: an existing folder.
    pub context: PathBuf,
    /// The Dockerfile.
    pub dockerfile: PathBuf,
    /// `--target`.
    pub target: Option<String>,
    /// `--build-arg`.
    pub build_args: BTreeMap<String, String>,
    /// `--build-context`.
    pub contexts: BTreeMap<String, NamedContext>,
    /// `--no-cache`.
    pub no_cache: bool,
    /// `--no-cache-filter`.
    pub no_cache_filter: Vec<String>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// `--add-host`, `--shm-size`, `--ulimit`.
    pub run: RunSettings,
    /// `-f -`: the Dockerfile's bytes, which are no file.
    pub given: Option<Vec<u8>>,
    /// `--network`: `host`, `none` or `isolated`; none for the default.
    pub network: Option<String>,
    /// `--allow`.
    pub allow: Vec<String>,
    /// `--memory`, `--cpus` and others.
    pub limits: Limits,
    /// SOURCE_DATE_EPOCH.
    pub epoch: Option<u64>,
    /// What the context is.
    pub main: MainContext,
    /// Standard input, when it is the context.
    pub stream: Option<Arc<File>>,
    /// `--pull`: registries are asked what a tag means now.
    pub pull: bool,
    /// `--cache-from`.
    pub cache_from: Vec<CachePlace>,
}

/// A project read from disk.
pub struct Loaded {
    /// The file.
    pub dockerfile: Dockerfile,
    /// Its shown name.
    pub file: String,
    /// The ignore file in force.
    pub ignore: IgnoreFile,
}

impl Project {
    /// A project in a folder. `file` is `-f`. Errors: the folder or the Dockerfile is missing.
    pub fn open(context: &Path, file: Option<&Path>) -> Result<Self, EngineError> {
        let shown = context.display().to_string().escape_debug().to_string();
        let folder = context.canonicalize().map_err(|e| {
            let cause = crate::ground::fs::error::describe(&e);
            EngineError::user(
                format!("cannot open the build context `{shown}`: {cause}"),
                Some("give the path of a folder".into()),
            )
        })?;
        if !folder.is_dir() {
            let hint = "give the folder; name the Dockerfile with -f".to_owned();
            return Err(EngineError::user(format!("the build context `{shown}` is not a folder"), Some(hint)));
        }
        if file == Some(Path::new(STANDARD_INPUT)) {
            return Ok(Self { context: folder, dockerfile: STANDARD_INPUT.into(), ..Self::default() });
        }
        let dockerfile = match file {
            Some(path) if path.is_absolute() || path.exists() => path.to_owned(),
            Some(path) => folder.join(path),
            None => folder.join("Dockerfile"),
        };
        if !dockerfile.is_file() {
            let shown = dockerfile.display().to_string().escape_debug().to_string();
            let hint = "name it with -f, or give another folder".to_owned();
            return Err(EngineError::user(format!("there is no Dockerfile at `{shown}`"), Some(hint)));
        }
        Ok(Self { context: folder, dockerfile, ..Self::default() })
    }

    /// A project wherever it is: a folder, `-` for standard input (`stream`), the URL of an archive or a Dockerfile, a git
    /// repository. `file` is a path in it. Errors: as [`Self::open`]; an address that cannot be used.
    pub fn open_anywhere(
        context: &Path,
        file: Option<&Path>,
        stream: impl FnOnce() -> std::io::Result<File>,
    ) -> Result<Self, EngineError> {
        let is_stream = context == Path::new(STANDARD_INPUT);
        let text = context.to_str().filter(|_| !is_stream && !context.is_dir());
        let found = text.map(elsewhere).transpose();
        let found = found.map_err(|why| EngineError::usage(format!("the build context cannot be used: {why}"), None))?;
        let main = match found.flatten() {
            Some(fetch) => MainContext::Fetched(fetch),
            None if is_stream => MainContext::Empty,
            None => return Self::open(context, file),
        };
        let given = file == Some(Path::new(STANDARD_INPUT));
        if given && is_stream {
            let hint = "give one of them as a file or a folder".to_owned();
            let message = "standard input cannot be both the build context and the Dockerfile";
            return Err(EngineError::usage(message, Some(hint)));
        }
        let shown = if let MainContext::Fetched(fetch) = &main { fetch.shown() } else { STANDARD_INPUT.to_owned() };
        let fail = |error: std::io::Error| EngineError::environment(format!("cannot read standard input: {error}"), None);
        let stream = if is_stream { Some(Arc::new(stream().map_err(fail)?)) } else { None };
        let dockerfile = file.unwrap_or(Path::new("Dockerfile")).to_owned();
        Ok(Self { context: shown.into(), dockerfile, main, stream, ..Self::default() })
    }

    /// Errors: the context is no folder, which is what this command looks into.
    pub fn require_folder(&self) -> Result<(), EngineError> {
        match &self.main {
            MainContext::Folder => Ok(()),
            _ => {
                let hint = "`build` takes any context; for everything else give a folder".to_owned();
                Err(EngineError::usage("this command looks into the build context, which has to be a folder", Some(hint)))
            }
        }
    }

    /// Takes the Dockerfile of `-f -`. Errors: it cannot be read.
    pub fn read_given(&mut self, from: impl std::io::Read) -> Result<(), EngineError> {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut from.take(DOCKERFILE_LIMIT + 1), &mut bytes).map_err(|error| {
            let cause = crate::ground::fs::error::describe(&error);
            EngineError::environment(format!("cannot read the Dockerfile from standard input: {cause}"), None)
        })?;
        self.given = Some(bytes);
        Ok(())
    }

    /// Builds of one project are compared with each other.
    pub fn id(&self) -> String {
        let file = self.dockerfile.canonicalize().unwrap_or_else(|_| self.dockerfile.clone());
        let parts = (self.context.as_os_str(), file.as_os_str(), &self.target, Platform::host().text());
        Digest::of(format!("{parts:?}")).hex()
    }

    /// Name of the Dockerfile as messages show it.
    pub fn file_name(&self) -> String {
        let relative = self.dockerfile.strip_prefix(&self.context).unwrap_or(&self.dockerfile);
        relative.display().to_string().escape_debug().to_string()
    }

    /// The network of RUNs that do not say.
    pub fn default_network(&self) -> Network {
        match self.network.as_deref() {
            Some("none") => Network::None,
            Some(ISOLATED) => Network::Isolated,
            _ => Network::Host,
        }
    }

    /// Reads Dockerfile and ignore file. Errors: unreadable, too large, not UTF-8; or all errors of the file, rendered.
    pub fn load(&self) -> Result<Loaded, EngineError> {
        let text = self.read_dockerfile()?;
        self.load_text(&text)
    }

    /// The same for a text that is not on disk.
    pub fn load_text(&self, text: &str) -> Result<Loaded, EngineError> {
        let file = self.file_name();
        let dockerfile = parse(text);
        if dockerfile.has_errors() {
            return Err(diagnostics_error(&dockerfile, &dockerfile.diagnostics, &file));
        }
        let ignore = match self.main {
            MainContext::Folder => IgnoreFile::find(&self.context, Some(&self.dockerfile))?,
            // As in BuildKit: what a server or standard input gives is taken whole.
            _ => IgnoreFile::default(),
        };
        Ok(Loaded { dockerfile, file, ignore })
    }

    /// The Dockerfile's text.
    pub fn read_dockerfile(&self) -> Result<String, EngineError> {
        let path = &self.dockerfile;
        let shown = self.file_name();
        let fail = |e: std::io::Error| {
            EngineError::environment(format!("cannot read `{shown}`: {}", crate::ground::fs::error::describe(&e)), None)
        };
        if let Some(bytes) = &self.given {
            return self.as_text(bytes.clone());
        }
        if std::fs::metadata(path).map_err(fail)?.len() > DOCKERFILE_LIMIT {
            return Err(EngineError::user(format!("`{shown}` is larger than 10 MiB"), None));
        }
        self.as_text(std::fs::read(path).map_err(fail)?)
    }

    fn as_text(&self, bytes: Vec<u8>) -> Result<String, EngineError> {
        let shown = self.file_name();
        if bytes.len() as u64 > DOCKERFILE_LIMIT {
            return Err(EngineError::user(format!("`{shown}` is larger than 10 MiB"), None));
        }
        encoding::decode(bytes)
            .map_err(|e| EngineError::user(format!("{shown}:{}: {e}", e.line), Some("save it as UTF-8".into())))
    }

    /// The last build of this project.
    pub fn last_record(&self, store: &Store) -> Result<Option<(String, BuildRecord)>, EngineError> {
        let row = store.index.last_build(&self.id())?;
        Ok(row.and_then(|row| Some((row.id, serde_json::from_str(&row.record).ok()?))))
    }

    /// Lowers a loaded project with the images of the store; slots are those of the last build.
    pub fn lower(
        &self,
        store: &Store,
        loaded: &Loaded,
        previous: Option<&BuildRecord>,
    ) -> Result<(BuildGraph, Vec<String>), EngineError> {
        self.lower_with(store, loaded, previous, None)
    }

    /// The same; images that the store misses are fetched.
    pub fn lower_with(
        &self,
        store: &Store,
        loaded: &Loaded,
        previous: Option<&BuildRecord>,
        remote: Option<&Remote<'_>>,
    ) -> Result<(BuildGraph, Vec<String>), EngineError> {
        let mut bases = Resolver { store, named: &self.contexts, remote };
        self.lower_on(loaded, previous, &mut bases)
    }

    /// The same on whatever finds the base images.
    pub(in crate::engine) fn lower_on(
        &self,
        loaded: &Loaded,
        previous: Option<&BuildRecord>,
        bases: &mut dyn Bases,
    ) -> Result<(BuildGraph, Vec<String>), EngineError> {
        let fetched: BTreeMap<String, Fetch> =
            self.contexts.iter().filter_map(|(name, context)| Some((name.clone(), context.fetch()?.clone()))).collect();
        let local = self.contexts.iter().filter(|(name, _)| !fetched.contains_key(*name));
        let (directories, images): (Vec<_>, Vec<_>) =
            local.partition(|(_, context)| matches!(context, NamedContext::Directory(_)));
        let names =
            |of: Vec<(&String, &NamedContext)>| -> Vec<String> { of.into_iter().map(|(name, _)| name.clone()).collect() };
        let (directories, images) = (names(directories), names(images));
        let request = LowerRequest {
            dockerfile: &loaded.dockerfile,
            target: self.target.as_deref(),
            build_args: &self.build_args,
            platform: Platform::host(),
            directories: &directories,
            images: &images,
            main: &self.main,
            fetched: &fetched,
            epoch: self.epoch,
            no_cache: self.no_cache,
            no_cache_filter: &self.no_cache_filter,
            labels: &self.labels,
            run: &self.run,
            // Isolated or not is a matter of this machine, as the bridge is for BuildKit: no part of the key.
            network: self.network.clone().filter(|network| network != ISOLATED),
            allow: &self.allow,
        };
        let lowered = lower(&request, bases)
            .map_err(|diagnostics| diagnostics_error(&loaded.dockerfile, &diagnostics, &loaded.file))?;
        let mut graph = lowered.graph;
        slots::align(&mut graph.vertices, previous.map_or(&[], |p| p.slots.as_slice()));
        let warn = |d| crate::language::dockerfile::render(d, &loaded.dockerfile, &loaded.file);
        let deepest = deepest_chain(&graph);
        if deepest > LAYER_LIMIT {
            let message = format!("the image would have {deepest} layers, but overlayfs takes {LAYER_LIMIT}");
            return Err(EngineError::user(message, Some("join RUN lines, or copy several sources at once".into())));
        }
        Ok((graph, lowered.warnings.iter().map(warn).chain(lowered.notes).collect()))
    }
}

/// So many layers the kernel can stack.
const LAYER_LIMIT: usize = 500;

/// The largest number of layers that any step stands on or makes.
fn deepest_chain(graph: &BuildGraph) -> usize {
    let mut depth: BTreeMap<u32, usize> = BTreeMap::new();
    for vertex in graph.vertices.iter().filter(|v| v.operation.is_some()) {
        let below = match (vertex.base.and_then(|at| graph.bases.get(at)), vertex.parent) {
            (Some(base), _) => base.layers.len(),
            (None, Some(parent)) => depth.get(&parent.0).copied().unwrap_or(0) + 1,
            (None, None) => 1,
        };
        depth.insert(vertex.id.0, below);
    }
    depth.values().copied().max().unwrap_or(0)
}

/// All findings of a file as one error. An image that is missing is the machine's fault, everything else the file's.
fn diagnostics_error(
    dockerfile: &Dockerfile,
    diagnostics: &[crate::language::dockerfile::Diagnostic],
    file: &str,
) -> EngineError {
    use crate::language::dockerfile::Severity;
    let errors: Vec<_> = diagnostics.iter().filter(|d| d.severity == Severity::Error).collect();
    let text: Vec<String> = errors.iter().map(|d| crate::language::dockerfile::render(d, dockerfile, file)).collect();
    let message = text.join("\n").trim_end().to_owned();
    let only_images = errors.iter().all(|d| d.message.contains("the base image `"));
    if only_images { EngineError::environment(message, None) } else { EngineError::user(message, None) }
}
