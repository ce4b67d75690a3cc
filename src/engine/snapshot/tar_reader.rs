//! Reads tar members from a stream. Own code, because the `tar` crate reads names of any length into memory, skips malformed
//! extended headers silently and takes a cut body for a whole one. Where readers of the world disagree about a stream (which is
//! how members are smuggled), it is refused.

use std::io::{self, Read};

const BLOCK: usize = 512;
/// Long names and extended headers; the limit of Go's archive/tar.
const MAX_HEADER: u64 = 1 << 20;

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// With a body.
    File,
    /// A directory.
    Directory,
    /// To the target.
    Symlink(Vec<u8>),
    /// To another member, or a path of a lower layer.
    HardLink(Vec<u8>),
    /// Major and minor number.
    CharDevice(u32, u32),
    /// Major and minor number.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
}

/// One member's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// As written.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// `0o7777`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of the body.
    pub size: u64,
    /// Seconds and nanoseconds since 1970.
    pub modified: (i64, u32),
    /// `SCHILY.xattr.*`.
    pub xattrs: Vec<(String, Vec<u8>)>,
}

/// A stream of members. The body of a member is read with [`TarReader::read`] before the next one is asked for; what is left of
/// it is skipped.
pub struct TarReader<R> {
    inner: R,
    left: u64,
    padding: u64,
    done: bool,
}

/// Extended headers that wait for the member they describe.
#[derive(Default)]
struct Pending {
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    records: Option<Vec<(String, Vec<u8>)>>,
}

impl<R: Read> TarReader<R> {
    /// Starts at the first header.
    pub fn new(inner: R) -> Self {
        Self { inner, left: 0, padding: 0, done: false }
    }

    /// The stream behind: after the end mark there may be more.
    pub fn into_inner(self) -> R {
        self.inner
    }

    /// The next member; `None` at the end mark, or at the end of the stream between two members.
    pub fn next_member(&mut self) -> io::Result<Option<Member>> {
        self.skip_body()?;
        let mut pending = Pending::default();
        loop {
            let Some(block) = self.header()? else {
                return match pending.is_empty() {
                    true => Ok(None),
                    false => Err(bad("an extended header without a member")),
                };
            };
            let size = size(&block)?;
            match block[156] {
                b'L' => pending.long_name = Some(once(pending.long_name.as_ref(), self.text(size)?)?),
                b'K' => pending.long_link = Some(once(pending.long_link.as_ref(), self.text(size)?)?),
                b'x' => pending.records = Some(once(pending.records.as_ref(), records(&self.body(size)?)?)?),
                b'g' => global(&records(&self.body(size)?)?)?,
                _ => {
                    let member = member(&block, size, pending)?;
                    self.left = member.size;
                    self.padding = member.size.wrapping_neg() % BLOCK as u64;
                    return Ok(Some(member));
                }
            }
        }
    }

    fn header(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        if self.done {
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        if !self.block(&mut block)? || is_zero(&block) {
            self.done = true;
            // One zero block is not the end mark, but only the end may follow it.
            if self.block(&mut block)? && !is_zero(&block) {
                return Err(bad("a header after a single zero block"));
            }
            return Ok(None);
        }
        let stored = octal(&block[148..156])?;
        let sum = |signed: bool| -> i64 {
            let byte = |(i, b): (usize, &u8)| match (148..156).contains(&i) {
                true => 32,
                false if signed => i64::from(b.cast_signed()),
                false => i64::from(*b),
            };
            block.iter().enumerate().map(byte).sum()
        };
        if stored != sum(false) && stored != sum(true) {
            return Err(bad("a header with a wrong checksum"));
        }
        Ok(Some(block))
    }

    /// A whole block; false at the end of the stream.
    fn block(&mut self, block: &mut [u8; BLOCK]) -> io::Result<bool> {
        let mut filled = 0;
        while filled < BLOCK {
            match self.inner.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(bad("an end in the middle of a header")),
                Ok(length) => filled += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn body(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > MAX_HEADER {
            return Err(bad("a header too large: more than 1 MiB"));
        }
        self.left = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
        let mut out = Vec::new();
        self.read_to_end(&mut out)?;
        self.skip_body()?;
        Ok(out)
    }

    fn text(&mut self, size: u64) -> io::Result<Vec<u8>> {
        let mut text = self.body(size)?;
        text.truncate(text.iter().position(|b| *b == 0).unwrap_or(text.len()));
        Ok(text)
    }

    fn skip_body(&mut self) -> io::Result<()> {
        let wanted = self.left + self.padding;
        let skipped = io::copy(&mut (&mut self.inner).take(wanted), &mut io::sink())?;
        // The padding of the very last member may be missing.
        if skipped < self.left {
            return Err(cut());
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }
}

impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let length = self.inner.read(&mut buffer[..most])?;
        if length == 0 {
            return Err(cut());
        }
        self.left -= length as u64;
        Ok(length)
    }
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.long_name.is_none() && self.long_link.is_none() && self.records.is_none()
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the tar has {what}"))
}

fn cut() -> io::Error {
    bad("an end in the middle of a member")
}

fn is_zero(block: &[u8]) -> bool {
    block.iter().all(|b| *b == 0)
}

fn once<T>(before: Option<&T>, now: T) -> io::Result<T> {
    match before {
        Some(_) => Err(bad("two extended headers of one kind for one member")),
        None => Ok(now),
    }
}

fn field(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len())]
}

