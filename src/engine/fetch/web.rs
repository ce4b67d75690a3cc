//! Files of servers.
//!
//! Source of the rules: BuildKit `source/http/source.go`: mode 0600, the time of `Last-Modified` (else 1970), and the key.

use std::fs::{File, FileTimes, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{FetchError, Fetched, Fetcher, Hashed, Temporary, appear};
use crate::engine::graph::{WebFile, redacted};
use crate::engine::http::{Download, HttpError, Method, Request, Url, Validator};
use crate::ground::digest::{Digest, Digester};
use crate::ground::fs::{AtomicFile, PathResultExt};

/// A time proves that a file is unchanged only when the file was not new when it was taken.
const TIME_IS_STRONG: Duration = Duration::from_secs(60);
/// So much of the disk is not filled by a server.
const RESERVE: u64 = 256 << 20;

/// What is known of a URL: enough to ask whether it changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    url: String,
    entity_tag: Option<String>,
    last_modified: Option<String>,
    /// When it was taken, in seconds since 1970.
    taken: u64,
    checksum: String,
}

impl Known {
    /// `Last-Modified`, where it proves that nothing changed.
    ///
    /// Source of the rule: RFC 9110, section 8.8.2.2.
    fn strong_time(&self) -> Option<&str> {
        let text = self.last_modified.as_deref()?;
        let time = seconds(text)?;
        (time.saturating_add(TIME_IS_STRONG.as_secs()) <= self.taken).then_some(text)
    }
}

impl Fetcher<'_> {
    pub(super) fn web(&self, file: &WebFile) -> Result<Fetched, FetchError> {
        let place = self.folder()?;
        if let Some(wanted) = &file.checksum {
            let kept = self.place(&place, file, wanted, None);
            if self.is_kept(&kept.0, &kept.1.root)? {
                return Ok(kept.1);
            }
        }
        let about = place.join(format!("url-{}.json", Digest::of(&file.url).hex()));
        let known: Option<Known> = std::fs::read(&about).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let known = known.filter(|known| known.url == Digest::of(&file.url).hex() && file.checksum.is_none());
        if let Some(known) = known {
            let (name, kept) = self.place(&place, file, &known.checksum, known.last_modified.as_deref());
            if self.is_kept(&name, &kept.root)? && self.unchanged(file, &known)? {
                return Ok(kept);
            }
        }
        self.load(file, &place, &about)
    }

    /// Asks whether a file is still what it was; with the answer that it is not, nothing is read.
    fn unchanged(&self, file: &WebFile, known: &Known) -> Result<bool, FetchError> {
        let request = match (&known.entity_tag, known.strong_time()) {
            (Some(tag), _) => self.request(file, Method::Head)?.header("if-none-match", tag.clone()),
            (None, Some(time)) => self.request(file, Method::Head)?.header("if-modified-since", time),
            (None, None) => return Ok(false),
        };
        self.tell("asking", &file.url, 0, None);
        let response = self.client.send(&request)?;
        let same_tag = known.entity_tag.is_some() && response.header("etag") == known.entity_tag.as_deref();
        // A server that does not know HEAD says nothing about the file.
        Ok(response.status == 304 || (response.status == 200 && same_tag))
    }

    fn load(&self, file: &WebFile, place: &Path, about: &Path) -> Result<Fetched, FetchError> {
        let temporary = Temporary::new(place)?;
        let path = temporary.0.join(&file.name);
        let mut to =
            Hashed { file: BufWriter::new(File::create(&path).at("create", &path)?), digester: Digester::default() };
        let free = rustix::fs::statvfs(place).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        let download = Download {
            request: self.request(file, Method::Get)?,
            size: None,
            limit: free.saturating_sub(RESERVE),
            validator: Validator::EntityTag,
        };
        let mut said = 0;
        let mut progress = |done: u64| {
            if done >= said + (256 << 10) {
                said = done;
                self.tell("downloading", &file.url, done, None);
            }
        };
        self.tell("downloading", &file.url, 0, None);
        let got = self.client.download(&download, &mut to, &mut progress).map_err(|error| no_space(error, free))?;
        let found = to.digester.finish().hex();
        if let Some(wanted) = file.checksum.as_ref().filter(|wanted| **wanted != found) {
            return Err(FetchError::Checksum { url: redacted(&file.url), found, wanted: wanted.clone() });
        }
        self.tell("downloading", &file.url, got.bytes, Some(got.bytes));
        let written = to.file.into_inner().map_err(io::IntoInnerError::into_error).at("write", &path)?;
        let modified = got.last_modified.as_deref().and_then(seconds).unwrap_or(0);
        let time = UNIX_EPOCH + Duration::from_secs(modified);
        written.set_permissions(Permissions::from_mode(0o600)).at("set the mode of", &path)?;
        written.set_times(FileTimes::new().set_modified(time)).at("set the time of", &path)?;
        written.sync_all().at("sync", &path)?;
        let last_modified = got.last_modified.filter(|text| seconds(text).is_some());
        let (name, kept) = self.place(place, file, &found, last_modified.as_deref());
        if !self.is_kept(&name, &kept.root)? {
            appear(&temporary.0, &kept.root)?;
        }
        let taken = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let url = Digest::of(&file.url).hex();
        remember(about, &Known { url, entity_tag: got.entity_tag, last_modified, taken, checksum: found })?;
        Ok(kept)
    }

    /// The folder of a file by all that counts for its key. A checksum that was asked for stands for the time, too.
    ///
    /// Source: `formatCacheKey`, `reference/cache-semantics.md`, section 5.
    fn place(&self, place: &Path, file: &WebFile, checksum: &str, last_modified: Option<&str>) -> (String, Fetched) {
        let last_modified = last_modified.filter(|_| file.checksum.is_none());
        let key = json!(["http", file.name, 0o600, 0, 0, checksum, last_modified]);
        let definition = Digest::of(key.to_string());
        let name = format!("web-{}", definition.hex());
        let revision = format!("sha256:{checksum}");
        (name.clone(), Fetched { root: place.join(name), definition, revision })
    }

    fn request(&self, file: &WebFile, method: Method) -> Result<Request<'static>, FetchError> {
        let url = Url::parse(&file.url)?;
        let credentials = url.credentials().map(|text| {
            let text = crate::engine::graph::fetch::unescaped(text);
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
        });
        let mut request = Request::new(method, url);
        request.credentials = credentials;
        Ok(request)
    }
}

