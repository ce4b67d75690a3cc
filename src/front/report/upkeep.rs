//! `du`, `prune` and `check`.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::{document, table};
use crate::engine::event::LayerStat;
use crate::engine::store::uses::Place;
use crate::engine::upkeep::check::Report;
use crate::engine::upkeep::{Inventory, Item, ItemKind};
use crate::front::text;

/// What takes space, in the given order, and sums. Errors: of the writer.
pub fn usage(out: &mut dyn Write, inventory: &Inventory) -> io::Result<()> {
    if inventory.items.is_empty() {
        return writeln!(out, "nothing of this kind is in the store");
    }
    rows(out, &inventory.items)?;
    writeln!(out)?;
    let mut sums = Vec::new();
    for kind in ItemKind::ALL {
        let of_kind = inventory.items.iter().filter(|item| item.kind == kind);
        let (count, bytes) = of_kind.fold((0, 0), |(count, bytes), item| (count + 1, bytes + item.bytes));
        if count > 0 {
            sums.push(vec![kind.word().to_owned(), count.to_string(), text::size(bytes)]);
        }
    }
    sums.push(vec!["index".to_owned(), "1".to_owned(), text::size(inventory.index_bytes)]);
    let free = inventory.items.iter().filter(|item| item.reclaimable());
    sums.push(vec![
        "reclaimable".to_owned(),
        free.clone().count().to_string(),
        text::size(free.map(|item| item.bytes).sum()),
    ]);
    table::write(out, &["KIND", "COUNT", "SIZE"], &sums)
}

/// `{"schema":1,"items":[…],"bytes":…}`. Errors: of the writer.
pub fn usage_json(out: &mut dyn Write, inventory: &Inventory) -> io::Result<()> {
    let reclaimable: u64 = inventory.items.iter().filter(|item| item.reclaimable()).map(|item| item.bytes).sum();
    let items: Vec<Value> = inventory.items.iter().map(value).collect();
    let (bytes, index) = (inventory.bytes(), inventory.index_bytes);
    document::json(
        out,
        &json!({"schema": 1, "items": items, "bytes": bytes, "index_bytes": index, "reclaimable_bytes": reclaimable}),
    )
}

/// How many paths of a cache are listed as lines.
const LISTED: usize = 40;

/// One cache mount: who uses it, what it holds. Errors: of the writer.
pub fn cache(out: &mut dyn Write, item: &Item, contents: &[(String, LayerStat)]) -> io::Result<()> {
    let id = item.mount.as_ref().map_or("(of no build on record)", |mount| mount.id.as_str());
    writeln!(out, "cache mount {}  {}", text::line(id), text::size(item.bytes))?;
    for (place, used) in item.mount.iter().flat_map(|mount| &mount.users) {
        let at = format!("{}:{}", place.dockerfile, place.line);
        let line = format!("  mounted by {at}  {}  (last {})", place.instruction, table::moment(used / 1_000_000));
        writeln!(out, "{}", text::line(&line))?;
    }
    let row = |(path, stat): &(String, LayerStat)| vec![text::size(stat.bytes), stat.entries.to_string(), path.clone()];
    let cells: Vec<Vec<String>> = contents.iter().take(LISTED).map(row).collect();
    table::write(out, &["SIZE", "FILES", "PATH"], &cells)?;
    match contents.len().saturating_sub(LISTED) {
        0 => Ok(()),
        more => writeln!(out, "and {more} more paths"),
    }
}

/// The same as a document. Errors: of the writer.
pub fn cache_json(out: &mut dyn Write, item: &Item, contents: &[(String, LayerStat)]) -> io::Result<()> {
    let path = |(path, stat): &(String, LayerStat)| json!({"path": path, "bytes": stat.bytes, "entries": stat.entries});
    let contents: Vec<Value> = contents.iter().map(path).collect();
    document::json(out, &json!({"schema": 1, "cache": value(item), "contents": contents}))
}

/// What went. Errors: of the writer.
pub fn pruned(out: &mut dyn Write, gone: &[Item], kept: &[Item], dry: bool) -> io::Result<()> {
    if gone.is_empty() && kept.is_empty() {
        return writeln!(out, "nothing to remove: images and running builds need what is there, or the limits leave it");
    }
    if !gone.is_empty() {
        rows(out, gone)?;
        writeln!(out)?;
    }
    for item in kept {
        writeln!(out, "kept {} {}: a build that began meanwhile uses it", item.kind.word(), text::line(&item.id))?;
    }
    let bytes = gone.iter().map(|item| item.bytes).sum();
    writeln!(out, "{} {}", if dry { "would free" } else { "freed" }, text::size(bytes))
}

