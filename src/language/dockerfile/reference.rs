//! Names of images: the grammar of the distribution project, and the short names that docker completes.
//!
//! Source of the rules: `reference.go`, `regexp.go` and `normalize.go` of `distribution/reference`.

/// A reference as it is written: nothing is filled in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageName {
    /// Registry, with its port; empty when there is none.
    pub domain: String,
    /// The repository below it.
    pub path: String,
    /// After the colon.
    pub tag: Option<String>,
    /// `algorithm:hex`.
    pub digest: Option<String>,
}

/// Why a text is no reference. The names are those of the errors of the distribution project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// `ErrReferenceInvalidFormat`.
    #[error(
        "a reference is [registry[:port]/]name[:tag][@digest], with lower-case letters, digits and single `.`, `_`, `-` in the name"
    )]
    Format,
    /// `ErrNameContainsUppercase`.
    #[error("the name must be lower case")]
    Uppercase,
    /// `ErrNameEmpty`.
    #[error("the name is empty")]
    Empty,
    /// `ErrNameTooLong`.
    #[error("the name is longer than 255 characters")]
    TooLong,
    /// `digest.ErrDigestUnsupported`.
    #[error("the digest's algorithm is unknown")]
    DigestUnsupported,
    /// `digest.ErrDigestInvalidLength`.
    #[error("the digest has a wrong length")]
    DigestLength,
    /// 64 hexadecimal digits are taken for an image's identity.
    #[error("64 hexadecimal digits cannot be a name")]
    Identifier,
}

/// Longest path, and longest repository with its domain.
const LONGEST: usize = 255;
/// Docker's own registry.
pub const DEFAULT_DOMAIN: &str = "docker.io";
const LEGACY_DOMAIN: &str = "index.docker.io";
const OFFICIAL: &str = "library/";

impl ImageName {
    /// Reads a reference strictly: what stands before the first `/` is a domain whenever it can be one.
    ///
    /// # Errors
    /// As `reference.Parse`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let Some((name, tag, digest)) = split(text) else {
            if text.is_empty() {
                return Err(NameError::Empty);
            }
            let lower = text.to_lowercase();
            return Err(if lower != text && split(&lower).is_some() { NameError::Uppercase } else { NameError::Format });
        };
        let (domain, path) = match name.split_once('/') {
            Some((domain, path)) if is_domain(domain) => (domain, path),
            _ => ("", name),
        };
        if path.len() > LONGEST {
            return Err(NameError::TooLong);
        }
        if let Some(digest) = digest {
            check_digest(digest)?;
        }
        Ok(Self {
            domain: domain.to_owned(),
            path: path.to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }

    /// Reads a name as docker does: `busybox` is `docker.io/library/busybox`. No tag is filled in.
    ///
    /// # Errors
    /// As `reference.ParseNormalizedNamed`.
    pub fn parse_normalized(text: &str) -> Result<Self, NameError> {
        if is_identifier(text) {
            return Err(NameError::Identifier);
        }
        let (domain, rest) = split_docker_domain(text);
        let name_end = rest.find(':').unwrap_or(rest.len());
        let name = &rest[..name_end];
        if name.to_lowercase() != name {
            return Err(NameError::Uppercase);
        }
        Self::parse(&format!("{domain}/{rest}"))
    }

    /// Domain and path.
    pub fn name(&self) -> String {
        if self.domain.is_empty() { self.path.clone() } else { format!("{}/{}", self.domain, self.path) }
    }

    /// The name without what docker fills in.
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.name();
        }
        // Below `library/` only single names are short.
        let short = match self.path.strip_prefix(OFFICIAL).filter(|name| !name.contains('/')) {
            Some(short) => short,
            None => &self.path,
        };
        // `docker.io/docker.io/x`: without its domain it would be read as another image.
        let same = split_docker_domain(short) == (self.domain.clone(), self.path.clone());
        if same { short.to_owned() } else { self.name() }
    }

    /// With `latest` where neither tag nor digest is given.
    #[must_use]
    pub fn with_default_tag(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some("latest".to_owned());
        }
        self
    }

    fn with_suffixes(&self, mut name: String) -> String {
        if let Some(tag) = &self.tag {
            name.push(':');
            name.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            name.push('@');
            name.push_str(digest);
        }
        name
    }

    /// As people write it.
    pub fn familiar(&self) -> String {
        self.with_suffixes(self.familiar_name())
    }
}

impl std::fmt::Display for ImageName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.with_suffixes(self.name()))
    }
}

