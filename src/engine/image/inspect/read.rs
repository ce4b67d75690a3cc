//! Reads the tar of a layer into a listing: bounded in memory and time, verified to the last byte.

use std::io::{self, Read};
use std::sync::Arc;

use super::entry::{Content, Entry, Kind, Listing};
use super::path::TreePath;
use super::source::{Opened, Tar};
use crate::engine::snapshot::tar_reader::{self, Member, TarReader};
use crate::engine::worker::Worker;
use crate::ground::digest::Digester;
use crate::ground::hint::Hint;

/// Why a layer cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// A blob cannot be opened.
    #[error(transparent)]
    Path(#[from] crate::ground::fs::PathError),
    /// Its tar is damaged, or is not what its digest says.
    #[error("layer {number}: {why}")]
    Damaged {
        /// From 1, the lowest first.
        number: usize,
        /// What is wrong.
        why: String,
    },
    /// Its files cannot be read.
    #[error("layer {number}: {why}")]
    Unreadable {
        /// From 1, the lowest first.
        number: usize,
        /// What went wrong.
        why: String,
    },
}

impl Hint for InspectError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Path(error) => error.hint(),
            Self::Damaged { .. } => {
                Some("get the image again; what is damaged in the store, `rbuild-tui check --repair` takes away".into())
            }
            Self::Unreadable { .. } => None,
        }
    }
}

/// How much of a layer is read at most, so that a hostile one takes neither all memory nor all day.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Entries.
    pub entries: usize,
    /// Bytes of names, targets and attribute names.
    pub names: usize,
    /// Bytes of the unpacked tar.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 2_000_000, names: 256 << 20, bytes: 64 << 30 }
    }
}

/// Longer names are no paths of Linux (PATH_MAX); one part of them may have 255 bytes.
const LONGEST: usize = 4096;

/// Bytes that are read at once.
const PIECE: usize = 1 << 17;

/// Lists the layer of a number (from 1). With `hashed`, the bytes of its files are hashed.
///
/// Errors: it cannot be read, is no tar, or is not what its digests say. What is too large is cut, and the listing says so.
pub fn list(
    number: usize,
    tar: &Tar,
    worker: Option<&Arc<Worker>>,
    hashed: bool,
    limits: Limits,
) -> Result<Listing, InspectError> {
    let mut opened = tar.open(number, worker)?;
    let listing = from_stream(&mut opened, hashed, limits);
    settle(number, opened, listing, |listing| listing.cut.is_none())
}

/// Lists all layers, two at a time; the answer has their order.
///
/// Errors: as [`list`].
pub fn read_all(tars: &[Tar], worker: Option<&Arc<Worker>>, hashed: bool) -> Result<Vec<Listing>, InspectError> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut own = Vec::new();
        loop {
            let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some(tar) = tars.get(at) else { return own };
            own.push((at, list(at + 1, tar, worker, hashed, Limits::default())));
        }
    };
    let mut found = std::thread::scope(|scope| {
        let others = [scope.spawn(work), scope.spawn(work)];
        others.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect::<Vec<_>>()
    });
    found.sort_by_key(|(at, _)| *at);
    let listings = found.into_iter().map(|(_, listing)| listing).collect::<Result<Vec<_>, _>>()?;
    match listings.len() == tars.len() {
        true => Ok(listings),
        false => Err(InspectError::Unreadable { number: listings.len() + 1, why: "the reading broke off".into() }),
    }
}

/// Reads a stream to its end, where what was found in it asks for that, and turns errors into those of the layer.
pub(super) fn settle<T>(
    number: usize,
    opened: Opened,
    found: io::Result<T>,
    to_the_end: impl FnOnce(&T) -> bool,
) -> Result<T, InspectError> {
    let wanted = found.as_ref().is_ok_and(to_the_end);
    let end = opened.close(wanted);
    let damaged = |why: String| InspectError::Damaged { number, why };
    // The worker's own words say more than those of the tar that broke off because of it.
    match (end, found) {
        (Err(super::source::End::Unreadable(why)), _) => Err(InspectError::Unreadable { number, why }),
        (_, Err(error)) => Err(damaged(format!("its tar cannot be read: {error}"))),
        (Err(super::source::End::Damaged(why)), Ok(_)) => Err(damaged(why)),
        (Ok(()), Ok(found)) => Ok(found),
    }
}

/// The listing of a stream that is a tar.
pub(super) fn from_stream(stream: &mut dyn Read, hashed: bool, limits: Limits) -> io::Result<Listing> {
    let mut tar = TarReader::new(stream);
    let mut out = Listing::default();
    let (mut names, mut bytes) = (0usize, 0u64);
    let mut buffer = if hashed { vec![0; PIECE] } else { Vec::new() };
    while let Some(member) = tar.next_member()? {
        bytes = bytes.saturating_add(member.size).saturating_add(512);
        if bytes > limits.bytes {
            out.cut = Some(format!("it unpacks to more than {} GiB", limits.bytes >> 30));
            return Ok(out);
        }
        let Some(mut entry) = entry(&member) else {
            out.left_out += 1;
            continue;
        };
        names = names.saturating_add(weight(&entry));
        if out.entries.len() >= limits.entries || names > limits.names {
            out.cut = Some(format!("only its first {} entries are listed", out.entries.len()));
            return Ok(out);
        }
        if hashed && entry.kind == Kind::File {
            entry.content = Content::Hashed(digest(&mut tar, &mut buffer)?);
        }
        out.entries.push(entry);
    }
    Ok(out)
}

