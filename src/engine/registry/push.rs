//! Images to a registry: blobs that it misses, then the manifest, then a look whether it is there.

use std::io::{Read, Seek, SeekFrom};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::authorization::Access;
use super::client::{RegistryClient, Repository};
use super::error::RegistryError;
use super::{Report, resolve};
use crate::engine::http::retry::Waits;
use crate::engine::http::{Again, Body, HttpError, Method, Request, Response, Url};
use crate::engine::oci::{Descriptor, Reference};
use crate::engine::store::Store;
use crate::ground::digest::Digest;

/// A blob that says how far it was read.
struct Spoken<'a> {
    file: std::io::Take<std::fs::File>,
    report: Report<'a>,
    text: &'a str,
    done: u64,
    size: u64,
    said: Instant,
}

impl Read for Spoken<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.done += n as u64;
        if self.said.elapsed() >= super::pull::SPEAK {
            self.said = Instant::now();
            (self.report)(self.text, self.done, Some(self.size));
        }
        Ok(n)
    }
}

/// A registry may read gigabytes again before it accepts them.
const COMMIT_TIME: Duration = Duration::from_secs(300);
/// The same upload is begun anew so often.
const ATTEMPTS: u32 = 4;

/// What is pushed. All blobs lie in the store.
#[derive(Debug, Clone)]
pub struct PushImage {
    /// The manifest, byte by byte.
    pub manifest: Vec<u8>,
    /// Its type.
    pub media_type: String,
    /// The configuration.
    pub config: Descriptor,
    /// Lowest first.
    pub layers: Vec<Descriptor>,
    /// A repository of the same registry that has some of the layers, such as that of the base.
    pub mount_from: Option<String>,
}

impl RegistryClient {
    /// Pushes under a tag. Returns the digest of the manifest, once the registry was seen to have it under that name.
    ///
    /// # Errors
    /// No access, a registry that takes something else than what was sent, blobs that are not in the store.
    pub fn push(
        &self,
        store: &Store,
        reference: &Reference,
        image: &PushImage,
        report: Report<'_>,
    ) -> Result<Digest, RegistryError> {
        let name = reference.familiar();
        if reference.digest.is_some() {
            let why = "a digest cannot be chosen: push to a tag".to_owned();
            return Err(RegistryError::Unverified { image: name, why });
        }
        let mount_from = image.mount_from.clone().filter(|from| *from != reference.path);
        let access = Access { repository: reference.path.clone(), write: true, mount_from };
        let place = self.settings.place(&reference.domain);
        let repository = Repository { place, domain: reference.domain.clone(), access };
        let upload = Upload { client: self, store, repository: &repository, image: &name, report };
        upload.all(&image.layers)?;
        // The configuration after the layers, the manifest after both: what is named exists.
        upload.blob(&image.config)?;
        upload.manifest(image, reference.tag.as_deref().unwrap_or("latest"))
    }
}

/// One image on its way out.
struct Upload<'a> {
    client: &'a RegistryClient,
    store: &'a Store,
    repository: &'a Repository,
    image: &'a str,
    report: Report<'a>,
}

