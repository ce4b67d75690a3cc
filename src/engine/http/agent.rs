//! Connections: one pool for each proxy, with the machine's certificate authorities.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, RustlsConnector, TcpConnector};

use super::error::HttpError;
use super::{Cancelled, HEADER_LIMIT, HttpSettings, policy, url};

/// A proxy, and whether certificate authorities are at hand.
pub(super) type AgentKey = (Option<String>, bool);

/// What all clones of a client share.
pub(super) struct Inner {
    pub settings: HttpSettings,
    pub cancelled: Cancelled,
    /// By proxy, and whether certificate authorities were loaded for it.
    pub agents: Mutex<Vec<(AgentKey, Agent)>>,
}

impl Inner {
    pub fn agent(&self, proxy: Option<&str>, tls: bool) -> Result<Agent, HttpError> {
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
pub(super) fn watch(client: &Weak<Inner>) {
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
