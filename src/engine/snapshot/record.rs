//! The record digest of a file whose bytes are at hand.

use std::io::{self, Read};

use crate::engine::context::entry::record_digester;
use crate::engine::protocol::{Entry, EntryKind};
use crate::ground::digest::Digest;

/// The record digest of `entry`, whose bytes (of a file) come from `content`.
pub fn record_digest(entry: &Entry, mut content: impl Read) -> io::Result<Digest> {
    let mut digester = record_digester(entry);
    if entry.kind == EntryKind::File {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => digester.update(&buffer[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(digester.finish())
}
