//! Fn, and Oracle Functions ("Fn container contract").
//!
//! The agent looks for the socket that `FN_LISTENER` names, which every user must be able to write to,
//! and posts one request at a time to `/call`. A request that came by an HTTP trigger has its method
//! in `Fn-Http-Method`, its URL in `Fn-Http-Request-Url` and its headers behind `Fn-Http-H-`; the
//! answer says the same way what goes back, with its status in `Fn-Http-Status`. What came by a
//! direct invocation has none of them, and is answered with 200 or 502.
//!
//! Triggers ask nobody, and a driver signs no requests of Oracle's: tokens say who may run tasks.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use samara_core::{Error, ErrorKind};

use super::envelope::path;
use super::plain::HERE;
use super::{Dialect, Door, Opened, State};
use crate::host::Variables;
use crate::http::handle::{Asked, Body, full, text};
use crate::http::listen::Address;

/// What headers of HTTP begin with, beside the platform's own.
const HEADER: &str = "fn-http-h-";

/// Bytes of a batch and of an answer: Oracle's limit is 6 MB both ways ("Functions resource limits").
const BYTES_MAX: u64 = 5 << 20;

pub(super) static DIALECT: Dialect = Dialect {
    address,
    door: Door::Tokens,
    streams: false,
    bytes_max: BYTES_MAX,
    wraps: true,
    open,
    ..HERE
};

fn address(variables: &Variables) -> Result<Address, Error> {
    let invalid = |text: String| Err(Error::new(ErrorKind::Invalid, text));
    let format = variables.get("FN_FORMAT").map_or("", String::as_str);
    if !matches!(format, "" | "http-stream") {
        return invalid(format!("FN_FORMAT is `{format}`, and a host speaks `http-stream` alone"));
    }
    let said = variables.get("FN_LISTENER").map_or("", String::as_str);
    match said.strip_prefix("unix:") {
        Some(path) if path.starts_with('/') => Ok(Address::Shared(path.into())),
        _ => invalid(format!("FN_LISTENER is `{said}`, and should be unix:/PATH")),
    }
}

fn open(asked: Asked, state: &State) -> Opened {
    match (&asked.method, &asked.path[..]) {
        (&Method::POST, "/call") => match unwrapped(asked, state) {
            Ok((asked, is_http)) => {
                Opened::Enveloped(asked, Box::new(move |answer| close(answer, is_http)))
            }
            Err(why) => Opened::Answered(text(StatusCode::BAD_GATEWAY, why)),
        },
        (_, "/call") => {
            Opened::Answered(text(StatusCode::METHOD_NOT_ALLOWED, "calls come by POST\n"))
        }
        _ => Opened::Plain(asked),
    }
}

/// The request, and whether it came by HTTP.
fn unwrapped(asked: Asked, state: &State) -> Result<(Asked, bool), String> {
    let said = |name: &str| asked.headers.get(name).and_then(|said| said.to_str().ok());
    let time = state.until(said("fn-deadline").and_then(unix));
    let Some(url) = said("fn-http-request-url") else {
        return Ok((Asked { time, ..asked }, false));
    };
    let method = said("fn-http-method").unwrap_or("POST").to_ascii_uppercase();
    let method = method.parse().map_err(|_| format!("`{method}` is no method\n"))?;
    let path = path(url);
    let mut headers = HeaderMap::new();
    for (name, value) in &asked.headers {
        // The body is the function's own, and so is its type.
        let name = match name.as_str().strip_prefix(HEADER) {
            Some(name) => HeaderName::try_from(name).ok(),
            None => (name == CONTENT_TYPE).then_some(CONTENT_TYPE),
        };
        if let Some(name) = name.filter(|name| !headers.contains_key(name)) {
            headers.insert(name, value.clone());
        }
    }
    Ok((Asked { method, path, headers, body: asked.body, time, ..Asked::default() }, true))
}

fn close(answer: Response<Bytes>, is_http: bool) -> Response<Body> {
    let (head, body) = answer.into_parts();
    let status = match is_http || head.status.is_success() {
        true => StatusCode::OK,
        false => StatusCode::BAD_GATEWAY,
    };
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert("fn-http-status", HeaderValue::from(head.status.as_u16()));
    for (name, value) in &head.headers {
        let name = match name == CONTENT_TYPE {
            true => Ok(CONTENT_TYPE),
            false => HeaderName::try_from(format!("{HEADER}{name}")),
        };
        if let Ok(name) = name {
            headers.append(name, value.clone());
        }
    }
    response
}

