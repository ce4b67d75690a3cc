//! A tar to apply, found out from its first bytes.

use std::io::{self, Read};

use super::packing::Packing;
use super::tar_reader::TarReader;

/// A tar to apply.
pub struct Archive<'a> {
    pub(super) tar: TarReader<Box<dyn Read + 'a>>,
}

impl<'a> Archive<'a> {
    /// A stream that is a tar and nothing else.
    pub fn plain(content: impl Read + 'a) -> Self {
        Self { tar: TarReader::new(Box::new(content)) }
    }

    /// Looks whether a stream is a tar, plain or packed, as ADD does; `None` if it is neither.
    pub fn sniff<R: Read>(content: &'a mut R) -> io::Result<Option<Self>> {
        fn fill(content: &mut impl Read) -> io::Result<Vec<u8>> {
            let mut head = Vec::new();
            content.take(512).read_to_end(&mut head)?;
            Ok(head)
        }
        let is_tar = |head: &[u8]| {
            head.len() == 512 && matches!(TarReader::new(head).next_member(), Ok(Some(_)))
                || head.len() == 512 && head[257..262] == *b"ustar"
        };
        let head = fill(content)?;
        let plain: Box<dyn Read + 'a> = match Packing::of(&head) {
            Some(packing) => {
                let Ok(mut inner) = packing.unpacked(io::Cursor::new(head).chain(content)) else { return Ok(None) };
                let Ok(head) = fill(&mut inner) else { return Ok(None) };
                if !is_tar(&head) {
                    return Ok(None);
                }
                Box::new(io::Cursor::new(head).chain(inner))
            }
            None if is_tar(&head) => Box::new(io::Cursor::new(head).chain(content)),
            None => return Ok(None),
        };
        Ok(Some(Self { tar: TarReader::new(plain) }))
    }
}
