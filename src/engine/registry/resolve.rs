//! From a name to the manifest of one platform.

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::authorization::Access;
use super::client::{RegistryClient, Repository};
use super::error::RegistryError;
use crate::engine::http::{HttpError, Method, Request, Response};
use crate::engine::oci::{Descriptor, ImageIndex, Manifest, Platform, Reference, media_type};
use crate::ground::digest::Digest;

const MANIFEST_LIMIT: u64 = 4 << 20;
const NESTING_LIMIT: u32 = 4;
const ENTRY_LIMIT: usize = 1000;
const ACCEPTED: [&str; 4] = [media_type::INDEX, media_type::MANIFEST, media_type::DOCKER_INDEX, media_type::DOCKER_MANIFEST];

/// An image that was found.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// Where its blobs are.
    pub repository: Repository,
    /// Digest of what the name stands for: a manifest, or an index of several.
    pub digest: Digest,
    /// Digest of the platform's manifest.
    pub manifest_digest: Digest,
    /// The bytes of that manifest.
    pub bytes: Vec<u8>,
    /// The same, read.
    pub manifest: Manifest,
}

/// A document of which it is not known yet whether it is one image or several.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Either {
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Option<IgnoredAny>,
    #[serde(default)]
    layers: Option<IgnoredAny>,
    #[serde(default)]
    fs_layers: Option<IgnoredAny>,
}

/// A manifest or index as it came, verified.
struct Document {
    digest: Digest,
    bytes: Vec<u8>,
    is_index: bool,
}

impl RegistryClient {
    /// Finds an image for a platform: at the mirrors in order, then at the registry itself. A digest wins over a tag.
    ///
    /// # Errors
    /// Those of the last place; but what is malformed, or not what its digest says, is looked for nowhere else.
    pub fn resolve(&self, reference: &Reference, platform: &Platform) -> Result<Resolved, RegistryError> {
        let mut last = None;
        for place in self.settings.places(&reference.domain) {
            let access = Access::read(&reference.path);
            let repository = Repository { place, domain: reference.domain.clone(), access };
            match self.resolve_at(&repository, reference, platform) {
                Err(error) if error.is_elsewhere() => last = Some(error),
                other => return other,
            }
        }
        Err(last.unwrap_or_else(|| RegistryError::NotFound { host: reference.domain.clone(), image: reference.familiar() }))
    }

