//! The program that the kernel opens by itself to execute another one.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

/// So much of a program is read.
const HEAD: u64 = 4096;

/// The interpreter that a program names: behind `#!`, or in its ELF header.
pub fn interpreter(program: &OwnedFd) -> Option<Vec<u8>> {
    let head = read_head(program).ok()?;
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = &line[..line.iter().position(|b| *b == b'\n').unwrap_or(line.len())];
        let word = line.split(|b| matches!(b, b' ' | b'\t' | b'\0')).find(|word| !word.is_empty())?;
        return Some(word.to_vec());
    }
    elf_interpreter(&head)
}

/// The first bytes of a regular file. It is opened through the descriptor that was looked at, so it is that very file.
fn read_head(program: &OwnedFd) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let path = format!("/proc/self/fd/{}", program.as_raw_fd());
    let fd = rustix::fs::open(path, flags, Mode::empty())?;
    let mut head = Vec::new();
    File::from(fd).take(HEAD).read_to_end(&mut head)?;
    Ok(head)
}

/// PT_INTERP of a 64-bit little-endian program; linkers put it right behind the headers.
fn elf_interpreter(head: &[u8]) -> Option<Vec<u8>> {
    const PT_INTERP: u64 = 3;
    if head.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let number = |at: usize, len: usize| -> Option<u64> {
        let field = head.get(at..at.checked_add(len)?)?;
        Some(field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    let start = usize::try_from(number(32, 8)?).ok()?;
    let (size, count) = (usize::try_from(number(54, 2)?).ok()?, number(56, 2)?);
    for at in 0..usize::try_from(count).ok()? {
        let segment = start.checked_add(at.checked_mul(size)?)?;
        if number(segment, 4)? == PT_INTERP {
            let from = usize::try_from(number(segment.checked_add(8)?, 8)?).ok()?;
            let text = head.get(from..)?;
            return Some(text[..text.iter().position(|byte| *byte == 0)?].to_vec());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_are_read_and_damage_is_none() {
        let own: OwnedFd = File::open("/bin/sh").unwrap().into();
        let found = interpreter(&own).map(|path| String::from_utf8(path).unwrap());
        assert!(found.as_deref().is_none_or(|path| path.contains("ld")), "{found:?}");
        let head = read_head(&own).unwrap();
        for end in 0..head.len().min(1024) {
            let _ = elf_interpreter(&head[..end]);
        }
        for at in 16..64 {
            let mut damaged = head.clone();
            damaged[at] = 0xff;
            let _ = elf_interpreter(&damaged);
        }
    }
}
