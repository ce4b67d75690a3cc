//! `layers`: what an image or a step is made of. Every name in it is as untrusted as the image.

mod compare;
mod file;
pub mod json;
mod path;
mod summary;
mod tree;

pub use compare::compared;
pub use file::{file, hex, syntax};
pub use path::provenance;
pub use summary::summary;
pub use tree::{attributes, tree};

use crate::engine::image::inspect::{Entry, Kind, LayerSource, Mark, Stack, TreePath};
use crate::front::text;

/// What is shown.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Of an image or a step.
    pub name: &'a str,
    /// Lowest first.
    pub layers: &'a [LayerSource],
    /// What they hold.
    pub stack: &'a Stack,
}

/// What a tree leaves out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Deeper paths; a path at the top has the depth 1.
    pub depth: Option<usize>,
    /// Rows with fewer bytes.
    pub min_size: u64,
}

/// The sign of a mark; a directory that is only named has none.
pub fn sign(mark: Mark) -> &'static str {
    match mark {
        Mark::Added => "A",
        Mark::Changed => "C",
        Mark::Removed => "R",
        Mark::Named => " ",
    }
}

/// The word of a mark in documents.
pub fn word(mark: Mark) -> &'static str {
    match mark {
        Mark::Added => "added",
        Mark::Changed => "changed",
        Mark::Removed => "removed",
        Mark::Named => "named",
    }
}

/// A path as it is shown: absolute, safe, directories with a slash at the end.
pub fn shown(path: &TreePath, is_directory: bool) -> String {
    let slash = if is_directory && !path.is_root() { "/" } else { "" };
    format!("/{}{slash}", text::path(path.bytes()))
}

/// Where an entry leads, after its name.
pub fn arrow(entry: &Entry) -> String {
    match &entry.kind {
        Kind::Symlink(target) => format!(" -> {}", text::path(target)),
        Kind::HardLink(target) => format!(" = /{}", text::path(TreePath::new(target).bytes())),
        Kind::CharDevice(major, minor) | Kind::BlockDevice(major, minor) => format!(" {major}:{minor}"),
        _ => String::new(),
    }
}

/// `1 file`, `2 files`.
pub fn count(of: u64, noun: &str) -> String {
    format!("{of} {noun}{}", if of == 1 { "" } else { "s" })
}

/// The instruction as it stands in a Dockerfile: builders write it into the history with the shell's words around it.
pub fn instruction(created_by: &str) -> String {
    let words = created_by.trim().trim_end_matches("# buildkit").trim_end();
    let plain = match words.strip_prefix("/bin/sh -c #(nop)") {
        Some(rest) => rest.trim().to_owned(),
        None => match words.strip_prefix("/bin/sh -c ") {
            Some(rest) => format!("RUN {rest}"),
            None => words.strip_prefix("RUN /bin/sh -c ").map_or_else(|| words.to_owned(), |rest| format!("RUN {rest}")),
        },
    };
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Who made a layer: `7 RUN make` for a line of the Dockerfile, `base: …` for what came with it.
pub fn maker(source: &LayerSource) -> String {
    let words = instruction(&source.made_by);
    let words = if words.is_empty() { "its history does not say".to_owned() } else { words };
    let place = match (source.line, source.is_base) {
        (Some(line), _) => format!("{line} "),
        (None, true) => "base: ".to_owned(),
        (None, false) => String::new(),
    };
    text::line(&format!("{place}{words}"))
}

/// What could not be shown of a layer.
pub(super) fn notes(view: View<'_>) -> Vec<String> {
    let mut out = Vec::new();
    for (at, listing) in view.stack.listings().iter().enumerate() {
        if let Some(cut) = &listing.cut {
            out.push(format!("layer {} is not shown to its end: {cut}", at + 1));
        }
        if listing.left_out > 0 {
            let what = count(listing.left_out, "entry").replace("entrys", "entries");
            out.push(format!("layer {}: {what} with names that no file can have", at + 1));
        }
    }
    if view.stack.unplaced > 0 {
        let what = count(view.stack.unplaced, "entry").replace("entrys", "entries");
        out.push(format!("{what} behind links in a circle, or linked to what is not there"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_reads_like_a_dockerfile() {
        for (history, line) in [
            ("/bin/sh -c #(nop) ADD file:1 in / ", "ADD file:1 in /"),
            ("/bin/sh -c apt-get update  &&\n\tmake", "RUN apt-get update && make"),
            ("RUN /bin/sh -c npm ci # buildkit", "RUN npm ci"),
            ("COPY . . # buildkit", "COPY . ."),
        ] {
            assert_eq!(instruction(history), line);
        }
    }
}
