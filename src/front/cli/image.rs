//! `image`.

use std::path::Path;

use super::Context;
use super::args::{ImageArgs, ImageCommand};
use crate::engine::EngineError;
use crate::engine::image::import;
use crate::engine::oci::Reference;
use crate::front::report::images::{self, ImageRow};

pub fn run(context: &Context, args: &ImageArgs) -> Result<u8, EngineError> {
    match &args.command {
        ImageCommand::Load { path, tag } => load(context, path, tag.as_deref()),
        ImageCommand::Ls => list(context),
    }
}

fn load(context: &Context, path: &Path, tag: Option<&str>) -> Result<u8, EngineError> {
    let store = context.store()?;
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
    let rows: Vec<ImageRow> =
        context.store()?.index.images()?.iter().map(|(name, record, created)| row(name, record, *created)).collect();
    show(context, &rows)
}

fn row(name: &str, record: &crate::engine::store::ImageRecord, created: u64) -> ImageRow {
    let name = Reference::parse(name).map_or_else(|_| name.to_owned(), |r| r.familiar());
    ImageRow { name, id: record.id.to_string(), size: record.size, created: Some(created) }
}

fn show(context: &Context, rows: &[ImageRow]) -> Result<u8, EngineError> {
    if context.output.json {
        return context.output.write(|out| images::json(out, rows));
    }
    context.output.write(|out| images::plain(out, rows))
}
