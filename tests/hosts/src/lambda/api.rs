//! Invoke, as drivers and functions call it.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Act, NAME, State};

/// Bytes of a payload that is waited for, and of its answer.
pub(super) const PAYLOAD_MAX: usize = 6 * 1024 * 1024;

/// Bytes of an event, in regions that have not raised it.
const EVENT_MAX: usize = 256 * 1024;

/// How often Lambda tries an event again that there is no room for.
const EVENT_AGAIN: Duration = Duration::from_millis(50);

pub(super) async fn serve(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        // Heads and bodies are sent apart.
        drop(stream.set_nodelay(true));
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let state = Arc::clone(&state);
                async move { answer(&state, request).await }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            // Who goes away is not waited for; an answer that is lost ends it too.
            drop(served.await);
        });
    }
}

/// An error ends the connection.
async fn answer(
    state: &Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let (head, body) = request.into_parts();
    let payload = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let path = head.uri.path().to_owned();
    let name = path
        .strip_prefix("/2015-03-31/functions/")
        .and_then(|rest| rest.strip_suffix("/invocations"));
    let Some(name) = name else {
        return Ok(refused(StatusCode::NOT_FOUND, "UnknownOperationException", "no such path"));
    };
    // A name, or an ARN, whose colons may be escaped.
    let name = name.replace("%3A", ":");
    if name.split(':').nth(6).unwrap_or(&name) != NAME {
        let text =
            format!("Function not found: arn:aws:lambda:us-east-1:123456789012:function:{name}");
        return Ok(refused(StatusCode::NOT_FOUND, "ResourceNotFoundException", &text));
    }
    let is_event =
        head.headers.get("x-amz-invocation-type").is_some_and(|said| said.as_bytes() == b"Event");
    if let Some(refusal) = check(&payload, is_event, &head.headers) {
        return Ok(refusal);
    }
    let act = (state.settings.plan)(state.number());
    match act {
        Act::Throttle => return Ok(throttled(state)),
        Act::Break => {
            state.pool().counts.refused += 1;
            let text = "Service error.";
            return Ok(refused(StatusCode::INTERNAL_SERVER_ERROR, "ServiceException", text));
        }
        Act::Keyless => {
            let text = "Lambda was unable to decrypt the environment variables.";
            return Ok(refused(StatusCode::BAD_GATEWAY, "KMSAccessDeniedException", text));
        }
        _ => {}
    }
    match is_event {
        true => {
            let times = if act == Act::Twice { 2 } else { 1 };
            for _ in 0..times {
                tokio::spawn(event(Arc::clone(state), payload.clone(), act));
            }
            state.pool().counts.queued += 1;
            let response = Response::builder().status(StatusCode::ACCEPTED);
            Ok(response.body(Full::default()).expect("a response of constants"))
        }
        false => wait(state, payload, act).await,
    }
}

/// Runs an invocation for someone who waits.
async fn wait(
    state: &Arc<State>,
    payload: Bytes,
    act: Act,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let Some(_place) = state.enter() else { return Ok(throttled(state)) };
    state.pool().counts.waited += 1;
    let ran = state.run(payload, act == Act::Kill).await;
    if act == Act::LoseAnswer {
        return Err(io::Error::other("the connection is lost"));
    }
    let mut response = Response::builder().header("x-amz-executed-version", "$LATEST");
    if ran.failed {
        response = response.header("x-amz-function-error", "Unhandled");
    }
    Ok(response.body(Full::new(ran.payload)).expect("a response of constants"))
}

/// Runs an event as soon as there is room.
async fn event(state: Arc<State>, payload: Bytes, act: Act) {
    let _place = loop {
        match state.enter() {
            Some(place) => break place,
            None => tokio::time::sleep(EVENT_AGAIN).await,
        }
    };
    let ran = state.run(payload, act == Act::Kill).await;
    if ran.failed {
        let said = String::from_utf8_lossy(&ran.payload).into_owned();
        state.pool().logs.push(said);
    }
}

/// What AWS does not even begin with.
fn check(payload: &[u8], is_event: bool, headers: &HeaderMap) -> Option<Response<Full<Bytes>>> {
    if !headers.contains_key("authorization") {
        let text = "Missing Authentication Token";
        return Some(refused(StatusCode::FORBIDDEN, "MissingAuthenticationTokenException", text));
    }
    let most = if is_event { EVENT_MAX } else { PAYLOAD_MAX };
    if payload.len() > most {
        let text = format!("{} byte payload is too large for the limit of {most}", payload.len());
        let code = "RequestEntityTooLargeException";
        return Some(refused(StatusCode::PAYLOAD_TOO_LARGE, code, &text));
    }
    if serde_json::from_slice::<Value>(payload).is_err() {
        let text = "Could not parse request body into json";
        return Some(refused(StatusCode::BAD_REQUEST, "InvalidRequestContentException", text));
    }
    None
}

fn throttled(state: &State) -> Response<Full<Bytes>> {
    state.pool().counts.refused += 1;
    let said = json!({
        "Reason": "ConcurrentInvocationLimitExceeded",
        "Type": "User",
        "message": "Rate Exceeded.",
    });
    respond(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", &said)
}

fn refused(status: StatusCode, code: &str, message: &str) -> Response<Full<Bytes>> {
    respond(status, code, &json!({ "Type": "User", "Message": message }))
}

fn respond(status: StatusCode, code: &str, said: &Value) -> Response<Full<Bytes>> {
    let response = Response::builder()
        .status(status)
        .header("x-amzn-errortype", code)
        .header("content-type", "application/json");
    response.body(Full::new(said.to_string().into())).expect("a response of plain text")
}

/// An answer of the runtime API, which both files make.
pub(super) fn accepted() -> Result<Response<Full<Bytes>>, Infallible> {
    let response = Response::builder().status(StatusCode::ACCEPTED);
    Ok(response.body(Full::from("{\"status\":\"OK\"}")).expect("a response of constants"))
}
