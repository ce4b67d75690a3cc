//! Where a stage's instructions work: the working folder, and how folders of the context land in the image.

use crate::language::dockerfile::{Arguments, Instruction, Stage, find_stage_by_name};

/// Stands for the working folder of a base image that was not looked into.
const UNKNOWN: &str = "\u{0}";

/// Joins a path of an instruction to a folder and resolves `.` and `..`. A path that begins with a variable counts as absolute.
pub(super) fn join(folder: &str, path: &str) -> String {
    let absolute = path.starts_with('/') || path.starts_with('$') || path.starts_with(UNKNOWN);
    let mut parts: Vec<&str> =
        if absolute { Vec::new() } else { folder.split('/').filter(|part| !part.is_empty()).collect() };
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    parts.join("/")
}

/// What of `path` lies below `folder` (both as [`join`] gives them); empty for the folder itself.
pub(super) fn below<'p>(folder: &str, path: &'p str) -> Option<&'p str> {
    if folder.is_empty() {
        return (!path.starts_with(['$', '\u{0}'])).then_some(path);
    }
    let rest = path.strip_prefix(folder)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

/// Whether one of two folders lies in the other, or cannot be told.
pub(super) fn overlap(left: &str, right: &str) -> bool {
    let opaque = |path: &str| path.starts_with(['$', '\u{0}']);
    opaque(left) != opaque(right) || below(left, right).is_some() || below(right, left).is_some()
}

/// The working folder before instruction `at` of a stage (index into its instructions).
pub(super) fn working_folder(stages: &[Stage<'_>], stage: &Stage<'_>, at: usize) -> String {
    // The stage and those it stands on; a loop, because a chain may be as long as the file.
    let mut chain = vec![(stage.index, at)];
    let mut base = find_stage_by_name(stages, stage.base(), stage.index);
    while let Some(found) = base.and_then(|index| stages.get(index)) {
        chain.push((found.index, found.instructions.len()));
        base = find_stage_by_name(stages, found.base(), found.index);
    }
    let mut folder = UNKNOWN.to_owned();
    for (index, count) in chain.into_iter().rev() {
        let instructions = stages.get(index).into_iter().flat_map(|stage| stage.instructions.iter().take(count));
        for instruction in instructions {
            if let Arguments::Workdir(word) = &instruction.arguments {
                folder = join(&folder, unquoted(&word.text));
            }
        }
    }
    folder
}

/// A word without the quotes around it.
pub(super) fn unquoted(text: &str) -> &str {
    let inner = text
        .strip_prefix('"')
        .and_then(|t| t.strip_suffix('"'))
        .or_else(|| text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')));
    inner.unwrap_or(text)
}

/// How a destination is written: relative to the working folder where it lies there, else absolute. Ends with `/`. `None` when
/// it lies in a base image's working folder that is not known.
pub(super) fn written_destination(working_folder: &str, folder: &str) -> Option<String> {
    Some(match below(working_folder, folder) {
        Some("") => "./".to_owned(),
        Some(rest) if !working_folder.is_empty() => format!("{rest}/"),
        _ => absolute(folder)?,
    })
}

/// The folder with a leading `/` (or its variable) and a final one; `None` when it is not known.
pub(super) fn absolute(folder: &str) -> Option<String> {
    match folder {
        unknown if unknown.contains(UNKNOWN) => None,
        "" => Some("/".to_owned()),
        variable if variable.starts_with('$') => Some(format!("{variable}/")),
        known => Some(format!("/{known}/")),
    }
}

/// A source of COPY that stands for a whole folder of the context.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct BroadSource {
    /// The folder in the context; empty for all of it.
    pub(super) folder: String,
    /// `folder/*`: the names in the folder are copied, and folders among them lose their own name.
    pub(super) wildcard: bool,
    /// As written.
    pub(super) written: String,
}

impl BroadSource {
    /// Reads a source; `None` when it has variables or other wildcards.
    pub(super) fn of(source: &str) -> Option<Self> {
        let written = unquoted(source);
        let (path, wildcard) = match written.strip_suffix('*') {
            Some(folder) if folder.is_empty() || folder.ends_with('/') => (folder, true),
            _ => (written, false),
        };
        if path.contains(['*', '?', '[', '$', '\\', '<', ':']) {
            return None;
        }
        Some(Self { folder: join("", &format!("/{path}")), wildcard, written: written.to_owned() })
    }

    /// The context path of what lands at `rest` below the destination.
    pub(super) fn context_path(&self, rest: &str) -> Option<String> {
        if self.wildcard && rest.contains('/') {
            return None;
        }
        Some(if self.folder.is_empty() { rest.to_owned() } else { format!("{}/{rest}", self.folder) })
    }
}

/// A COPY (or ADD) out of the context, with its resolved destination.
pub(super) fn copy_of_context<'i>(
    instruction: &'i Instruction,
    folder: &str,
) -> Option<(&'i [crate::language::dockerfile::Word], String)> {
    let Arguments::Copy { sources, destination } = &instruction.arguments else { return None };
    if instruction.flag("from").is_some() {
        return None;
    }
    Some((sources, join(folder, unquoted(&destination.text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_and_written() {
        assert_eq!(join("app", "../srv/./x/"), "srv/x");
        assert_eq!(join(UNKNOWN, "."), UNKNOWN);
        assert_eq!(below("app", "application"), None);
        assert_eq!(written_destination("app", "app").as_deref(), Some("./"));
        assert_eq!(written_destination("app", "app/web").as_deref(), Some("web/"));
        assert_eq!(written_destination("app", "srv").as_deref(), Some("/srv/"));
        assert_eq!(written_destination("$HOME", "\u{0}x"), None);
    }
}
