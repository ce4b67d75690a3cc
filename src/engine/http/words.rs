//! Why there is no connection, in words.

use std::io;

use super::{HEADER_LIMIT, HttpSettings};

/// A failure of the connection in words, and whether another try may help.
pub(super) fn describe(error: &ureq::Error, settings: &HttpSettings) -> (String, bool) {
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
        Error::InvalidCertificate(C::NotValidYet | C::NotValidYetContext { .. }) => {
            "its certificate is not valid yet".into()
        }
        Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
            "its certificate is for another host".into()
        }
        Error::InvalidCertificate(other) => format!("its certificate is not accepted: {other:?}"),
        Error::InvalidMessage(_) => "it does not speak TLS; for plain http, name it with --insecure-registry".into(),
        other => format!("no encrypted connection: {other}"),
    };
    why.escape_debug().to_string()
}
