//! Asks: tries, redirects, waits.

use std::io::{self, Read};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use ureq::http::Request as WireRequest;
use ureq::{Agent, SendBody};

use super::agent::{Inner, watch};
use super::error::HttpError;
use super::request::{Again, Body, Method, Request};
use super::response::Response;
use super::retry::{self, Patience};
use super::stream::{Incoming, Outgoing};
use super::url::{self, Scheme, Url};
use super::words::describe;
use super::{Cancelled, HttpSettings, policy};

/// Asks servers. Cheap to clone; connections are kept and shared by its threads.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
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
