//! HTTP for registries and downloads: blocking, cancellable, patient within limits. The hard rule: what a server says leads
//! nowhere that was not meant; credentials stay with scheme, host and port; nothing of a body is believed before it is verified.
//!
//! `url` reads addresses, `policy` says where redirects and names may lead, `retry` when to ask again, `download` resumes.

pub mod download;
pub mod error;
pub mod policy;
pub mod proxy;
pub mod retry;
pub mod url;

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant, SystemTime};

use ureq::http::{HeaderMap, Request as WireRequest};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, RustlsConnector, TcpConnector};
use ureq::{Agent, SendBody};

pub use download::{Download, Validator};
pub use error::HttpError;
pub use proxy::Proxies;
pub use retry::Patience;
pub use url::{Scheme, Url};

/// The most of an error body that is read, and the most of it that is shown.
const ERROR_BODY_LIMIT: u64 = 64 << 10;
const ERROR_SHOWN: usize = 300;
/// The largest response header.
const HEADER_LIMIT: usize = 64 << 10;

/// What a client needs to know of its surroundings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// Proxies.
    pub proxies: Proxies,
    /// Files with further certificate authorities, in PEM.
    pub authorities: Vec<PathBuf>,
    /// For names and connections.
    pub connect: Duration,
    /// Without a single byte, or until the head of an answer is complete.
    pub idle: Duration,
    /// A body slower than [`Self::slowest`] bytes in this time is given up.
    pub window: Duration,
    /// See [`Self::window`].
    pub slowest: u64,
    /// Tries and waits.
    pub patience: Patience,
}

impl Default for HttpSettings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            proxies: Proxies::default(),
            authorities: Vec::new(),
            connect: seconds(10),
            idle: seconds(30),
            window: seconds(60),
            slowest: 4 << 10,
            patience: Patience::default(),
        }
    }
}

/// What is done with an address.
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// In capitals.
    pub fn text(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// What is sent. It can be sent again: for another try, or after a redirect.
#[derive(Clone, Copy)]
pub enum Body<'a> {
    /// Nothing.
    Empty,
    /// A short document.
    Bytes(&'a [u8]),
    /// So many bytes of what is opened.
    Stream(u64, &'a (dyn Fn() -> io::Result<Box<dyn Read + 'a>> + Sync)),
}

/// Whether a failed request is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Asking twice does what asking once does.
    Yes,
    /// The caller decides.
    No,
}

/// A request.
#[derive(Clone)]
pub struct Request<'a> {
    /// What is done.
    pub method: Method,
    /// With which address.
    pub url: Url,
    /// Headers that may follow a redirect.
    pub headers: Vec<(&'static str, String)>,
    /// The value of `Authorization`: stays with the origin of `url`.
    pub credentials: Option<String>,
    /// What is sent.
    pub body: Body<'a>,
    /// Redirects that are followed.
    pub redirects: u32,
    /// Tries.
    pub again: Again,
    /// Longer than usual until an answer begins: a registry may check gigabytes before it answers.
    pub answer: Option<Duration>,
}

impl<'a> Request<'a> {
    /// A request without body that follows redirects; GET and HEAD are tried again.
    pub fn new(method: Method, url: Url) -> Self {
        let again = if matches!(method, Method::Get | Method::Head) { Again::Yes } else { Again::No };
        Self {
            method,
            url,
            headers: Vec::new(),
            credentials: None,
            body: Body::Empty,
            redirects: policy::REDIRECT_LIMIT,
            again,
            answer: None,
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Gives it a body.
    #[must_use]
    pub fn body(mut self, body: Body<'a>) -> Self {
        self.body = body;
        self
    }
}

/// An answer: any status. Its body ends with an error when it is cut, too slow or cancelled.
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Who answered, after redirects.
    pub url: Url,
    headers: HeaderMap,
    method: Method,
    body: Box<dyn Read + Send>,
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
    let single = || document.as_ref().and_then(|d| field(d, "details").or_else(|| field(d, "message")));
    let text = messages.or_else(single).unwrap_or_else(|| String::from_utf8_lossy(bytes).into_owned());
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(ERROR_SHOWN).collect();
    text.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'")
}

/// Whether somebody cancelled.
pub type Cancelled = Arc<dyn Fn() -> bool + Send + Sync>;

/// Asks servers. Cheap to clone; connections are kept and shared by its threads.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

/// A proxy, and whether certificate authorities are at hand.
type AgentKey = (Option<String>, bool);

struct Inner {
    settings: HttpSettings,
    cancelled: Cancelled,
    /// By proxy, and whether certificate authorities were loaded for it.
    agents: Mutex<Vec<(AgentKey, Agent)>>,
}

impl Client {
    /// A client whose waits end as soon as `cancelled` says so.
    pub fn new(settings: HttpSettings, cancelled: Cancelled) -> Self {
        let inner = Arc::new(Inner { settings, cancelled, agents: Mutex::default() });
        let watched = Arc::downgrade(&inner);
        // Without this thread a cancelled request ends with its timeout.
        let _ = std::thread::Builder::new().name("http-cancel".into()).spawn(move || watch(&watched));
        Self { inner }
    }

