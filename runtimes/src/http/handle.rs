//! What each request is answered with.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use samara_core::wire::{self, BATCH_TYPE, FRAMES_TYPE, VERSION};
use samara_core::{Caller, ErrorKind};
use subtle::{Choice, ConstantTimeEq};

use super::body::{Bodies, Held};
use super::dialect::{Dialect, Opened, State};
use super::{BATCHES, HOST, OURS, TOKEN, text as as_text};
use crate::host::Host;
use crate::push::{Bounds, Refusal, Service};

/// What an answer consists of.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// When to come again with a batch that was refused: the time that batches take by and large.
const AGAIN_SECONDS: &str = "1";

/// Answers requests in one dialect.
pub(super) struct Handling {
    service: Arc<Service>,
    tokens: Vec<String>,
    dialect: &'static Dialect,
    state: State,
    bodies: Bodies,
    /// How long the platform waits for an answer, where it does not say it in the request.
    time_max: Option<Duration>,
}

/// Who asks, where the host knows tenants; or why it is a stranger.
type Admitted = Result<Option<Arc<dyn Caller>>, String>;

/// A request without its envelope.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// How long the platform waits for the answer, where it says so in the request.
    pub(super) time: Option<Duration>,
    /// Whether what it came through carries text alone.
    pub(super) is_text: bool,
}

// === impl Handling ===

impl Handling {
    pub(super) fn new(host: &Host, dialect: &'static Dialect) -> Self {
        Self {
            service: Arc::clone(&host.service),
            tokens: host.tokens.clone(),
            dialect,
            state: State::new(Arc::clone(&host.clock)),
            bodies: Bodies::new(),
            time_max: (dialect.time_max)(&host.variables),
        }
    }

    /// Answers a request as it came over the wire.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let (head, body) = request.into_parts();
        // A stranger's body is not read, nor is one that nothing is done with. Where the ticket is in
        // an envelope, the body has to be.
        let is_batch = head.uri.path().ends_with(BATCHES)
            || !self.dialect.wraps && is_of(&head.headers, BATCH_TYPE);
        let admitted = is_batch.then(|| self.admits(&head.headers));
        let held = match &admitted {
            Some(Ok(_)) => self.bodies.read(body, true).await,
            None if self.dialect.wraps => self.bodies.read(body, false).await,
            _ => Ok(Held::default()),
        };
        let held = match held {
            Ok(held) => held,
            Err((status, why)) => {
                if let Some(Ok(Some(caller))) = &admitted {
                    caller.turned_away(None, why.trim_end());
                }
                return Ok(signed(come_again((self.dialect.refuse)(status, &why))));
            }
        };
        let asked = Asked {
            method: head.method,
            path: head.uri.path().to_owned(),
            headers: head.headers,
            body: held.bytes.clone(),
            ..Asked::default()
        };
        Ok(match (self.dialect.open)(asked, &self.state) {
            Opened::Plain(asked) => signed(self.plain(asked, admitted).await),
            Opened::Enveloped(asked, close) => {
                let answer = signed(self.plain(asked, admitted).await);
                close(gathered(answer).await)
            }
            Opened::Answered(answer) => answer,
        })
    }

    /// Answers what was in the envelope, if there was one; who asks, where it is known already.
    async fn plain(&self, mut asked: Asked, admitted: Option<Admitted>) -> Response<Body> {
        if as_text::is_base64(&asked.headers) {
            match as_text::decode(&asked.body) {
                Ok(body) => asked.body = body.into(),
                Err(why) => return text(StatusCode::BAD_REQUEST, why),
            }
        }
        let is_batch = asked.path.ends_with(BATCHES) || is_of(&asked.headers, BATCH_TYPE);
        match (&asked.method, asked.path.trim_end_matches('/')) {
            (&Method::GET, "/healthz" | "/livez" | "/_/health") => text(StatusCode::OK, "alive\n"),
            (&Method::GET, "/readyz" | "/_/ready") => match self.service.is_draining() {
                false => text(StatusCode::OK, "ready\n"),
                true => text(StatusCode::SERVICE_UNAVAILABLE, "about to end\n"),
            },
            (&Method::GET, "/metrics") => {
                let mut answer = text(StatusCode::OK, self.service.metrics());
                let kind = http::HeaderValue::from_static("text/plain; version=0.0.4");
                answer.headers_mut().insert(CONTENT_TYPE, kind);
                answer
            }
            (&Method::GET, path) if path.ends_with(HOST) => match self.admits(&asked.headers) {
                Ok(_) => self.info(asked.is_text),
                Err(why) => text(StatusCode::UNAUTHORIZED, why),
            },
            // Once: each refusal is written down.
            (&Method::POST, _) if is_batch => {
                match admitted.unwrap_or_else(|| self.admits(&asked.headers)) {
                    Ok(caller) => self.batch(&asked, caller).await,
                    Err(why) => text(StatusCode::UNAUTHORIZED, why),
                }
            }
            (_, path) if path.ends_with(BATCHES) => {
                text(StatusCode::METHOD_NOT_ALLOWED, "batches are sent by POST\n")
            }
            _ => text(
                StatusCode::NOT_FOUND,
                "this is a host of Samara's; batches go to /v1/batches, and /v1/host says what it \
                 is\n",
            ),
        }
    }

    fn info(&self, is_text: bool) -> Response<Body> {
        let mut info = self.service.info();
        info.text = is_text;
        info.batch_bytes_max = info.batch_bytes_max.min(self.dialect.bytes_max);
        info.streams = self.dialect.streams;
        info.time_max = self.time_max;
        match wire::encode_info(&info) {
            Ok(info) => answer(StatusCode::OK, FRAMES_TYPE, info),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.message),
        }
    }

    async fn batch(&self, asked: &Asked, caller: Option<Arc<dyn Caller>>) -> Response<Body> {
        let version = asked.headers.get("samara-wire").and_then(|said| said.to_str().ok());
        if version.is_some_and(|said| said.parse() != Ok(VERSION)) {
            let why =
                format!("this host speaks version {VERSION} of the format of batches alone\n");
            return text(StatusCode::UPGRADE_REQUIRED, why);
        }
        let batch = match wire::decode_batch(&asked.body) {
            Ok(batch) => batch,
            Err(error) => return text(StatusCode::BAD_REQUEST, error.message),
        };
        let frames = match self.service.begin(batch, caller) {
            Ok(frames) => frames,
            Err(refusal) => return refused(refusal),
        };
        if !self.dialect.streams {
            let time = [asked.time, self.time_max].into_iter().flatten().min();
            let bounds = Bounds { time, bytes: self.dialect.bytes_max };
            return answer(StatusCode::OK, FRAMES_TYPE, frames.whole(bounds).await);
        }
        let frames = frames.map(|frame| Ok(Frame::data(frame)));
        let body = BodyExt::boxed_unsync(StreamBody::new(frames));
        let response = Response::builder()
            .header(CONTENT_TYPE, FRAMES_TYPE)
            // Proxies that would gather the answer first.
            .header("x-accel-buffering", "no")
            .header("cache-control", "no-store")
            .header("samara-streams", "1");
        response.body(body).expect("a response of constants")
    }

    /// Finds out who asks, or why it is a stranger. Tokens are compared in a time that tells nothing
    /// of where the difference is.
    fn admits(&self, headers: &HeaderMap) -> Admitted {
        let said = headers.get(TOKEN).map(http::HeaderValue::as_bytes);
        if self.service.has_gate() {
            // What is no text is no ticket either.
            let ticket = said.map(|said| std::str::from_utf8(said).unwrap_or_default());
            let caller = self.service.identify(ticket);
            return caller.map_err(|error| error.message + "\n");
        }
        let said = said.unwrap_or_default();
        let any = |found: Choice, token: &String| found | token.as_bytes().ct_eq(said);
        match self.tokens.is_empty() || bool::from(self.tokens.iter().fold(Choice::from(0), any)) {
            true => Ok(None),
            false => Err("this host wants a token that it knows\n".to_owned()),
        }
    }
}

