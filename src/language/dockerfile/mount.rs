//! `RUN --mount=...`.
//!
//! Source of the rules: `commands_runmount.go` of BuildKit's instructions.

use super::expand::{Environment, ExpandError, expand_word};
use super::nearest::nearest;

/// What is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum MountKind {
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

/// Who may use a cache mount at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// All at once.
    Shared,
    /// Each its own.
    Private,
    /// One after the other.
    Locked,
}

/// A mount of a RUN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunMount {
    /// `type=`; bind when not given.
    pub kind: MountKind,
    /// `from=`: a stage, a named context or an image.
    pub from: Option<String>,
    /// `source=`.
    pub source: Option<String>,
    /// `target=`; relative to the working folder, which it is when not given (but `/` is refused when lowering).
    pub target: Option<String>,
    /// Cache and tmpfs are writable, the others read-only, unless said otherwise.
    pub read_only: bool,
    /// `id=`.
    pub id: Option<String>,
    /// `sharing=` of a cache mount.
    pub sharing: Option<Sharing>,
    /// `required` of secret and ssh.
    pub required: bool,
    /// `mode=`, read as octal.
    pub mode: Option<u32>,
    /// `uid=`.
    pub uid: Option<u32>,
    /// `gid=`.
    pub gid: Option<u32>,
    /// `size=` of a tmpfs, in bytes.
    pub size: Option<u64>,
    /// `env=` of a secret: the variable that holds it, instead of a file.
    pub env: Option<String>,
}

/// Why a mount cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MountError {
    /// The quotes of its comma separated fields do not match.
    #[error("the quotes in the mount do not match")]
    Quotes,
    /// No such key.
    #[error("unexpected key `{key}` in the mount{}", hint(.meant))]
    UnknownKey {
        /// As written.
        key: String,
        /// A known one that is near.
        meant: Option<&'static str>,
    },
    /// A key that does not go with the mount's type.
    #[error("`{0}` does not go with this type of mount")]
    Misplaced(String),
    /// A key without its value.
    #[error("field `{0}` must be a key=value pair")]
    NoValue(String),
    /// A value that cannot be read.
    #[error("invalid value `{value}` for `{key}`")]
    Value {
        /// The key.
        key: String,
        /// As written.
        value: String,
    },
    /// A variable in `from`, which is never expanded.
    #[error("`from` of a mount knows no variables: define a stage with that image instead")]
    VariableInFrom,
    /// A secret with neither target nor source nor id.
    #[error("the secret mount needs an `id`, a `source` or a `target`")]
    NoTarget,
    /// A value cannot be expanded.
    #[error(transparent)]
    Expand(#[from] ExpandError),
}

fn hint(meant: &Option<&'static str>) -> String {
    meant.map(|meant| format!(", did you mean `{meant}`?")).unwrap_or_default()
}

const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "required",
    "size",
    "id",
    "sharing",
    "mode",
    "uid",
    "gid",
    "env",
];

/// Reads the value of a `--mount` flag, expanding variables in every field but `from`.
///
/// # Errors
/// When a field is unknown, misplaced or malformed.
pub fn parse_mount(value: &str, env: &dyn Environment, escape: char) -> Result<RunMount, MountError> {
    let mut mount = RunMount {
        kind: MountKind::Bind,
        from: None,
        source: None,
        target: None,
        read_only: true,
        id: None,
        sharing: None,
        required: false,
        mode: None,
        uid: None,
        gid: None,
        size: None,
        env: None,
    };
    let mut access = None;
    for field in comma_separated(value).ok_or(MountError::Quotes)? {
        let (key, value) = field.split_once('=').map_or((field.as_str(), None), |(key, value)| (key, Some(value)));
        let key = key.to_lowercase();
        let value = match (key.as_str(), value) {
            ("from", Some(value)) if value.contains('$') && !value.ends_with('$') => return Err(MountError::VariableInFrom),
            (_, Some(value)) => Some(expand_word(value, env, escape)?.text),
            (_, None) => None,
        };
        mount.set(&key, value.as_deref(), &mut access)?;
    }
    mount.read_only = access.unwrap_or(!matches!(mount.kind, MountKind::Cache | MountKind::Tmpfs));
    mount.check()?;
    Ok(mount)
}

impl RunMount {
    fn set(&mut self, key: &str, value: Option<&str>, access: &mut Option<bool>) -> Result<(), MountError> {
        let wrong = || MountError::Value { key: key.to_owned(), value: value.unwrap_or("").to_owned() };
        let flag = || value.map_or(Some(true), parse_bool).ok_or_else(wrong);
        match key {
            "readonly" | "ro" => *access = Some(flag()?),
            "readwrite" | "rw" => *access = Some(!flag()?),
            "required" if matches!(self.kind, MountKind::Secret | MountKind::Ssh) => self.required = flag()?,
            "required" => return Err(MountError::Misplaced(key.to_owned())),
            _ => {
                let Some(value) = value.map(str::to_owned) else {
                    return Err(if KEYS.contains(&key) { MountError::NoValue(key.to_owned()) } else { unknown(key) });
                };
                self.set_value(key, value, wrong)?;
            }
        }
        Ok(())
    }

