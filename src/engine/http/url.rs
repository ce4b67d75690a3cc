//! Addresses of the web, as far as they are asked here: `http` and `https`.

use std::fmt;
use std::net::IpAddr;

use ureq::http::Uri;

use super::HttpError;

/// The longest address that is asked.
const LONGEST: usize = 8 << 10;

/// How the bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Readable by everybody on the way.
    Http,
    /// Encrypted, and the host is who it says.
    Https,
}

/// An absolute `http` or `https` address. Credentials are kept apart, so that they are neither shown nor sent by accident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    scheme: Scheme,
    host: String,
    port: u16,
    target: String,
    credentials: Option<String>,
}

impl Url {
    /// Reads an absolute address; the fragment is dropped.
    ///
    /// # Errors
    /// No `http(s)`, no host, control characters, too long.
    pub fn parse(text: &str) -> Result<Self, HttpError> {
        let fail = |why: &str| HttpError::Url { url: shown(text), why: why.to_owned() };
        if text.len() > LONGEST {
            return Err(fail("is longer than 8 kB"));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| fail("is not absolute"))?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(fail("is neither http nor https")),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (credentials, place) = match authority.rsplit_once('@') {
            Some((credentials, place)) => (Some(credentials.to_owned()), place),
            None => (None, authority),
        };
        let (host, port) = split_port(place).ok_or_else(|| fail("has a bad port"))?;
        let port = port.unwrap_or(if scheme == Scheme::Https { 443 } else { 80 });
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        let url = Self { scheme, host: host.to_ascii_lowercase(), port, target: escape(&target), credentials };
        // What the client's own parser takes decides what is sent.
        let uri: Uri = url.to_string().parse().map_err(|_| fail("is malformed"))?;
        if url.host.is_empty() || uri.host() != Some(url.host.as_str()) || uri.path().len() > url.target.len() {
            return Err(fail("has a malformed host"));
        }
        Ok(url)
    }

