//! Certificates: who is not trusted is named, with the reason.

use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicUsize;

use rbuild_tui::engine::http::{Client, Method, Request, Url};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;

/// An authority, and by it certificates for `localhost`: one that is good, one that has expired, one that is not valid yet, and
/// a good one for another host. By another authority one for `localhost`. Whether `openssl` is there to make them.
fn certificates(folder: &Path) -> bool {
    let script = "set -e\n\
        authority() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj \"/CN=$1\" \
          -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -keyout $1.key -out $1.pem; \
          : > $1.index; echo 01 > $1.serial; }\n\
        signed() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj \"/CN=$2\" -keyout $1.key -out $1.csr; \
          printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=%s.index\\nserial=%s.serial\\nnew_certs_dir=.\\ndefault_md=sha256\\npolicy=p\\nunique_subject=no\\n[p]\\ncommonName=supplied\\n[e]\\nsubjectAltName=DNS:%s\\nbasicConstraints=critical,CA:FALSE\\n' $3 $3 $2 > $1.conf; \
          openssl ca -batch -notext -config $1.conf -extensions e -cert $3.pem -keyfile $3.key -in $1.csr -out $1.pem -startdate $4 -enddate $5; }\n\
        authority ours; authority other\n\
        signed good localhost ours 20200101000000Z 20480101000000Z\n\
        signed expired localhost ours 20200101000000Z 20200201000000Z\n\
        signed early localhost ours 20470101000000Z 20480101000000Z\n\
        signed elsewhere registry.example ours 20200101000000Z 20480101000000Z\n\
        signed stranger localhost other 20200101000000Z 20480101000000Z\n";
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Serves over TLS and counts the connections. Returns the port.
fn counting_server(folder: &Path, name: &str) -> (u16, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    (serve(&folder.join(format!("{name}.pem")), &folder.join(format!("{name}.key")), Arc::clone(&connections)), connections)
}

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
    serve(&folder.join("cert.pem"), &folder.join("key.pem"), Arc::default())
}

fn serve(certificate: &Path, key: &Path, connections: Arc<AtomicUsize>) -> u16 {
    let certificate = CertificateDer::from_pem_file(certificate).unwrap();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            connections.fetch_add(1, Ordering::SeqCst);
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

#[test]
fn r18_certificates_that_are_not_valid_are_one_message_and_no_storm() {
    let test = "r18_certificates_that_are_not_valid_are_one_message_and_no_storm";
    if !crate::program::can_build(test) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    if !certificates(folder.path()) {
        return println!("skipped: {test}: there is no openssl");
    }
    let program = crate::program::Program::new("");
    let build = |port: u16| {
        program.write("Dockerfile", &format!("FROM scratch\nADD https://localhost:{port}/f /f\n"));
        let mut command = program.command(&["build"]);
        crate::program::Ended::of(command.env("SSL_CERT_FILE", folder.path().join("ours.pem")).output().unwrap())
    };
    for (name, why, hint) in [
        ("expired", "its certificate has expired", "clock"),
        ("early", "its certificate is not valid yet", "clock"),
        ("elsewhere", "its certificate is for another host", "the name that the certificate is for"),
        ("stranger", "signed by nobody whom this machine trusts", "SSL_CERT_FILE"),
    ] {
        let (port, connections) = counting_server(folder.path(), name);
        let start = std::time::Instant::now();
        let ended = build(port);
        ended.says(3, &["error: Dockerfile:2", &format!("localhost:{port}"), why, "help: ", hint]);
        assert_eq!(ended.stderr.matches("error: ").count(), 1, "{}", ended.stderr);
        let connections = connections.load(Ordering::SeqCst);
        assert_eq!(connections, 1, "{name}: what does not change by waiting is not tried again");
        assert!(start.elapsed() < Duration::from_secs(3), "{name}: {:?}", start.elapsed());
    }
    let (port, connections) = counting_server(folder.path(), "good");
    let ended = build(port);
    assert!(!ended.stderr.contains("certificate") && connections.load(Ordering::SeqCst) > 0, "{}", ended.stderr);
}
