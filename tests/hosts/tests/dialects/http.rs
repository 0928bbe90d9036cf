//! Just enough HTTP/1.1 to play a platform: requests as values, one per connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long an answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What answers the requests that come to a [`front_door`].
pub(crate) type Answerer = Box<dyn Fn(Request) -> Answer + Send + Sync>;

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

// === impl Request ===

impl Request {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), ..Self::default() }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        find(&self.headers, name)
    }

    /// Sends it to `ADDRESS:PORT` or `unix:PATH`.
    pub(crate) fn send(&self, address: &str) -> std::io::Result<Answer> {
        let stream: Box<dyn Stream> = match address.strip_prefix("unix:") {
            Some(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(ANSWER_TIME))?;
                Box::new(stream)
            }
            None => {
                let stream = TcpStream::connect(address)?;
                stream.set_read_timeout(Some(ANSWER_TIME))?;
                Box::new(stream)
            }
        };
        self.send_over(stream)
    }

    /// Sends it by a connection that is there.
    pub(crate) fn send_over(&self, mut stream: impl Read + Write) -> std::io::Result<Answer> {
        let head = format!("{} {} HTTP/1.1\r\nhost: localhost\r\n", self.method, self.path);
        write(&mut stream, &head, &self.headers, &self.body)?;
        let mut reader = BufReader::new(stream);
        let (first, headers) = head_of(&mut reader)?;
        let body = body_of(&mut reader, &headers)?;
        let status = first.split(' ').nth(1).and_then(|said| said.parse().ok());
        Ok(Answer { status: status.expect("a status"), headers, body })
    }
}

// === impl Answer ===

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        find(&self.headers, name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Listens on a port of this machine for as long as the process runs, and says which.
pub(crate) fn front_door(answerer: Answerer) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let answerer = std::sync::Arc::new(answerer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answerer = std::sync::Arc::clone(&answerer);
            std::thread::spawn(move || pass_on(&stream, &**answerer));
        }
    });
    port
}

fn pass_on(stream: &TcpStream, answerer: &dyn Fn(Request) -> Answer) {
    let mut reader = BufReader::new(stream);
    // Whoever connects in advance and sends nothing is no failure.
    let Ok((first, headers)) = head_of(&mut reader) else { return };
    let body = body_of(&mut reader, &headers).expect("a body");
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next().expect("a method"), words.next().expect("a path"));
    let answer = answerer(Request { method, path, headers, body });
    let head = format!("HTTP/1.1 {} Said\r\n", answer.status);
    let mut stream = stream;
    // Drivers that were cancelled are gone.
    let _gone = write(&mut stream, &head, &answer.headers, &answer.body);
}

fn write(
    stream: &mut impl Write,
    head: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> std::io::Result<()> {
    let mut text = head.to_owned();
    let ours = ["content-length", "transfer-encoding", "connection", "host"];
    for (name, value) in headers {
        if !ours.contains(&&*name.to_ascii_lowercase()) {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    text.push_str(&format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()));
    stream.write_all(text.as_bytes())?;
    // Who refuses a body need not have read it.
    let _refused = stream.write_all(body);
    stream.flush()
}

type Head = (String, Vec<(String, String)>);

fn head_of(reader: &mut impl BufRead) -> std::io::Result<Head> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let header = |line: &String| {
        let (name, value) = line.split_once(':').expect("a header");
        (name.to_ascii_lowercase(), value.trim().to_owned())
    };
    Ok((lines[0].clone(), lines[1..].iter().map(header).collect()))
}

fn body_of(reader: &mut impl BufRead, headers: &[(String, String)]) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if find(headers, "transfer-encoding") == "chunked" {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let length = u64::from_str_radix(line.trim(), 16).expect("a chunk's length");
            reader.by_ref().take(length).read_to_end(&mut body)?;
            reader.read_line(&mut line)?;
            if length == 0 {
                return Ok(body);
            }
        }
    }
    let length = find(headers, "content-length").parse().unwrap_or(0);
    reader.take(length).read_to_end(&mut body)?;
    Ok(body)
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> &'a str {
    let found = headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
    found.map_or("", |(_, value)| value)
}
