//! A tree as lines: one path a line, so that it can be searched and cut.

use std::io::{self, Write};

use super::{Filter, View, arrow, shown, sign};
use crate::engine::image::inspect::{Entry, Kind, Row};
use crate::front::text;

/// Kind, mode and owner: `-rw-r--r-- 0:0`.
pub fn attributes(entry: Option<&Entry>) -> String {
    let Some(entry) = entry else { return "drwxr-xr-x 0:0".to_owned() };
    let mut out = entry.kind.letter().to_string();
    for (shift, special, set) in [(6, 0o4000, "sS"), (3, 0o2000, "sS"), (0, 0o1000, "tT")] {
        let bits = entry.mode >> shift;
        out.push(if bits & 4 != 0 { 'r' } else { '-' });
        out.push(if bits & 2 != 0 { 'w' } else { '-' });
        let special = entry.mode & special != 0;
        out.push(match (bits & 1 != 0, special) {
            (true, false) => 'x',
            (false, false) => '-',
            (runs, true) => set.chars().nth(usize::from(!runs)).unwrap_or('?'),
        });
    }
    format!("{out} {}:{}", entry.uid, entry.gid)
}

/// The rows that a filter leaves.
pub(super) fn kept(rows: &[Row], filter: Filter) -> impl Iterator<Item = &Row> {
    rows.iter().filter(move |row| {
        filter.depth.is_none_or(|depth| row.path.depth() < depth) && (filter.min_size == 0 || row.bytes >= filter.min_size)
    })
}

/// The rows of a layer, or of all layers together. Errors: of the writer.
pub fn tree(out: &mut dyn Write, view: View<'_>, rows: &[Row], filter: Filter) -> io::Result<()> {
    let (mut written, marks) = (0u64, rows.iter().any(|row| row.mark.is_some()));
    for row in kept(rows, filter) {
        let entry = row.place.and_then(|place| view.stack.entry(place));
        let mark = if marks { format!("{} ", row.mark.map_or(" ", sign)) } else { String::new() };
        let attributes = text::pad(&attributes(entry), 22);
        let bytes = match entry.map(|entry| &entry.kind) {
            Some(Kind::Symlink(_)) => String::new(),
            _ => text::size(row.bytes),
        };
        let arrow = entry.map(arrow).unwrap_or_default();
        let extra = match entry.map_or(0, |entry| entry.xattrs.len()) {
            0 => String::new(),
            _ => format!("  [{}]", text::line(&entry.map(|e| e.xattrs.join(" ")).unwrap_or_default())),
        };
        let path = shown(&row.path, row.is_directory);
        writeln!(out, "{mark}{attributes} {} {path}{arrow}{extra}", text::pad_left(&bytes, 8))?;
        written += 1;
    }
    if written == 0 {
        writeln!(
            out,
            "{}",
            if rows.is_empty() { "this layer changes no file" } else { "nothing is left by --min-size and --depth" }
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::image::inspect::{Content, TreePath};

    #[test]
    fn attributes_read_like_those_of_ls() {
        let entry = |kind, mode| Entry {
            path: TreePath::default(),
            kind,
            mode,
            uid: 1,
            gid: 2,
            size: 0,
            modified: 0,
            xattrs: Vec::new(),
            content: Content::Skipped,
        };
        let shown = |kind, mode| attributes(Some(&entry(kind, mode)));
        assert_eq!(shown(Kind::File, 0o4755), "-rwsr-xr-x 1:2");
        assert_eq!(shown(Kind::Directory, 0o1777), "drwxrwxrwt 1:2");
        assert_eq!(shown(Kind::Fifo, 0o2640), "prw-r-S--- 1:2");
        assert_eq!(attributes(None), "drwxr-xr-x 0:0");
    }
}
