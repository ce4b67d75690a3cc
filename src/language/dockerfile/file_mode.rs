//! The value of `--chmod`: octal, or symbolic as chmod(1) writes it.

use serde::{Deserialize, Serialize};

/// Setuid, setgid and all permissions; sticky is not among them.
const STANDARD: u32 = 0o6777;
/// The sticky bit.
const STICKY: u32 = 0o1000;
/// Execution for everybody.
const EXECUTE: u32 = 0o111;

/// What `--chmod` makes of a mode. Written and read as its text.
///
/// Source of the rules: BuildKit `dispatchCopy` (`dockerfile2llb/convert_copy.go`) and the parser that it uses,
/// `github.com/tonistiigi/dchapes-mode`, with a file creation mask of 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileMode {
    text: String,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Octal(u32),
    Symbolic(Vec<Change>),
}

/// One step of a symbolic mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Set(u32),
    Clear(u32),
    /// `X`: only where the file as it was is a directory or may be executed by somebody.
    SetIfExecutable(u32),
    /// `g=u`: bits of the class at shift `from` go to the classes of `who`.
    Copy {
        from: u32,
        who: u32,
        operator: u8,
    },
}

/// Why a mode cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileModeError {
    /// It begins with a digit.
    #[error("it is no octal number between 0 and 07777")]
    NoOctal,
    /// It is neither a number nor like `u=rwX,go=rX`.
    #[error("it is neither octal nor symbolic as in `u=rwX,go=rX` or `+x`")]
    Syntax,
}

impl FileMode {
    /// Reads the value of `--chmod`.
    ///
    /// # Errors
    /// When it is neither an octal number up to 07777 nor a symbolic mode.
    pub fn parse(text: &str) -> Result<Self, FileModeError> {
        let octal = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let kind = match u32::from_str_radix(text, 8) {
            Ok(mode) if octal && mode <= 0o7777 => Kind::Octal(mode),
            _ if text.starts_with(|c: char| c.is_ascii_digit()) => return Err(FileModeError::NoOctal),
            _ => Kind::Symbolic(Reader { rest: text.as_bytes(), out: Vec::new() }.read().ok_or(FileModeError::Syntax)?),
        };
        Ok(Self { text: text.to_owned(), kind })
    }

    /// The mode of something that had `mode`.
    pub fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        let changes = match &self.kind {
            Kind::Octal(octal) => return *octal,
            Kind::Symbolic(changes) => changes,
        };
        let executable = is_directory || mode & EXECUTE != 0;
        let mut now = mode;
        for change in changes {
            match *change {
                Change::Set(bits) => now |= bits,
                Change::Clear(bits) => now &= !bits,
                Change::SetIfExecutable(bits) if executable => now |= bits,
                Change::SetIfExecutable(_) => {}
                Change::Copy { from, who, operator } => {
                    let value = (now >> from) & 7;
                    let spread = |bits: u32| (bits << 6 | bits << 3 | bits) & who;
                    match operator {
                        b'+' => now |= spread(value),
                        b'-' => now &= !spread(value),
                        _ => now = now & !spread(7) | spread(value),
                    }
                }
            }
        }
        now
    }

    /// The mode of a directory that a copy makes on its way: an octal mode counts for it, without what the usual file creation
    /// mask (022) takes away; a symbolic one does not.
    pub fn of_made_directory(&self) -> u32 {
        match self.kind {
            Kind::Octal(octal) => octal & 0o755,
            Kind::Symbolic(_) => 0o755,
        }
    }
}

impl std::fmt::Display for FileMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<FileMode> for String {
    fn from(mode: FileMode) -> Self {
        mode.text
    }
}

impl TryFrom<String> for FileMode {
    type Error = FileModeError;
    fn try_from(text: String) -> Result<Self, FileModeError> {
        Self::parse(&text)
    }
}

struct Reader<'t> {
    rest: &'t [u8],
    out: Vec<Change>,
}

