//! The documents of `layers --json`. Schema 1: fields are added, never renamed or removed.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::summary::counts;
use super::{Filter, View, instruction, notes, shown, tree, word};
use crate::engine::image::inspect::{
    Comparison, Content, Entry, How, Kind, Place, Preview, Row, Tar, TreePath, efficiency, wasted, wasted_by_layer,
};
use crate::front::report::document;
use crate::front::text;

/// What a document holds beside the layers.
pub enum Part<'a> {
    /// Nothing.
    Summary,
    /// `--layer` (with its number) or `--all`.
    Tree(Option<usize>, &'a [Row]),
    /// `--path`.
    Path(&'a TreePath),
    /// `--cat`.
    File(&'a TreePath, &'a Preview),
    /// `--compare`.
    Compared(View<'a>, &'a Comparison),
}

/// One document. Errors: of the writer.
pub fn json(out: &mut dyn Write, view: View<'_>, part: &Part<'_>, filter: Filter) -> io::Result<()> {
    let found = efficiency(view.stack);
    let groups = wasted(view.stack);
    let waste: Vec<Value> = groups
        .iter()
        .filter(|group| group.bytes >= filter.min_size)
        .map(|group| {
            json!({"path": shown(&group.path, false), "bytes": group.bytes, "files": group.files, "layer": group.layer + 1,
                   "hidden_by": group.by + 1, "deleted": group.is_deleted})
        })
        .collect();
    let mut all = json!({
        "schema": 1,
        "name": view.name,
        "layers": layers(view),
        "waste": waste,
        "wasted_bytes": groups.iter().map(|group| group.bytes).sum::<u64>(),
        "efficiency": {"score": found.score(), "smallest_bytes": found.smallest, "total_bytes": found.total},
        "notes": notes(view),
    });
    let (key, value) = match part {
        Part::Summary => return document::json(out, &all),
        Part::Tree(layer, rows) => {
            let entries: Vec<Value> = tree::kept(rows, filter).map(|row| self::row(view, row)).collect();
            ("tree", json!({"layer": layer, "entries": entries}))
        }
        Part::Path(path) => ("path", self::path(view, path)?),
        Part::File(path, preview) => ("file", file(path, preview)),
        Part::Compared(other, comparison) => ("compared", compared(view, *other, comparison, filter)),
    };
    all[key] = value;
    document::json(out, &all)
}

fn layers(view: View<'_>) -> Vec<Value> {
    let waste = wasted_by_layer(view.stack);
    let one = |(at, source): (usize, &crate::engine::image::inspect::LayerSource)| {
        let [added, changed, removed] = counts(view, at);
        let (digest, diff_id, bytes) = match &source.tar {
            Tar::Blob { digest, diff_id, size, .. } => (*digest, *diff_id, Some(*size)),
            Tar::Directory(_) => (None, None, None),
        };
        json!({"number": at + 1, "bytes": view.stack.bytes(at), "files_added": added, "files_changed": changed,
               "files_removed": removed, "wasted_bytes": waste.get(at), "made_by": instruction(&source.made_by),
               "line": source.line, "stage": source.stage, "base": source.is_base, "digest": digest, "diff_id": diff_id,
               "blob_bytes": bytes, "cut": view.stack.listings().get(at).and_then(|listing| listing.cut.clone())})
    };
    view.layers.iter().enumerate().map(one).collect()
}

fn row(view: View<'_>, row: &Row) -> Value {
    let mut out = json!({"path": shown(&row.path, false), "mark": row.mark.map(word), "bytes": row.bytes});
    if row.is_directory {
        out["files"] = row.files.into();
    }
    add_place(view, row.place, &mut out);
    out
}

fn add_place(view: View<'_>, place: Option<Place>, out: &mut Value) {
    let entry = place.and_then(|place| view.stack.entry(place));
    out["kind"] = entry.map_or("directory", |entry| entry.kind.word()).into();
    out["layer"] = place.map(|place| place.layer + 1).into();
    if let Some(entry) = entry {
        add_entry(entry, out);
    }
}

fn add_entry(entry: &Entry, out: &mut Value) {
    out["mode"] = format!("{:04o}", entry.mode).into();
    (out["uid"], out["gid"]) = (entry.uid.into(), entry.gid.into());
    out["modified"] = entry.modified.into();
    if let Kind::Symlink(target) | Kind::HardLink(target) = &entry.kind {
        out["target"] = text::path(target).into();
    }
    if !entry.xattrs.is_empty() {
        out["xattrs"] = json!(entry.xattrs);
    }
    if let Content::Hashed(digest) = entry.content {
        out["digest"] = json!(digest);
    }
}

fn path(view: View<'_>, path: &TreePath) -> io::Result<Value> {
    let versions = view.stack.versions(path);
    if versions.is_empty() {
        let message = format!("no layer has `{}`", shown(path, false));
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let side = |place: Option<Place>| {
        place.map(|place| {
            let mut out = json!({"bytes": view.stack.entry(place).map_or(0, |entry| entry.size)});
            add_place(view, Some(place), &mut out);
            out
        })
    };
    let rows: Vec<Value> = versions
        .iter()
        .map(|version| {
            let (how, root) = match &version.change.how {
                How::Written => ("written", None),
                How::Implied => ("implied", None),
                How::Whiteout(root) => ("whiteout", Some(root)),
                How::Opaque(root) => ("opaque", Some(root)),
                How::Replaced(root) => ("replaced", Some(root)),
            };
            json!({"layer": version.layer + 1, "mark": word(version.change.mark), "how": how,
                   "by": root.map(|root| shown(root, false)), "lower": side(version.change.before),
                   "merged": side(version.change.now)})
        })
        .collect();
    let provided = view.stack.at(path).map(|node| node.place.layer + 1);
    Ok(json!({"path": shown(path, false), "provided_by": provided, "versions": rows}))
}

fn file(path: &TreePath, preview: &Preview) -> Value {
    let text = preview.text();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let head = &preview.bytes[..preview.bytes.len().min(512)];
    json!({"path": shown(path, false), "bytes": preview.size, "text": text,
           "hex": text.is_none().then(|| hex(head)), "cut": (preview.bytes.len() as u64) < preview.size})
}

fn compared(first: View<'_>, second: View<'_>, found: &Comparison, filter: Filter) -> Value {
    let one = |difference: &crate::engine::image::inspect::Difference| {
        json!({"path": shown(&difference.path, false), "mark": word(difference.mark), "what": difference.what,
               "before_bytes": difference.before, "after_bytes": difference.after, "directory": difference.is_directory})
    };
    let differences: Vec<Value> = super::compare::kept(found, filter).map(one).collect();
    json!({"with": second.name, "layers": layers(second), "shared_layers": super::compare::shared(first.layers, second.layers),
           "differences": differences, "same": found.same})
}