    /// What it was made with.
    pub fn settings(&self) -> &HttpSettings {
        &self.inner.settings
    }

    /// Errors: somebody cancelled.
    pub fn check(&self) -> Result<(), HttpError> {
        if (self.inner.cancelled)() { Err(HttpError::Cancelled) } else { Ok(()) }
    }

    /// Waits, but not longer than until somebody cancels.
    pub fn sleep(&self, time: Duration) -> Result<(), HttpError> {
        let until = Instant::now() + time;
        loop {
            self.check()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }

    /// Makes a request, again where that is allowed and may help. Returns any answer that another try would not change.
    ///
    /// # Errors
    /// No connection, a refused redirect, a server that stays unavailable, cancelled.
    pub fn send(&self, request: &Request<'_>) -> Result<Response, HttpError> {
        let mut waits = retry::Waits::new(&self.inner.settings.patience);
        loop {
            let sent = self.follow(request);
            let asked = match &sent {
                Ok(response) if retry::is_transient(response.status) => {
                    response.header("retry-after").and_then(|value| retry::retry_after(value, SystemTime::now()))
                }
                Err(error) if error.is_transient() => None,
                _ => return sent,
            };
            let wait = if request.again == Again::Yes { waits.next(asked) } else { None };
            match (wait, sent) {
                (Some(time), _) => self.sleep(time)?,
                (None, Ok(response)) => return Err(exhausted(response, asked, &self.inner.settings.patience)),
                (None, Err(error)) => return Err(error),
            }
        }
    }

    /// One try, with its redirects.
    fn follow(&self, request: &Request<'_>) -> Result<Response, HttpError> {
        let mut request = request.clone();
        policy::check_target(&request.url)?;
        let origin = request.url.clone();
        for _ in 0..=request.redirects {
            let response = self.once(&request)?;
            let location = response.header("location").map(str::to_owned);
            let Some((method, location)) = policy::follows(response.status, request.method).zip(location) else {
                return Ok(response);
            };
            if request.redirects == 0 {
                return Ok(response);
            }
            request.url = policy::redirect(&request.url, &location)?;
            request.method = method;
            if !request.url.same_origin(&origin) {
                request.credentials = None;
            }
        }
        let why = format!("{} redirects in a row", request.redirects);
        Err(HttpError::Redirect { from: origin.shown(), to: request.url.shown(), why })
    }

    fn once(&self, request: &Request<'_>) -> Result<Response, HttpError> {
        self.check()?;
        let proxy = self.inner.settings.proxies.of(&request.url);
        let agent = self.inner.agent(proxy.as_deref(), request.url.scheme() == Scheme::Https)?;
        let malformed = |why: String| HttpError::Url { url: request.url.shown(), why };
        let mut wire = WireRequest::builder().method(request.method.text()).uri(request.url.to_string());
        for (name, value) in &request.headers {
            wire = wire.header(*name, value);
        }
        if let Some(credentials) = &request.credentials {
            wire = wire.header("authorization", credentials);
        }
        let mut local = None;
        let has_body = !matches!(request.method, Method::Get | Method::Head | Method::Delete);
        let mut source: Box<dyn Read + '_> = match request.body {
            Body::Empty => Box::new(io::empty()),
            Body::Bytes(bytes) => Box::new(bytes),
            Body::Stream(_, open) => open().map_err(|source| HttpError::Local { action: "read what is sent", source })?,
        };
        let length = match request.body {
            Body::Empty => 0,
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::Stream(length, _) => length,
        };
        let mut reader = Outgoing { source: &mut *source, failed: &mut local, cancelled: &self.inner.cancelled };
        if has_body {
            wire = wire.header("content-length", length.to_string());
        }
        let answer = request.answer.unwrap_or(self.inner.settings.idle).max(self.inner.settings.idle);
        let unfit = |_| malformed("cannot be sent with these headers".into());
        let sent = if has_body {
            run(&agent, wire.body(SendBody::from_reader(&mut reader)).map_err(unfit)?, answer)
        } else {
            run(&agent, wire.body(SendBody::none()).map_err(unfit)?, answer)
        };
        if let Some(source) = local {
            return Err(HttpError::Local { action: "read what is sent", source });
        }
        let response = sent.map_err(|error| self.failure(&request.url, proxy, error))?;
        Ok(self.incoming(request, response))
    }