    fn resolve_at(
        &self,
        repository: &Repository,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Resolved, RegistryError> {
        let name = match (&reference.digest, &reference.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        };
        let image = reference.familiar();
        let mut document = self.document(repository, &image, &name, reference.digest, None)?;
        let digest = document.digest;
        let mut depth = 0;
        while document.is_index {
            depth += 1;
            if depth > NESTING_LIMIT {
                return Err(malformed(&image, format!("is an index in an index, more than {NESTING_LIMIT} deep")));
            }
            let index: ImageIndex = parse(&image, "index", &document.bytes)?;
            let entry = choose(&image, &index, platform)?;
            document = self.document(repository, &image, &entry.digest.to_string(), Some(entry.digest), Some(entry.size))?;
        }
        let manifest: Manifest = parse(&image, "manifest", &document.bytes)?;
        let (repository, manifest_digest) = (repository.clone(), document.digest);
        Ok(Resolved { repository, digest, manifest_digest, bytes: document.bytes, manifest })
    }

    /// A manifest or index by tag or digest, verified against every digest that is named for it.
    fn document(
        &self,
        repository: &Repository,
        image: &str,
        name: &str,
        wanted: Option<Digest>,
        size: Option<u64>,
    ) -> Result<Document, RegistryError> {
        let request = Request::new(Method::Get, repository.url(&format!("manifests/{name}"))?);
        let request = request.header("accept", ACCEPTED.join(", "));
        let response = self.send(repository, request)?;
        if response.status != 200 {
            return Err(absent(repository, image, response));
        }
        let header = |name: &str| response.header(name).map(str::to_owned);
        let (claimed, content_type) = (header("docker-content-digest"), header("content-type"));
        let bytes = response.bytes(MANIFEST_LIMIT).map_err(|error| match error {
            HttpError::TooLarge { .. } => malformed(image, "has a manifest of more than 4 MiB".to_owned()),
            other => other.into(),
        })?;
        let digest = Digest::of(&bytes);
        if let Some(wanted) = wanted.filter(|wanted| *wanted != digest) {
            return Err(malformed(image, format!("should have the manifest {wanted}, but {digest} came")));
        }
        // A digest by another algorithm says nothing about this one.
        if let Some(claimed) = claimed.filter(|text| text.starts_with("sha256:") && *text != digest.to_string()) {
            let claimed: String = claimed.chars().take(80).collect::<String>().escape_debug().to_string();
            return Err(malformed(image, format!("came with the digest {claimed}, but its manifest is {digest}")));
        }
        if let Some(size) = size.filter(|size| *size != bytes.len() as u64) {
            return Err(malformed(image, format!("has a manifest of {} bytes instead of {size}", bytes.len())));
        }
        let is_index = kind(image, &bytes, content_type.as_deref())?;
        Ok(Document { digest, bytes, is_index })
    }
}

/// Whether a document is an index. What could be read as either is refused (CVE-2021-41190).
fn kind(image: &str, bytes: &[u8], content_type: Option<&str>) -> Result<bool, RegistryError> {
    let either: Either = parse(image, "manifest", bytes)?;
    if either.schema_version != 2 || either.fs_layers.is_some() {
        let why = format!(
            "has a manifest of schema {}, which is out of use: push it again with a newer client",
            either.schema_version
        );
        return Err(malformed(image, why));
    }
    if either.manifests.is_some() && either.layers.is_some() {
        return Err(malformed(image, "has a manifest with both `layers` and `manifests`".to_owned()));
    }
    let content_type = content_type.map(|t| t.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    let content_type = content_type.filter(|t| ACCEPTED.contains(&t.as_str()));
    if let (Some(said), Some(written)) = (&content_type, &either.media_type)
        && said != written
    {
        let written: String = written.chars().take(100).collect::<String>().escape_debug().to_string();
        return Err(malformed(image, format!("came as `{said}`, but its manifest says `{written}`")));
    }
    let index = [media_type::INDEX, media_type::DOCKER_INDEX];
    let named = either.media_type.or(content_type).map(|t| index.contains(&t.as_str()));
    match (named, either.manifests.is_some(), either.layers.is_some()) {
        (Some(true) | None, true, false) => Ok(true),
        (Some(false) | None, false, true) => Ok(false),
        _ => Err(malformed(image, "has a manifest that is neither an image nor an index".to_owned())),
    }
}

/// The entry of an index that fits a platform best.
fn choose<'a>(image: &str, index: &'a ImageIndex, platform: &Platform) -> Result<&'a Descriptor, RegistryError> {
    if index.manifests.len() > ENTRY_LIMIT {
        return Err(malformed(image, format!("is an index of more than {ENTRY_LIMIT} entries")));
    }
    let fit = |entry: &&Descriptor| match &entry.platform {
        Some(other) => platform.runs(other),
        // An entry without a platform is an image for whoever asks, or a further index; it comes last.
        None => ACCEPTED.contains(&entry.media_type.as_str()).then_some(u32::MAX),
    };
    let fitting = index.manifests.iter().filter(|entry| fit(entry).is_some());
    fitting.min_by_key(fit).ok_or_else(|| {
        let all = index.manifests.iter().filter_map(|entry| entry.platform.as_ref()).filter(|p| p.os != "unknown");
        let mut list: Vec<String> = all.map(|p| p.text().escape_debug().to_string()).collect();
        list.dedup();
        list.truncate(20);
        let list = if list.is_empty() { "nothing".to_owned() } else { list.join(", ") };
        RegistryError::Platform { image: image.to_owned(), platform: platform.text(), list }
    })
}

/// A missing manifest or blob, or another refusal.
pub(super) fn absent(repository: &Repository, image: &str, response: Response) -> RegistryError {
    match response.status {
        404 => RegistryError::NotFound { host: repository.place.host.clone(), image: image.to_owned() },
        _ => response.refused().into(),
    }
}

pub(super) fn malformed(image: &str, why: String) -> RegistryError {
    RegistryError::Malformed { image: image.to_owned(), why }
}

/// Reads a document; names nothing of its text but the place of the mistake.
pub(super) fn parse<T: DeserializeOwned>(image: &str, what: &str, bytes: &[u8]) -> Result<T, RegistryError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let error = error.to_string().chars().take(200).collect::<String>().escape_debug().to_string();
        malformed(image, format!("has a malformed {what}: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r14_documents_that_could_be_read_in_two_ways_are_refused() {
        let read = |text: &str, content_type| kind("x", text.as_bytes(), content_type).ok();
        assert_eq!(read(r#"{"schemaVersion":2,"manifests":[]}"#, None), Some(true));
        assert_eq!(read(r#"{"schemaVersion":2,"layers":[]}"#, Some("text/plain")), Some(false));
        for (text, content_type) in [
            (r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#, None),
            (r#"{"schemaVersion":1,"fsLayers":[]}"#, None),
            (r#"{"schemaVersion":2,"layers":[]}"#, Some(media_type::INDEX)),
            (r#"{"schemaVersion":2,"layers":[],"mediaType":"application/vnd.oci.image.index.v1+json"}"#, None),
            (
                r#"{"schemaVersion":2,"layers":[],"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#,
                Some(media_type::DOCKER_MANIFEST),
            ),
            (r#"{"schemaVersion":2}"#, None),
            (r#"{"schemaVersion":2,"layers":[],"layers":[]}"#, None),
            (r#"{"schemaVersion":2,"layers":[]} x"#, None),
            ("\u{feff}{\"schemaVersion\":2,\"layers\":[]}", None),
            (r#"{"schemaVersion":1e400,"layers":[]}"#, None),
        ] {
            assert_eq!(read(text, content_type), None, "{text}");
        }
        let deep = format!(r#"{{"schemaVersion":2,"layers":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(parse::<Manifest>("x", "manifest", deep.as_bytes()).is_err());
    }
}
