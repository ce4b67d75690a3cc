//! Image references: `[domain/]path[:tag][@digest]`.

use std::fmt;

use crate::ground::digest::Digest;

/// A reference in its familiar notation, normalised: `busybox` is `docker.io/library/busybox:latest`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// `docker.io`, `localhost:5000` ...
    pub domain: String,
    /// `library/busybox`.
    pub path: String,
    /// `latest` unless something else, or a digest, is given.
    pub tag: Option<String>,
    /// Pinned.
    pub digest: Option<Digest>,
}

/// A text that is no image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not an image reference: {why}", .text.escape_debug())]
pub struct ReferenceError {
    text: String,
    why: &'static str,
}

impl Reference {
    /// Parses a name as docker does.
    ///
    /// Source: the reference grammar of the distribution project.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let fail = |why| Err(ReferenceError { text: text.chars().take(200).collect(), why });
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => match digest.parse() {
                Ok(digest) => (rest, Some(digest)),
                Err(_) => return fail("what follows `@` is not a sha256 digest"),
            },
            None => (text, None),
        };
        let (name, tag) = match rest.rfind(':') {
            Some(at) if !rest[at..].contains('/') => (&rest[..at], Some(&rest[at + 1..])),
            _ => (rest, None),
        };
        let (domain, path) = match name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" || first != first.to_lowercase() => {
                (first.to_owned(), rest.to_owned())
            }
            _ => ("docker.io".to_owned(), name.to_owned()),
        };
        let path = if domain == "docker.io" && !path.contains('/') { format!("library/{path}") } else { path };
        if path.is_empty() || !path.split('/').all(is_path_component) || path == "library/" {
            return fail("names consist of lower-case letters, digits, and single `.`, `_`, `-` between them");
        }
        if domain.is_empty() || !domain.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b)) {
            return fail("its registry is not a host name");
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return fail("tags are at most 128 letters, digits, `_`, `.`, `-`");
        }
        if domain.len() + path.len() + 1 > 255 {
            return fail("names are at most 255 characters long");
        }
        let tag = tag.map(str::to_owned).or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Ok(Self { domain, path, tag, digest })
    }

    /// As people write it: without the parts that docker fills in.
    pub fn familiar(&self) -> String {
        let mut out = match (self.domain.as_str(), self.path.strip_prefix("library/")) {
            ("docker.io", Some(short)) => short.to_owned(),
            ("docker.io", None) => self.path.clone(),
            (domain, _) => format!("{domain}/{}", self.path),
        };
        if let Some(tag) = &self.tag {
            out.push(':');
            out.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            out.push('@');
            out.push_str(&digest.to_string());
        }
        out
    }
}

impl fmt::Display for Reference {
    /// Complete.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// Alphanumeric runs joined by one period, one or two underscores, or dashes.
fn is_path_component(part: &str) -> bool {
    let bytes = part.as_bytes();
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = bytes.first().is_some_and(|b| alphanumeric(*b)) && bytes.last().is_some_and(|b| alphanumeric(*b));
    let separators = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).filter(|s| !s.is_empty());
    ends && separators.clone().all(|s| matches!(s, "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = tag.as_bytes();
    (1..=128).contains(&bytes.len()) && word(bytes[0]) && bytes.iter().all(|b| word(*b) || *b == b'.' || *b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn familiar_names_and_refusals() {
        let full = |text: &str| Reference::parse(text).map(|r| r.to_string());
        assert_eq!(full("busybox").as_deref(), Ok("docker.io/library/busybox:latest"));
        assert_eq!(full("a/b:1").as_deref(), Ok("docker.io/a/b:1"));
        assert_eq!(full("localhost:5000/x").as_deref(), Ok("localhost:5000/x:latest"));
        assert_eq!(Reference::parse("busybox:local").unwrap().familiar(), "busybox:local");
        for bad in ["", "A", "a//b", "a:", "a@sha256:1", "-a", "a..b", "a:b:c", "x/\u{1b}[2J", "a___b"] {
            assert!(Reference::parse(bad).is_err(), "{bad}");
        }
    }
}