/// A number field: octal text, or base-256 when the top bit is set.
fn octal(bytes: &[u8]) -> io::Result<i64> {
    if bytes[0] & 0x80 != 0 {
        let negative = bytes[0] & 0x40 != 0;
        let mut value: i128 = if negative { -1 } else { 0 };
        for (index, byte) in bytes.iter().enumerate() {
            let byte = if index == 0 && !negative { byte & 0x7f } else { *byte };
            value = (value << 8) | i128::from(byte);
            if i64::try_from(value).is_err() {
                return Err(bad("a number out of range"));
            }
        }
        return i64::try_from(value).map_err(|_| bad("a number out of range"));
    }
    let text = field(bytes);
    let text = std::str::from_utf8(text).map_err(|_| bad("a malformed number"))?.trim_matches(' ');
    match text {
        "" => Ok(0),
        _ if text.bytes().all(|b| (b'0'..=b'7').contains(&b)) => {
            i64::from_str_radix(text, 8).map_err(|_| bad("a number out of range"))
        }
        _ => Err(bad("a malformed number")),
    }
}

fn size(block: &[u8; BLOCK]) -> io::Result<u64> {
    u64::try_from(octal(&block[124..136])?).map_err(|_| bad("a negative size"))
}

/// Parses `<length> <key>=<value>\n` records.
fn records(mut bytes: &[u8]) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut out: Vec<(String, Vec<u8>)> = Vec::new();
    while !bytes.is_empty() {
        let malformed = || bad("a malformed extended header");
        let space = bytes.iter().take(20).position(|b| *b == b' ').ok_or_else(malformed)?;
        let digits = std::str::from_utf8(&bytes[..space]).map_err(|_| malformed())?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(malformed());
        }
        let length: usize = digits.parse().map_err(|_| malformed())?;
        let record = bytes.get(space + 1..length).and_then(|r| r.strip_suffix(b"\n")).ok_or_else(malformed)?;
        let equals = record.iter().position(|b| *b == b'=').ok_or_else(malformed)?;
        let key = std::str::from_utf8(&record[..equals]).map_err(|_| malformed())?.to_owned();
        let value = record[equals + 1..].to_vec();
        if key.starts_with("GNU.sparse.") {
            return Err(bad("a sparse file, which layers cannot hold"));
        }
        if matches!(key.as_str(), "path" | "linkpath") && value.contains(&0) {
            return Err(bad("a name with a NUL byte"));
        }
        out.push((key, value));
        bytes = &bytes[length..];
    }
    Ok(out)
}

/// Global headers are comments to us; one that would change members is read differently by every program.
fn global(records: &[(String, Vec<u8>)]) -> io::Result<()> {
    let changes = |key: &str| matches!(key, "path" | "linkpath" | "size" | "uid" | "gid") || key.starts_with("SCHILY.");
    match records.iter().any(|(key, _)| changes(key)) {
        true => Err(bad("a global header that changes members")),
        false => Ok(()),
    }
}