impl Reader<'_> {
    /// Clauses with commas between them; none when one is malformed.
    fn read(mut self) -> Option<Vec<Change>> {
        loop {
            let who = self.who();
            loop {
                let (operator, rest) = self.rest.split_first()?;
                self.rest = rest;
                if !matches!(operator, b'+' | b'-' | b'=') {
                    return None;
                }
                self.permissions(*operator, who);
                match self.rest.first() {
                    None => return Some(self.out),
                    Some(b',') => break,
                    Some(_) => {}
                }
            }
            self.rest = &self.rest[1..];
        }
    }

    fn who(&mut self) -> u32 {
        let mut who = 0;
        while let Some((letter, rest)) = self.rest.split_first() {
            who |= match letter {
                b'a' => STANDARD,
                b'u' => 0o4700,
                b'g' => 0o2070,
                b'o' => 0o0007,
                _ => break,
            };
            self.rest = rest;
        }
        who
    }

    /// What follows an operator.
    fn permissions(&mut self, operator: u8, mut who: u32) {
        let (mut bits, mut if_executable, mut assigned) = (0, 0, false);
        let only_others = who != 0 && who & !0o0007 == 0;
        while let Some((letter, rest)) = self.rest.split_first() {
            match letter {
                b'r' => bits |= 0o444,
                b'w' => bits |= 0o222,
                b'x' => bits |= EXECUTE,
                b'X' if operator == b'-' => bits |= EXECUTE,
                b'X' => if_executable = EXECUTE,
                b's' if only_others => {}
                b's' => bits |= 0o6000,
                b't' if only_others => {}
                b't' => {
                    who |= STICKY;
                    bits |= STICKY;
                }
                b'u' | b'g' | b'o' => {
                    if bits != 0 {
                        self.flush(operator, who, bits);
                    }
                    self.flush_executable(who, if_executable);
                    (bits, if_executable, assigned) = (0, 0, true);
                    let from = match letter {
                        b'u' => 6,
                        b'g' => 3,
                        _ => 0,
                    };
                    self.out.push(Change::Copy { from, who: if who == 0 { 0o777 } else { who & 0o777 }, operator });
                }
                _ => break,
            }
            self.rest = rest;
        }
        if bits != 0 || operator == b'=' && !assigned {
            self.flush(operator, who, bits);
        }
        self.flush_executable(who, if_executable);
    }

    fn flush(&mut self, operator: u8, who: u32, bits: u32) {
        let chosen = if who == 0 { bits } else { bits & who };
        if operator == b'=' {
            self.out.push(Change::Clear(if who == 0 { STANDARD } else { who }));
        }
        self.out.push(if operator == b'-' { Change::Clear(chosen) } else { Change::Set(chosen) });
    }

    fn flush_executable(&mut self, who: u32, bits: u32) {
        if bits != 0 {
            self.out.push(Change::SetIfExecutable(if who == 0 { bits } else { bits & who }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_what_buildkit_makes_of_them() {
        // Seen with docker 28.5: a file of 0750, and one of 0644.
        let seen = [
            ("a-X", 0o640, 0o644),
            ("=X", 0o111, 0),
            ("u=s", 0o4050, 0o4044),
            ("a+t", 0o1750, 0o1644),
            ("ug+s", 0o6750, 0o6644),
            ("o+t", 0o750, 0o644),
            ("+t", 0o1750, 0o1644),
            ("=r", 0o444, 0o444),
            ("+rw", 0o776, 0o666),
            ("u=g", 0o550, 0o444),
            ("a=", 0, 0),
            ("g=o+w", 0o720, 0o664),
            ("u+", 0o750, 0o644),
            ("go=u-w", 0o755, 0o644),
            ("u+x-w", 0o550, 0o544),
            ("=rw,+X", 0o777, 0o666),
            ("o=t", 0o750, 0o640),
            ("a=t", 0o1000, 0o1000),
            ("7", 7, 7),
            ("00644", 0o644, 0o644),
            ("u=rwxs,g=u", 0o4770, 0o4774),
            ("u=rX,g+X", 0o550, 0o444),
            ("ugo+X-r", 0o311, 0o200),
            ("u=go", 0o050, 0o444),
            ("u+gr", 0o750, 0o644),
            ("ug-x+X", 0o750, 0o644),
            ("u=rwX,go=rX", 0o755, 0o644),
            ("+x", 0o751, 0o755),
            ("a+rX,u+w,g=u,o-w", 0o775, 0o664),
            ("g+s,u+t,o=u-w", 0o3755, 0o3644),
        ];
        for (text, program, file) in seen {
            let mode = FileMode::parse(text).unwrap();
            assert_eq!(format!("{:o}", mode.apply(0o644, false)), format!("{file:o}"), "{text}");
            assert_eq!(format!("{:o}", mode.apply(0o750, false)), format!("{program:o}"), "{text}");
        }
        assert_eq!(FileMode::parse("u=rwX,go=rX").unwrap().apply(0o600, true), 0o755);
        assert_eq!(FileMode::parse("777").unwrap().of_made_directory(), 0o755);
    }

    #[test]
    fn what_is_no_mode_is_refused() {
        for text in ["", "u", ",", "u=rw,", "u=z", "u=rw,,g=r", "rw", "ü+x"] {
            assert_eq!(FileMode::parse(text), Err(FileModeError::Syntax), "{text}");
        }
        for text in ["9", "08", "17777", "7x", "99999999999999999999"] {
            assert_eq!(FileMode::parse(text), Err(FileModeError::NoOctal), "{text}");
        }
    }
}
