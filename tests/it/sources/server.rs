//! A web server of a few lines that can also fail. Never listens beyond the loopback.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What was asked.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// `GET` or `HEAD`.
    pub(super) method: String,
    /// With the query.
    pub(super) path: String,
    /// By names in lower case.
    pub(super) headers: BTreeMap<String, String>,
}

/// How an answer goes on after its head.
pub(super) enum Body {
    /// These bytes.
    Bytes(Vec<u8>),
    /// These, and then the connection is cut.
    Cut(Vec<u8>),
    /// These, and then nothing for ever.
    Stall(Vec<u8>),
}

/// The line and the headers of an answer, and its body. The length of the body is told where no
/// header tells another one.
pub(super) struct Answer(pub(super) &'static str, pub(super) Vec<String>, pub(super) Body);

/// A server, until it is dropped.
pub(super) struct Server {
    pub(super) port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers every request with what `answer` makes of it and of the number of those before it.
    pub(super) fn start(answer: impl Fn(usize, &Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (answer, log) = (Arc::new(answer), asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answer, log) = (answer.clone(), log.clone());
                std::thread::spawn(move || {
                    if let Some(request) = read(&stream) {
                        let number = {
                            let mut log = log.lock().unwrap();
                            log.push(request.clone());
                            log.len() - 1
                        };
                        // A client that has gone away is not this server's trouble.
                        drop(write(stream, &request, answer(number, &request)));
                    }
                });
            }
        });
        Self { port, asked }
    }

    /// A server of one file with an entity tag, which knows ranges.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let bytes = bytes.to_vec();
        Self::start(move |_, asked| file(&bytes, asked))
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What was asked since the last time.
    pub(super) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// The methods of what was asked since the last time.
    pub(super) fn methods(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.method).collect()
    }
}

/// A file with an entity tag, or the range of it that is asked for.
pub(super) fn file(bytes: &[u8], asked: &Asked) -> Answer {
    let tag = format!("ETag: \"{}\"", ohc::base::canon::Digest::of(bytes).short());
    let since = "Last-Modified: Mon, 02 Nov 2026 10:00:00 GMT".to_owned();
    let range = asked.headers.get("range").and_then(|range| range.strip_prefix("bytes="));
    match range.and_then(|range| range.split_once('-')) {
        None => Answer("200 OK", vec![tag, since], Body::Bytes(bytes.to_vec())),
        Some((first, last)) => {
            let first: usize = first.parse().unwrap();
            let last = last.parse().unwrap_or(bytes.len() - 1);
            let part = format!("Content-Range: bytes {first}-{last}/{}", bytes.len());
            Answer(
                "206 Partial Content",
                vec![tag, since, part],
                Body::Bytes(bytes[first..=last].to_vec()),
            )
        }
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Some(Asked { method, path, headers })
}

fn write(mut stream: TcpStream, asked: &Asked, answer: Answer) -> std::io::Result<()> {
    let Answer(status, mut headers, body) = answer;
    let (Body::Bytes(bytes) | Body::Cut(bytes) | Body::Stall(bytes)) = &body;
    if !headers.iter().any(|header| header.starts_with("Content-Length")) {
        headers.push(format!("Content-Length: {}", bytes.len()));
    }
    headers.push("Connection: close".into());
    write!(stream, "HTTP/1.1 {status}\r\n{}\r\n\r\n", headers.join("\r\n"))?;
    if asked.method != "HEAD" {
        stream.write_all(bytes)?;
        stream.flush()?;
        if let Body::Stall(_) = &body {
            // Until the client has had enough.
            drop(BufReader::new(&stream).read_line(&mut String::new()));
        }
    }
    stream.shutdown(Shutdown::Both)
}
