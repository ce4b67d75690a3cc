//! The first bytes of one file of a layer.

use std::io::{self, Read};
use std::sync::Arc;

use super::read::{InspectError, entry, settle};
use super::source::Tar;
use crate::engine::snapshot::tar_reader::TarReader;
use crate::engine::worker::Worker;

/// The beginning of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// Its first bytes, as untrusted as the layer.
    pub bytes: Vec<u8>,
    /// All bytes that it has.
    pub size: u64,
}

impl Preview {
    /// The bytes as text; none for what is no UTF-8 or has NULs. A character that was cut at the end is left out.
    pub fn text(&self) -> Option<&str> {
        let text = match std::str::from_utf8(&self.bytes) {
            Ok(text) => text,
            Err(error) if error.error_len().is_none() && self.size > self.bytes.len() as u64 => {
                std::str::from_utf8(&self.bytes[..error.valid_up_to()]).ok()?
            }
            Err(_) => return None,
        };
        (!text.contains('\0')).then_some(text)
    }
}

/// At most `limit` bytes of the file that is the entry `at` of the listing of the layer `number` (from 1). The layer is read to
/// its end, so that the bytes are those of its digest.
///
/// Errors: as for a listing; there is no such entry.
pub fn preview(
    number: usize,
    tar: &Tar,
    worker: Option<&Arc<Worker>>,
    at: u32,
    limit: usize,
) -> Result<Preview, InspectError> {
    let mut opened = tar.open(number, worker)?;
    let found = find(&mut opened, at, limit);
    let found = settle(number, opened, found, |_| true)?;
    found.ok_or_else(|| InspectError::Unreadable { number, why: "the file is not in it".into() })
}

fn find(stream: &mut dyn Read, at: u32, limit: usize) -> io::Result<Option<Preview>> {
    let mut tar = TarReader::new(stream);
    let mut next = 0;
    let mut found = None;
    while let Some(member) = tar.next_member()? {
        if entry(&member).is_none() {
            continue;
        }
        if next == at {
            let mut bytes = Vec::new();
            tar.by_ref().take(limit as u64).read_to_end(&mut bytes)?;
            found = Some(Preview { bytes, size: member.size });
        }
        next += 1;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tape;
    use super::*;

    #[test]
    fn the_beginning_of_an_entry_is_found_by_its_number() {
        let tar = Tape::default().file(".wh..wh.x", "skipped").file("a", "first").file("a", "second").end();
        let read = |at, limit| find(&mut &tar[..], at, limit).unwrap();
        assert_eq!(read(1, 3), Some(Preview { bytes: b"sec".to_vec(), size: 6 }));
        assert_eq!(read(0, 99).unwrap().text(), Some("first"));
        assert_eq!(read(2, 9), None);
    }

    #[test]
    fn text_is_told_from_bytes() {
        let text = |bytes: &[u8], size| Preview { bytes: bytes.to_vec(), size }.text().map(str::to_owned);
        assert_eq!(text("größ".as_bytes(), 99).as_deref(), Some("größ"));
        assert_eq!(text(&"größ".as_bytes()[..5], 99).as_deref(), Some("grö"));
        assert_eq!(text(&"größ".as_bytes()[..3], 3), None, "it ends in the middle of a letter");
        assert_eq!(text(b"a\0b", 3), None);
        assert_eq!(text(b"", 0).as_deref(), Some(""));
    }
}
