//! The rights of a step: docker's fourteen default capabilities, and no way to more.

use rustix::io::{Errno, Result};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, NET_RAW, SYS_CHROOT, MKNOD,
/// AUDIT_WRITE, SETFCAP.
pub const DEFAULT: u64 = 0x0000_0000_a804_25fb;

/// Capabilities that a kernel may know; asking for more answers EINVAL.
const MOST: u32 = 64;

/// Empties the bounding and ambient sets down to the default. Call while still holding CAP_SETPCAP.
pub fn limit() -> Result<()> {
    for number in 0..MOST {
        if DEFAULT >> number & 1 == 1 {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            Ok(()) => {}
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error),
        }
    }
    rustix::thread::clear_ambient_capability_set()
}

/// Keeps the default ones, of what this process has by now, and none inheritable (CVE-2022-24769).
pub fn keep() -> Result<()> {
    let have = rustix::thread::capabilities(None)?;
    let set = have.permitted & CapabilitySet::from_bits_retain(DEFAULT);
    let sets = CapabilitySets { effective: set, permitted: set, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets)
}
