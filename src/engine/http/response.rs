//! What is answered.

use std::io::Read;

use ureq::http::HeaderMap;

use super::error::HttpError;
use super::request::Method;
use super::url::Url;

/// The most of an error body that is read, and the most of it that is shown.
const ERROR_BODY_LIMIT: u64 = 64 << 10;
const ERROR_SHOWN: usize = 300;

/// An answer: any status. Its body ends with an error when it is cut, too slow or cancelled.
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Who answered, after redirects.
    pub url: Url,
    pub(super) headers: HeaderMap,
    pub(super) method: Method,
    pub(super) body: Box<dyn Read + Send>,
}

impl Response {
    /// A header as text; none when it is absent or not visible ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// `Content-Length`.
    pub fn length(&self) -> Option<u64> {
        self.header("content-length")?.trim().parse().ok()
    }

    /// The body.
    pub fn reader(&mut self) -> &mut (dyn Read + Send) {
        &mut *self.body
    }

    /// The whole body. Errors: larger than `limit`, or cut.
    pub fn bytes(mut self, limit: u64) -> Result<Vec<u8>, HttpError> {
        let url = self.url.shown();
        let mut out = Vec::new();
        let read = (&mut self.body).take(limit.saturating_add(1)).read_to_end(&mut out);
        let got = out.len() as u64;
        match read {
            Err(error) => Err(HttpError::Interrupted { url, got, why: error.to_string() }),
            Ok(_) if got > limit => Err(HttpError::TooLarge { url, limit }),
            Ok(_) => Ok(out),
        }
    }

    /// The answer as a failure, with what the server says about it.
    pub fn refused(mut self) -> HttpError {
        let mut bytes = Vec::new();
        // What could be read of the explanation is the explanation.
        let _ = (&mut self.body).take(ERROR_BODY_LIMIT).read_to_end(&mut bytes);
        let text = explanation(&bytes);
        HttpError::Status { method: self.method.text(), url: self.url.shown(), status: self.status, text, wait: None }
    }
}

/// The messages of a registry's error document, else the beginning of the text; escaped, on one line.
fn explanation(bytes: &[u8]) -> String {
    let document: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    let field = |entry: &serde_json::Value, name: &str| entry.get(name).and_then(|v| v.as_str()).map(str::to_owned);
    let messages = document.as_ref().and_then(|d| d.get("errors")).and_then(|e| e.as_array()).map(|errors| {
        let one = |e| field(e, "message").filter(|m| !m.is_empty()).or_else(|| field(e, "code"));
        errors.iter().filter_map(one).take(5).collect::<Vec<_>>().join("; ")
    });
    let single = || {
        document.as_ref().and_then(|d| {
            // The last one is what token servers say (RFC 6749, section 5.2).
            ["details", "message", "error_description"].iter().find_map(|name| field(d, name))
        })
    };
    let text = messages.or_else(single).unwrap_or_else(|| String::from_utf8_lossy(bytes).into_owned());
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(ERROR_SHOWN).collect();
    text.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'")
}
