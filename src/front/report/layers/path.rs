//! The union made visible at one path: what each layer found there, what it laid over it, and what came out.

use std::io::{self, Write};

use super::{View, arrow, attributes, maker, shown};
use crate::engine::image::inspect::{Change, How, Mark, Place, TreePath};
use crate::front::report::table;
use crate::front::text;

/// The table of a path. `path` is where it leads, with links on the way followed. Errors: of the writer; no layer knows it.
pub fn provenance(out: &mut dyn Write, view: View<'_>, path: &TreePath) -> io::Result<()> {
    let versions = view.stack.versions(path);
    if versions.is_empty() {
        let message = format!("no layer has `{}`", shown(path, false));
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    writeln!(out, "{}", shown(path, is_directory(view, path)))?;
    writeln!(out)?;
    let rows: Vec<Vec<String>> = versions
        .iter()
        .map(|version| {
            let change = version.change;
            let made = view.layers.get(version.layer as usize).map(maker).unwrap_or_default();
            vec![
                (version.layer + 1).to_string(),
                change.before.map_or_else(|| "-".to_owned(), |place| stands(view, place)),
                upper(view, change),
                change.now.map_or_else(|| "-".to_owned(), |place| stands(view, place)),
                text::fit(&made, 60),
            ]
        })
        .collect();
    table::write(out, &["layer", "lower", "upper", "merged", "made by"], &rows)?;
    writeln!(out)?;
    writeln!(out, "{}", verdict(view, path))
}

fn is_directory(view: View<'_>, path: &TreePath) -> bool {
    view.stack.at(path).is_some_and(|node| view.stack.is_directory(node.place))
}

/// What stands at a place: `-rw-r--r-- 0:0 1.2 kB (1)`, with the layer that provides it.
fn stands(view: View<'_>, place: Place) -> String {
    let entry = view.stack.entry(place);
    let size =
        entry.filter(|_| !view.stack.is_directory(place)).map_or_else(String::new, |e| format!(" {}", text::size(e.size)));
    let arrow = entry.map(arrow).unwrap_or_default();
    format!("{}{size}{arrow} ({})", attributes(entry), place.layer + 1)
}

fn upper(view: View<'_>, change: &Change) -> String {
    let own = |root: &TreePath| *root == change.path;
    match &change.how {
        How::Whiteout(root) if own(root) => "removes it".to_owned(),
        How::Whiteout(root) => format!("removes {}", shown(root, true)),
        How::Opaque(root) => format!("empties {}", shown(root, true)),
        How::Replaced(root) => format!("{} is something else now", shown(root, false)),
        How::Implied => "has something in it".to_owned(),
        How::Written if change.mark == Mark::Named => "names it".to_owned(),
        How::Written => change.now.map_or_else(String::new, |place| stands(view, place)),
    }
}

/// Which layer provides it, and which hid or removed what others brought.
pub(super) fn verdict(view: View<'_>, path: &TreePath) -> String {
    let versions = view.stack.versions(path);
    let numbers = |layers: Vec<u32>| layers.iter().map(|n| (n + 1).to_string()).collect::<Vec<_>>().join(", ");
    let brought = |except: Option<u32>| -> Vec<u32> {
        // Directories are merged, not hidden.
        let merges = |place: Place| is_directory(view, path) && view.stack.is_directory(place);
        let own = versions.iter().filter(|v| v.change.now.is_some_and(|place| !merges(place)));
        own.map(|v| v.layer).filter(|layer| Some(*layer) != except).collect()
    };
    match view.stack.at(path) {
        Some(node) => {
            let hidden = brought(Some(node.place.layer));
            let tail =
                if hidden.is_empty() { String::new() } else { format!("; it hides what layer {} brought", numbers(hidden)) };
            format!("layer {} provides it{tail}", node.place.layer + 1)
        }
        None => {
            let by = versions.iter().rev().find(|v| v.change.mark == Mark::Removed).map_or(0, |v| v.layer);
            format!("the image does not show it: layer {} removed what layer {} brought", by + 1, numbers(brought(None)))
        }
    }
}
