//! What is inside of a change: the lines of a small text file that differ, and how a base image differs from the one before.
//! The old content of a file lies in the layer that the step made last, and is believed only when it has the digest that the
//! record names. Small texts are kept beside the lists of files, too: the record of a step outlives its layer.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use similar::TextDiff;

use super::record::BaseFacts;
use super::{SolveError, Solver};
use crate::engine::cache::explain::Evidence;
use crate::engine::context::entry::record_digester;
use crate::engine::context::{Entry, EntryKind};
use crate::engine::event::BuildEvent;
use crate::engine::graph::{Edge, Operation, SourceRef, Vertex};
use crate::engine::verdict::{Doubt, FileAttribute, MissReason};
use crate::ground::fs::RootDir;

/// So many files of one step are looked into.
const FILES: usize = 5;
/// Larger files are not compared.
const TEXT_LIMIT: u64 = 64 << 10;
/// So many bytes, and so many texts, of one step are kept.
const KEPT_BYTES: u64 = 4 << 20;
const KEPT_TEXTS: usize = 1000;
/// So many lines of one difference are kept.
const LINES: usize = 60;

impl Solver<'_> {
    /// Says what differs in the files that a missed step copies, and in a base that moved.
    pub(super) fn say_differences(&self, vertex: &Vertex, reasons: &[MissReason]) {
        let say = |what: &str, lines: Vec<String>, note: Option<String>| {
            self.speaker.say(BuildEvent::Differs { vertex: vertex.id, what: what.to_owned(), lines, note });
        };
        let mut looked = 0;
        for reason in reasons {
            match reason {
                MissReason::FileChanged { path, attribute: FileAttribute::Content, .. } => {
                    let Some((edge, old, new)) = self.both_entries(vertex, path) else { continue };
                    if old.kind == EntryKind::File && new.size == old.size && new.modified == old.modified {
                        let doubt = Doubt::SameStat { path: path.clone() };
                        self.speaker.say(BuildEvent::Doubted { vertex: vertex.id, doubt });
                    }
                    looked += 1;
                    if looked <= FILES {
                        match self.file_lines(vertex, edge, &old, &new) {
                            Ok(lines) => say(path, lines, None),
                            Err(why) => say(path, Vec::new(), Some(why.to_owned())),
                        }
                    }
                }
                MissReason::BaseChanged { image, .. } => {
                    let now = self.base_facts(vertex);
                    match (self.previous.and_then(|previous| previous.bases.get(&vertex.slot)), now) {
                        (Some(then), Some(now)) => say(image, now.against(then), None),
                        _ => say(image, Vec::new(), Some("what the former image was is not on record".to_owned())),
                    }
                }
                _ => {}
            }
        }
    }

    /// A file of the context now and in the last build.
    fn both_entries<'v>(&self, vertex: &'v Vertex, path: &str) -> Option<(&'v Edge, Entry, Entry)> {
        let then = self.before(vertex)?;
        vertex.edges.iter().enumerate().find_map(|(at, edge)| {
            let SourceRef::Context(_) = edge.source else { return None };
            let context = self.context(&edge.source)?;
            let old = self.tree(&then.sources.get(at)?.content.as_ref()?.tree)?;
            let old = old.iter().find(|entry| entry.path == path)?.clone();
            Some((edge, old, context.tree.get(path)?.clone()))
        })
    }

    /// The lines of a file that differ. Errors: why they are not shown.
    fn file_lines(&self, vertex: &Vertex, edge: &Edge, old: &Entry, new: &Entry) -> Result<Vec<String>, &'static str> {
        if old.kind != EntryKind::File || new.kind != EntryKind::File {
            return Err("it is not the same kind of thing as before");
        }
        if old.size > TEXT_LIMIT || new.size > TEXT_LIMIT {
            return Err("not compared line by line: larger than 64 KiB");
        }
        let root = &self.context(&edge.source).ok_or("its context was not read")?.root;
        let new = read(root, Path::new(&new.path), new).ok_or("it changed once more while it was looked at")?;
        let kept = || self.cache().text(&old.digest).ok().flatten().filter(|bytes| is_of(bytes, old));
        let old = self.old_bytes(vertex, edge, old).or_else(kept).ok_or("its former content is not kept any more")?;
        if !is_text(&old) || !is_text(&new) {
            return Err("not compared line by line: it is no text");
        }
        let (old, new) = (String::from_utf8_lossy(&old), String::from_utf8_lossy(&new));
        let diff = TextDiff::from_lines(old.as_ref(), new.as_ref());
        let text = diff.unified_diff().context_radius(1).to_string();
        let mut lines: Vec<String> = text
            .lines()
            .filter(|line| !line.starts_with("\\ No newline"))
            .map(|line| line.chars().take(400).collect())
            .collect();
        if lines.len() > LINES {
            let more = lines.len() - LINES;
            lines.truncate(LINES);
            lines.push(format!("… and {more} more lines"));
        }
        Ok(lines)
    }

    /// Keeps the small texts that a COPY takes out of a context: those nearest to its top, as many as may be kept.
    pub(super) fn keep_texts(&self, vertex: &Vertex, edge: &Edge, list: &[Entry]) -> Result<(), SolveError> {
        let (Some(Operation::Copy { .. }), SourceRef::Context(_)) = (&vertex.operation, &edge.source) else { return Ok(()) };
        let Some(context) = self.context(&edge.source) else { return Ok(()) };
        let mut files: Vec<&Entry> = list.iter().filter(|e| e.kind == EntryKind::File && e.size <= TEXT_LIMIT).collect();
        files.sort_by_key(|entry| (entry.path.matches('/').count(), entry.path.as_str()));
        let mut bytes = 0;
        let small = |entry: &&&Entry| {
            bytes += entry.size;
            bytes <= KEPT_BYTES
        };
        let chosen: Vec<&Entry> = files.iter().take_while(small).take(KEPT_TEXTS).copied().collect();
        let digests: Vec<_> = chosen.iter().map(|entry| entry.digest).collect();
        let text = |at: usize| {
            let entry = chosen[at];
            read(&context.root, Path::new(&entry.path), entry).filter(|bytes| is_text(bytes))
        };
        self.cache().put_texts(&digests, text).map_err(|e| SolveError::store(&self.speaker.file, vertex, &e))
    }

    /// A file of the layer that this step made last.
    fn old_bytes(&self, vertex: &Vertex, edge: &Edge, old: &Entry) -> Option<Vec<u8>> {
        let Some(Operation::Copy { destination, .. }) = &vertex.operation else { return None };
        let layer = self.store.layout.layer(&self.previous_layer(vertex)?);
        let mut places = Vec::new();
        // Where below the destination a source lands depends on what the sources are; the digest tells which place is right.
        for selector in &edge.selectors {
            let below = old.path.strip_prefix(&selector.path).map_or(old.path.as_str(), |rest| rest.trim_start_matches('/'));
            places.extend([below, &old.path].map(|rest| Path::new(destination).join(rest)));
        }
        let name = old.path.rsplit('/').next().unwrap_or("");
        places.extend([Path::new(destination).join(name), PathBuf::from(destination)]);
        let mut rest = old.path.as_str();
        while let Some((_, shorter)) = rest.split_once('/') {
            places.push(Path::new(destination).join(shorter));
            rest = shorter;
        }
        places.iter().find_map(|place| read(&layer, place.strip_prefix("/").unwrap_or(place), old))
    }

    /// What a later build compares a base with.
    pub fn base_facts(&self, vertex: &Vertex) -> Option<BaseFacts> {
        let base = self.graph.bases.get(vertex.base?)?;
        Some(BaseFacts {
            created: base.config.created.clone(),
            layers: base.layers.iter().map(|layer| layer.diff_id).collect(),
            config: base.config.config.clone(),
        })
    }
}

/// The bytes of a regular file below a folder, if they are those of the record.
fn read(root: &Path, path: &Path, entry: &Entry) -> Option<Vec<u8>> {
    let root = RootDir::open(root).ok()?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::from(root.open_in(path, flags).ok()?);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(TEXT_LIMIT + 1).read_to_end(&mut bytes).ok()?;
    is_of(&bytes, entry).then_some(bytes)
}

/// Whether these are the bytes of a file on record.
fn is_of(bytes: &[u8], entry: &Entry) -> bool {
    let mut digester = record_digester(entry);
    digester.update(bytes);
    digester.finish() == entry.digest
}

fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0'))
}