    fn incoming(&self, request: &Request<'_>, response: ureq::http::Response<ureq::Body>) -> Response {
        let (parts, body) = response.into_parts();
        let settings = &self.inner.settings;
        let body = Incoming {
            source: body.into_reader(),
            cancelled: Arc::clone(&self.inner.cancelled),
            window: settings.window,
            slowest: settings.slowest,
            since: Instant::now(),
            got: 0,
        };
        Response {
            status: parts.status.as_u16(),
            url: request.url.clone(),
            headers: parts.headers,
            method: request.method,
            body: Box::new(body),
        }
    }

    fn failure(&self, url: &Url, proxy: Option<String>, error: ureq::Error) -> HttpError {
        if (self.inner.cancelled)() {
            return HttpError::Cancelled;
        }
        let (cause, transient) = describe(&error, &self.inner.settings);
        HttpError::Connection { host: url.authority(), proxy: proxy.map(|p| url::shown(&p)), cause, transient }
    }
}

fn run(
    agent: &Agent,
    request: WireRequest<SendBody<'_>>,
    answer: Duration,
) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
    let configured = agent.configure_request(request);
    agent.run(configured.timeout_recv_response(Some(answer)).timeout_per_read(Some(answer)).build())
}

/// A server that stayed unavailable.
fn exhausted(response: Response, asked: Option<Duration>, patience: &Patience) -> HttpError {
    let mut error = response.refused();
    if let HttpError::Status { wait, .. } = &mut error {
        *wait = asked.filter(|asked| *asked > patience.longest).map(|asked| asked.as_secs());
    }
    error
}

/// A failure of the connection in words, and whether another try may help.
fn describe(error: &ureq::Error, settings: &HttpSettings) -> (String, bool) {
    use io::ErrorKind as K;
    match error {
        ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
            (format!("no connection within {} seconds", settings.connect.as_secs()), false)
        }
        ureq::Error::Timeout(_) => (format!("no answer within {} seconds", settings.idle.as_secs()), false),
        ureq::Error::Io(error) => {
            let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            if let Some(tls) = tls {
                return (tls_words(tls), false);
            }
            let broken = [K::ConnectionReset, K::ConnectionAborted, K::BrokenPipe, K::UnexpectedEof, K::NotConnected];
            let words = crate::ground::fs::error::describe(error);
            // Its second half is the C library's, in its language.
            let words = match words.contains("failed to lookup address information") {
                true => "its name is not known, or no name server answers".to_owned(),
                false => words.escape_debug().to_string(),
            };
            (words, broken.contains(&error.kind()))
        }
        ureq::Error::Rustls(error) => (tls_words(error), false),
        ureq::Error::HostNotFound => ("its name is not known".into(), false),
        ureq::Error::LargeResponseHeader(..) => {
            (format!("the head of its answer is larger than {HEADER_LIMIT} bytes"), false)
        }
        ureq::Error::Protocol(error) => (format!("its answer is not HTTP/1.1: {}", error.to_string().escape_debug()), false),
        other => (other.to_string().escape_debug().to_string(), false),
    }
}

fn tls_words(error: &rustls::Error) -> String {
    use rustls::{CertificateError as C, Error};
    let why = match error {
        Error::InvalidCertificate(C::UnknownIssuer) => "its certificate is signed by nobody whom this machine trusts".into(),
        Error::InvalidCertificate(C::Expired | C::ExpiredContext { .. }) => "its certificate has expired".into(),
        Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
            "its certificate is for another host".into()
        }
        Error::InvalidCertificate(other) => format!("its certificate is not accepted: {other:?}"),
        Error::InvalidMessage(_) => "it does not speak TLS; for plain http, name it with --insecure-registry".into(),
        other => format!("no encrypted connection: {other}"),
    };
    why.escape_debug().to_string()
}