impl Upload<'_> {
    fn all(&self, layers: &[Descriptor]) -> Result<(), RegistryError> {
        let mut seen = std::collections::BTreeSet::new();
        let queue: Vec<&Descriptor> = layers.iter().filter(|layer| seen.insert(layer.digest)).collect();
        let (next, stop, failed) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(None));
        let work = || {
            while let Some(layer) = queue.get(next.fetch_add(1, Ordering::SeqCst)).filter(|_| !stop.load(Ordering::SeqCst)) {
                if let Err(error) = self.blob(layer)
                    && !stop.swap(true, Ordering::SeqCst)
                {
                    *failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.client.settings.parallel.clamp(1, queue.len().max(1)) {
                scope.spawn(work);
            }
        });
        failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// One blob: there already, mounted from a sister, or uploaded.
    fn blob(&self, blob: &Descriptor) -> Result<(), RegistryError> {
        let text = format!("pushing {} {}", self.image, blob.digest.short());
        let total = Some(blob.size);
        (self.report)(&text, 0, total);
        let mut waits = Waits::new(&self.client.settings.http.patience);
        let mut attempt = 1;
        while !self.has(blob)? {
            let sent = self.session(blob).and_then(|session| match session {
                Some(session) => self.upload(blob, session, &text),
                None => Ok(()),
            });
            match sent {
                Ok(()) => break,
                Err(RegistryError::Http(error)) if error.is_transient() && attempt < ATTEMPTS => {
                    let Some(wait) = waits.next(None) else { return Err(error.into()) };
                    self.client.http.sleep(wait)?;
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
        (self.report)(&text, blob.size, total);
        Ok(())
    }

    /// Whether the registry has a blob, with its size.
    fn has(&self, blob: &Descriptor) -> Result<bool, RegistryError> {
        let request = Request::new(Method::Head, self.repository.url(&format!("blobs/{}", blob.digest))?);
        let response = self.client.send(self.repository, request)?;
        match response.status {
            200 => Ok(response.length().is_none_or(|length| length == blob.size)),
            404 => Ok(false),
            _ => Err(response.refused().into()),
        }
    }

    /// Where to send a blob; none when the registry took it from a sister repository.
    fn session(&self, blob: &Descriptor) -> Result<Option<Url>, RegistryError> {
        let plain = self.repository.url("blobs/uploads/")?;
        if let Some(from) = &self.repository.access.mount_from {
            let url = plain.clone().with_query("mount", &blob.digest.to_string()).with_query("from", from);
            let request = Request { again: Again::Yes, ..Request::new(Method::Post, url) };
            // A registry that refuses to look at the sister may still take the bytes.
            match self.client.send(self.repository, request) {
                Ok(response) if response.status == 201 && self.has(blob)? => return Ok(None),
                Ok(response) if response.status == 202 => return self.location(&response).map(Some),
                Err(error) if error.is_cancelled() => return Err(error),
                _ => {}
            }
        }
        let request = Request { again: Again::Yes, ..Request::new(Method::Post, plain) };
        let response = self.client.send(self.repository, request)?;
        match response.status {
            202 => self.location(&response).map(Some),
            _ => Err(response.refused().into()),
        }
    }

    fn location(&self, response: &Response) -> Result<Url, RegistryError> {
        let missing = || RegistryError::Unverified {
            image: self.image.to_owned(),
            why: format!("`{}` named no place for the upload", response.url.shown()),
        };
        Ok(crate::engine::http::policy::redirect(&response.url, response.header("location").ok_or_else(missing)?)?)
    }

    /// Sends a blob in one piece; after a break, from where the registry says that it stopped.
    fn upload(&self, blob: &Descriptor, mut session: Url, text: &str) -> Result<(), RegistryError> {
        let mut start = 0;
        let mut breaks = 0;
        while start < blob.size || blob.size == 0 {
            match self.patch(blob, &session, start, text) {
                Ok(response) if response.status == 202 => {
                    session = self.location(&response)?;
                    break;
                }
                Ok(response) if response.status != 416 && !crate::engine::http::retry::is_transient(response.status) => {
                    return Err(response.refused().into());
                }
                Err(error) if !matches!(&error, RegistryError::Http(error) if error.is_transient()) => return Err(error),
                broken => {
                    breaks += 1;
                    let (next, held) = match self.held(&session) {
                        Ok(found) if breaks < ATTEMPTS => found,
                        // The session is lost: the caller begins anew.
                        _ => return Err(self.broken(broken)),
                    };
                    (session, start) = (next, held.min(blob.size));
                }
            }
        }
        self.commit(blob, session)
    }

    fn broken(&self, broken: Result<Response, RegistryError>) -> RegistryError {
        match broken {
            Ok(response) if response.status == 416 => {
                let (url, why) = (response.url.shown(), "it lost track of the upload".to_owned());
                HttpError::Interrupted { url, got: 0, why }.into()
            }
            Ok(response) => response.refused().into(),
            Err(error) => error,
        }
    }

    fn patch(&self, blob: &Descriptor, session: &Url, start: u64, text: &str) -> Result<Response, RegistryError> {
        let path = self.store.content.path(&blob.digest);
        let (size, report) = (blob.size, self.report);
        let open = || -> std::io::Result<Box<dyn Read + '_>> {
            let mut file = std::fs::File::open(&path)?;
            file.seek(SeekFrom::Start(start))?;
            let file = file.take(size - start);
            Ok(Box::new(Spoken { file, report, text, done: start, size, said: Instant::now() }))
        };
        let stream = Body::Stream(size - start, &open);
        let range = format!("{start}-{}", size.saturating_sub(1));
        let request = Request::new(Method::Patch, session.clone())
            .header("content-type", "application/octet-stream")
            .header("content-range", range)
            .body(stream);
        self.client.send(self.repository, request)
    }

    /// How many bytes the registry has of an upload, and where the rest goes.
    fn held(&self, session: &Url) -> Result<(Url, u64), RegistryError> {
        let request = Request::new(Method::Get, session.clone());
        let response = self.client.send(self.repository, request)?;
        if response.status != 204 {
            return Err(response.refused().into());
        }
        let range = response.header("range").map(|range| range.trim_start_matches("bytes="));
        let last = range.and_then(|range| range.strip_prefix("0-")).and_then(|last| last.parse::<u64>().ok());
        // `0-0` is what registries say of an upload without a single byte, too; one byte more is sent again.
        let held = last.map_or(0, |last| if last == 0 { 0 } else { last.saturating_add(1) });
        let next = if response.header("location").is_some() { self.location(&response)? } else { session.clone() };
        Ok((next, held))
    }

    /// Ends an upload under its digest, and believes only that digest.
    fn commit(&self, blob: &Descriptor, session: Url) -> Result<(), RegistryError> {
        let url = session.with_query("digest", &blob.digest.to_string());
        let request = Request { answer: Some(COMMIT_TIME), ..Request::new(Method::Put, url) };
        let response = self.client.send(self.repository, request)?;
        if response.status != 201 {
            return Err(response.refused().into());
        }
        self.same_digest(&response, &blob.digest)?;
        if self.has(blob)? {
            return Ok(());
        }
        let why = format!("the registry said that it took the blob {}, but does not have it", blob.digest);
        Err(RegistryError::Unverified { image: self.image.to_owned(), why })
    }

    fn same_digest(&self, response: &Response, wanted: &Digest) -> Result<(), RegistryError> {
        let claimed = response.header("docker-content-digest").filter(|text| text.starts_with("sha256:"));
        match claimed.filter(|text| **text != *wanted.to_string()) {
            Some(other) => {
                let other: String = other.chars().take(80).collect::<String>().escape_debug().to_string();
                let why = format!("the registry took {other} instead of {wanted}");
                Err(RegistryError::Unverified { image: self.image.to_owned(), why })
            }
            None => Ok(()),
        }
    }

    fn manifest(&self, image: &PushImage, tag: &str) -> Result<Digest, RegistryError> {
        let digest = Digest::of(&image.manifest);
        let url = self.repository.url(&format!("manifests/{tag}"))?;
        let mut request = Request::new(Method::Put, url.clone()).header("content-type", image.media_type.clone());
        (request.body, request.again, request.answer) = (Body::Bytes(&image.manifest), Again::Yes, Some(COMMIT_TIME));
        let response = self.client.send(self.repository, request)?;
        if !matches!(response.status, 200..=202) {
            return Err(response.refused().into());
        }
        self.same_digest(&response, &digest)?;
        let check = Request::new(Method::Get, url).header("accept", image.media_type.clone());
        let response = self.client.send(self.repository, check)?;
        if response.status != 200 {
            return Err(resolve::absent(self.repository, self.image, response));
        }
        let found = Digest::of(response.bytes(image.manifest.len() as u64 + 1)?);
        if found != digest {
            let why = format!("the registry has {found} under this name instead of {digest}");
            return Err(RegistryError::Unverified { image: self.image.to_owned(), why });
        }
        Ok(digest)
    }
}