    /// Resolves a reference against this address, as RFC 3986 section 5 does.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn join(&self, reference: &str) -> Result<Self, HttpError> {
        let before = reference.split(['/', '?', '#']).next().unwrap_or_default();
        if before.contains(':') {
            return Self::parse(reference);
        }
        let scheme = self.scheme.text();
        if let Some(rest) = reference.strip_prefix("//") {
            return Self::parse(&format!("{scheme}://{rest}"));
        }
        let path = self.target.split('?').next().unwrap_or("/");
        let target = match reference.chars().next() {
            None | Some('#') => self.target.clone(),
            Some('/') => reference.to_owned(),
            Some('?') => format!("{path}{reference}"),
            Some(_) => format!("{}/{reference}", path.rsplit_once('/').map_or("", |(folder, _)| folder)),
        };
        let (path, query) = target.split_once('?').map_or((target.as_str(), None), |(path, query)| (path, Some(query)));
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let mut parts: Vec<&str> = Vec::new();
        for part in path.split('/').skip(1) {
            match part {
                "." => {}
                ".." => drop(parts.pop()),
                _ => parts.push(part),
            }
        }
        let slash = if path.ends_with("/.") || path.ends_with("/..") { "/" } else { "" };
        Self::parse(&format!("{scheme}://{}/{}{slash}{query}", self.authority(), parts.join("/")))
    }

    /// How it is reached.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Host name or address, lower case; IPv6 in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// `host:port`, without the port where it is the scheme's own.
    pub fn authority(&self) -> String {
        match (self.scheme, self.port) {
            (Scheme::Http, 80) | (Scheme::Https, 443) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// `user:password` as it was written.
    pub fn credentials(&self) -> Option<&str> {
        self.credentials.as_deref()
    }

    /// Adds `name=value` to the query.
    #[must_use]
    pub fn with_query(mut self, name: &str, value: &str) -> Self {
        let mark = if self.target.contains('?') { '&' } else { '?' };
        self.target = format!("{}{mark}{name}={}", self.target, percent(value));
        self
    }

    /// Whether credentials for one may be sent to the other: scheme, host and port are equal.
    pub fn same_origin(&self, other: &Self) -> bool {
        (self.scheme, &self.host, self.port) == (other.scheme, &other.host, other.port)
    }

    /// The host where it is an address in numbers.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// Whether it is this machine: `localhost` or a loopback address.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    /// For messages: without credentials and query, which may hold signatures, and without anything a terminal acts on.
    pub fn shown(&self) -> String {
        let path = self.target.split('?').next().unwrap_or("/");
        format!("{}://{}{}", self.scheme.text(), self.authority(), path.escape_debug())
    }
}

impl Scheme {
    /// `http`, `https`.
    pub fn text(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl fmt::Display for Url {
    /// What is asked: complete but for the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.text(), self.authority(), self.target)
    }
}

/// Whether a host is this machine by name or number; a port may follow.
pub fn is_loopback(host: &str) -> bool {
    let bare = split_port(host).map_or(host, |(host, _)| host);
    let bare = bare.trim_start_matches('[').trim_end_matches(']');
    let number = bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    number || bare.eq_ignore_ascii_case("localhost") || bare.to_ascii_lowercase().ends_with(".localhost")
}

fn split_port(place: &str) -> Option<(&str, Option<u16>)> {
    let after = place.rfind(']').map_or(0, |at| at + 1);
    match place[after..].split_once(':') {
        None => Some((place, None)),
        Some((host, "")) => Some((&place[..after + host.len()], None)),
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => {
            Some((&place[..after + host.len()], Some(port.parse().ok()?)))
        }
        Some(_) => None,
    }
}

/// Bytes that may not stand in a request line are escaped, as browsers and Go do.
fn escape(target: &str) -> String {
    let mut out = String::with_capacity(target.len());
    for byte in target.bytes() {
        match byte {
            b'!' | b'#'..=b';' | b'=' | b'?'..=b'[' | b']' | b'_' | b'a'..=b'z' | b'~' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Escapes a value of a query.
pub fn percent(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Any text as an address in a message: cut, escaped, without credentials and query.
pub fn shown(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let text = match text.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            format!("{scheme}://{}{path}", authority.rsplit('@').next().unwrap_or_default())
        }
        None => text.to_owned(),
    };
    text.chars().take(200).collect::<String>().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_split_joined_and_shown_without_secrets() {
        let url = Url::parse("HTTPS://u:s3cret@Example.com:8443/a b?sig=s3cret#f").unwrap();
        assert_eq!(url.to_string(), "https://example.com:8443/a%20b?sig=s3cret");
        assert_eq!((url.shown().as_str(), url.credentials()), ("https://example.com:8443/a%20b", Some("u:s3cret")));
        let base = Url::parse("http://h/v2/x/blobs/uploads/").unwrap();
        for (reference, wanted) in [
            ("/v2/y?z=1", "http://h/v2/y?z=1"),
            ("?z", "http://h/v2/x/blobs/uploads/?z"),
            ("id", "http://h/v2/x/blobs/uploads/id"),
            ("../../../../up", "http://h/up"),
            ("//other:81/p", "http://other:81/p"),
            ("https://other/p", "https://other/p"),
        ] {
            assert_eq!(base.join(reference).unwrap().to_string(), wanted);
        }
        for bad in
            ["file:///etc/passwd", "ftp://h/", "http://", "http://h:99999/", "http://a b/", "x", "http://h\r\nX: y/", ""]
        {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
        assert!(base.join("file:///etc/passwd").is_err());
        assert!(!shown("http://u:s3cret@h/p?token=s3cret").contains("s3cret"));
    }

    #[test]
    fn loopback_is_known_by_name_and_number() {
        for host in
            ["localhost", "LOCALHOST:5000", "127.0.0.1:1", "127.9.9.9", "[::1]:5", "a.localhost", "[::ffff:127.0.0.1]"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example", "10.0.0.1", "1127.0.0.1", "registry:5000", "[::2]"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
