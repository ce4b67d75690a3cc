//! How an archive that ADD unpacks may be packed.
//!
//! Source of the list and the magic numbers: `DetectCompression` of moby's archive package, which BuildKit uses.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

/// The most that unpacking xz may take in memory, in KiB: `xz -9` asks for 64 MiB.
const XZ_MEMORY: u32 = 256 << 10;

/// A compression, known by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// `.gz`.
    Gzip,
    /// `.bz2`.
    Bzip2,
    /// `.xz`.
    Xz,
    /// `.zst`.
    Zstd,
}

impl Packing {
    /// By the first bytes of a file; none for anything else.
    pub fn of(head: &[u8]) -> Option<Self> {
        let known: [(&[u8], Self); 4] = [
            (b"\x1f\x8b\x08", Self::Gzip),
            (b"BZh", Self::Bzip2),
            (b"\xfd7zXZ\0", Self::Xz),
            (b"\x28\xb5\x2f\xfd", Self::Zstd),
        ];
        known.into_iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, packing)| packing)
    }

    /// What is packed, over all parts that stand one after the other. Errors: what stands there is damaged; more memory would be
    /// needed than is given.
    pub fn unpacked<'a>(self, packed: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(packed)),
            Self::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(packed)),
            Self::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(packed, true, XZ_MEMORY)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(packed)?),
        })
    }
}
