//! What every other room stands on: digests, files, hints, configuration, the wish to stop. Nothing here knows what a build is.

pub mod cancel;
pub mod config;
pub mod digest;
pub mod fs;
pub mod hint;
pub mod path;

/// `bytes` random bytes as hex, from the kernel: names that nobody else has.
pub fn random_hex(bytes: usize) -> String {
    let mut buffer = vec![0u8; bytes];
    let mut filled = 0;
    while filled < buffer.len() {
        match rustix::rand::getrandom(&mut buffer[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(n) => filled += n,
            Err(_) => std::thread::yield_now(),
        }
    }
    buffer.iter().map(|byte| format!("{byte:02x}")).collect()
}
