//! A small server that answers as the hub does: information, small files as they are, large ones by a redirection.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use sha2::{Digest, Sha256};

pub const REPOSITORY: &str = "someone/tiny-bert";
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Larger files are sent by a redirection.
const SMALL: usize = 1000;

/// How the server behaves.
#[derive(Clone, Default)]
pub struct Behaviour {
    pub files: BTreeMap<String, Vec<u8>>,
    /// Answers everything with this status.
    pub status: Option<u16>,
    /// Sends so many bytes of a large file and then hangs up.
    pub cut: Option<usize>,
    /// Sends large files in pieces, with pauses.
    pub slow: bool,
    /// What the hub says that the files' SHA-256 is.
    pub sha256: Option<String>,
}

pub struct Server {
    pub endpoint: String,
    pub behaviour: Arc<Mutex<Behaviour>>,
    /// Request lines, with ranges and tokens.
    pub requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves until the test's process ends.
    pub fn new(files: &[(&str, Vec<u8>)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect();
        let behaviour = Arc::new(Mutex::new(Behaviour { files, ..Behaviour::default() }));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (shared, seen, here) = (Arc::clone(&behaviour), Arc::clone(&requests), endpoint.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (shared, seen, here) = (Arc::clone(&shared), Arc::clone(&seen), here.clone());
                // The client may hang up at any moment.
                thread::spawn(move || answer(&stream.unwrap(), &shared, &seen, &here).ok());
            }
        });
        Self { endpoint, behaviour, requests }
    }

    pub fn set(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.behaviour.lock().unwrap());
    }

    pub fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

fn answer(
    mut stream: &TcpStream,
    behaviour: &Mutex<Behaviour>,
    requests: &Mutex<Vec<String>>,
    here: &str,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut seen = first.clone();
    let mut start = None;
    for line in lines.by_ref() {
        let line = line?.to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            start = range.split('-').next().and_then(|start| start.parse::<usize>().ok());
        }
        if line.starts_with("range:") || line.starts_with("authorization:") {
            write!(seen, " {line}").unwrap();
        }
    }
    requests.lock().unwrap().push(seen.clone());
    let behaviour = behaviour.lock().unwrap().clone();
    let path = first.split(' ').nth(1).unwrap_or_default();
    let mut head = |status: &str, headers: &str, length: usize| {
        stream.write_all(
            format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n").as_bytes(),
        )
    };
    if let Some(status) = behaviour.status {
        return head(&format!("{status} Refused"), "", 0);
    }
    let revision = path.strip_prefix(&format!("/api/models/{REPOSITORY}/revision/"));
    if revision.is_some_and(|revision| revision == "main" || revision == COMMIT) {
        let siblings: Vec<_> = behaviour.files.keys().map(|name| serde_json::json!({"rfilename": name})).collect();
        let body = serde_json::json!({"sha": COMMIT, "siblings": siblings, "private": false}).to_string();
        head("200 OK", "Content-Type: application/json\r\n", body.len())?;
        return stream.write_all(body.as_bytes());
    }
    let from_hub = path.strip_prefix(&format!("/{REPOSITORY}/resolve/{COMMIT}/"));
    let name = from_hub.or_else(|| path.strip_prefix("/store/"));
    let Some((name, bytes)) = name.and_then(|name| behaviour.files.get_key_value(name)) else {
        return head("404 Not Found", "", 0);
    };
    let sha256 = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let commit = format!("X-Repo-Commit: {COMMIT}\r\n");
    if from_hub.is_some() && bytes.len() > SMALL {
        let etag = behaviour.sha256.unwrap_or(sha256);
        let headers = format!("{commit}X-Linked-ETag: \"{etag}\"\r\nLocation: {here}/store/{name}\r\n");
        return head("302 Found", &headers, 0);
    }
    let start = start.unwrap_or(0);
    if start >= bytes.len() {
        return head("416 Range Not Satisfiable", "", 0);
    }
    let end = if seen.contains("bytes=0-0") { 1 } else { bytes.len() };
    let range = format!("Content-Range: bytes {start}-{}/{}\r\n", end - 1, bytes.len());
    head("206 Partial Content", &format!("{commit}ETag: \"{}\"\r\n{range}", &sha256[..40]), end - start)?;
    let body = &bytes[start..end];
    match behaviour.cut {
        Some(cut) if body.len() > SMALL => stream.write_all(&body[..cut]),
        _ if behaviour.slow && body.len() > SMALL => {
            for piece in body.chunks(100) {
                stream.write_all(piece)?;
                thread::sleep(Duration::from_millis(100));
            }
            Ok(())
        }
        _ => stream.write_all(body),
    }
}
