//! `context`: what a build reads of its context, how big it is, which step uses it, and what is left out by which line.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::json;

use super::{document, table};
use crate::front::text;
use crate::insight::workbench::sent::{ContextFile, Sent};

/// Why a file is read, or is not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    Used(Vec<u32>),
    Unused,
    Excluded(u32),
}

fn why(file: &ContextFile) -> Why {
    match (file.excluded_by, file.used_by.is_empty()) {
        (Some(line), _) => Why::Excluded(line),
        (None, true) => Why::Unused,
        (None, false) => Why::Used(file.used_by.iter().copied().collect()),
    }
}

/// Files of one fate below one folder.
#[derive(Debug, Default, Clone)]
struct Sum {
    files: u64,
    bytes: u64,
}

/// The tables: folders and files at the top, the largest first; all files with `all`. Errors: of the writer.
pub fn plain(out: &mut dyn Write, sent: &Sent, all: bool) -> io::Result<()> {
    let mut sums: BTreeMap<(String, Why), Sum> = BTreeMap::new();
    for file in &sent.files {
        let place = match (all, file.path.split_once('/')) {
            (false, Some((top, _))) => format!("{top}/"),
            _ => file.path.clone(),
        };
        let sum = sums.entry((place, why(file))).or_default();
        sum.files += 1;
        sum.bytes += file.bytes;
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.bytes));
    for (head, wanted) in [("read", 0), ("not read: no step uses it", 1), ("left out", 2)] {
        let of = |why: &Why| match why {
            Why::Used(_) => 0,
            Why::Unused => 1,
            Why::Excluded(_) => 2,
        };
        let rows: Vec<Vec<String>> = sums
            .iter()
            .filter(|((_, why), _)| of(why) == wanted)
            .map(|((place, why), sum)| vec![place.clone(), text::size(sum.bytes), sum.files.to_string(), reason(sent, why)])
            .collect();
        if !rows.is_empty() {
            table::write(out, &[head, "size", "files", "why"], &rows)?;
            writeln!(out)?;
        }
    }
    let total = |wanted: fn(&ContextFile) -> bool| {
        let files: Vec<&ContextFile> = sent.files.iter().filter(|file| wanted(file)).collect();
        format!("{} files, {}", files.len(), text::size(files.iter().map(|file| file.bytes).sum()))
    };
    writeln!(out, "read by this build: {}", total(|file| !file.used_by.is_empty()))?;
    writeln!(out, "in the folder: {}", total(|_| true))
}

fn reason(sent: &Sent, why: &Why) -> String {
    match why {
        Why::Used(lines) => {
            let words: Vec<String> = lines
                .iter()
                .map(|line| format!("line {line} {}", sent.steps.get(line).map_or("", String::as_str)))
                .collect();
            words.join("; ").chars().take(90).collect()
        }
        Why::Unused => String::new(),
        Why::Excluded(line) => {
            format!("{}:{line} {}", sent.ignore, sent.rules.get(line).map_or("", String::as_str))
        }
    }
}

/// One document with every file. Errors: of the writer.
pub fn json(out: &mut dyn Write, sent: &Sent) -> io::Result<()> {
    let files: Vec<_> = sent
        .files
        .iter()
        .map(
            |file| json!({"path": file.path, "bytes": file.bytes, "used_by": file.used_by, "excluded_by": file.excluded_by}),
        )
        .collect();
    let read = sent.files.iter().filter(|file| !file.used_by.is_empty());
    document::json(
        out,
        &json!({"schema": 1, "ignore_file": sent.ignore, "read_bytes": read.clone().map(|file| file.bytes).sum::<u64>(),
                "read_files": read.count(), "steps": sent.steps, "files": files}),
    )
}
