//! Lists of files as the store keeps them.

use super::Entry;

/// The bytes of a list of files as the store keeps them.
pub fn pack_list(list: &[Entry]) -> Vec<u8> {
    use std::io::Write;
    let bytes = serde_json::to_vec(list).unwrap_or_default();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let _ = encoder.write_all(&bytes);
    encoder.finish().unwrap_or_default()
}

/// Reads a list of files back.
pub fn unpack_list(bytes: &[u8]) -> Option<Vec<Entry>> {
    use std::io::Read;
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}
