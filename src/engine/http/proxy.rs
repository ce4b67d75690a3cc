//! Which proxy stands before a host, by the rules that curl and Go share.

use super::url::{Scheme, Url};

/// HTTP_PROXY, HTTPS_PROXY and NO_PROXY as they were given. Every connection through a proxy is a tunnel (CONNECT).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http`.
    pub http: Option<String>,
    /// For `https`.
    pub https: Option<String>,
    /// Hosts without a proxy: names with everything below them, addresses, `*`; separated by commas.
    pub none: String,
}

impl Proxies {
    /// The proxy for an address. This machine is always reached directly.
    pub fn of(&self, url: &Url) -> Option<String> {
        let proxy = if url.scheme() == Scheme::Https { &self.https } else { &self.http };
        let direct = url.is_loopback() || self.none.split(',').any(|rule| covers(rule.trim(), url));
        proxy.clone().filter(|text| !text.is_empty() && !direct)
    }
}

fn covers(rule: &str, url: &Url) -> bool {
    if rule == "*" {
        return true;
    }
    let rule = rule.trim_start_matches('*').to_ascii_lowercase();
    let host = url.host();
    if rule.is_empty() {
        return false;
    }
    let authority = url.authority();
    let name = rule.trim_start_matches('.');
    host == name || authority == name || host.strip_suffix(name).is_some_and(|before| before.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_that_need_no_proxy() {
        let proxies = Proxies {
            http: Some("p:1".into()),
            https: Some("p:2".into()),
            none: "a.example, .b.example,10.0.0.1:80".into(),
        };
        let of = |url: &str| proxies.of(&Url::parse(url).unwrap());
        for direct in
            ["http://a.example/", "https://x.a.example/", "http://x.b.example/", "http://localhost:1/", "http://[::1]/"]
        {
            assert_eq!(of(direct), None, "{direct}");
        }
        assert_eq!(of("http://xa.example/").as_deref(), Some("p:1"));
        assert_eq!(of("https://c.example/").as_deref(), Some("p:2"));
    }
}
