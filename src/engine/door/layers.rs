//! What an image or a step of the last build is made of, layer by layer, each with the instruction that made it. Nothing is run,
//! and but for a pull nothing is brought into the store.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::EngineError;
use super::project::Project;
use super::sources::Remote;
use super::{Chosen, Engine};
use crate::engine::cache::Cache;
use crate::engine::event::{BuildEvent, Role, StageName, VertexId, log};
use crate::engine::image::import::look;
use crate::engine::image::inspect::{LayerSource, Listing, Preview, Stack, Tar, preview, read_all};
use crate::engine::oci::{ImageConfig, LayerId, Packing, Platform, Reference};
use crate::engine::solver::record::BuildRecord;
use crate::engine::store::image::{ImageLayer, ImageRecord};
use crate::engine::store::{Lease, Store, StoreError};

/// Layers to look into; protected from collection as long as this lives.
#[derive(Clone)]
pub struct Layered {
    /// What they make: an image's name, or `Dockerfile:7 RUN make`.
    pub name: String,
    /// Lowest first.
    pub layers: Vec<LayerSource>,
    /// The last one is what a failed run left.
    pub is_failed: bool,
    _lease: Option<Arc<Lease>>,
}

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageAt {
    /// In a file or folder; with a tag, where it holds several.
    File(PathBuf, Option<String>),
    /// In the store, under this name.
    Store(String),
    /// At a registry.
    Registry(Reference),
}

/// A step of the last build, as its log introduces it.
struct Registered {
    vertex: VertexId,
    slot: String,
    name: String,
    line: u32,
    stage: StageName,
    role: Role,
    inputs: Vec<VertexId>,
}

impl Layered {
    /// Layers that do not lie in the store, so that nobody collects them.
    pub fn outside(name: String, layers: Vec<LayerSource>) -> Self {
        Self { name, layers, is_failed: false, _lease: None }
    }
}

impl Engine {
    /// The layers of a step's result in the last build of a project; of a step that failed what it left on top. None: the last
    /// build has no such step.
    ///
    /// Errors: it was not built here, or the result is gone.
    pub fn step_layers(&self, project: &Project, chosen: &Chosen) -> Result<Option<Layered>, EngineError> {
        let Some((build, record)) = project.last_record(&self.store)? else { return Ok(None) };
        let steps = registered(&self.store, &build)?;
        let Some(step) = choose(&steps, &first_line(project, chosen), &record) else { return Ok(None) };
        let lease = Lease::take(&self.store.layout.leases()).map_err(StoreError::from)?;
        let gone = || {
            let message = format!("{}:{} {} has no result on record", project.file_name(), step.line, step.name);
            EngineError::user(message, Some("build again: `rbuild-tui build`".into()))
        };
        let (layers, is_failed) = match record.left.get(&step.slot).filter(|_| record.failed.contains(&step.slot)) {
            Some(left) => (left.parents.iter().chain([&left.layer]).cloned().collect(), true),
            None => (result(&self.store, &steps, step, &record)?.ok_or_else(gone)?, false),
        };
        lease.note(layers.iter().map(LayerId::as_str)).map_err(StoreError::from)?;
        let mut sources = self.of_chain(&layers, &steps, &record)?;
        if let Some(last) = sources.last_mut().filter(|_| is_failed) {
            (last.made_by, last.line) = (step.name.clone(), Some(step.line));
            last.stage = Some(stage_name(&step.stage));
        }
        let name = format!("{}:{} {}", project.file_name(), step.line, step.name);
        Ok(Some(Layered { name, layers: sources, is_failed, _lease: Some(Arc::new(lease)) }))
    }

    /// Where an image is that somebody names: a path, else the store, else a registry. Errors: it is no name of an image.
    pub fn find_image(&self, name: &str) -> Result<ImageAt, EngineError> {
        if let Some(found) = in_file(name) {
            return Ok(found);
        }
        let reference = Reference::parse(name).map_err(|error| {
            let hint = "name a line, a stage or STAGE:LINE of the last build, an image, or a file or folder with one";
            EngineError::usage(error.to_string(), Some(hint.into()))
        })?;
        let full = reference.to_string();
        Ok(match self.store.index.image(&full)? {
            Some(_) => ImageAt::Store(full),
            None => ImageAt::Registry(reference),
        })
    }

