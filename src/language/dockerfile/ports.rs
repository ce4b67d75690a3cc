//! The ports of EXPOSE.
//!
//! Source of the rules: `convert_expose.go` of BuildKit.

use std::net::IpAddr;

/// `[ip:][host port:]container port[/protocol]`, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortSpec {
    /// First container port.
    pub first: u16,
    /// Last container port; the first again unless it is a range.
    pub last: u16,
    /// `tcp`, `udp` or `sctp` as written; `tcp` when not given.
    pub protocol: String,
    /// Whether an address or a host port stands in front: allowed so far, and without effect.
    pub mapped: bool,
}

/// Why a text is no port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Nothing before the protocol.
    #[error("no port is given")]
    Missing,
    /// Neither tcp, udp nor sctp.
    #[error("the protocol `{0}` is unknown: there is tcp, udp and sctp")]
    Protocol(String),
    /// The text before the ports.
    #[error("`{0}` is not an IP address")]
    Address(String),
    /// Not a number from 0 to 65535, or a range that runs backwards.
    #[error("`{0}` is no port: write 80 or 8000-8010")]
    Number(String),
    /// Host and container range differ in length.
    #[error("the ranges `{host}` and `{container}` differ in length")]
    Ranges {
        /// In front of the colon.
        host: String,
        /// Behind it.
        container: String,
    },
}

impl PortSpec {
    /// Reads one specification.
    ///
    /// # Errors
    /// When BuildKit refuses it.
    pub fn parse(text: &str) -> Result<Self, PortError> {
        let (address, host, container) = parts(text);
        let (container, protocol) = container.split_once('/').unwrap_or((container, ""));
        if container.is_empty() {
            return Err(PortError::Missing);
        }
        let protocol = if protocol.is_empty() { "tcp" } else { protocol };
        if !["tcp", "udp", "sctp"].iter().any(|known| protocol.eq_ignore_ascii_case(known)) {
            return Err(PortError::Protocol(protocol.to_owned()));
        }
        check_address(&address)?;
        let (first, last) = range(container)?;
        if !host.is_empty() {
            let (host_first, host_last) = range(host)?;
            // One container port may be mapped to a range of host ports.
            if last - first != host_last - host_first && first != last {
                return Err(PortError::Ranges { host: host.to_owned(), container: container.to_owned() });
            }
        }
        let mapped = !address.is_empty() || !host.is_empty();
        Ok(Self { first, last, protocol: protocol.to_owned(), mapped })
    }

    /// Each port with its protocol in lower case, as an image's configuration has them: `80/tcp`.
    pub fn ports(&self) -> impl Iterator<Item = String> {
        let protocol = self.protocol.to_ascii_lowercase();
        (self.first..=self.last).map(move |port| format!("{port}/{protocol}"))
    }
}

/// Address, host port, container port.
fn parts(text: &str) -> (String, &str, &str) {
    let Some((before, container)) = text.rsplit_once(':') else { return (String::new(), "", text) };
    match before.rsplit_once(':') {
        Some((address, host)) => (address.to_owned(), host, container),
        None => (String::new(), before, container),
    }
}

fn check_address(address: &str) -> Result<(), PortError> {
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    if bare.is_empty() && address.is_empty() || bare.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    Err(PortError::Address(address.to_owned()))
}

fn range(text: &str) -> Result<(u16, u16), PortError> {
    let bad = || PortError::Number(text.to_owned());
    // Go reads `+80` too; `u16::from_str` does as well.
    let number = |text: &str| text.parse::<u16>().map_err(|_| bad());
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    if first <= last { Ok((first, last)) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifications() {
        let ports = |text: &str| PortSpec::parse(text).map(|spec| spec.ports().collect::<Vec<_>>());
        assert_eq!(ports("80"), Ok(vec!["80/tcp".to_owned()]));
        assert_eq!(ports("1-2/UDP"), Ok(vec!["1/udp".to_owned(), "2/udp".to_owned()]));
        assert_eq!(ports("[::1]:80:80"), Ok(vec!["80/tcp".to_owned()]));
        for bad in ["2-1", "x", "70000", "80/http", "", ":80:", "localhost:1:1", "1-3:1-2"] {
            assert!(PortSpec::parse(bad).is_err(), "{bad}");
        }
        assert!(PortSpec::parse("127.0.0.1:80:80").is_ok_and(|spec| spec.mapped));
    }
}