/// Domain and rest, with what docker fills in.
pub fn split_docker_domain(text: &str) -> (String, String) {
    let (domain, rest) = match text.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" || first.to_lowercase() != first => {
            (if first == LEGACY_DOMAIN { DEFAULT_DOMAIN } else { first }, rest)
        }
        _ => (DEFAULT_DOMAIN, text),
    };
    let official = domain == DEFAULT_DOMAIN && !rest.contains('/');
    (domain.to_owned(), if official { format!("{OFFICIAL}{rest}") } else { rest.to_owned() })
}

/// 64 lower-case hexadecimal digits.
pub fn is_identifier(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The parts of a whole reference: name, tag, digest. None when the grammar does not match.
fn split(text: &str) -> Option<(&str, Option<&str>, Option<&str>)> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest).filter(|digest| is_digest_form(digest)).map(Some)?),
        None => (text, None),
    };
    if is_name(rest) {
        return Some((rest, None, digest));
    }
    let (name, tag) = rest.rsplit_once(':')?;
    (is_name(name) && is_tag(tag)).then_some((name, Some(tag), digest))
}

/// `[domain/]component[/component ...]`.
pub fn is_name(text: &str) -> bool {
    let is_path = |path: &str| path.split('/').all(is_component);
    is_path(text) || text.split_once('/').is_some_and(|(domain, path)| is_domain(domain) && is_path(path))
}

/// Runs of lower-case letters and digits, joined by one `.`, one or two `_`, or any number of `-`.
fn is_component(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ends = text.starts_with(plain) && text.ends_with(plain);
    let mut separators = text.split(plain).filter(|part| !part.is_empty());
    ends && separators.all(|part| matches!(part, "." | "_" | "__") || part.bytes().all(|b| b == b'-'))
}

/// A host name, or an IPv6 address in brackets; a port may follow.
pub fn is_domain(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, below)) = rest.split_once(']') else { return false };
            let good = !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
            return good && (below.is_empty() || below.strip_prefix(':').is_some_and(is_port));
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    host.split('.').all(is_domain_component) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_domain_component(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(plain) && text.ends_with(plain) && text.chars().all(|c| plain(c) || c == '-')
}

/// At most 128 letters, digits, `_`, `.` and `-`; the first neither `.` nor `-`.
pub fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = text.as_bytes();
    (1..=128).contains(&bytes.len()) && word(bytes[0]) && bytes.iter().all(|b| word(*b) || matches!(b, b'.' | b'-'))
}

/// `algorithm[separator part ...]:hex`, at least 32 digits.
fn is_digest_form(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    let part =
        |part: &str| part.starts_with(|c: char| c.is_ascii_alphabetic()) && part.chars().all(|c| c.is_ascii_alphanumeric());
    algorithm.split(['-', '_', '+', '.']).all(part) && hex.len() >= 32 && hex.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What the algorithm asks of the digits.
fn check_digest(digest: &str) -> Result<(), NameError> {
    let (algorithm, hex) = digest.split_once(':').ok_or(NameError::Format)?;
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return Err(NameError::DigestUnsupported),
    };
    if hex.len() != length {
        return Err(NameError::DigestLength);
    }
    // Upper-case digits match the grammar of references, but are no digest.
    if hex.bytes().any(|b| b.is_ascii_uppercase()) { Err(NameError::Format) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_and_normalized() {
        let strict = |text: &str| ImageName::parse(text).map(|name| (name.domain, name.path));
        assert_eq!(strict("test:5000/repo"), Ok(("test:5000".to_owned(), "repo".to_owned())));
        assert_eq!(strict("a/b"), Ok(("a".to_owned(), "b".to_owned())));
        assert_eq!(strict("[2001:db8::1]:5000/a"), Ok(("[2001:db8::1]:5000".to_owned(), "a".to_owned())));
        assert_eq!(strict("Uppercase:tag"), Err(NameError::Uppercase));
        assert_eq!(strict(""), Err(NameError::Empty));
        let full = |text: &str| ImageName::parse_normalized(text).map(|name| name.to_string());
        assert_eq!(full("busybox:1").as_deref(), Ok("docker.io/library/busybox:1"));
        assert_eq!(full("index.docker.io/a/b").as_deref(), Ok("docker.io/a/b"));
        assert_eq!(full("LOCAL/x").as_deref(), Ok("LOCAL/x"));
        assert_eq!(full(&"a".repeat(64)), Err(NameError::Identifier));
        let short = |text: &str| ImageName::parse_normalized(text).map(|name| name.familiar());
        assert_eq!(short("docker.io/library/a:1").as_deref(), Ok("a:1"));
        assert_eq!(short("docker.io/docker.io/a").as_deref(), Ok("docker.io/docker.io/a"), "found by fuzzing");
    }
}
