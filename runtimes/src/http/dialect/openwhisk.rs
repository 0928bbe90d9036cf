//! OpenWhisk, as an action of a container image ("Adding Action Language Runtimes", the action
//! interface; "Web Actions").
//!
//! The platform posts `/init` once, and `/run` for each activation:
//!
//! ```json
//! { "value": { "__ow_method": "post", "__ow_path": "/v1/batches", "__ow_headers": { "a": "b" },
//!              "__ow_body": "…" },
//!   "activation_id": "…", "deadline": 1700000000000 }
//! ```
//!
//! The answer is `{ "statusCode", "headers", "body" }`, and another status than 200 is a failure of
//! the activation, with `{ "error" }`. Bodies are base64 where their type is binary, as those of
//! batches and frames are. So the action has to be a web action, and answers to everybody: who may
//! run tasks is for tokens to say.
//!
//! A line at the end of each activation, on standard output and standard error, tells where its log
//! ends; without it the platform waits for the log, and drops it.

use std::io::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::envelope::{headers, is_text, json as json_answer, object};
use super::plain::CONTAINER;
use super::{Dialect, Door, Opened, State};
use crate::http::handle::{Asked, Body};
use crate::http::text as as_text;

/// What ends the log of an activation.
const LOG_END: &str = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX";

/// Bytes of a batch and of an answer: the platform allows 1 MB both ways ("OpenWhisk system details":
/// payload size), in which they are base64 between other things.
const BYTES_MAX: u64 = 700 << 10;

/// How long a controller waits for a web action, whatever the action's own limit is: some seconds
/// less than the minute that it has (`max-wait-for-blocking-activation`), because an activation may
/// wait for a container first. Then it answers 202, and the result is lost.
const TIME_MAX: Duration = Duration::from_secs(55);

pub(super) static DIALECT: Dialect = Dialect {
    address: CONTAINER.address,
    door: Door::Tokens,
    streams: false,
    bytes_max: BYTES_MAX,
    time_max: |_| Some(TIME_MAX),
    wraps: true,
    open,
    refuse,
};

fn open(asked: Asked, state: &State) -> Opened {
    let opened = match (&asked.method, &asked.path[..]) {
        (&Method::POST, "/init") => initialized(&asked.body, state),
        (&Method::POST, "/run") => match unwrapped(&asked.body, state) {
            Ok(asked) => return Opened::Enveloped(asked, Box::new(close)),
            Err(why) => refuse(StatusCode::BAD_REQUEST, &why),
        },
        (_, "/init" | "/run") => refuse(StatusCode::METHOD_NOT_ALLOWED, "it is asked by POST"),
        _ => return Opened::Plain(asked),
    };
    Opened::Answered(opened)
}

/// Nothing is to be done: the image has all that is needed.
fn initialized(body: &[u8], state: &State) -> Response<Body> {
    let message: Value = match serde_json::from_slice(body) {
        Ok(message @ Value::Object(_)) => message,
        _ => return refuse(StatusCode::BAD_REQUEST, "what initializes an action is an object"),
    };
    if state.initialized.swap(true, Ordering::SeqCst) {
        return refuse(StatusCode::FORBIDDEN, "an action is initialized once");
    }
    if message["value"]["code"].as_str().is_some_and(|code| !code.is_empty()) {
        tracing::warn!("the action has code of its own, which is not used");
    }
    json_answer(StatusCode::OK, &json!({ "ok": true }))
}

/// The request of a web action.
fn unwrapped(body: &[u8], state: &State) -> Result<Asked, String> {
    let message: Value = serde_json::from_slice(body)
        .map_err(|error| format!("this is no activation of an action: {error}"))?;
    let request = message.get("value").and_then(Value::as_object);
    let request = request.ok_or("this is no activation of an action: it has no `value`")?;
    let said = |name: &str| request.get(name).and_then(Value::as_str).unwrap_or_default();
    if said("__ow_method").is_empty() {
        return Err("this is no web action: create it with `--web raw`".to_owned());
    }
    let method = said("__ow_method").to_ascii_uppercase();
    let headers = headers(request.get("__ow_headers"));
    let body = said("__ow_body");
    let body = match is_text(&headers) {
        true => Bytes::from(body.to_owned()),
        false => as_text::decode(body.as_bytes())?.into(),
    };
    let path = said("__ow_path").to_owned();
    let method = method.parse().map_err(|_| format!("`{method}` is no method"))?;
    let time = state.until(deadline(&message["deadline"]));
    Ok(Asked { method, path, headers, body, time, ..Asked::default() })
}