    fn set_value(&mut self, key: &str, value: String, wrong: impl Fn() -> MountError) -> Result<(), MountError> {
        match key {
            "type" => self.kind = parse_kind(&value).ok_or_else(wrong)?,
            "from" => self.from = Some(value),
            "source" | "src" => self.source = Some(value),
            "target" | "dst" | "destination" => self.target = Some(value),
            "id" => self.id = Some(value),
            "sharing" => self.sharing = Some(parse_sharing(&value).ok_or_else(wrong)?),
            "mode" => self.mode = Some(u32::from_str_radix(&value, 8).map_err(|_| wrong())?),
            "uid" => self.uid = Some(value.parse().map_err(|_| wrong())?),
            "gid" => self.gid = Some(value.parse().map_err(|_| wrong())?),
            "size" if self.kind == MountKind::Tmpfs => self.size = Some(parse_size(&value).ok_or_else(wrong)?),
            "env" if self.kind == MountKind::Secret => self.env = Some(value),
            "size" | "env" => return Err(MountError::Misplaced(key.to_owned())),
            _ => return Err(unknown(key)),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), MountError> {
        let misplaced = |key: &str| Err(MountError::Misplaced(key.to_owned()));
        if matches!(self.kind, MountKind::Bind | MountKind::Tmpfs) {
            for (key, given) in [("mode", self.mode.is_some()), ("uid", self.uid.is_some()), ("gid", self.gid.is_some())] {
                if given {
                    return misplaced(key);
                }
            }
        }
        if self.sharing.is_some() && self.kind != MountKind::Cache {
            return misplaced("sharing");
        }
        let named = self.target.as_deref().is_some_and(|target| !target.is_empty());
        match self.kind {
            MountKind::Secret if self.from.is_some() => misplaced("from"),
            MountKind::Secret if self.source.is_some() && self.id.is_some() => misplaced("source"),
            MountKind::Secret if !named && self.source.is_none() && self.id.is_none() => Err(MountError::NoTarget),
            _ => Ok(()),
        }
    }
}

fn unknown(key: &str) -> MountError {
    MountError::UnknownKey {
        key: key.to_owned(),
        meant: nearest(key, KEYS).and_then(|meant| KEYS.into_iter().find(|key| *key == meant)),
    }
}

fn parse_kind(text: &str) -> Option<MountKind> {
    Some(match text.to_lowercase().as_str() {
        "bind" => MountKind::Bind,
        "cache" => MountKind::Cache,
        "tmpfs" => MountKind::Tmpfs,
        "secret" => MountKind::Secret,
        "ssh" => MountKind::Ssh,
        _ => return None,
    })
}

fn parse_sharing(text: &str) -> Option<Sharing> {
    Some(match text.to_lowercase().as_str() {
        "shared" => Sharing::Shared,
        "private" => Sharing::Private,
        "locked" => Sharing::Locked,
        _ => return None,
    })
}

/// Go's `strconv.ParseBool`.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// `units.RAMInBytes` of docker: `64m`, `1.5GiB`; powers of 1024.
pub fn parse_size(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start().to_ascii_lowercase();
    let letter = unit.strip_suffix('b').unwrap_or(&unit);
    let power = match letter.strip_suffix('i').unwrap_or(letter) {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    let bytes = number * 1024_f64.powi(power);
    // Beyond 2^63 a size is nonsense, and the conversion would saturate.
    (bytes < 9.2e18).then_some(bytes as u64)
}

/// A line of comma separated fields with quotes, as Go's `encoding/csv` reads it; `None` when the quotes do not match.
fn comma_separated(text: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, below) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                if rest[..end].contains('"') {
                    return None;
                }
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        fields.push(field);
        match below.strip_prefix(',') {
            Some(next) => rest = next,
            None if below.is_empty() => return Some(fields),
            None => return None,
        }
    }
}

fn quoted_field(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (part, below) = rest.split_once('"')?;
        field.push_str(part);
        match below.strip_prefix('"') {
            Some(next) => {
                field.push('"');
                rest = next;
            }
            None => return Some((field, below)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<RunMount, MountError> {
        parse_mount(value, &|name: &str| (name == "d").then(|| "/x".to_owned()), '\\')
    }

    #[test]
    fn kinds_and_their_defaults() {
        let cache = read("type=cache,target=$d/c,id=npm,sharing=locked,uid=1000,mode=0755");
        assert!(cache.is_ok_and(|mount| !mount.read_only
            && mount.target.as_deref() == Some("/x/c")
            && mount.mode == Some(0o755)
            && mount.sharing == Some(Sharing::Locked)));
        assert!(read("target=/a,rw").is_ok_and(|mount| mount.kind == MountKind::Bind && !mount.read_only));
        assert!(read("type=secret,id=a,required").is_ok_and(|mount| mount.required && mount.read_only));
        assert!(read("type=tmpfs,target=/t,size=64m").is_ok_and(|mount| mount.size == Some(64 << 20)));
        assert!(read("type=ssh").is_ok());
        assert!(read("\"target=/a,b\",ro").is_ok_and(|mount| mount.target.as_deref() == Some("/a,b")));
    }

    #[test]
    fn errors_say_what_is_wrong() {
        assert!(read("type=secret").is_err_and(|error| error == MountError::NoTarget));
        assert!(read("type=cache,targt=/a").is_err_and(|error| error.to_string().contains("did you mean `target`")));
        assert!(read("type=bind,target=/a,from=$x").is_err_and(|error| error == MountError::VariableInFrom));
        assert!(read("type=bind,\"target=/x").is_err_and(|error| error == MountError::Quotes));
        for wrong in [
            "type=frob,target=/x",
            "target=/x,rw=maybe",
            "target=/x,uid=1",
            "target=/x,sharing=locked",
            "type=tmpfs,target=/,size=x",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
