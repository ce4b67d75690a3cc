//! Two images beside each other.

use std::io::{self, Write};

use super::{Filter, View, count, shown, sign};
use crate::engine::image::inspect::{Comparison, Difference, LayerSource, Mark, Tar};
use crate::front::text;

/// Layers that both begin with.
pub(super) fn shared(first: &[LayerSource], second: &[LayerSource]) -> usize {
    let same = |(a, b): &(&LayerSource, &LayerSource)| match (&a.tar, &b.tar) {
        (Tar::Blob { diff_id: Some(a), .. }, Tar::Blob { diff_id: Some(b), .. }) => a == b,
        (a, b) => a == b,
    };
    first.iter().zip(second).take_while(same).count()
}

/// The differences that a filter leaves.
pub(super) fn kept(of: &Comparison, filter: Filter) -> impl Iterator<Item = &Difference> {
    of.differences.iter().filter(move |difference| {
        let bytes = difference.before.unwrap_or(0).max(difference.after.unwrap_or(0));
        filter.depth.is_none_or(|depth| difference.path.depth() < depth) && bytes >= filter.min_size
    })
}

/// Paths that differ, then the sums. Errors: of the writer.
pub fn compared(
    out: &mut dyn Write,
    first: View<'_>,
    second: View<'_>,
    found: &Comparison,
    filter: Filter,
) -> io::Result<()> {
    for difference in kept(found, filter) {
        let sizes = match (difference.before, difference.after) {
            (Some(before), Some(after)) if before != after => format!("{} -> {}", text::size(before), text::size(after)),
            (_, Some(bytes)) | (Some(bytes), None) => text::size(bytes),
            (None, None) => String::new(),
        };
        let path = shown(&difference.path, difference.is_directory);
        let what = if difference.what.is_empty() { String::new() } else { format!("  ({})", difference.what.join(", ")) };
        writeln!(out, "{} {} {path}{what}", sign(difference.mark), text::pad_left(&sizes, 18))?;
    }
    if !found.differences.is_empty() {
        writeln!(out)?;
    }
    for (word, mark) in [("added", Mark::Added), ("changed", Mark::Changed), ("removed", Mark::Removed)] {
        let (mut number, mut bytes) = (0, 0u64);
        for difference in found.differences.iter().filter(|d| d.mark == mark && !d.is_directory) {
            number += 1;
            bytes = bytes.saturating_add(difference.after.or(difference.before).unwrap_or(0));
        }
        writeln!(out, "{word}: {}, {}", count(number, "file"), text::size(bytes))?;
    }
    writeln!(out, "the same: {} paths (times are not compared)", found.same)?;
    writeln!(
        out,
        "{} has {}, {} has {}; the first {} are the same",
        text::line(first.name),
        count(first.layers.len() as u64, "layer"),
        text::line(second.name),
        count(second.layers.len() as u64, "layer"),
        shared(first.layers, second.layers)
    )
}