/// The same as a document. Errors: of the writer.
pub fn pruned_json(out: &mut dyn Write, gone: &[Item], kept: &[Item], dry: bool) -> io::Result<()> {
    let bytes: u64 = gone.iter().map(|item| item.bytes).sum();
    let values = |items: &[Item]| items.iter().map(value).collect::<Vec<_>>();
    document::json(out, &json!({"schema": 1, "dry_run": dry, "removed": values(gone), "kept": values(kept), "bytes": bytes}))
}

/// What a check found. Errors: of the writer.
pub fn checked(out: &mut dyn Write, report: &Report, repaired: bool) -> io::Result<()> {
    let Report { blobs, layers, noted, records, findings } = report;
    for finding in findings {
        writeln!(out, "{}: {}", text::line(&finding.what), text::line(&finding.why))?;
        let word = if repaired { "repaired" } else { "with --repair" };
        writeln!(out, "  {word}: {}", text::line(&finding.repair.text()))?;
    }
    let verdict = match (findings.len(), repaired) {
        (0, _) => "all is well".to_owned(),
        (count, false) => format!("problems: {count}"),
        (count, true) => format!("problems: {count}, repaired"),
    };
    writeln!(out, "{blobs} blobs, {layers} layers, {records} records: {verdict}")?;
    match noted {
        0 => Ok(()),
        noted => writeln!(out, "{noted} layers had no digest yet: theirs is noted, and compared from the next check on"),
    }
}

/// The same as a document. Errors: of the writer.
pub fn checked_json(out: &mut dyn Write, report: &Report, repaired: bool) -> io::Result<()> {
    let Report { blobs, layers, noted, records, findings } = report;
    let finding = |finding: &crate::engine::upkeep::Finding| json!({"what": finding.what, "why": finding.why, "repair": finding.repair.text()});
    let findings: Vec<Value> = findings.iter().map(finding).collect();
    document::json(
        out,
        &json!({"schema": 1, "blobs": blobs, "layers": layers, "noted": noted, "records": records, "repaired": repaired,
            "findings": findings}),
    )
}

fn rows(out: &mut dyn Write, items: &[Item]) -> io::Result<()> {
    let row = |item: &Item| {
        let place = item.place.as_ref().map(|place| format!("{}:{}", place.dockerfile, place.line));
        let id = item.mount.as_ref().map(|mount| mount.id.clone());
        let what = id.or_else(|| item.place.as_ref().map(|place| place.instruction.clone()));
        let none = || "-".to_owned();
        vec![
            text::fit(&item.id, 20),
            item.kind.word().to_owned(),
            text::size(item.bytes),
            table::moment(item.used / 1_000_000),
            item.count.to_string(),
            holder(item),
            place.unwrap_or_else(none),
            text::fit(&what.unwrap_or_else(none), 48),
        ]
    };
    let cells: Vec<Vec<String>> = items.iter().map(row).collect();
    table::write(out, &["ID", "KIND", "SIZE", "LAST USED (UTC)", "BUILDS", "STATE", "LINE", "WHAT"], &cells)
}

/// Who holds it: `running build`, `image NAME`, `shared by N`, `reclaimable`.
fn holder(item: &Item) -> String {
    match (item.leased, item.images.as_slice(), item.below) {
        (true, ..) => "running build".to_owned(),
        (false, [name], _) => format!("image {}", text::fit(name, 30)),
        (false, [_, ..], _) => format!("{} images", item.images.len()),
        (false, [], 0) => "reclaimable".to_owned(),
        (false, [], below) => format!("shared by {below}"),
    }
}

fn value(item: &Item) -> Value {
    let place =
        |place: &Place| json!({"dockerfile": place.dockerfile, "line": place.line, "instruction": place.instruction});
    let mount = item.mount.as_ref().map(|mount| {
        let user = |(at, used): &(Place, u64)| json!({"place": place(at), "used_unix": used / 1_000_000});
        json!({"id": mount.id, "users": mount.users.iter().map(user).collect::<Vec<_>>()})
    });
    json!({
        "kind": item.kind.word(),
        "id": item.id,
        "bytes": item.bytes,
        "created_unix": item.created / 1_000_000,
        "used_unix": item.used / 1_000_000,
        "builds": item.count,
        "line": item.place.as_ref().map(place),
        "images": item.images,
        "in_use": item.leased,
        "shared_by": item.below,
        "reclaimable": item.reclaimable(),
        "cache_mount": mount,
    })
}
