//! What a program needs to start: interpreter and libraries, read out of its ELF file. Little-endian, 32 and 64 bits. Nothing
//! is executed, and every offset of the file is checked.
//!
//! Source: System V ABI, chapter 5, "Program Loading and Dynamic Linking".

/// The dynamic part of a program or library.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Elf {
    /// 64 bits.
    pub wide: bool,
    /// The machine's number (`e_machine`): libraries of others do not fit.
    pub machine: u16,
    /// PT_INTERP: the dynamic loader; none for libraries and static programs.
    pub interpreter: Option<String>,
    /// DT_NEEDED, in order.
    pub needed: Vec<String>,
    /// DT_RUNPATH, or else DT_RPATH: folders searched first, `$ORIGIN` not yet replaced.
    pub search: Vec<String>,
}

const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;

impl Elf {
    /// Reads a file's bytes. None: it is no little-endian ELF file, or one that is cut short.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.get(..4)? != b"\x7fELF" || *bytes.get(5)? != 1 {
            return None;
        }
        let wide = match bytes.get(4)? {
            1 => false,
            2 => true,
            _ => return None,
        };
        let file = File { bytes, wide };
        let mut elf = Self { wide, machine: file.number(18, 2)? as u16, ..Self::default() };
        let segments = file.segments()?;
        for segment in &segments {
            match segment.kind {
                PT_INTERP => elf.interpreter = Some(file.text(segment.offset)?),
                PT_DYNAMIC => file.dynamic(segment, &segments, &mut elf)?,
                _ => {}
            }
        }
        Some(elf)
    }
}

struct File<'b> {
    bytes: &'b [u8],
    wide: bool,
}

struct Segment {
    kind: u64,
    offset: u64,
    address: u64,
    size: u64,
}

impl File<'_> {
    fn number(&self, at: u64, len: usize) -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let field = self.bytes.get(at..at.checked_add(len)?)?;
        Some(field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A field as wide as an address.
    fn word(&self, at: u64) -> Option<u64> {
        self.number(at, if self.wide { 8 } else { 4 })
    }

    fn text(&self, at: u64) -> Option<String> {
        let rest = self.bytes.get(usize::try_from(at).ok()?..)?;
        let end = rest.iter().take(4096).position(|byte| *byte == 0)?;
        String::from_utf8(rest[..end].to_vec()).ok()
    }

    fn segments(&self) -> Option<Vec<Segment>> {
        // Offsets of e_phoff, e_phentsize, e_phnum; then of a segment's p_offset, p_vaddr, p_filesz.
        let (table, size, count) = if self.wide { (32, 54, 56) } else { (28, 42, 44) };
        let (offset, address, length) = if self.wide { (8, 16, 32) } else { (4, 8, 16) };
        let (table, size, count) = (self.word(table)?, self.number(size, 2)?, self.number(count, 2)?);
        let read = |at: u64| {
            let at = table.checked_add(at.checked_mul(size)?)?;
            Some(Segment {
                kind: self.number(at, 4)?,
                offset: self.word(at.checked_add(offset)?)?,
                address: self.word(at.checked_add(address)?)?,
                size: self.word(at.checked_add(length)?)?,
            })
        };
        (0..count).map(read).collect()
    }

    fn dynamic(&self, segment: &Segment, all: &[Segment], elf: &mut Elf) -> Option<()> {
        let width = if self.wide { 8 } else { 4 };
        let mut entries = Vec::new();
        for at in 0..segment.size / (2 * width) {
            let at = segment.offset.checked_add(at * 2 * width)?;
            let (tag, value) = (self.word(at)?, self.word(at.checked_add(width)?)?);
            if tag == 0 {
                break;
            }
            entries.push((tag, value));
        }
        let value = |wanted: u64| entries.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value);
        let Some(strings) = value(DT_STRTAB) else { return Some(()) };
        // The table is named by its address in memory; the segment that loads it says where that is in the file.
        let home = all.iter().find(|s| s.kind == PT_LOAD && strings >= s.address && strings - s.address < s.size)?;
        let strings = (strings - home.address).checked_add(home.offset)?;
        for (_, offset) in entries.iter().filter(|(tag, _)| *tag == DT_NEEDED) {
            elf.needed.push(self.text(strings.checked_add(*offset)?)?);
        }
        if let Some(offset) = value(DT_RUNPATH).or_else(|| value(DT_RPATH)) {
            let text = self.text(strings.checked_add(offset)?)?;
            elf.search = text.split(':').filter(|folder| !folder.is_empty()).map(str::to_owned).collect();
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_names_its_loader_and_its_c_library() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let elf = Elf::parse(&own).unwrap();
        assert_eq!(elf.wide, cfg!(target_pointer_width = "64"));
        assert!(elf.interpreter.is_none_or(|path| std::path::Path::new(&path).exists()));
        if cfg!(target_env = "gnu") {
            assert!(elf.needed.iter().any(|name| name.starts_with("libc.so")), "{:?}", elf.needed);
        }
    }

    #[test]
    fn a_file_that_is_cut_or_bent_is_refused_or_read_but_never_a_panic() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let head = &own[..own.len().min(4096)];
        for len in 0..head.len().min(1200) {
            let _ = Elf::parse(&head[..len]);
        }
        for at in 0..head.len().min(1200) {
            let mut bent = head.to_vec();
            bent[at] = 0xff;
            let _ = Elf::parse(&bent);
        }
        assert_eq!(Elf::parse(b"#!/bin/sh\n"), None);
    }
}
