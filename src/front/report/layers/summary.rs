//! The layers as a table, what they waste, and how efficient they are.

use std::io::{self, Write};

use super::{View, count, maker, notes, shown};
use crate::engine::image::inspect::{Mark, WasteGroup, efficiency, wasted, wasted_by_layer};
use crate::front::report::table;
use crate::front::text;

/// Rows of waste that are shown without being asked for.
const ROWS: usize = 20;
/// Cells of an instruction.
const WORDS: usize = 70;

/// Files that a layer added, changed and removed; directories do not count.
pub(super) fn counts(view: View<'_>, layer: usize) -> [u64; 3] {
    let mut out = [0; 3];
    for change in view.stack.changes(layer) {
        let place = change.now.or(change.before);
        if place.is_some_and(|place| view.stack.is_directory(place)) {
            continue;
        }
        match change.mark {
            Mark::Added => out[0] += 1,
            Mark::Changed => out[1] += 1,
            Mark::Removed => out[2] += 1,
            Mark::Named => {}
        }
    }
    out
}

/// Table, waste and efficiency. Errors: of the writer.
pub fn summary(out: &mut dyn Write, view: View<'_>, min_size: u64) -> io::Result<()> {
    let total = (0..view.layers.len()).fold(0u64, |sum, layer| sum.saturating_add(view.stack.bytes(layer)));
    let layers = count(view.layers.len() as u64, "layer");
    writeln!(out, "{}: {layers}, {} in files", text::fit(&text::line(view.name), 100), text::size(total))?;
    writeln!(out)?;
    let waste = wasted_by_layer(view.stack);
    let row = |(at, source): (usize, &_)| {
        let [added, changed, removed] = counts(view, at).map(|n| n.to_string());
        let wasted = waste.get(at).copied().filter(|n| *n > 0).map_or_else(String::new, text::size);
        let (number, size) = ((at + 1).to_string(), text::size(view.stack.bytes(at)));
        vec![number, size, added, changed, removed, wasted, text::fit(&maker(source), WORDS)]
    };
    let rows: Vec<Vec<String>> = view.layers.iter().enumerate().map(row).collect();
    table::write(out, &["layer", "size", "added", "changed", "removed", "wasted", "made by"], &rows)?;
    for note in notes(view) {
        writeln!(out, "note: {note}")?;
    }
    writeln!(out)?;
    let groups = wasted(view.stack);
    wasted_table(out, view, &groups, min_size)?;
    let found = efficiency(view.stack);
    writeln!(
        out,
        "efficiency: {:.1} % (each path at its smallest: {} of {})",
        found.score() * 100.0,
        text::size(found.smallest),
        text::size(found.total)
    )
}

fn wasted_table(out: &mut dyn Write, view: View<'_>, groups: &[WasteGroup], min_size: u64) -> io::Result<()> {
    let total = groups.iter().fold(0u64, |sum, group| sum.saturating_add(group.bytes));
    if total == 0 {
        return writeln!(out, "nothing is wasted: no layer replaces or removes what another one brought");
    }
    let who = |layer: u32| {
        let made = view.layers.get(layer as usize).map(maker).unwrap_or_default();
        text::fit(&format!("{}: {made}", layer + 1), 40)
    };
    let shown_groups: Vec<&WasteGroup> = groups.iter().filter(|g| g.bytes >= min_size).take(ROWS).collect();
    let rows: Vec<Vec<String>> = shown_groups
        .iter()
        .map(|group| {
            let verb = if group.is_deleted { "removed" } else { "replaced" };
            let (bytes, files, path) =
                (text::size(group.bytes), group.files.to_string(), shown(&group.path, group.files > 1));
            vec![bytes, files, path, who(group.layer), format!("{verb} by {}", who(group.by))]
        })
        .collect();
    if !rows.is_empty() {
        table::write(out, &["wasted", "files", "path", "brought by", "hidden"], &rows)?;
    }
    let listed: u64 = shown_groups.iter().map(|group| group.bytes).sum();
    if groups.len() > rows.len() {
        writeln!(out, "and {} in {} more places", text::size(total.saturating_sub(listed)), groups.len() - rows.len())?;
    }
    writeln!(out)?;
    writeln!(out, "wasted: {} that nobody can see", text::size(total))
}