/// When the platform gives up, since the Unix epoch: milliseconds, as a number or as a text.
fn deadline(said: &Value) -> Option<Duration> {
    let ms = said.as_u64().or_else(|| said.as_str()?.parse().ok());
    ms.map(Duration::from_millis)
}

fn close(answer: Response<Bytes>) -> Response<Body> {
    let (head, body) = answer.into_parts();
    let body = match is_text(&head.headers) {
        true => String::from_utf8_lossy(&body).into_owned(),
        false => as_text::encode(&body),
    };
    let headers = object(&head.headers);
    let response = json!({ "statusCode": head.status.as_u16(), "headers": headers, "body": body });
    end_log();
    json_answer(StatusCode::OK, &response)
}

fn refuse(status: StatusCode, why: &str) -> Response<Body> {
    tracing::warn!("a request of the platform's was refused: {}", why.trim_end());
    end_log();
    json_answer(status, &json!({ "error": why.trim_end() }))
}

/// Tells where the log of an activation ends. That nobody reads it is no fault.
fn end_log() {
    let mut out = std::io::stdout().lock();
    let _nobody = writeln!(out, "{LOG_END}").and_then(|()| out.flush());
    let _nobody = writeln!(std::io::stderr(), "{LOG_END}");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use samara_core::SystemClock;

    use super::*;

    fn state() -> State {
        State::new(Arc::new(SystemClock::new()))
    }

    fn activation(kind: &str, body: &str, deadline: &Value) -> Value {
        json!({
            "value": {
                "__ow_method": "post",
                "__ow_path": "/v1/batches",
                "__ow_headers": { "content-type": kind, "samara-token": "t" },
                "__ow_query": "",
                "__ow_body": body,
            },
            "namespace": "guest", "action_name": "/guest/samara", "activation_id": "a",
            "deadline": deadline,
        })
    }

    #[test]
    fn a_request_is_found_in_its_activation() {
        for (kind, body, wanted) in [
            ("application/vnd.samara.batch+cbor", "AP8=", &[0, 255][..]),
            ("text/plain", "AP8=", b"AP8="),
            ("application/json", "e30=", b"{}"),
        ] {
            let body = activation(kind, body, &Value::Null).to_string();
            let asked = unwrapped(body.as_bytes(), &state()).unwrap();
            assert_eq!((asked.method, &asked.path[..]), (Method::POST, "/v1/batches"));
            assert_eq!(asked.body, wanted);
            assert_eq!(asked.headers["samara-token"], "t");
            assert_eq!(asked.time, None);
        }
    }

    #[test]
    fn a_deadline_is_the_time_until_it() {
        let state = state();
        let in_a_minute = state.clock.unix() + Duration::from_mins(1);
        let ms = u64::try_from(in_a_minute.as_millis()).unwrap();
        for said in [json!(ms), json!(ms.to_string())] {
            let body = activation("text/plain", "", &said).to_string();
            let time = unwrapped(body.as_bytes(), &state).unwrap().time.unwrap();
            assert!(time > Duration::from_secs(50) && time <= Duration::from_mins(1), "{time:?}");
        }
        let past = activation("text/plain", "", &json!(5)).to_string();
        assert_eq!(unwrapped(past.as_bytes(), &state).unwrap().time, Some(Duration::ZERO));
    }

    #[test]
    fn what_is_no_activation_is_refused() {
        let no_web = json!({ "value": { "name": "n" } });
        let damaged = activation("image/png", "?", &Value::Null);
        for body in ["", "[]", "{}", &no_web.to_string(), &damaged.to_string()] {
            assert!(unwrapped(body.as_bytes(), &state()).is_err(), "{body}");
        }
    }

    #[test]
    fn an_action_is_initialized_once() {
        let state = state();
        let init = json!({ "value": { "name": "n", "main": "m", "binary": false, "code": "" } });
        let post = |body: &str| {
            let body = body.to_owned().into();
            let method = Method::POST;
            let asked = Asked { method, path: "/init".to_owned(), body, ..Asked::default() };
            match open(asked, &state) {
                Opened::Answered(answer) => answer.status(),
                _ => panic!("it is the platform's"),
            }
        };
        assert_eq!(post("nonsense"), StatusCode::BAD_REQUEST);
        assert_eq!(post(&init.to_string()), StatusCode::OK);
        assert_eq!(post(&init.to_string()), StatusCode::FORBIDDEN);
    }
}
