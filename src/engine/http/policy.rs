//! Where requests may go: what a redirect or a name server says is not trusted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::url::{Scheme, Url, shown};
use super::{HttpError, Method};

/// More redirects in a row are a loop.
pub const REDIRECT_LIMIT: u32 = 10;

/// Addresses under which clouds hand out credentials to whoever asks from inside; no registry and no download lives there.
pub fn is_metadata(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let translated = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
            v4.is_link_local() || v4.is_unspecified() || v4.is_broadcast() || translated.contains(&v4)
        }
        IpAddr::V6(v6) => {
            let nat64 = v6.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
            let [.., a, b] = v6.segments();
            let [x, y] = [a.to_be_bytes(), b.to_be_bytes()];
            let inner = Ipv4Addr::new(x[0], x[1], y[0], y[1]);
            v6.is_unicast_link_local()
                || v6.is_unspecified()
                || v6 == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)
                || (nat64 && is_metadata(inner.into()))
        }
    }
}

/// Refuses addresses that are written out and lead to metadata services.
pub fn check_target(url: &Url) -> Result<(), HttpError> {
    let host = url.host();
    // Some resolvers read `2852039166` and `0xa9fea9fe` as 169.254.169.254.
    let odd = url.address().is_none()
        && host.rsplit('.').next().is_some_and(|last| last.starts_with("0x") || last.bytes().all(|b| b.is_ascii_digit()));
    if odd || url.address().is_some_and(is_metadata) || host == "metadata.google.internal" {
        let why = "leads to a link-local or metadata address, which is never asked".to_owned();
        return Err(HttpError::Url { url: url.shown(), why });
    }
    Ok(())
}

/// The next address of a redirect. Errors: to another scheme than http(s), from https to http, to a metadata address.
pub fn redirect(from: &Url, location: &str) -> Result<Url, HttpError> {
    let fail = |why: String| HttpError::Redirect { from: from.shown(), to: shown(location), why };
    let to = from.join(location).map_err(|error| fail(error.to_string()))?;
    if from.scheme() == Scheme::Https && to.scheme() == Scheme::Http {
        return Err(fail("an encrypted connection is not left for a plain one".into()));
    }
    check_target(&to).map_err(|error| fail(error.to_string()))?;
    Ok(to)
}

/// Whether a status with this method is followed, and with which method.
pub fn follows(status: u16, method: Method) -> Option<Method> {
    match (status, method) {
        (301 | 302 | 303 | 307 | 308, Method::Get | Method::Head) | (307 | 308, _) => Some(method),
        _ => None,
    }
}

/// A name server's answers, without those that lead to metadata services.
#[derive(Debug, Default)]
pub struct CarefulResolver(DefaultResolver);

impl Resolver for CarefulResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.0.resolve(uri, config, timeout)?;
        let mut kept = self.0.empty();
        for address in found.iter().filter(|address: &&SocketAddr| !is_metadata(address.ip())) {
            kept.push(*address);
        }
        if kept.is_empty() {
            return Err(ureq::Error::Other(
                "the name leads to a link-local or metadata address, which is never asked".into(),
            ));
        }
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_addresses_in_every_notation() {
        for host in [
            "169.254.169.254",
            "[::ffff:169.254.169.254]",
            "[::ffff:a9fe:a9fe]",
            "[fe80::1]",
            "[fd00:ec2::254]",
            "[64:ff9b::a9fe:a9fe]",
            "0.0.0.0",
            "100.100.100.200",
            "2852039166",
            "0xa9fea9fe",
            "0xa9.0xfe.0xa9.0xfe",
            "metadata.google.internal",
        ] {
            let url = Url::parse(&format!("http://{host}/latest")).unwrap();
            assert!(check_target(&url).is_err(), "{host}");
        }
        for host in ["127.0.0.1:5000", "10.0.0.1", "registry.example", "[::1]", "[2001:db8::1]"] {
            assert!(check_target(&Url::parse(&format!("http://{host}/")).unwrap()).is_ok(), "{host}");
        }
    }

    #[test]
    fn redirects_that_are_refused() {
        let from = Url::parse("https://a.example/x").unwrap();
        for to in ["http://a.example/x", "file:///etc/passwd", "https://169.254.169.254/", "gopher://a/", "https://u@:1/"] {
            assert!(redirect(&from, to).is_err(), "{to}");
        }
        assert_eq!(redirect(&from, "/y").unwrap().to_string(), "https://a.example/y");
        assert_eq!(follows(303, Method::Post), None);
    }
}
