//! `du`, `prune`, `check`.

use std::io::{BufRead, IsTerminal, Write};

use super::Context;
use super::args::{CheckArgs, DuArgs, PruneArgs};
use crate::engine::EngineError;
use crate::engine::protocol::settings::parse_size;
use crate::engine::upkeep::check::Report;
use crate::engine::upkeep::{Filter, Inventory, Item, ItemKind, Limits};
use crate::front::report::upkeep as report;
use crate::front::text;

pub fn du(context: &Context, args: &DuArgs) -> Result<u8, EngineError> {
    let filters = filters(&args.filter)?;
    if let Some(words) = context.without_store()? {
        if let Some(wanted) = &args.cache {
            cache(&[], wanted)?;
        }
        return context.output.write(|out| match context.output.json {
            true => report::usage_json(out, &Inventory::default()),
            false => writeln!(out, "{words}"),
        });
    }
    let engine = context.engine()?;
    let mut inventory = engine.disk_use()?;
    if let Some(wanted) = &args.cache {
        let cache = cache(&inventory.items, wanted)?;
        let contents = engine.cache_contents(&cache.id)?;
        return match context.output.json {
            true => context.output.write(|out| report::cache_json(out, cache, &contents)),
            false => context.output.write(|out| report::cache(out, cache, &contents)),
        };
    }
    let now = now();
    inventory.items.retain(|item| filters.iter().all(|filter| filter.fits(item, now)));
    inventory.items.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.id.cmp(&b.id)));
    match context.output.json {
        true => context.output.write(|out| report::usage_json(out, &inventory)),
        false => context.output.write(|out| report::usage(out, &inventory)),
    }
}

/// A cache by its id, or by its folder's name or the beginning of it.
fn cache<'a>(items: &'a [Item], wanted: &str) -> Result<&'a Item, EngineError> {
    let caches = || items.iter().filter(|item| item.kind == ItemKind::CacheMount);
    let by_id = |item: &&Item| item.mount.as_ref().is_some_and(|mount| mount.id == wanted);
    let by_name = |item: &&Item| !wanted.is_empty() && item.id.starts_with(wanted);
    caches().find(by_id).or_else(|| caches().find(by_name)).ok_or_else(|| {
        let message = format!("there is no cache mount `{}`", wanted.escape_debug());
        EngineError::user(message, Some("list them: `rbuild-tui du --filter type=cache-mount`".into()))
    })
}

pub fn prune(context: &Context, args: &PruneArgs) -> Result<u8, EngineError> {
    let keep = args.keep_storage.as_deref().map(parse_size).transpose();
    let keep = keep.map_err(|message| EngineError::usage(format!("--keep-storage: {message}"), None))?;
    let limits = Limits { all: args.all, filters: filters(&args.filter)?, keep };
    if let Some(words) = context.without_store()? {
        return context.output.write(|out| match context.output.json {
            true => report::pruned_json(out, &[], &[], args.dry_run),
            false => writeln!(out, "{words}"),
        });
    }
    let engine = context.engine()?;
    let selection = engine.selection(&limits)?;
    if args.dry_run {
        return show(context, &selection.items, &[], true);
    }
    if !args.force && !selection.items.is_empty() && !agreed(context, selection.items.len(), selection.bytes())? {
        return Ok(super::CANCELLED);
    }
    // Looked at again: an answer may take its time, and builds went on meanwhile.
    let collected = engine.collect(engine.selection(&limits)?, &words(args))?;
    show(context, &collected.gone, &collected.kept, false)
}

fn show(context: &Context, gone: &[Item], kept: &[Item], dry: bool) -> Result<u8, EngineError> {
    match context.output.json {
        true => context.output.write(|out| report::pruned_json(out, gone, kept, dry)),
        false => context.output.write(|out| report::pruned(out, gone, kept, dry)),
    }
}

/// Asks on a terminal; a script has to say `--force`.
fn agreed(context: &Context, count: usize, bytes: u64) -> Result<bool, EngineError> {
    if context.output.json || !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        let message = "nothing was removed: there is nobody to ask".to_owned();
        return Err(EngineError::usage(message, Some("say --force, or look first with --dry-run".into())));
    }
    print!("Remove {count} things, {}? They are made again when a build needs them. [y/N] ", text::size(bytes));
    let _ = std::io::stdout().flush();
    let mut answer = String::new();
    let _ = std::io::stdin().lock().read_line(&mut answer);
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// The call in words, for the ledger.
fn words(args: &PruneArgs) -> String {
    let mut out = "`prune".to_owned();
    if args.all {
        out.push_str(" --all");
    }
    for filter in &args.filter {
        out.push_str(&format!(" --filter {filter}"));
    }
    if let Some(keep) = &args.keep_storage {
        out.push_str(&format!(" --keep-storage {keep}"));
    }
    out + "`"
}

pub fn check(context: &Context, args: &CheckArgs) -> Result<u8, EngineError> {
    if let Some(words) = context.without_store()? {
        return context.output.write(|out| match context.output.json {
            true => report::checked_json(out, &Report::default(), args.repair),
            false => writeln!(out, "{words}"),
        });
    }
    let found = context.engine()?.check(args.repair)?;
    let ended = match context.output.json {
        true => context.output.write(|out| report::checked_json(out, &found, args.repair)),
        false => context.output.write(|out| report::checked(out, &found, args.repair)),
    }?;
    let unrepaired = !found.findings.is_empty() && !args.repair;
    Ok(if unrepaired { super::FAILED } else { ended })
}

fn filters(texts: &[String]) -> Result<Vec<Filter>, EngineError> {
    let parse = |text: &String| Filter::parse(text).map_err(|e| EngineError::usage(format!("--filter: {e}"), None));
    texts.iter().map(parse).collect()
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_micros() as u64)
}