/// A moment as RFC 3339 has it, since the Unix epoch: `2026-01-02T03:04:05.678Z`, or with `+01:00`.
/// Parts of a second are passed over.
fn unix(said: &str) -> Option<Duration> {
    let number = |from: usize, to: usize| said.get(from..to)?.parse::<i64>().ok();
    let few = |digits: &str| digits.parse::<u8>().ok().map(i64::from);
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let zone = said.get(19..)?.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let east = match zone {
        "Z" | "z" => 0,
        _ => {
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let minutes = few(hours)? * 60 + few(minutes)?;
            if zone.starts_with('-') { -minutes } else { minutes }
        }
    };
    // Years that begin in March, in eras of 400: Howard Hinnant's "chrono-compatible low-level date
    // algorithms".
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute - east) * 60 + second;
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use samara_core::SystemClock;

    use super::*;

    fn asked(headers: &[(&str, &str)]) -> Asked {
        let pair = |(name, said): &(&str, &str)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(said).unwrap())
        };
        Asked {
            method: Method::POST,
            path: "/call".to_owned(),
            headers: headers.iter().map(pair).collect(),
            body: Bytes::from_static(b"body"),
            ..Asked::default()
        }
    }

    #[test]
    fn moments_are_read() {
        for (said, seconds) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-03-01T00:00:00Z", Some(951_868_800)),
            ("2024-02-29T12:34:56.789Z", Some(1_709_210_096)),
            ("2024-02-29T13:34:56+01:00", Some(1_709_210_096)),
            ("2024-02-29T07:04:56.1-05:30", Some(1_709_210_096)),
            ("2026-12-31T23:59:59Z", Some(1_798_761_599)),
            ("1969-12-31T23:59:59Z", None),
            ("2024-02-29", None),
            ("2024-02-29T12:34:56", None),
            ("soon", None),
            ("2024-02-29T12:34:56+9223372036854775807:00", None),
            ("ä", None),
        ] {
            assert_eq!(unix(said), seconds.map(Duration::from_secs), "{said}");
        }
    }

    #[test]
    fn what_came_by_http_is_found_in_headers() {
        let state = State::new(Arc::new(SystemClock::new()));
        let call = asked(&[
            ("fn-http-method", "get"),
            ("fn-http-request-url", "/t/app/samara/v1/host?a=b"),
            ("fn-http-h-samara-token", "t"),
            ("content-type", "text/plain"),
            ("fn-call-id", "c"),
            ("fn-deadline", "2000-01-01T00:00:00Z"),
        ]);
        let (found, is_http) = unwrapped(call, &state).unwrap();
        assert_eq!(
            (found.method, &found.path[..], is_http),
            (Method::GET, "/t/app/samara/v1/host", true)
        );
        assert_eq!((found.headers.len(), found.time), (2, Some(Duration::ZERO)));
        assert_eq!(found.headers["samara-token"], "t");
        let (found, is_http) = unwrapped(asked(&[("samara-token", "t")]), &state).unwrap();
        assert_eq!((&found.path[..], is_http, found.time), ("/call", false, None));
    }

    #[test]
    fn a_listener_is_a_socket() {
        let said = |pairs: &[(&str, &str)]| -> Variables {
            pairs.iter().map(|(name, said)| ((*name).to_owned(), (*said).to_owned())).collect()
        };
        let listener = ("FN_LISTENER", "unix:/tmp/iofs/lsnr.sock");
        let address = |pairs: &[(&str, &str)]| address(&said(pairs));
        assert_eq!(address(&[listener]), Ok(Address::Shared("/tmp/iofs/lsnr.sock".into())));
        assert!(address(&[listener, ("FN_FORMAT", "http-stream")]).is_ok());
        assert!(address(&[listener, ("FN_FORMAT", "json")]).is_err());
        assert!(address(&[]).is_err() && address(&[("FN_LISTENER", "tcp:1")]).is_err());
    }
}