/// Not synced: it only saves a download.
fn remember(about: &Path, known: &Known) -> Result<(), FetchError> {
    let mut file = AtomicFile::create(about)?;
    file.write_all(&serde_json::to_vec(known).unwrap_or_default()).at("write", about)?;
    Ok(file.commit_unsynced()?)
}

fn no_space(error: HttpError, free: u64) -> FetchError {
    match error {
        HttpError::TooLarge { url, .. } => FetchError::TooLarge { url, free },
        other => other.into(),
    }
}

/// Seconds since 1970 of `Wed, 21 Oct 2015 07:28:00 GMT`; none for anything else or earlier.
fn seconds(text: &str) -> Option<u64> {
    let mut words = text.split_once(", ")?.1.split(' ');
    let (day, month, year) = (words.next()?, words.next()?, words.next()?);
    let (clock, zone) = (words.next()?, words.next()?);
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|known| *known == month)? + 1;
    if zone != "GMT" || words.next().is_some() || day.len() != 2 || year.len() != 4 {
        return None;
    }
    let time = humantime::parse_rfc3339(&format!("{year}-{month:02}-{day}T{clock}Z")).ok()?;
    time.duration_since(UNIX_EPOCH).ok().map(|time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_servers() {
        assert_eq!(seconds("Wed, 21 Oct 2015 07:28:00 GMT"), Some(1_445_412_480));
        for bad in [
            "",
            "yesterday",
            "Wed, 21 Oct 2015 07:28:00 CET",
            "Wed, 21 Foo 2015 07:28:00 GMT",
            "Wed, 32 Oct 2015 07:28:00 GMT",
        ] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
        let known = |taken| Known { last_modified: Some("Wed, 21 Oct 2015 07:28:00 GMT".into()), taken, ..Known::default() };
        assert!(known(1_445_412_481).strong_time().is_none(), "it was new when it was taken");
        assert!(known(1_445_412_540).strong_time().is_some());
    }
}
