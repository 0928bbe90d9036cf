//! HTTP/1.1 as far as the fake needs it: requests of a known length, one after the other on each
//! connection.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;

use bytes::{Bytes, BytesMut};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) method: String,
    /// As it was sent.
    pub(super) path: String,
    pub(super) query: BTreeMap<String, String>,
    /// By their names in lower case.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Bytes,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
}

/// The longest head of a request.
const HEAD_MAX: usize = 64 << 10;

/// The longest body: more than any test sends.
const BODY_MAX: usize = 1 << 30;

// === impl Request ===

impl Request {
    /// The next request of a connection; none at its end.
    pub(super) async fn read(
        stream: &mut TcpStream,
        left: &mut BytesMut,
    ) -> io::Result<Option<Self>> {
        let end = loop {
            if let Some(end) = find(left, b"\r\n\r\n") {
                break end + 4;
            }
            if left.len() > HEAD_MAX || stream.read_buf(left).await? == 0 {
                return Ok(None);
            }
        };
        let head = left.split_to(end);
        let mut request = Self::of_head(&String::from_utf8_lossy(&head))
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        if request.header("expect").is_some() {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let length = request.header("content-length").map_or(Ok(0), str::parse::<usize>);
        let length = length.ok().filter(|length| *length <= BODY_MAX);
        // Google asks for a length too, where a body is sent in one piece.
        let length = length.filter(|_| request.header("transfer-encoding").is_none());
        let length = length.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        left.reserve(length.saturating_sub(left.len()));
        while left.len() < length {
            if stream.read_buf(left).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        request.body = left.split_to(length).freeze();
        Ok(Some(request))
    }

    /// A request without its body.
    pub(super) fn of_head(head: &str) -> Option<Self> {
        let mut lines = head.lines();
        let mut words = lines.next()?.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let query = pairs.map(|(name, value)| (of_form(name), of_form(value))).collect();
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Some(Self { method, path: path.to_owned(), query, headers, body: Bytes::new() })
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(super) fn asked(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// The parts of a `multipart` body: their heads, and what follows these.
    pub(super) fn parts(&self) -> Option<Vec<(String, Bytes)>> {
        let kind = self.header("content-type")?;
        let boundary = kind.split("boundary=").nth(1)?.trim_matches('"');
        let (begin, between) = (format!("--{boundary}"), format!("\r\n--{boundary}"));
        let mut parts = Vec::new();
        let mut at = find(&self.body, begin.as_bytes())? + begin.len();
        while !self.body[at..].starts_with(b"--") {
            let head = at + find(&self.body[at..], b"\r\n\r\n")? + 4;
            // The empty line may be the one before the boundary, where a part has a head alone.
            let end = head - 2 + find(&self.body[head - 2..], between.as_bytes())?;
            let text = String::from_utf8_lossy(&self.body[at..head]).trim().to_owned();
            parts.push((text, self.body.slice(head..end.max(head))));
            at = end + between.len();
        }
        Some(parts)
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, what)
}

// === impl Answer ===

impl Answer {
    pub(super) fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    pub(super) fn json(status: u16, value: &Value) -> Self {
        let json = "application/json; charset=UTF-8";
        Self::new(status).with("Content-Type", json).body(value.to_string().into())
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    /// The status line and the headers, with the empty line.
    pub(super) fn head(&self) -> String {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, phrase(self.status));
        for (name, value) in &self.headers {
            // Writing to a string does not fail.
            let _written = write!(head, "{name}: {value}\r\n");
        }
        head + &format!("Content-Length: {}\r\n\r\n", self.body.len())
    }

    pub(super) async fn send(&self, stream: &mut TcpStream, to: &Request) -> io::Result<()> {
        stream.write_all(self.head().as_bytes()).await?;
        if to.method != "HEAD" {
            stream.write_all(&self.body).await?;
        }
        stream.flush().await
    }
}

fn phrase(status: u16) -> &'static str {
    match status {
        200..300 => "OK",
        308 => "Resume Incomplete",
        499 => "Client Closed Request",
        _ => "No",
    }
}

/// What `%XX` stands for; none where it is not UTF-8.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = (*first == b'%').then(|| after.get(..2)).flatten();
        let hex = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(hex.unwrap_or(*first));
        rest = if hex.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).ok()
}

/// In a query `+` is a space.
fn of_form(text: &str) -> String {
    decoded(&text.replace('+', " ")).unwrap_or_default()
}
