//! Requests to servers that the job was granted, by HTTP.
//!
//! ```
//! use samara_guest::{function, http};
//!
//! /// The page's size.
//! #[function]
//! fn size(url: String) -> samara_guest::Result<usize> {
//!     let response = http::get(&url)?;
//!     Ok(response.error_for_status()?.bytes()?.len())
//! }
//! ```
//!
//! Redirections are not followed: each step is a request of its own, and needs a grant.
//! Only a host sends requests: natively, as in unit tests, each is refused.

use std::fmt;

use crate::Result;

/// A request that is being made.
#[derive(Debug, Clone)]
#[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "only a host sends"))]
pub struct Request {
    method: String,
    url: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// The answer to a request.
pub struct Response {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Body,
}

#[cfg(target_family = "wasm")]
type Body = wasm::Body;
#[cfg(not(target_family = "wasm"))]
type Body = native::Body;

/// Asks for what is at a URL.
///
/// # Errors
///
/// As [`Request::send`].
pub fn get(url: &str) -> Result<Response> {
    Request::new("GET", url).send()
}

/// Sends a body to a URL.
///
/// # Errors
///
/// As [`Request::send`].
pub fn post(url: &str, body: impl Into<Vec<u8>>) -> Result<Response> {
    Request::new("POST", url).body(body).send()
}

// === impl Request ===

impl Request {
    /// A request with a method, such as `PUT`, to a URL.
    pub fn new(method: &str, url: &str) -> Self {
        let (method, url) = (method.to_owned(), url.to_owned());
        Self { method, url, headers: Vec::new(), body: Vec::new() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it, and waits for the head of the answer.
    ///
    /// # Errors
    ///
    /// Where the URL is none, no grant of the job covers it, its server cannot be reached, or a
    /// header is malformed. A status that tells of an error is an answer.
    pub fn send(self) -> Result<Response> {
        let url = self.url.clone();
        let sent = send(self);
        sent.map_err(|error| error.context(format!("asking {url}")))
    }
}

#[cfg(target_family = "wasm")]
use wasm::send;

#[cfg(not(target_family = "wasm"))]
use native::send;

/// A URL's scheme, its authority, and its path with the query.
#[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "only a host sends"))]
fn parts(url: &str) -> Result<(bool, &str, &str)> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let secure = match scheme.to_ascii_lowercase().as_str() {
        "https" => true,
        "http" => false,
        _ => anyhow::bail!("the URL should begin with http:// or https://"),
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    anyhow::ensure!(!authority.is_empty(), "the URL names no host");
    Ok((secure, authority, if path.is_empty() { "/" } else { path }))
}

// === impl Response ===

impl Response {
    /// Its status: 200 where all is well.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let found = self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_slice())
    }

    /// All headers.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The answer, unless its status is that of an error.
    ///
    /// # Errors
    ///
    /// Where the status is 400 or more.
    pub fn error_for_status(self) -> Result<Self> {
        anyhow::ensure!(self.status < 400, "the server answered with status {}", self.status);
        Ok(self)
    }

    /// The whole body.
    ///
    /// # Errors
    ///
    /// Where the connection breaks before its end.
    pub fn bytes(mut self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(bytes) = self.chunk()? {
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    }

    /// The whole body as text.
    ///
    /// # Errors
    ///
    /// As [`bytes`](Self::bytes); and where it is not UTF-8.
    pub fn text(self) -> Result<String> {
        Ok(String::from_utf8(self.bytes()?)?)
    }

    /// The next piece of the body; none at its end.
    ///
    /// # Errors
    ///
    /// As [`bytes`](Self::bytes).
    pub fn chunk(&mut self) -> Result<Option<Vec<u8>>> {
        self.body.next()
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Requests by `wasi:http`.
#[cfg(target_family = "wasm")]
mod wasm {
    use wasip2::http::outgoing_handler;
    use wasip2::http::types::{
        Fields, IncomingBody, Method, OutgoingBody, OutgoingRequest, Scheme,
    };
    use wasip2::io::streams::{InputStream, StreamError};

    use super::{Request, Response, parts};
    use crate::Result;

    /// Bytes of a body that are asked for, or written, at once.
    const PIECE_BYTES: usize = 4096;
    const CHUNK_BYTES: u64 = 64 << 10;

    /// The body of an answer. The stream goes before what it is a part of.
    pub(super) struct Body {
        stream: InputStream,
        _body: IncomingBody,
    }

    impl Body {
        pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>> {
            match self.stream.blocking_read(CHUNK_BYTES) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(StreamError::Closed) => Ok(None),
                Err(StreamError::LastOperationFailed(error)) => {
                    anyhow::bail!("the answer broke off: {}", error.to_debug_string())
                }
            }
        }
    }

    pub(super) fn send(request: Request) -> Result<Response> {
        let outgoing = head(&request)?;
        let body = outgoing.body().map_err(|()| anyhow::anyhow!("the request has a body"))?;
        let response = outgoing_handler::handle(outgoing, None)
            .map_err(|code| anyhow::anyhow!("it was not sent: {code:?}"))?;
        write(&body, &request.body)?;
        OutgoingBody::finish(body, None)
            .map_err(|code| anyhow::anyhow!("it was not sent: {code:?}"))?;
        response.subscribe().block();
        let response = match response.get() {
            Some(Ok(Ok(response))) => response,
            Some(Ok(Err(code))) => anyhow::bail!("no answer: {code:?}"),
            Some(Err(())) | None => anyhow::bail!("no answer"),
        };
        let body = response.consume().map_err(|()| anyhow::anyhow!("the answer has no body"))?;
        let stream = body.stream().map_err(|()| anyhow::anyhow!("the answer has no body"))?;
        let (status, headers) = (response.status(), response.headers().entries());
        Ok(Response { status, headers, body: Body { stream, _body: body } })
    }

    fn head(request: &Request) -> Result<OutgoingRequest> {
        let (secure, authority, path) = parts(&request.url)?;
        let mut headers = request.headers.clone();
        let has_length = |(name, _): &(String, _)| name.eq_ignore_ascii_case("content-length");
        if !request.body.is_empty() && !headers.iter().any(has_length) {
            headers.push(("content-length".to_owned(), request.body.len().to_string().into()));
        }
        let fields = Fields::from_list(&headers)
            .map_err(|error| anyhow::anyhow!("a header is refused: {error:?}"))?;
        let outgoing = OutgoingRequest::new(fields);
        let scheme = if secure { Scheme::Https } else { Scheme::Http };
        outgoing
            .set_method(&method(&request.method))
            .and_then(|()| outgoing.set_scheme(Some(&scheme)))
            .and_then(|()| outgoing.set_authority(Some(authority)))
            .and_then(|()| outgoing.set_path_with_query(Some(path)))
            .map_err(|()| anyhow::anyhow!("the method or the URL is malformed"))?;
        Ok(outgoing)
    }

    fn write(body: &OutgoingBody, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let stream = body.write().map_err(|()| anyhow::anyhow!("the request has no body"))?;
        for piece in bytes.chunks(PIECE_BYTES) {
            stream
                .blocking_write_and_flush(piece)
                .map_err(|error| anyhow::anyhow!("the server stopped reading: {error:?}"))?;
        }
        Ok(())
    }

    fn method(name: &str) -> Method {
        match name {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            "OPTIONS" => Method::Options,
            "PATCH" => Method::Patch,
            other => Method::Other(other.to_owned()),
        }
    }
}

/// Where there is no host.
#[cfg(not(target_family = "wasm"))]
mod native {
    use super::{Request, Response};
    use crate::Result;

    /// The body of an answer that never comes.
    pub(super) enum Body {}

    impl Body {
        pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>> {
            match *self {}
        }
    }

    pub(super) fn send(_: Request) -> Result<Response> {
        anyhow::bail!("only a host sends requests; natively there is none")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        for (url, wanted) in [
            ("https://a.b/c?d#e", (true, "a.b", "/c?d")),
            ("HTTP://a:1", (false, "a:1", "/")),
            ("http://a?b/c", (false, "a", "?b/c")),
        ] {
            assert_eq!(parts(url).unwrap(), wanted);
        }
        for url in ["", "a.b/c", "ftp://a", "http://", "https:///a"] {
            assert!(parts(url).is_err(), "{url}");
        }
    }

    #[test]
    fn natively_a_request_is_refused_by_its_url() {
        let error = format!("{:#}", get("http://a/b").unwrap_err());
        assert!(error.contains("http://a/b") && error.contains("only a host"), "{error}");
    }
}
