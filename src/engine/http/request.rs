//! What is asked.

use std::io::{self, Read};
use std::time::Duration;

use super::policy;
use super::url::Url;

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
