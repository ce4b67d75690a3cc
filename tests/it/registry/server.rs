//! A registry that misbehaves on purpose, on loopback: it serves what it is given, notes every request, and for requests that a
//! fault names it does what the fault says.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rbuild_tui::ground::digest::Digest;

/// What happens instead, or on the way.
#[derive(Clone)]
pub enum Action {
    /// This answer: status, headers, body.
    Answer(u16, String, Vec<u8>),
    /// The body ends after so many bytes.
    Cut(usize),
    /// A header more, or another value of it.
    Header(&'static str, String),
    /// Nothing comes.
    Silence,
    /// The request is handled, and its answer is another.
    Instead(u16, String),
}

#[derive(Default)]
struct State {
    blobs: HashMap<String, Vec<u8>>,
    manifests: HashMap<String, (String, Vec<u8>)>,
    uploads: HashMap<String, Vec<u8>>,
    /// Part of `METHOD target`, how often, what.
    faults: Vec<(String, usize, Action)>,
    requests: Vec<String>,
    /// The `WWW-Authenticate` header, and what opens the door.
    lock: Option<(String, String)>,
    next: usize,
}

pub struct Registry {
    pub address: String,
    state: Arc<Mutex<State>>,
}

impl Registry {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let registry = Self { address: listener.local_addr().unwrap().to_string(), state: Arc::default() };
        let state = Arc::clone(&registry.state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let state = Arc::clone(&state);
                std::thread::spawn(move || serve(stream.unwrap(), &state));
            }
        });
        registry
    }

    pub fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    pub fn blob(&self, bytes: &[u8]) -> String {
        let digest = Digest::of(bytes).to_string();
        self.state.lock().unwrap().blobs.insert(digest.clone(), bytes.to_vec());
        digest
    }

    /// Other bytes under the digest of these.
    pub fn replace(&self, digest: &str, bytes: &[u8]) {
        self.state.lock().unwrap().blobs.insert(digest.to_owned(), bytes.to_vec());
    }

    /// A manifest under a tag and its digest.
    pub fn manifest(&self, tag: &str, kind: &str, text: &str) -> String {
        let digest = Digest::of(text).to_string();
        let mut state = self.state.lock().unwrap();
        for name in [tag, &digest] {
            state.manifests.insert(name.to_owned(), (kind.to_owned(), text.as_bytes().to_vec()));
        }
        digest
    }

    pub fn fault(&self, request: &str, times: usize, action: Action) {
        self.state.lock().unwrap().faults.push((request.to_owned(), times, action));
    }

    pub fn lock(&self, challenge: &str, key: &str) {
        self.state.lock().unwrap().lock = Some((challenge.to_owned(), key.to_owned()));
    }

    /// Heads of all requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.clone()
    }

    pub fn count(&self, part: &str) -> usize {
        self.requests().iter().filter(|head| head.lines().next().unwrap_or_default().contains(part)).count()
    }

    pub fn has_blob(&self, digest: &str) -> bool {
        self.state.lock().unwrap().blobs.contains_key(digest)
    }

    pub fn has_manifest(&self, name: &str) -> bool {
        self.state.lock().unwrap().manifests.contains_key(name)
    }
}

struct Request {
    method: String,
    target: String,
    head: String,
    body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        let wanted = format!("{name}:");
        let line = self.head.lines().find(|line| line.to_ascii_lowercase().starts_with(&wanted))?;
        Some(line[wanted.len()..].trim())
    }
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

fn answer(status: u16, headers: &[(&str, String)], body: &[u8]) -> Answer {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Answer { status, headers, body: body.to_vec() }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let mut parts = head.split(' ');
    let (method, target) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    let mut request = Request { method, target, head: head.clone(), body: Vec::new() };
    let length = request.header("content-length").map_or(0, |n| n.parse().unwrap());
    request.body = vec![0; length];
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let Some(request) = read(&stream) else { return };
    let line = format!("{} {}", request.method, request.target);
    let fault = {
        let mut state = state.lock().unwrap();
        state.requests.push(request.head.clone());
        let found = state.faults.iter_mut().find(|(part, times, _)| *times > 0 && line.contains(part.as_str()));
        found.map(|(_, times, action)| {
            *times -= 1;
            action.clone()
        })
    };
    let mut cut = None;
    let mut reply = match &fault {
        Some(Action::Answer(status, headers, body)) => {
            let headers: Vec<_> = headers.lines().filter_map(|l| l.split_once(": ")).collect();
            let headers: Vec<_> = headers.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
            answer(*status, &headers, body)
        }
        Some(Action::Silence) => return std::thread::sleep(Duration::from_secs(20)),
        _ => handle(&request, &mut state.lock().unwrap()),
    };
    match fault {
        Some(Action::Cut(length)) => cut = Some(length),
        Some(Action::Header(name, value)) => {
            reply.headers.retain(|(known, _)| known != name);
            reply.headers.push((name.to_owned(), value));
        }
        Some(Action::Instead(status, header)) => {
            reply.status = status;
            reply.headers.extend(header.split_once(": ").map(|(n, v)| (n.to_owned(), v.to_owned())));
        }
        _ => {}
    }
    let length = reply.headers.iter().any(|(name, _)| name == "Content-Length");
    let length = if length { String::new() } else { format!("Content-Length: {}\r\n", reply.body.len()) };
    let headers: String = reply.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let _ = write!(stream, "HTTP/1.1 {} X\r\n{length}Connection: close\r\n{headers}\r\n", reply.status);
    if request.method != "HEAD" {
        let _ = stream.write_all(&reply.body[..cut.unwrap_or(reply.body.len())]);
    }
    let _ = stream.shutdown(Shutdown::Write);
}