fn member(block: &[u8; BLOCK], size: u64, pending: Pending) -> io::Result<Member> {
    let mut name = field(&block[..100]).to_vec();
    if &block[257..263] == b"ustar\0" && block[345] != 0 {
        name = [field(&block[345..500]), b"/", &name].concat();
    }
    let mut raw = Raw {
        name,
        link: field(&block[157..257]).to_vec(),
        size,
        uid: octal(&block[108..116])?,
        gid: octal(&block[116..124])?,
        modified: (octal(&block[136..148])?, 0),
        xattrs: Vec::new(),
    };
    // What was long in two ways is read differently by every program.
    let differs = |key: &str, long: Option<&Vec<u8>>| {
        let mut records = pending.records.iter().flatten();
        long.is_some_and(|long| records.any(|(k, value)| k == key && value != long))
    };
    if differs("path", pending.long_name.as_ref()) || differs("linkpath", pending.long_link.as_ref()) {
        return Err(bad("two long names for one member"));
    }
    for (key, value) in pending.records.unwrap_or_default() {
        raw.apply(&key, value)?;
    }
    raw.name = pending.long_name.unwrap_or(raw.name);
    raw.link = pending.long_link.unwrap_or(raw.link);
    let mode = u32::try_from(octal(&block[100..108])? & 0o7777).unwrap_or(0);
    let kind = kind(block, &raw.name, raw.link)?;
    if kind != Kind::File && raw.size != 0 {
        return Err(bad("a member with a body that its type cannot have"));
    }
    // 2^32-1 means "unchanged" to chown, so it is refused with everything larger.
    let id = |id: i64| u32::try_from(id).ok().filter(|id| *id != u32::MAX).ok_or_else(|| bad("an owner out of range"));
    let (uid, gid) = (id(raw.uid)?, id(raw.gid)?);
    Ok(Member { name: raw.name, kind, mode, uid, gid, size: raw.size, modified: raw.modified, xattrs: raw.xattrs })
}

/// A member's values before they are checked.
struct Raw {
    name: Vec<u8>,
    link: Vec<u8>,
    size: u64,
    uid: i64,
    gid: i64,
    modified: (i64, u32),
    xattrs: Vec<(String, Vec<u8>)>,
}

impl Raw {
    /// Applies one record of an extended header.
    fn apply(&mut self, key: &str, value: Vec<u8>) -> io::Result<()> {
        let number = |value: &[u8]| -> io::Result<i64> {
            let text = std::str::from_utf8(value).ok().filter(|t| !t.starts_with('+'));
            text.and_then(|t| t.parse().ok()).ok_or_else(|| bad("a malformed number"))
        };
        match key {
            // An empty value takes back what a global header said, so the ustar field counts.
            _ if value.is_empty() && !key.starts_with("SCHILY.") => {}
            "path" => self.name = value,
            "linkpath" => self.link = value,
            "size" => self.size = u64::try_from(number(&value)?).map_err(|_| bad("a negative size"))?,
            "uid" => self.uid = number(&value)?,
            "gid" => self.gid = number(&value)?,
            "mtime" => self.modified = time(&value)?,
            _ => {
                if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                    self.xattrs.retain(|(known, _)| known != name);
                    self.xattrs.push((name.to_owned(), value));
                }
            }
        }
        Ok(())
    }
}

fn kind(block: &[u8; BLOCK], name: &[u8], link: Vec<u8>) -> io::Result<Kind> {
    let device = || -> io::Result<(u32, u32)> {
        let number = |bytes| u32::try_from(octal(bytes)?).map_err(|_| bad("a device number out of range"));
        Ok((number(&block[329..337])?, number(&block[337..345])?))
    };
    Ok(match block[156] {
        b'\0' if name.ends_with(b"/") => Kind::Directory,
        b'0' | b'\0' | b'7' => Kind::File,
        b'1' => Kind::HardLink(link),
        b'2' => Kind::Symlink(link),
        b'3' => device().map(|(major, minor)| Kind::CharDevice(major, minor))?,
        b'4' => device().map(|(major, minor)| Kind::BlockDevice(major, minor))?,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        b'S' => return Err(bad("a sparse file, which layers cannot hold")),
        other => return Err(bad(&format!("a member of the unknown type `{}`", char::from(other).escape_debug()))),
    })
}

/// `seconds[.fraction]`, maybe negative.
fn time(value: &[u8]) -> io::Result<(i64, u32)> {
    let malformed = || bad("a malformed time");
    let text = std::str::from_utf8(value).map_err(|_| malformed())?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().map_err(|_| malformed())?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(malformed());
    }
    let nanoseconds: u32 = format!("{:0<9.9}", fraction).parse().map_err(|_| malformed())?;
    if whole.starts_with('-') && nanoseconds > 0 {
        return Ok((seconds - 1, 1_000_000_000 - nanoseconds));
    }
    Ok((seconds, nanoseconds))
}
