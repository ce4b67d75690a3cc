//! `lint`, and `build --check`.

use super::args::{LintArgs, LintFormat, ProjectArgs};
use super::{Context, build};
use crate::engine::oci::{ImageConfig, Platform, Reference};
use crate::engine::store::Store;
use crate::engine::{EngineError, IgnoreFile};
use crate::front::report::lint::{self, LintReport};
use crate::insight::suggest::{find_page, pages};
use crate::language::dockerfile::checks::{self, BaseImage, LintRequest, Target};
use crate::language::dockerfile::{nearest, parse};

/// `lint`.
pub fn run(context: &Context, args: &LintArgs) -> Result<u8, EngineError> {
    let format = if context.output.json { LintFormat::Json } else { args.format };
    if let Some(name) = &args.explain {
        return explain(context, name, format);
    }
    if !args.outline {
        return check(context, &args.project(), format);
    }
    let project = build::project(context, &args.project())?;
    project.require_folder()?;
    let outline = parse(&project.read_dockerfile()?).outline();
    let file = project.file_name();
    context.output.write(|out| match format {
        LintFormat::Json => lint::outline_json(out, &file, &outline),
        _ => lint::outline(out, &outline),
    })
}

fn explain(context: &Context, name: &str, format: LintFormat) -> Result<u8, EngineError> {
    if let Some(page) = find_page(name) {
        return context.output.write(|out| match format {
            LintFormat::Json => lint::suggestion_page_json(out, page),
            _ => lint::suggestion_page(out, page),
        });
    }
    let Some(rule) = checks::find_rule(name) else {
        let own = pages().map(|page| page.name);
        let names = checks::ALL.iter().map(|check| check.name()).chain(own);
        let hint = match nearest(name, names.clone()) {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("there is {}", names.collect::<Vec<_>>().join(", ")),
        };
        return Err(EngineError::usage(format!("there is no rule `{}`", name.escape_debug()), Some(hint)));
    };
    context.output.write(|out| match format {
        LintFormat::Json => lint::page_json(out, rule),
        _ => lint::page(out, rule),
    })
}

/// Checks a project without building it: 0, or 1 when it cannot be built or `# check=error=true` finds something.
pub fn check(context: &Context, args: &ProjectArgs, format: LintFormat) -> Result<u8, EngineError> {
    let project = build::project(context, args)?;
    project.require_folder()?;
    let dockerfile = parse(&project.read_dockerfile()?);
    let ignore = IgnoreFile::find(&project.context, Some(&project.dockerfile))?;
    let store = store(context);
    let base = |name: &str| base_image(store.as_ref()?, name);
    let request = LintRequest {
        dockerfile: &dockerfile,
        ignore: Some(ignore.rules()),
        target: project.target.as_deref().map_or(Target::All, Target::Named),
        build_args: &project.build_args,
        platform: &Platform::host().text(),
        base: &base,
    };
    let lint = checks::lint(&request);
    let file = project.file_name();
    let report = LintReport { dockerfile: &dockerfile, file: &file, lint: &lint };
    let written = context.output.write(|out| match format {
        LintFormat::Tty if context.output.quiet && lint.errors.is_empty() && lint.warnings.is_empty() => Ok(()),
        LintFormat::Tty => lint::plain(out, &report),
        LintFormat::Json => lint::json(out, &report),
        LintFormat::Sarif => lint::sarif(out, &report),
        LintFormat::Github => lint::github(out, &report),
    })?;
    Ok(if lint.fails() { super::FAILED } else { written })
}

/// The store, if there is one: linting makes none.
fn store(context: &Context) -> Option<Store> {
    let path = context.store_path().ok().filter(|path| path.is_dir())?;
    Store::open_to_read(&path).ok()
}

/// What the store knows of a base image.
fn base_image(store: &Store, name: &str) -> Option<BaseImage> {
    let full = Reference::parse(name).ok()?.to_string();
    let record = store.index.image(&full).ok()??;
    let bytes = store.content.read(&record.id, 8 << 20).ok()?;
    let config: ImageConfig = serde_json::from_slice(&bytes).ok()?;
    Some(BaseImage {
        has_shell: config.config.shell.as_ref().is_some_and(|shell| !shell.is_empty()),
        platform: Some(format!("{}/{}", config.os, config.architecture)),
        env: config.config.env,
    })
}