    /// The layers of an image; one of a registry is pulled. Errors: it cannot be read or pulled.
    pub fn image_layers(&self, at: &ImageAt, remote: &Remote<'_>) -> Result<Layered, EngineError> {
        match at {
            ImageAt::File(path, tag) => {
                let found = look(path, tag.as_deref())?;
                let mut makers = makers(&found.config, found.layers.len()).into_iter();
                let layers = found.layers.into_iter().map(|tar| source(tar, makers.next().unwrap_or_default())).collect();
                let name = path.display().to_string();
                Ok(Layered::outside(name, layers))
            }
            ImageAt::Store(name) => {
                let lease = Lease::take(&self.store.layout.leases()).map_err(StoreError::from)?;
                let record =
                    self.store.index.image(name)?.ok_or_else(|| {
                        EngineError::user(format!("the store has no image `{}`", name.escape_debug()), None)
                    })?;
                self.of_record(name, &record, lease)
            }
            ImageAt::Registry(reference) => {
                let lease = Lease::take(&self.store.layout.leases()).map_err(StoreError::from)?;
                let found = remote.pull(&self.store, reference, &Platform::host())?;
                self.of_record(&found.name, &found.record, lease)
            }
        }
    }

    /// Reads all layers and lays them over each other. With `hashed`, files are known by their bytes. Errors: a layer is
    /// damaged or cannot be read.
    pub fn read_layers(&self, of: &Layered, hashed: bool) -> Result<Stack, EngineError> {
        Ok(Stack::of(self.list_layers(of, hashed)?))
    }

    fn list_layers(&self, of: &Layered, hashed: bool) -> Result<Vec<Listing>, EngineError> {
        let tars: Vec<Tar> = of.layers.iter().map(|layer| layer.tar.clone()).collect();
        Ok(read_all(&tars, Some(&self.worker), hashed)?)
    }

    /// The first bytes of the file that is the entry of a number in a layer (from 0). Errors: as [`Self::read_layers`].
    pub fn preview(&self, of: &Layered, layer: u32, entry: u32, limit: usize) -> Result<Preview, EngineError> {
        let number = layer as usize + 1;
        let Some(source) = of.layers.get(layer as usize) else {
            return Err(EngineError::user(format!("there is no layer {number}"), None));
        };
        Ok(preview(number, &source.tar, Some(&self.worker), entry, limit)?)
    }

    fn of_record(&self, name: &str, record: &ImageRecord, lease: Lease) -> Result<Layered, EngineError> {
        lease.note(record.layers.iter().map(|layer| layer.layer.as_str())).map_err(StoreError::from)?;
        let config = read_config(&self.store, record);
        let makers = config.map_or_else(Vec::new, |config| makers(&config, record.layers.len()));
        let mut makers = makers.into_iter();
        let make = |layer: &ImageLayer| Ok(source(self.tar(&layer.layer, Some(layer))?, makers.next().unwrap_or_default()));
        let layers = record.layers.iter().map(make).collect::<Result<_, EngineError>>()?;
        let shown = Reference::parse(name).map_or_else(|_| name.to_owned(), |reference| reference.familiar());
        Ok(Layered { name: shown, layers, is_failed: false, _lease: Some(Arc::new(lease)) })
    }