fn handle(request: &Request, state: &mut State) -> Answer {
    if let Some((challenge, key)) = state.lock.clone()
        && request.target.starts_with("/v2/")
        && request.header("authorization") != Some(&key)
    {
        return answer(401, &[("WWW-Authenticate", challenge)], b"{\"errors\":[{\"message\":\"authentication required\"}]}");
    }
    let path = request.target.split('?').next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default().to_owned();
    if path.contains("/manifests/") {
        return manifests(request, &last, state);
    }
    if path.contains("/blobs/uploads/") {
        return uploads(request, &last, state);
    }
    match state.blobs.get(&last) {
        Some(bytes) => blob(request, bytes),
        None => answer(404, &[], b"{\"errors\":[{\"code\":\"BLOB_UNKNOWN\",\"message\":\"blob unknown\"}]}"),
    }
}

fn blob(request: &Request, bytes: &[u8]) -> Answer {
    let from = request.header("range").and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    match from {
        Some(from) if from < bytes.len() => {
            let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
            answer(206, &[("Content-Range", range)], &bytes[from..])
        }
        Some(_) => answer(416, &[], b""),
        None => answer(200, &[], bytes),
    }
}

fn manifests(request: &Request, name: &str, state: &mut State) -> Answer {
    if request.method == "PUT" {
        let digest = Digest::of(&request.body).to_string();
        let kind = request.header("content-type").unwrap_or_default().to_owned();
        state.manifests.insert(name.to_owned(), (kind.clone(), request.body.clone()));
        state.manifests.insert(digest.clone(), (kind, request.body.clone()));
        return answer(201, &[("Docker-Content-Digest", digest)], b"");
    }
    match state.manifests.get(name) {
        Some((kind, bytes)) => answer(200, &[("Content-Type", kind.clone())], bytes),
        None => answer(404, &[], b"{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"manifest unknown\"}]}"),
    }
}

fn uploads(request: &Request, id: &str, state: &mut State) -> Answer {
    let query = request.target.split_once('?').map_or("", |(_, query)| query).replace("%3A", ":").replace("%2F", "/");
    let get = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned);
    let place = |id: &str| ("Location", format!("/v2/r/blobs/uploads/{id}"));
    match request.method.as_str() {
        "POST" => {
            if get("mount").is_some_and(|digest| state.blobs.contains_key(&digest)) {
                return answer(201, &[], b"");
            }
            state.next += 1;
            let id = format!("u{}", state.next);
            state.uploads.insert(id.clone(), Vec::new());
            answer(202, &[place(&id)], b"")
        }
        "PATCH" => {
            let Some(held) = state.uploads.get_mut(id) else { return answer(404, &[], b"") };
            let start = request.header("content-range").and_then(|r| r.split('-').next()?.parse::<usize>().ok());
            if start.is_some_and(|start| start != held.len()) {
                return answer(416, &[], b"");
            }
            held.extend_from_slice(&request.body);
            answer(202, &[place(id), ("Range", format!("0-{}", held.len().saturating_sub(1)))], b"")
        }
        "GET" => match state.uploads.get(id) {
            Some(held) => answer(204, &[place(id), ("Range", format!("0-{}", held.len().saturating_sub(1)))], b""),
            None => answer(404, &[], b""),
        },
        _ => {
            let Some(bytes) = state.uploads.remove(id) else { return answer(404, &[], b"") };
            let digest = Digest::of(&bytes).to_string();
            if get("digest") != Some(digest.clone()) {
                return answer(400, &[], b"{\"errors\":[{\"message\":\"digest invalid\"}]}");
            }
            state.blobs.insert(digest.clone(), bytes);
            answer(201, &[("Docker-Content-Digest", digest)], b"")
        }
    }
}
