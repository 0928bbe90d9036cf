//! Azure Functions, as a custom handler ("Azure Functions custom handlers").
//!
//! The Functions host starts this program beside itself and passes requests on to
//! `127.0.0.1:FUNCTIONS_CUSTOMHANDLER_PORT`: with `enableForwardingHttpRequest` as they came, else
//! as an envelope that it posts to `/FUNCTION`:
//!
//! ```json
//! { "Data": { "req": { "Url": "…", "Method": "POST", "Headers": { "Name": ["…"] }, "Body": "…" } },
//!   "Metadata": {} }
//! ```
//!
//! The answer is `{ "Outputs": { "res": { "statusCode", "headers", "body" } }, "Logs", "ReturnValue" }`.
//! Its status is 200 in any case: of another one the platform makes a 500 of its own. So the trigger
//! has to be named `req` and the output `res`, as templates have it; a trigger of another name is
//! found if it is the only input.
//!
//! A body comes as base64 where its type is `application/octet-stream` or `multipart/…`, and is taken
//! for UTF-8 where it is anything else; an answer's body is text in any case. So batches and frames
//! go as base64 of ours (`text.rs`).

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response, StatusCode};
use samara_core::{Error, ErrorKind};
use serde_json::{Value, json};

use super::envelope::{headers, is_text, json as json_answer, kind, object, path};
use super::plain::HERE;
use super::{Dialect, Door, Opened, State, port};
use crate::http::BATCHES;
use crate::http::handle::{Asked, Body, text};
use crate::http::listen::Address;
use crate::http::text as as_text;

/// By which the Functions host says where it will look for the handler.
const VARIABLE: &str = "FUNCTIONS_CUSTOMHANDLER_PORT";

/// Bytes of a batch and of an answer: as base64 in an envelope they are a third more, and a request
/// of ours may have 32 MiB.
const BYTES_MAX: u64 = 16 << 20;

/// How long a function may take to answer a request, whatever its own limit is: the load balancer
/// in front gives up then ("Azure Functions hosting options", function app timeout).
const TIME_MAX: Duration = Duration::from_secs(230);

/// The default key of a function is the platform's to check, but a driver has only tokens to show:
/// the trigger's `authLevel` is `anonymous`, and the door is open.
pub(super) static DIALECT: Dialect = Dialect {
    address: |variables| match port(variables, VARIABLE)? {
        Some(port) => Ok(Address::here(port)),
        None => Err(Error::new(ErrorKind::Invalid, format!("{VARIABLE} does not say a port"))),
    },
    door: Door::Tokens,
    streams: false,
    bytes_max: BYTES_MAX,
    time_max: |_| Some(TIME_MAX),
    wraps: true,
    open,
    ..HERE
};

fn open(asked: Asked, _: &State) -> Opened {
    let is_json = kind(&asked.headers).starts_with("application/json");
    if asked.method != Method::POST || !is_json || asked.path.ends_with(BATCHES) {
        return Opened::Plain(asked);
    }
    match unwrapped(&asked.body) {
        Ok(asked) => Opened::Enveloped(asked, Box::new(close)),
        Err(why) => Opened::Answered(text(StatusCode::BAD_REQUEST, format!("{why}\n"))),
    }
}

/// The request in an envelope.
fn unwrapped(body: &[u8]) -> Result<Asked, String> {
    let envelope: Value = serde_json::from_slice(body)
        .map_err(|error| format!("this is no envelope of a custom handler's: {error}"))?;
    let inputs = envelope.get("Data").and_then(Value::as_object);
    let inputs = inputs.ok_or("this is no envelope of a custom handler's: it has no `Data`")?;
    let only = || inputs.values().next().filter(|_| inputs.len() == 1);
    let request = inputs.get("req").or_else(only).filter(|input| input.get("Method").is_some());
    let request = request.ok_or("the function needs an HTTP trigger with the name `req`")?;
    let said = |name: &str| request.get(name).and_then(Value::as_str).unwrap_or_default();
    let headers = headers(request.get("Headers"));
    let body = match request.get("Body") {
        None | Some(Value::Null) => Bytes::new(),
        Some(Value::String(body)) if is_bytes(&kind(&headers)) => {
            as_text::decode(body.as_bytes())?.into()
        }
        Some(Value::String(body)) => body.clone().into(),
        Some(other) => other.to_string().into(),
    };
    Ok(Asked {
        method: said("Method").to_ascii_uppercase().parse().map_err(|_| "this is no method")?,
        path: path(said("Url")),
        headers,
        body,
        is_text: true,
        ..Asked::default()
    })
}

/// Whether the platform makes base64 of a body of this type.
fn is_bytes(kind: &str) -> bool {
    kind.starts_with("application/octet-stream") || kind.starts_with("multipart/")
}

fn close(answer: Response<Bytes>) -> Response<Body> {
    let (mut head, body) = answer.into_parts();
    let body = match is_text(&head.headers) {
        true => String::from_utf8_lossy(&body).into_owned(),
        false => {
            let said = HeaderValue::from_static(as_text::TEXT_TYPE);
            head.headers.insert(CONTENT_TYPE, said);
            head.headers.insert(as_text::ENCODING, HeaderValue::from_static(as_text::BASE64));
            as_text::encode(&body)
        }
    };
    let status = head.status.as_u16();
    let response = json!({ "statusCode": status, "headers": object(&head.headers), "body": body });
    let envelope = json!({ "Outputs": { "res": response }, "Logs": [], "ReturnValue": null });
    json_answer(StatusCode::OK, &envelope)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(kind: &str, body: &Value) -> Value {
        json!({
            "Data": { "req": {
                "Url": "https://app.example/api/samara/v1/batches?code=x",
                "Method": "POST",
                "Query": { "code": "x" },
                "Headers": { "Content-Type": [kind], "samara-token": ["t"] },
                "Params": {},
                "Body": body,
            } },
            "Metadata": { "sys": { "MethodName": "samara" } },
        })
    }

    #[test]
    fn a_request_is_found_in_its_envelope() {
        for (kind, body, wanted) in [
            ("application/octet-stream", "AP8=", &[0, 255][..]),
            ("multipart/form-data; boundary=x", "AP8=", &[0, 255]),
            ("text/plain", "AP8=", b"AP8="),
            ("application/json", "{}", b"{}"),
        ] {
            let asked = unwrapped(envelope(kind, &body.into()).to_string().as_bytes()).unwrap();
            assert_eq!((asked.method, &asked.path[..]), (Method::POST, "/api/samara/v1/batches"));
            assert_eq!(asked.body, wanted);
            assert_eq!(asked.headers["samara-token"], "t");
            assert!(asked.is_text);
        }
        let none = envelope("text/plain", &Value::Null);
        assert!(unwrapped(none.to_string().as_bytes()).unwrap().body.is_empty());
        let renamed = json!({ "Data": { "request": none["Data"]["req"] } });
        unwrapped(renamed.to_string().as_bytes()).unwrap();
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let timer = json!({ "Data": { "timer": { "IsPastDue": false } } });
        let damaged = envelope("application/octet-stream", &"?".into());
        for body in ["", "[]", "{}", &timer.to_string(), &damaged.to_string()] {
            assert!(unwrapped(body.as_bytes()).is_err(), "{body}");
        }
    }
}