    /// The layers of a result: those of the last build have their steps, those below the history of an image that has them.
    fn of_chain(
        &self,
        chain: &[LayerId],
        steps: &[Registered],
        record: &BuildRecord,
    ) -> Result<Vec<LayerSource>, EngineError> {
        let step_of: HashMap<&str, &Registered> =
            steps.iter().filter_map(|step| Some((record.layers.get(&step.slot)?.as_str(), step))).collect();
        let images = self.store.index.images()?;
        let mut of_images: HashMap<&str, (&ImageLayer, String)> = HashMap::new();
        for (_, image, _) in &images {
            if !image.layers.iter().any(|layer| chain.contains(&layer.layer)) {
                continue;
            }
            let config = read_config(&self.store, image);
            let makers = config.map_or_else(Vec::new, |config| makers(&config, image.layers.len()));
            for (at, layer) in image.layers.iter().enumerate() {
                let made_by = makers.get(at).cloned().unwrap_or_default();
                of_images.entry(layer.layer.as_str()).or_insert((layer, made_by));
            }
        }
        let make = |layer: &LayerId| {
            let image = of_images.get(layer.as_str());
            let tar = self.tar(layer, image.map(|(layer, _)| *layer))?;
            Ok(match step_of.get(layer.as_str()) {
                Some(step) => LayerSource {
                    tar,
                    made_by: step.name.clone(),
                    line: Some(step.line),
                    stage: Some(stage_name(&step.stage)),
                    is_base: false,
                },
                None => {
                    let made_by = image.map(|(_, made_by)| made_by.clone()).unwrap_or_default();
                    LayerSource { is_base: true, ..source(tar, made_by) }
                }
            })
        };
        chain.iter().map(make).collect()
    }

    /// The tar of a layer: its blob where there is one, for that needs no worker; else its directory.
    fn tar(&self, layer: &LayerId, image: Option<&ImageLayer>) -> Result<Tar, EngineError> {
        let blob = image.and_then(|image| Some((image.diff_id, image.blob.as_ref()?)));
        if let Some((diff_id, blob)) = blob.filter(|(_, blob)| self.store.content.contains(&blob.digest)) {
            let packing = Packing::of(&blob.media_type).unwrap_or(Packing::Plain);
            let (path, digest) = (self.store.content.path(&blob.digest), Some(blob.digest));
            return Ok(Tar::Blob { path, at: 0, size: blob.size, digest, packing, diff_id: Some(diff_id) });
        }
        if self.store.layout.layer(layer).is_dir() {
            return Ok(Tar::Directory(layer.clone()));
        }
        let hint = "build again, or get the image again".to_owned();
        Err(EngineError::user(format!("the layer `{layer}` is not in the store any more"), Some(hint)))
    }
}

fn source(tar: Tar, made_by: String) -> LayerSource {
    LayerSource { tar, made_by, line: None, stage: None, is_base: false }
}

/// A path of an existing file or folder, maybe with `:TAG`.
fn in_file(name: &str) -> Option<ImageAt> {
    let path = Path::new(name);
    // A name without a slash may be an image; a file of that name is meant only when it can be one.
    let is_image = |path: &Path| path.is_file() || path.join("index.json").is_file();
    if is_image(path) {
        return Some(ImageAt::File(path.to_owned(), None));
    }
    let (path, tag) = name.rsplit_once(':')?;
    is_image(Path::new(path)).then(|| ImageAt::File(path.into(), Some(tag.to_owned())))
}

fn read_config(store: &Store, record: &ImageRecord) -> Option<ImageConfig> {
    serde_json::from_slice(&store.content.read(&record.id, 8 << 20).ok()?).ok()
}

/// The instruction that made each of `count` layers. A history that does not fit the layers names none: a wrong name is worse.
fn makers(config: &ImageConfig, count: usize) -> Vec<String> {
    let made = config.history.iter().filter(|entry| !entry.empty_layer);
    let words: Vec<String> = made.map(|entry| entry.created_by.clone().unwrap_or_default()).collect();
    if words.len() == count { words } else { Vec::new() }
}

fn stage_name(stage: &StageName) -> String {
    stage.name.clone().unwrap_or_else(|| stage.index.to_string())
}

fn registered(store: &Store, build: &str) -> Result<Vec<Registered>, EngineError> {
    let events = log::read(&store.layout.build(build).join("events.jsonl")).map_err(|error| {
        let cause = crate::ground::fs::error::describe(&error);
        EngineError::user(format!("the log of the last build cannot be read: {cause}"), Some("build again".into()))
    })?;
    let step = |event| match event {
        BuildEvent::VertexRegistered { vertex, slot, name, line, stage, role, inputs, .. } => {
            Some(Registered { vertex, slot, name, line, stage, role, inputs })
        }
        _ => None,
    };
    Ok(events.events.into_iter().filter_map(|stamped| step(stamped.event)).collect())
}