impl Inner {
    fn agent(&self, proxy: Option<&str>, tls: bool) -> Result<Agent, HttpError> {
        let mut agents = self.agents.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, agent)) = agents.iter().find(|((known, roots), _)| known.as_deref() == proxy && *roots == tls) {
            return Ok(agent.clone());
        }
        let agent = self.make_agent(proxy, tls)?;
        agents.push(((proxy.map(str::to_owned), tls), agent.clone()));
        Ok(agent)
    }

    fn make_agent(&self, proxy: Option<&str>, tls: bool) -> Result<Agent, HttpError> {
        let settings = &self.settings;
        let proxy = proxy
            .map(|text| {
                let why = |e: ureq::Error| format!("the proxy `{}` cannot be used: {e}", url::shown(text));
                ureq::Proxy::new(text).map_err(|error| HttpError::Setup(why(error)))
            })
            .transpose()?;
        let roots = if tls { self.roots()? } else { RootCerts::new_with_certs(&[]) };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider).root_certs(roots).build();
        let config = Agent::config_builder()
            .proxy(proxy)
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("rbuild-tui/", env!("CARGO_PKG_VERSION")))
            .max_response_header_size(HEADER_LIMIT)
            .timeout_resolve(Some(settings.connect))
            .timeout_connect(Some(settings.connect))
            .timeout_per_write(Some(settings.idle))
            .build();
        let connector = ConnectProxyConnector::default().chain(TcpConnector::default()).chain(RustlsConnector::default());
        Ok(Agent::with_parts(config, ().chain(connector), policy::CarefulResolver::default()))
    }

    /// The machine's certificate authorities, and those of the settings.
    fn roots(&self) -> Result<RootCerts, HttpError> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots: Vec<Certificate<'static>> =
            found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        for path in &self.settings.authorities {
            let fail = |why: String| {
                let path = path.display().to_string().escape_debug().to_string();
                HttpError::Setup(format!("cannot read the certificate authorities in `{path}`: {why}"))
            };
            let text = std::fs::read(path).map_err(|e| fail(crate::ground::fs::error::describe(&e)))?;
            for item in ureq::tls::parse_pem(&text) {
                if let ureq::tls::PemItem::Certificate(certificate) = item.map_err(|e| fail(e.to_string()))? {
                    roots.push(certificate);
                }
            }
        }
        Ok(RootCerts::new_with_certs(&roots))
    }
}

/// Breaks the connections of a client as soon as somebody cancels; ends with the client.
fn watch(client: &Weak<Inner>) {
    loop {
        std::thread::sleep(Duration::from_millis(100));
        let Some(inner) = client.upgrade() else { return };
        if (inner.cancelled)() {
            let agents = inner.agents.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            agents.iter().for_each(|(_, agent)| agent.clone().shutdown());
            return;
        }
    }
}

/// What is sent. Its failures are told apart from those of the connection.
struct Outgoing<'a> {
    source: &'a mut dyn Read,
    failed: &'a mut Option<io::Error>,
    cancelled: &'a Cancelled,
}

impl Read for Outgoing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if (self.cancelled)() {
            return Err(io::Error::other("cancelled"));
        }
        self.source.read(buffer).map_err(|error| {
            let copy = io::Error::new(error.kind(), error.to_string());
            *self.failed = Some(error);
            copy
        })
    }
}

/// A body on its way in.
struct Incoming {
    source: ureq::BodyReader<'static>,
    cancelled: Cancelled,
    window: Duration,
    slowest: u64,
    since: Instant,
    got: u64,
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer);
        if (self.cancelled)() {
            return Err(io::Error::other("cancelled"));
        }
        let n = read.map_err(|error| io::Error::new(error.kind(), error.to_string().escape_debug().to_string()))?;
        self.got += n as u64;
        if self.since.elapsed() >= self.window {
            if self.got < self.slowest && n > 0 {
                let seconds = self.window.as_secs();
                return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{} bytes in {seconds} seconds", self.got)));
            }
            self.since = Instant::now();
            self.got = 0;
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests;
