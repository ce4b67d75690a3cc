//! Certificates: who is not trusted is named, with the reason.

use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use rbuild_tui::engine::http::{Client, Method, Request, Url};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;

/// A certificate for `localhost` that nobody signed but itself; whether `openssl` is there to make it.
fn certificate(folder: &Path) -> bool {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
    command.args(["-subj", "/CN=rbuild-tui test", "-addext", "subjectAltName=DNS:localhost"]);
    command.args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "key.pem", "-out", "cert.pem"]);
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Answers with 204 over TLS. Returns the port.
fn server(folder: &Path) -> u16 {
    let certificate = CertificateDer::from_pem_file(folder.join("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream =
                rustls::StreamOwned::new(rustls::ServerConnection::new(Arc::clone(&config)).unwrap(), stream.unwrap());
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 204 X\r\nConnection: close\r\n\r\n");
        }
    });
    port
}

#[test]
fn r18_hosts_that_are_not_who_they_say() {
    let folder = tempfile::tempdir().unwrap();
    if !certificate(folder.path()) {
        println!("skipped: r18_hosts_that_are_not_who_they_say: there is no openssl");
        return;
    }
    let port = server(folder.path());
    let ask = |settings: &HttpSettings, host: &str, port: u16| {
        let request = Request::new(Method::Get, Url::parse(&format!("https://{host}:{port}/")).unwrap());
        Client::new(settings.clone(), Arc::new(|| false)).send(&request).map(|r| r.status).map_err(|e| e.to_string())
    };
    let machine = Bench::new().settings.http;
    let trusting = HttpSettings { authorities: vec![folder.path().join("cert.pem")], ..machine.clone() };
    assert_eq!(ask(&trusting, "localhost", port), Ok(204));
    let error = ask(&machine, "localhost", port).unwrap_err();
    assert!(error.contains("signed by nobody whom this machine trusts"), "{error}");
    let error = ask(&trusting, "127.0.0.1", port).unwrap_err();
    assert!(error.contains("for another host"), "{error}");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    });
    let error = ask(&trusting, "localhost", plain).unwrap_err();
    assert!(error.contains("--insecure-registry"), "{error}");
}
