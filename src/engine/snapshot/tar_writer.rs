//! Writes tar headers the same way every time: ustar, with an extended header only where a value does not fit.

use std::io::{self, Write};

use super::tar_reader::{Kind, Member};

/// Writes members to `out`; their bodies follow through [`TarWriter::body`].
pub struct TarWriter<W> {
    out: W,
}

impl<W: Write> TarWriter<W> {
    /// Starts a tar.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// Writes the headers of `member`. Times are in whole seconds, as BuildKit's exporters write them.
    pub fn header(&mut self, member: &Member) -> io::Result<()> {
        let mut records = Vec::new();
        let link: &[u8] = match &member.kind {
            Kind::Symlink(target) | Kind::HardLink(target) => target,
            _ => b"",
        };
        let plain = |text: &[u8]| text.len() <= 100 && text.is_ascii();
        if !plain(link) {
            record(&mut records, "linkpath", link);
        }
        let split = split(&member.name);
        if split.is_none() {
            record(&mut records, "path", &member.name);
        }
        let mut number = |key: &str, value: i64, digits: u32| {
            if !(0..1 << (3 * digits)).contains(&value) {
                record(&mut records, key, value.to_string().as_bytes());
            }
        };
        number("uid", member.uid.into(), 7);
        number("gid", member.gid.into(), 7);
        number("size", i64::try_from(member.size).unwrap_or(i64::MAX), 11);
        number("mtime", member.modified.0, 11);
        for (name, value) in &member.xattrs {
            record(&mut records, &format!("SCHILY.xattr.{name}"), value);
        }
        if !records.is_empty() {
            let name = [b"PaxHeaders.0/", tail(&member.name, 80)].concat();
            let size = records.len() as u64;
            let extended = Member { name, kind: Kind::File, mode: 0o644, uid: 0, gid: 0, size, ..member.clone() };
            let head = Member { modified: (0, 0), xattrs: Vec::new(), ..extended };
            self.out.write_all(&block(&head, b'x', &head.name, b"", b""))?;
            self.body(&records)?;
            self.pad(size)?;
        }
        let (prefix, name) = split.unwrap_or((b"", tail(&member.name, 100)));
        let kind = match member.kind {
            Kind::File => b'0',
            Kind::HardLink(_) => b'1',
            Kind::Symlink(_) => b'2',
            Kind::CharDevice(..) => b'3',
            Kind::BlockDevice(..) => b'4',
            Kind::Directory => b'5',
            Kind::Fifo => b'6',
        };
        self.out.write_all(&block(member, kind, name, prefix, &link[..link.len().min(100)]))
    }

    /// Writes a part of a body.
    pub fn body(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    /// Fills the last block of a body of `size` bytes.
    pub fn pad(&mut self, size: u64) -> io::Result<()> {
        let rest = usize::try_from(size.wrapping_neg() % 512).unwrap_or(0);
        self.out.write_all(&[0; 512][..rest])
    }

    /// Writes the end mark and gives the stream back.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 1024])?;
        Ok(self.out)
    }
}

/// The last `most` bytes at most: a hint for readers that do not know extended headers.
fn tail(name: &[u8], most: usize) -> &[u8] {
    &name[..name.len().min(most)]
}

/// Prefix and name of ustar; `None` if the name fits neither way.
fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if !name.is_ascii() {
        return None;
    }
    if name.len() <= 100 {
        return Some((b"", name));
    }
    let end = name.len() - 1;
    let at = (0..end.min(156)).rev().find(|at| name[*at] == b'/')?;
    (at > 0 && name.len() - at - 1 <= 100).then(|| (&name[..at], &name[at + 1..]))
}

fn record(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    // The length counts its own digits.
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(format!("{length} {key}=").as_bytes());
    out.extend_from_slice(value);
    out.push(b'\n');
}

fn block(member: &Member, kind: u8, name: &[u8], prefix: &[u8], link: &[u8]) -> [u8; 512] {
    let mut block = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    let octal = |value: i64, digits: usize| {
        let fits = (0..1i64 << (3 * digits)).contains(&value);
        format!("{:0digits$o}\0", if fits { value } else { 0 }).into_bytes()
    };
    let (major, minor) = match member.kind {
        Kind::CharDevice(major, minor) | Kind::BlockDevice(major, minor) => (major, minor),
        _ => (0, 0),
    };
    put(0, name);
    put(100, &octal(member.mode.into(), 7));
    put(108, &octal(member.uid.into(), 7));
    put(116, &octal(member.gid.into(), 7));
    put(124, &octal(i64::try_from(member.size).unwrap_or(-1), 11));
    put(136, &octal(member.modified.0, 11));
    put(148, b"        ");
    put(156, &[kind]);
    put(157, link);
    put(257, b"ustar\x0000");
    put(329, &octal(major.into(), 7));
    put(337, &octal(minor.into(), 7));
    put(345, prefix);
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
