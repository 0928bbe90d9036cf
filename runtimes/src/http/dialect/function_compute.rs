//! Function Compute of Alibaba Cloud, as a custom runtime or a custom container ("Configure
//! environment variables"; "Custom runtime specification details"; "Lifecycle hooks for instances").
//!
//! Requests of an HTTP trigger come as they are, those of events as `POST /invoke`, and those of the
//! instance's life as `/initialize`, `/pre-freeze` and `/pre-stop`; the header `x-fc-control-path`
//! tells which one it is. Every answer has `x-fc-status`: 200, or 404 where a function failed. What is
//! refused of an HTTP trigger's has 200 too: its own status is for the driver to see.
//!
//! Two lines on standard output, with the id of the request, say which log is whose.
//!
//! A trigger may be open to everybody: tokens say who may run tasks.

use std::io::Write as _;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};

use super::plain::HERE;
use super::{Dialect, Door, Opened, State, port};
use crate::http::BATCHES;
use crate::http::handle::{Asked, Body, full, text};
use crate::http::listen::Address;

/// Where the port may be said: by the platform, and as its examples have it.
const VARIABLES: [&str; 2] = ["FC_CUSTOM_LISTEN_PORT", "FC_SERVER_PORT"];

/// The port where none is said.
const PORT: u16 = 9000;

/// Bytes of a batch and of an answer: 32 MB for what is waited for ("Limits").
const BYTES_MAX: u64 = 28 << 20;

pub(super) static DIALECT: Dialect = Dialect {
    address: |variables| {
        for name in VARIABLES {
            if let Some(port) = port(variables, name)? {
                return Ok(Address::everywhere(port));
            }
        }
        Ok(Address::everywhere(PORT))
    },
    door: Door::Tokens,
    streams: false,
    bytes_max: BYTES_MAX,
    wraps: true,
    open,
    ..HERE
};

fn open(asked: Asked, _: &State) -> Opened {
    let said = |name: &str| asked.headers.get(name).and_then(|said| said.to_str().ok());
    let id = said("x-fc-request-id").unwrap_or_default().to_owned();
    let control = said("x-fc-control-path").unwrap_or(&asked.path).to_owned();
    let kind = match &control[..] {
        "/initialize" => "Initialize",
        "/pre-stop" => "PreStop",
        "/pre-freeze" => "PreFreeze",
        _ => "Invoke",
    };
    log(kind, "Start", &id);
    if kind != "Invoke" {
        // There is nothing to prepare, and an instance that is stopped has no batch under way.
        log(kind, "End", &id);
        return Opened::Answered(with_status(text(StatusCode::OK, "done\n"), StatusCode::OK));
    }
    let is_event = control == "/invoke";
    let path = if is_event { BATCHES.to_owned() } else { asked.path.clone() };
    let close = move |answer| close(answer, is_event, &id);
    Opened::Enveloped(Asked { path, ..asked }, Box::new(close))
}

fn close(answer: Response<Bytes>, is_event: bool, id: &str) -> Response<Body> {
    let mut answer = answer.map(full);
    let failed = is_event && !answer.status().is_success();
    let status = if failed { StatusCode::NOT_FOUND } else { StatusCode::OK };
    if failed {
        *answer.status_mut() = status;
    }
    log("Invoke", "End", id);
    with_status(answer, status)
}

fn with_status(mut answer: Response<Body>, status: StatusCode) -> Response<Body> {
    answer.headers_mut().insert("x-fc-status", HeaderValue::from(status.as_u16()));
    answer
}

/// Parts the log by requests. That nobody reads it is no fault.
fn log(kind: &str, part: &str, id: &str) {
    let _nobody = writeln!(std::io::stdout(), "FC {kind} {part} RequestId: {id}");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use samara_core::SystemClock;

    use super::*;

    fn opened(path: &str, control: &'static str) -> Opened {
        let mut asked = Asked { path: path.to_owned(), ..Asked::default() };
        if !control.is_empty() {
            asked.headers.insert("x-fc-control-path", HeaderValue::from_static(control));
        }
        open(asked, &State::new(Arc::new(SystemClock::new())))
    }

    #[test]
    fn hooks_are_answered_and_the_rest_is_asked() {
        for (path, control) in
            [("/initialize", ""), ("/", "/initialize"), ("/pre-stop", "/pre-stop")]
        {
            let Opened::Answered(answer) = opened(path, control) else { panic!("{path}") };
            assert_eq!(
                (answer.status(), &answer.headers()["x-fc-status"]),
                (StatusCode::OK, &HeaderValue::from(200))
            );
        }
        for (path, control, wanted) in
            [("/a/b", "/http-invoke", "/a/b"), ("/invoke", "/invoke", BATCHES), ("/a", "", "/a")]
        {
            let Opened::Enveloped(asked, _) = opened(path, control) else { panic!("{path}") };
            assert_eq!(asked.path, wanted);
        }
    }

    #[test]
    fn a_failed_event_says_so_and_a_failed_request_keeps_its_status() {
        let refused = || Response::builder().status(401).body(Bytes::new()).unwrap();
        let close = |is_event| {
            let answer = close(refused(), is_event, "id");
            (answer.status().as_u16(), answer.headers()["x-fc-status"].to_str().unwrap().to_owned())
        };
        assert_eq!(close(true), (404, "404".to_owned()));
        assert_eq!(close(false), (401, "200".to_owned()));
    }
}
