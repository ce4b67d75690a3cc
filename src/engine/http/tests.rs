//! A client against a server that misbehaves on purpose.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};

use std::io;
use std::io::Read;
use std::sync::Mutex;
use std::time::Instant;

use super::*;

/// Answers each connection with the next of the given texts, then closes; keeps the heads of the requests.
fn server(answers: Vec<Vec<u8>>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heads);
    std::thread::spawn(move || {
        for (answer, stream) in answers.into_iter().zip(listener.incoming()) {
            let mut stream: TcpStream = stream.unwrap();
            let head = head(&mut BufReader::new(stream.try_clone().unwrap()));
            kept.lock().unwrap().push(head);
            let _ = stream.write_all(&answer);
            if answer.is_empty() {
                std::thread::sleep(Duration::from_secs(5));
            }
        }
    });
    (address, heads)
}

/// Head and, with `Content-Length`, body of a request.
fn head(reader: &mut BufReader<TcpStream>) -> String {
    let mut out = String::new();
    while !out.ends_with("\r\n\r\n") && reader.read_line(&mut out).unwrap() > 0 {}
    let lower = out.to_ascii_lowercase();
    let length = lower.lines().find_map(|l| l.strip_prefix("content-length: ")).map_or(0, |n| n.trim().parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    out + &String::from_utf8_lossy(&body)
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn quick() -> HttpSettings {
    let ms = Duration::from_millis;
    let patience = Patience { tries: 3, first: ms(1), longest: ms(1200), total: ms(3000) };
    HttpSettings { idle: ms(400), patience, ..HttpSettings::default() }
}

fn client() -> Client {
    Client::new(quick(), Arc::new(|| false))
}

fn get(address: &str) -> Request<'static> {
    let mut request = Request::new(Method::Get, Url::parse(&format!("http://{address}/x")).unwrap());
    request.credentials = Some("Bearer s3cret".into());
    request
}

fn download(address: &str, size: u64, validator: Validator) -> (Result<download::Downloaded, HttpError>, Vec<u8>) {
    let mut out = Vec::new();
    let download = Download { request: get(address), size: Some(size), limit: 1 << 20, validator };
    let result = client().download(&download, &mut out, &mut |_| {});
    (result, out)
}

#[test]
fn unavailable_servers_are_asked_again_and_then_named() {
    let busy = || answer("503 Busy", "Retry-After: 1\r\n", b"<b>\x1b[32mno\x1b[0m</b>");
    let (address, heads) = server(vec![busy(), answer("200 OK", "", b"yes")]);
    assert_eq!(client().send(&get(&address)).unwrap().bytes(10).unwrap(), b"yes");
    assert_eq!(heads.lock().unwrap().len(), 2);

    let (address, _) = server(vec![busy(), busy(), busy()]);
    let error = client().send(&get(&address)).err().unwrap().to_string();
    assert!(error.contains("503") && error.contains(&address) && !error.contains('\u{1b}'), "{error}");

    let (address, heads) = server(vec![answer("429 Slow", "Retry-After: 99999\r\n", b"")]);
    let error = client().send(&get(&address)).err().unwrap();
    assert!(crate::ground::hint::Hint::hint(&error).unwrap().contains("99999"));
    assert_eq!(heads.lock().unwrap().len(), 1, "nobody waits a day");
}

#[test]
fn credentials_stay_with_host_and_port() {
    let (far, far_heads) = server(vec![answer("200 OK", "", b"blob")]);
    let (near, near_heads) = server(vec![
        answer("307 There", "Location: /y\r\n", b""),
        answer("307 There", &format!("Location: http://{far}/z?sig=1\r\n"), b""),
    ]);
    assert_eq!(client().send(&get(&near)).unwrap().bytes(10).unwrap(), b"blob");
    assert!(near_heads.lock().unwrap().iter().all(|head| head.contains("s3cret")));
    assert!(!far_heads.lock().unwrap()[0].contains("s3cret"), "{far_heads:?}");

    let around = answer("302 Again", "Location: /x\r\n", b"");
    let (address, heads) = server(vec![around; 20]);
    assert!(matches!(client().send(&get(&address)), Err(HttpError::Redirect { .. })));
    assert_eq!(heads.lock().unwrap().len(), 11);

    for to in ["file:///etc/passwd", "http://169.254.169.254/latest", "http://[::ffff:169.254.169.254]/"] {
        let (address, _) = server(vec![answer("302 There", &format!("Location: {to}\r\n"), b"")]);
        assert!(matches!(client().send(&get(&address)), Err(HttpError::Redirect { .. })), "{to}");
    }
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let body = b"0123456789";
    let whole = answer("200 OK", "ETag: \"a\"\r\n", body);
    let cut = |n: usize| whole[..whole.len() - 10 + n].to_vec();
    let part = |range: &str, from: usize| answer("206 Part", &format!("Content-Range: {range}\r\n"), &body[from..]);
    for (name, answers) in [
        ("continued", vec![cut(4), part("bytes 4-9/10", 4)]),
        ("cut at nothing", vec![cut(0), cut(10)]),
        ("cut before the last", vec![cut(9), part("bytes 9-9/10", 9)]),
        ("the whole again", vec![cut(4), cut(10)]),
        ("a wrong range, then the whole", vec![cut(4), part("bytes 0-9/10", 0), cut(10)]),
        ("no range, then the whole", vec![cut(4), answer("416 No", "", b""), cut(10)]),
    ] {
        let (address, heads) = server(answers);
        let (result, out) = download(&address, 10, Validator::Digest);
        assert_eq!(result.unwrap().bytes, 10, "{name}");
        assert_eq!(out, body, "{name}");
        if name == "continued" {
            assert!(heads.lock().unwrap()[1].to_ascii_lowercase().contains("range: bytes=4-"));
        }
    }
    let (address, _) = server(vec![cut(4), cut(4), cut(4), cut(4), cut(4), cut(4)]);
    assert!(download(&address, 10, Validator::Digest).0.unwrap_err().to_string().contains("broke off after 4"));
    let (address, _) = server(vec![answer("200 OK", "", body)]);
    assert!(download(&address, 9, Validator::Digest).0.is_err(), "longer than said");
    let untagged = answer("200 OK", "", body)[..60].to_vec();
    let (address, _) = server(vec![untagged, answer("200 OK", "", body)]);
    assert!(download(&address, 10, Validator::EntityTag).0.is_err(), "nothing says that it is the same file");
}

#[test]
fn what_is_sent_arrives_and_is_sent_again_after_a_redirect() {
    fn open<'a>() -> io::Result<Box<dyn Read + 'a>> {
        Ok(Box::new(&b"hello"[..]))
    }
    let (address, heads) = server(vec![answer("307 There", "Location: /y\r\n", b""), answer("201 Made", "", b"")]);
    let request = Request { method: Method::Put, ..get(&address) }.body(Body::Stream(5, &|| open()));
    assert_eq!(client().send(&request).unwrap().status, 201);
    assert!(heads.lock().unwrap().iter().all(|head| head.ends_with("\r\n\r\nhello")));
    let (address, heads) = server(vec![answer("202 Go", "", b"")]);
    let request = Request { method: Method::Post, ..get(&address) };
    assert_eq!(client().send(&request).unwrap().status, 202);
    assert!(heads.lock().unwrap()[0].to_ascii_lowercase().contains("content-length: 0"));
}

#[test]
fn silence_and_cancelling_end_a_request() {
    let (address, _) = server(vec![Vec::new()]);
    let started = Instant::now();
    let error = client().send(&get(&address)).err().unwrap();
    assert!(error.to_string().contains("no answer within"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(2));

    let (address, _) = server(vec![Vec::new()]);
    let flag = Arc::new(AtomicBool::new(false));
    let read = Arc::clone(&flag);
    let client = Client::new(HttpSettings::default(), Arc::new(move || read.load(Ordering::SeqCst)));
    let raise = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        flag.store(true, Ordering::SeqCst);
    });
    let started = Instant::now();
    assert!(matches!(client.send(&get(&address)), Err(HttpError::Cancelled)));
    assert!(started.elapsed() < Duration::from_secs(2));
    raise.join().unwrap();
}

#[test]
fn c32_endless_heads_and_slow_bodies_are_given_up() {
    let (address, _) = server(vec![[b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'a'; 1 << 20]].concat()]);
    assert!(matches!(client().send(&get(&address)), Err(HttpError::Connection { .. })));

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        head(&mut BufReader::new(stream.try_clone().unwrap()));
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let settings = HttpSettings { window: Duration::from_millis(300), slowest: 100, ..quick() };
    let client = Client::new(settings, Arc::new(|| false));
    let error = client.send(&get(&address)).unwrap().bytes(1000).unwrap_err();
    assert!(error.to_string().contains("bytes in 0 seconds"), "{error}");
}

#[test]
fn a_broken_proxy_is_named() {
    let proxies = Proxies { http: Some("http://127.0.0.1:1".into()), ..Proxies::default() };
    let client = Client::new(HttpSettings { proxies, ..quick() }, Arc::new(|| false));
    let error = client.send(&Request::new(Method::Get, Url::parse("http://registry.example/").unwrap())).err().unwrap();
    assert!(error.to_string().contains("proxy `http://127.0.0.1:1`"), "{error}");
    assert!(crate::ground::hint::Hint::hint(&error).unwrap().contains("NO_PROXY"));
}