/// A line in the middle of an instruction means the instruction, as the Dockerfile is now.
fn first_line(project: &Project, chosen: &Chosen) -> Chosen {
    let first = |line: u32| {
        let loaded = project.load().ok();
        let found = loaded
            .and_then(|l| l.dockerfile.instructions.iter().find(|i| i.line <= line && line <= i.end_line).map(|i| i.line));
        found.unwrap_or(line)
    };
    match chosen {
        Chosen::Line(line) => Chosen::Line(first(*line)),
        Chosen::StageLine(stage, line) => Chosen::StageLine(stage.clone(), first(*line)),
        other => other.clone(),
    }
}

/// The step that is meant.
fn choose<'s>(steps: &'s [Registered], chosen: &Chosen, record: &BuildRecord) -> Option<&'s Registered> {
    let of_stage = |step: &Registered, name: &str| {
        step.stage.name.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name)) || name.parse() == Ok(step.stage.index)
    };
    let at = |line: u32, fits: &dyn Fn(&Registered) -> bool| steps.iter().rev().find(|step| step.line == line && fits(step));
    match chosen {
        Chosen::Line(line) => at(*line, &|_| true),
        Chosen::Stage(stage) => steps.iter().rev().find(|step| of_stage(step, stage)),
        Chosen::StageLine(stage, line) => at(*line, &|step| of_stage(step, stage)),
        Chosen::Telling => {
            let failed = steps.iter().rev().find(|step| record.failed.contains(&step.slot));
            let target = |step: &&Registered| record.target.as_ref().is_none_or(|target| of_stage(step, target));
            failed.or_else(|| steps.iter().rev().find(target))
        }
    }
}

/// The layers that a step made or found. An instruction that makes none has those of the one before it in its stage, and the
/// first of a stage those of what the stage begins with.
fn result(
    store: &Store,
    steps: &[Registered],
    step: &Registered,
    record: &BuildRecord,
) -> Result<Option<Vec<LayerId>>, EngineError> {
    let cache = Cache::new(&store.index);
    let mut next = Some(step);
    // Every turn goes up in the file.
    for _ in 0..=steps.len() {
        let Some(step) = next else { return Ok(Some(Vec::new())) };
        let makes = matches!(step.role, Role::Step | Role::Base);
        if makes {
            let Some(id) = record.results.get(&step.slot) else { return Ok(None) };
            return Ok(cache.result(id)?.map(|result| result.layers));
        }
        let before = steps.iter().rev().find(|s| s.stage.index == step.stage.index && s.vertex < step.vertex);
        next = before.or_else(|| steps.iter().find(|s| step.inputs.first() == Some(&s.vertex)));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::oci::History;

    #[test]
    fn a_history_that_does_not_fit_names_no_layer() {
        let entry = |words: &str, empty_layer| History { created_by: Some(words.into()), empty_layer, ..History::default() };
        let mut config = ImageConfig::scratch(&Platform::host());
        config.history = vec![entry("ADD", false), entry("ENV", true), entry("RUN", false)];
        assert_eq!(makers(&config, 2), ["ADD", "RUN"]);
        assert_eq!(makers(&config, 3), Vec::<String>::new());
    }

    #[test]
    fn a_file_is_one_only_when_it_can_hold_an_image() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node");
        std::fs::create_dir(&path).unwrap();
        let name = path.display().to_string();
        assert_eq!(in_file(&name), None, "a folder of sources named like an image");
        std::fs::write(path.join("index.json"), "{}").unwrap();
        assert_eq!(in_file(&name), Some(ImageAt::File(path.clone(), None)));
        assert_eq!(in_file(&format!("{name}:22")), Some(ImageAt::File(path, Some("22".into()))));
    }
}
