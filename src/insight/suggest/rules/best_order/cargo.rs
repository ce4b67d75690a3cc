//! What a COPY brings, and where to.

use std::collections::BTreeSet;

use super::super::copy_what_is_read::{Case, Reads};
use super::super::place::{below, join, unquoted};
use crate::language::dockerfile::{Arguments, Instruction, Keyword};

/// What a COPY brings.
pub(super) struct Cargo {
    pub(super) folder: String,
    /// As paths in the image; none where they are not known.
    pub(super) files: Option<BTreeSet<String>>,
    /// Its owner is a name, which users of the image have.
    pub(super) named_owner: bool,
}

impl Cargo {
    /// None for what is no COPY, and for one whose place is not known.
    pub(super) fn of(
        copy: &Instruction,
        case: Option<&Case<'_>>,
        reads: &Reads,
        context: &BTreeSet<String>,
    ) -> Option<Self> {
        let Arguments::Copy { sources, destination } = &copy.arguments else { return None };
        let folder = reads.destinations.get(&copy.line)?.trim_matches('/').to_owned();
        let owner = copy.flag("chown").and_then(|flag| flag.value.as_deref()).unwrap_or("");
        let named_owner = owner.chars().any(|c| !c.is_ascii_digit() && c != ':');
        if let Some(case) = case {
            let files = case.files.iter().filter_map(|file| in_image(case, file)).collect();
            return Some(Self { folder, files: Some(files), named_owner });
        }
        let simple = ["from", "exclude", "parents", "unpack", "checksum"].iter().all(|flag| copy.flag(flag).is_none());
        let into_folder = sources.len() > 1 || unquoted(&destination.text).ends_with(['/', '.']);
        let mut files =
            Some(BTreeSet::new()).filter(|_| simple && copy.keyword == Keyword::Copy && copy.heredocs.is_empty());
        for word in sources {
            let found = brings(unquoted(&word.text), &folder, into_folder, context);
            files = files.zip(found).map(|(all, found)| &all | &found);
        }
        Some(Self { folder, files, named_owner })
    }
}

/// Where a file of a COPY of a folder goes, as a path in the image.
pub(super) fn in_image(case: &Case<'_>, file: &str) -> Option<String> {
    let rest = below(&case.source.folder, file)?;
    Some(format!("{}/{rest}", case.destination).trim_start_matches('/').to_owned())
}

/// The files that one plain source brings; none where it is a pattern, or not there.
fn brings(source: &str, folder: &str, into_folder: bool, context: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    if source.contains(['*', '?', '[', '$', '\\', '<', ':']) {
        return None;
    }
    let path = join("", source);
    let joined = |rest: &str| format!("{folder}/{rest}").trim_start_matches('/').to_owned();
    if context.contains(&path) {
        let name = path.rsplit('/').next().unwrap_or("");
        return Some([if into_folder { joined(name) } else { folder.to_owned() }].into());
    }
    let inside = context.iter().filter_map(|file| below(&path, file)).map(joined);
    let files: BTreeSet<String> = inside.collect();
    (!files.is_empty()).then_some(files)
}