fn digest(body: &mut impl Read, buffer: &mut [u8]) -> io::Result<crate::ground::digest::Digest> {
    let mut digester = Digester::default();
    loop {
        match body.read(buffer) {
            Ok(0) => return Ok(digester.finish()),
            Ok(length) => digester.update(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What an entry takes in memory, its directories counted as if each had to be made for it.
fn weight(entry: &Entry) -> usize {
    let link = match &entry.kind {
        Kind::Symlink(target) | Kind::HardLink(target) => target.len(),
        _ => 0,
    };
    let attributes: usize = entry.xattrs.iter().map(String::len).sum();
    // A path of many short parts may ask for as many directories, each with its path.
    let above = if entry.path.depth() > 64 { entry.path.bytes().len() * entry.path.depth() / 2 } else { 0 };
    entry.path.bytes().len() + link + attributes + above
}

/// An entry of the listing; none for what has no name that a file can have.
pub(super) fn entry(member: &Member) -> Option<Entry> {
    let target: &[u8] = match &member.kind {
        tar_reader::Kind::Symlink(target) | tar_reader::Kind::HardLink(target) => target,
        _ => b"",
    };
    let possible = [&member.name[..], target].iter().all(|name| name.len() <= LONGEST && !name.contains(&0));
    let path = TreePath::new(&member.name);
    if !possible || path.bytes().split(|b| *b == b'/').any(|part| part.len() > 255) {
        return None;
    }
    let mut entry = Entry {
        path,
        kind: kind(&member.kind),
        mode: member.mode,
        uid: member.uid,
        gid: member.gid,
        size: member.size,
        modified: member.modified.0,
        xattrs: member.xattrs.iter().map(|(name, _)| name.clone()).collect(),
        content: Content::Skipped,
    };
    if let Some(hidden) = entry.path.name().strip_prefix(b".wh.") {
        let directory = entry.path.parent().unwrap_or_default();
        (entry.kind, entry.path) = match hidden {
            b".wh..opq" => (Kind::Opaque, directory),
            // aufs' own: other builders skip them too.
            hidden if hidden.starts_with(b".wh.") || hidden.is_empty() || hidden == b"." || hidden == b".." => return None,
            hidden => (Kind::Whiteout, directory.join(hidden)),
        };
        entry.size = 0;
    }
    // Only directories can be the root.
    (!entry.path.is_root() || matches!(entry.kind, Kind::Directory | Kind::Opaque)).then_some(entry)
}

fn kind(of: &tar_reader::Kind) -> Kind {
    match of {
        tar_reader::Kind::File => Kind::File,
        tar_reader::Kind::Directory => Kind::Directory,
        tar_reader::Kind::Symlink(target) => Kind::Symlink(target.clone()),
        tar_reader::Kind::HardLink(target) => Kind::HardLink(target.clone()),
        tar_reader::Kind::CharDevice(major, minor) => Kind::CharDevice(*major, *minor),
        tar_reader::Kind::BlockDevice(major, minor) => Kind::BlockDevice(*major, *minor),
        tar_reader::Kind::Fifo => Kind::Fifo,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tape;
    use super::*;

    #[test]
    fn marks_of_removal_are_what_they_remove() {
        let tar = Tape::default().dir("a/").file("a/.wh.b", "").file("a/.wh..wh..opq", "").file(".wh..wh.aufs", "x").end();
        let listing = from_stream(&mut &tar[..], false, Limits::default()).unwrap();
        let found: Vec<(&[u8], &str)> = listing.entries.iter().map(|e| (e.path.bytes(), e.kind.word())).collect();
        assert_eq!(found, [(&b"a"[..], "directory"), (b"a/b", "whiteout"), (b"a", "opaque")]);
        assert_eq!(listing.left_out, 1);
    }

    #[test]
    fn what_is_too_large_is_cut_and_says_so() {
        let tape = (0..10).fold(Tape::default(), |tape, n| tape.file(&format!("file{n}"), "12345"));
        let tar = tape.end();
        let cut = |limits: Limits| from_stream(&mut &tar[..], false, limits).unwrap();
        let few = cut(Limits { entries: 4, ..Limits::default() });
        assert_eq!((few.entries.len(), few.cut.as_deref()), (4, Some("only its first 4 entries are listed")));
        assert_eq!(cut(Limits { names: 12, ..Limits::default() }).entries.len(), 2);
        assert!(cut(Limits { bytes: 1200, ..Limits::default() }).cut.is_some());
        assert_eq!(cut(Limits::default()).cut, None);
    }

    #[test]
    fn impossible_names_are_counted_and_long_paths_weigh_their_directories() {
        let deep = "x/".repeat(1500);
        let tar =
            Tape::default().file(&"n".repeat(300), "").file(&"d/".repeat(3000), "").file(&format!("{deep}f"), "").end();
        let listing = from_stream(&mut &tar[..], false, Limits::default()).unwrap();
        assert_eq!((listing.entries.len(), listing.left_out), (1, 2));
        assert!(weight(&listing.entries[0]) > 2_000_000);
    }

    #[test]
    fn contents_are_hashed_on_demand() {
        let tar = Tape::default().file("a", "hello").file("b", "").end();
        let listing = from_stream(&mut &tar[..], true, Limits::default()).unwrap();
        assert_eq!(listing.entries[0].content, Content::Hashed(crate::ground::digest::Digest::of("hello")));
        assert_eq!(listing.entries[1].content, Content::Hashed(crate::ground::digest::Digest::of("")));
    }
}
