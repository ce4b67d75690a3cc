//! Downloads that go on where they broke off. The bytes are handed on as they come, each once and in order; who takes them
//! verifies them.

use std::io::Write;

use super::{Client, HttpError, Request, Response};

/// Breaks without a single new byte before a download is given up.
const BREAKS: u32 = 4;

/// What proves that a second answer continues the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validator {
    /// The taker checks a digest of the whole.
    Digest,
    /// A strong `ETag`; without one, a download that broke is not resumed.
    EntityTag,
}

/// A download.
pub struct Download<'a> {
    /// A GET.
    pub request: Request<'a>,
    /// Bytes, where they are known beforehand: neither more nor fewer are taken.
    pub size: Option<u64>,
    /// The most that is taken.
    pub limit: u64,
    /// What proves that it is the same file.
    pub validator: Validator,
}

/// What a finished download says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloaded {
    /// Bytes.
    pub bytes: u64,
    /// `ETag`.
    pub entity_tag: Option<String>,
    /// `Last-Modified`.
    pub last_modified: Option<String>,
    /// `Content-Disposition`.
    pub disposition: Option<String>,
}

/// Where a download stands.
struct State<'a> {
    to: &'a mut dyn Write,
    progress: &'a mut dyn FnMut(u64),
    done: u64,
    wire: u64,
}

impl Client {
    /// Downloads to `to`. `progress` hears how many bytes have arrived.
    ///
    /// # Errors
    /// As [`Client::send`]; any status but 200; more or fewer bytes than said; breaks that do not end.
    pub fn download(
        &self,
        download: &Download<'_>,
        to: &mut dyn Write,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Downloaded, HttpError> {
        let mut state = State { to, progress, done: 0, wire: 0 };
        let response = self.send(&download.request)?;
        if response.status != 200 {
            return Err(response.refused());
        }
        let text = |name: &str| response.header(name).map(str::to_owned);
        let found = Downloaded {
            bytes: 0,
            entity_tag: text("etag"),
            last_modified: text("last-modified"),
            disposition: text("content-disposition"),
        };
        let whole = response.length();
        if let (Some(said), Some(size)) = (whole, download.size)
            && said != size
        {
            let why = format!("it has {said} bytes instead of {size}");
            return Err(HttpError::Interrupted { url: response.url.shown(), got: 0, why });
        }
        let tag = found.entity_tag.clone().filter(|tag| !tag.starts_with("W/"));
        let total = download.size.or(whole);
        let mut broken = self.take(download, response, 0, total, &mut state);
        let mut breaks = 0;
        while let Err(error) = broken {
            let resumable = download.validator == Validator::Digest || tag.is_some();
            let wasteful = total.is_some_and(|total| state.wire > 2 * total + (1 << 20));
            if !error.is_transient() || breaks == BREAKS || !resumable || wasteful {
                return Err(error);
            }
            let before = state.done;
            self.sleep(self.settings().patience.first * breaks)?;
            broken = self.resume(download, tag.as_deref(), total, &mut state);
            breaks = if state.done > before { 1 } else { breaks + 1 };
        }
        Ok(Downloaded { bytes: state.done, ..found })
    }

    /// Asks for the rest. A server that sends everything again is read to where the rest begins.
    fn resume(
        &self,
        download: &Download<'_>,
        tag: Option<&str>,
        total: Option<u64>,
        state: &mut State<'_>,
    ) -> Result<(), HttpError> {
        let mut request = download.request.clone();
        if state.done > 0 {
            request = request.header("range", format!("bytes={}-", state.done));
            if let Some(tag) = tag {
                request = request.header("if-range", tag);
            }
        }
        let response = self.send(&request)?;
        let url = response.url.shown();
        let got = state.done;
        let same = tag.is_none() || response.header("etag").is_none_or(|found| Some(found) == tag);
        if !same {
            let text = "it changed meanwhile".to_owned();
            return Err(HttpError::Status { method: "GET", url, status: response.status, text, wait: None });
        }
        match response.status {
            206 => {
                let range = response.header("content-range").and_then(content_range);
                match range {
                    Some((first, of)) if first == state.done && of.zip(total).is_none_or(|(of, total)| of == total) => {
                        self.take(download, response, 0, total, state)
                    }
                    _ => {
                        let why = "the rest that was asked for is not what came".to_owned();
                        self.restart(download, state, total, HttpError::Interrupted { url, got, why })
                    }
                }
            }
            200 => self.take(download, response, state.done, total, state),
            416 => self.restart(download, state, total, response.refused()),
            _ => Err(response.refused()),
        }
    }

    /// The whole again, for servers that cannot give parts; `cause` is told when that does not help either.
    fn restart(
        &self,
        download: &Download<'_>,
        state: &mut State<'_>,
        total: Option<u64>,
        cause: HttpError,
    ) -> Result<(), HttpError> {
        let response = self.send(&download.request)?;
        if response.status != 200 {
            return Err(cause);
        }
        self.take(download, response, state.done, total, state)
    }

    /// Hands a body on, but for its first `skip` bytes.
    fn take(
        &self,
        download: &Download<'_>,
        mut response: Response,
        mut skip: u64,
        total: Option<u64>,
        state: &mut State<'_>,
    ) -> Result<(), HttpError> {
        let url = response.url.shown();
        let mut buffer = vec![0; 128 << 10];
        loop {
            let n = match response.reader().read(&mut buffer) {
                Ok(n) => n,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.check()?;
                    return Err(HttpError::Interrupted { url, got: state.done, why: error.to_string() });
                }
            };
            state.wire += n as u64;
            if n == 0 {
                break;
            }
            let known = skip.min(n as u64);
            skip -= known;
            let new = &buffer[known as usize..n];
            let limit = total.unwrap_or(download.limit).min(download.limit);
            if state.done + new.len() as u64 > limit {
                return Err(HttpError::TooLarge { url, limit });
            }
            state.to.write_all(new).map_err(|source| HttpError::Local { action: "write what is downloaded", source })?;
            state.done += new.len() as u64;
            (state.progress)(state.done);
        }
        match total {
            Some(total) if state.done < total => {
                let why = format!("{total} bytes were promised");
                Err(HttpError::Interrupted { url, got: state.done, why })
            }
            _ => Ok(()),
        }
    }
}

/// First byte and size of the whole of `bytes 10-19/20`.
fn content_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, whole) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let whole = if whole == "*" { None } else { Some(whole.parse().ok()?) };
    (first <= last && whole.is_none_or(|whole: u64| last < whole)).then_some((first, whole))
}

#[cfg(test)]
mod tests {
    use super::content_range;

    #[test]
    fn ranges_are_read_strictly() {
        assert_eq!(content_range("bytes 10-19/20"), Some((10, Some(20))));
        assert_eq!(content_range("bytes 10-19/*"), Some((10, None)));
        for bad in ["bytes */20", "10-19/20", "bytes 19-10/20", "bytes 10-20/20", "bytes -1-2/3", "bytes 1-2", ""] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }
}
