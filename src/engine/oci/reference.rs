//! Image references: `[domain/]path[:tag][@digest]`.

use std::fmt;

use crate::ground::digest::Digest;
use crate::language::dockerfile::reference::ImageName;

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
    why: String,
}

impl Reference {
    /// Parses a name as docker does.
    ///
    /// The grammar is that of [`ImageName`]; only digests by sha-256 are taken.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let fail = |why: String| ReferenceError { text: shown(text), why };
        let name = ImageName::parse_normalized(text).map_err(|error| fail(error.to_string()))?.with_default_tag();
        let digest = match name.digest.as_deref().map(str::parse) {
            Some(Ok(digest)) => Some(digest),
            Some(Err(_)) => return Err(fail("only sha256 digests can be looked up".to_owned())),
            None => None,
        };
        Ok(Self { domain: name.domain, path: name.path, tag: name.tag, digest })
    }

    /// As people write it: without the parts that docker fills in.
    pub fn familiar(&self) -> String {
        let name = ImageName { domain: self.domain.clone(), path: self.path.clone(), tag: None, digest: None };
        let mut out = name.familiar_name();
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

/// A text that is no reference, without the credentials that it could begin with: what stands before an `@` that no digest
/// follows.
fn shown(text: &str) -> String {
    let all = || text.chars().take(200).collect();
    let Some((before, after)) = text.rsplit_once('@') else { return all() };
    let last = before.rsplit('/').next().unwrap_or(before);
    let host = after.contains(['/', '.']) || after.eq_ignore_ascii_case("localhost");
    if after.starts_with("sha") || !(host || last.contains(':')) {
        return all();
    }
    format!("{}xxxxx@{after}", &before[..before.len() - last.len()]).chars().take(200).collect()
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

    #[test]
    fn k16_refusals_repeat_no_credentials() {
        for (text, wanted) in [
            ("u:pw@h/x", "xxxxx@h/x"),
            ("token@h.example/x", "xxxxx@h.example/x"),
            ("r:1/u:pw@h", "r:1/xxxxx@h"),
            ("x@sha256:1", "x@sha256:1"),
            ("r:1/x@y", "r:1/x@y"),
        ] {
            let error = Reference::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{wanted}` ")), "{error}");
        }
    }
}