fn refused(refusal: Refusal) -> Response<Body> {
    let (status, why) = match refusal {
        Refusal::Busy | Refusal::Draining => {
            (StatusCode::SERVICE_UNAVAILABLE, refusal.why().to_owned() + "\n")
        }
        Refusal::TooMany(error) => {
            return text(StatusCode::PAYLOAD_TOO_LARGE, error.message + "\n");
        }
        Refusal::Denied(error) => match error.kind {
            ErrorKind::Throttled => (StatusCode::TOO_MANY_REQUESTS, error.message + "\n"),
            ErrorKind::Invalid => return text(StatusCode::BAD_REQUEST, error.message + "\n"),
            _ => return text(StatusCode::FORBIDDEN, error.message + "\n"),
        },
    };
    come_again(text(status, why))
}

/// Says when, where it makes sense to.
fn come_again(mut answer: Response<Body>) -> Response<Body> {
    if matches!(answer.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        let seconds = http::HeaderValue::from_static(AGAIN_SECONDS);
        answer.headers_mut().insert(RETRY_AFTER, seconds);
    }
    answer
}

/// An answer that is known for a host's.
fn signed(mut answer: Response<Body>) -> Response<Body> {
    answer.headers_mut().insert(OURS, http::HeaderValue::from_static("1"));
    answer
}

/// An answer with all of its body.
async fn gathered(answer: Response<Body>) -> Response<Bytes> {
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap_or_else(|never| match never {});
    Response::from_parts(head, body.to_bytes())
}

fn is_of(headers: &HeaderMap, kind: &str) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|said| said.as_bytes() == kind.as_bytes())
}

/// An answer in words.
pub(super) fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    answer(status, "text/plain; charset=utf-8", text)
}

pub(super) fn answer(
    status: StatusCode,
    kind: &'static str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let response = Response::builder().status(status).header(CONTENT_TYPE, kind);
    response.body(full(body.into())).expect("a response of constants")
}

pub(super) fn full(body: Bytes) -> Body {
    Full::new(body).boxed_unsync()
}
