//! `layers`.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;

use super::image::reporter;
use super::{Context, cancellable};
use crate::engine::image::inspect::{Stack, TreePath, changed_rows, compare, merged_rows};
use crate::engine::protocol::settings::parse_size;
use crate::engine::{Chosen, Engine, EngineError, ImageAt, Layered, Project, Remote};
use crate::front::report::layers::{self as report, Filter, View, json};
use crate::front::text;

/// Bytes of a file that `--cat` shows.
const PREVIEW: usize = 256 << 10;

/// `layers [STEP|IMAGE]`.
#[derive(Debug, Args)]
pub struct LayersArgs {
    /// A line, a stage or STAGE:LINE of the last build; or an image: its name in the store or at a registry, an OCI layout or an
    /// archive of `docker save` [default: what failed last, else the last step].
    #[arg(value_name = "STEP|IMAGE")]
    pub what: Option<String>,
    /// The build context whose last build is meant.
    #[arg(short = 'C', long, default_value = ".", value_name = "PATH")]
    pub context: PathBuf,
    /// The Dockerfile [default: PATH/Dockerfile].
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The stage that was built.
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    /// The files of one layer, with what it did to them: A added, C changed, R removed.
    #[arg(long, value_name = "N", conflicts_with_all = ["all", "path", "compare"])]
    pub layer: Option<usize>,
    /// The files that all layers show together.
    #[arg(long, conflicts_with_all = ["path", "cat", "compare"])]
    pub all: bool,
    /// Trees no deeper than this.
    #[arg(long, value_name = "N")]
    pub depth: Option<usize>,
    /// Which layer provides a path, and which hide or remove it.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["cat", "compare"])]
    pub path: Option<String>,
    /// The beginning of a file; with --layer, as that layer has it.
    #[arg(long, value_name = "PATH", conflicts_with = "compare")]
    pub cat: Option<String>,
    /// How another image, or step, differs from this one.
    #[arg(long, value_name = "STEP|IMAGE")]
    pub compare: Option<String>,
    /// Nothing smaller than this.
    #[arg(long, value_name = "SIZE")]
    pub min_size: Option<String>,
}

pub fn run(context: &Context, args: &LayersArgs) -> Result<u8, EngineError> {
    let wrong = |why: String| EngineError::usage(format!("--min-size: {why}"), None);
    let min_size = args.min_size.as_deref().map(parse_size).transpose().map_err(wrong)?.unwrap_or(0);
    let filter = Filter { depth: args.depth, min_size };
    if is_line(args.what.as_deref()) && context.without_store()?.is_some() {
        return Err(not_built(&Project::open(&args.context, args.file.as_deref())?));
    }
    // Before any thread.
    let engine = context.engine()?;
    let of = open(context, args, &engine, args.what.as_deref())?;
    let stack = engine.read_layers(&of, args.compare.is_some())?;
    let view = View { name: &of.name, layers: &of.layers, stack: &stack };
    if let Some(other) = &args.compare {
        return compared(context, args, &engine, (view, other), filter);
    }
    if let Some(path) = &args.cat {
        return cat(context, &engine, (&of, view), path, args.layer);
    }
    if let Some(path) = &args.path {
        let path = real(&stack, path, false)?;
        return context.output.write(|out| match context.output.json {
            true => json::json(out, view, &json::Part::Path(&path), filter),
            false => report::provenance(out, view, &path),
        });
    }
    if args.layer.is_none() && !args.all {
        return context.output.write(|out| match context.output.json {
            true => json::json(out, view, &json::Part::Summary, filter),
            false => report::summary(out, view, min_size),
        });
    }
    let rows = match args.layer {
        Some(number) => changed_rows(&stack, index(number, &of)?),
        None => merged_rows(&stack),
    };
    context.output.write(|out| match context.output.json {
        true => json::json(out, view, &json::Part::Tree(args.layer, &rows), filter),
        false => report::tree(out, view, &rows, filter),
    })
}

fn is_line(what: Option<&str>) -> bool {
    what.is_none_or(|what| what.parse::<u32>().is_ok())
}

fn not_built(project: &Project) -> EngineError {
    let message = format!("{} was not built here yet", project.file_name());
    EngineError::user(message, Some("run `rbuild-tui build` first, or name an image".into()))
}

/// Opens what somebody names: a step of the last build, else an image.
fn open(context: &Context, args: &LayersArgs, engine: &Engine, what: Option<&str>) -> Result<Layered, EngineError> {
    let is_line = is_line(what);
    let project = Project::open(&args.context, args.file.as_deref()).map(|mut project| {
        project.target.clone_from(&args.target);
        project
    });
    match project {
        Ok(project) => {
            let chosen = what.map(Chosen::parse).unwrap_or_default();
            if let Some(found) = engine.step_layers(&project, &chosen)? {
                return Ok(found);
            }
            if is_line {
                let built = project.last_record(&engine.store)?.is_some();
                let error = not_built(&project);
                return Err(match (built, what) {
                    (true, Some(line)) => {
                        EngineError { message: format!("the last build has no step at line {line}"), ..error }
                    }
                    _ => error,
                });
            }
        }
        Err(error) if is_line || args.file.is_some() => return Err(error),
        // An image needs no project.
        Err(_) => {}
    }
    let name = what.unwrap_or_default();
    let at = engine.find_image(name)?;
    let quiet = context.output.quiet || context.output.json;
    if let (ImageAt::Registry(reference), false) = (&at, quiet) {
        eprintln!("{} is not in the store: it is pulled", text::line(&reference.familiar()));
    }
    let report = reporter(quiet);
    cancellable::run(|cancel| engine.image_layers(&at, &Remote::new(&engine.sources, cancel, &report, true)))
}

fn index(number: usize, of: &Layered) -> Result<usize, EngineError> {
    number.checked_sub(1).filter(|at| *at < of.layers.len()).ok_or_else(|| {
        let message = format!("there is no layer {number}");
        EngineError::usage(message, Some(format!("layers are numbered from 1, the lowest, to {}", of.layers.len())))
    })
}

fn real(stack: &Stack, path: &str, last: bool) -> Result<TreePath, EngineError> {
    let path = TreePath::new(path.as_bytes());
    let found = stack.resolve(&path, last);
    found.ok_or_else(|| EngineError::user(format!("the links at `{}` lead in a circle", report::shown(&path, false)), None))
}

fn cat(
    context: &Context,
    engine: &Engine,
    (of, view): (&Layered, View<'_>),
    path: &str,
    layer: Option<usize>,
) -> Result<u8, EngineError> {
    let stack = view.stack;
    let path = real(stack, path, layer.is_none())?;
    let shown = report::shown(&path, false);
    let place = match layer {
        Some(number) => {
            let at = index(number, of)?;
            let version = stack.versions(&path).into_iter().find(|version| version.layer as usize == at);
            version.and_then(|version| version.change.now)
        }
        None => stack.at(&path).and_then(|node| stack.body(node).or(Some(node.place))),
    };
    let absent = || {
        let place = layer.map_or_else(|| "the image".to_owned(), |number| format!("layer {number}"));
        let hint = format!("see which layer has it: --path {}", text::line(&shown));
        EngineError::user(format!("{place} has no file `{shown}`"), Some(hint))
    };
    let place = place.ok_or_else(absent)?;
    let (Some(entry), Some(number)) = (stack.entry(place), place.entry) else { return Err(absent()) };
    if entry.kind != crate::engine::image::inspect::Kind::File {
        let message = format!("`{shown}` is no file with bytes of its own, but a {}", entry.kind.word());
        return Err(EngineError::user(message, None));
    }
    let preview = engine.preview(of, place.layer, number, PREVIEW)?;
    let colours = std::io::stdout().is_terminal() && !context.config.no_color && !context.output.plain;
    context.output.write(|out| match context.output.json {
        true => json::json(out, view, &json::Part::File(&path, &preview), Filter::default()),
        false => report::file(out, &path, &preview, colours),
    })
}

fn compared(
    context: &Context,
    args: &LayersArgs,
    engine: &Engine,
    (first, other): (View<'_>, &str),
    filter: Filter,
) -> Result<u8, EngineError> {
    let of = open(context, args, engine, Some(other))?;
    let stack = engine.read_layers(&of, true)?;
    let second = View { name: &of.name, layers: &of.layers, stack: &stack };
    let found = compare(first.stack, &stack);
    context.output.write(|out| match context.output.json {
        true => json::json(out, first, &json::Part::Compared(second, &found), filter),
        false => report::compared(out, first, second, &found, filter),
    })
}
