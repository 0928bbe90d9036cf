//! From HTTP's answers, and their absence, to our errors.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};

use crate::error::redact;
use crate::{Error, Result, Source};

/// Bytes of an answer that an error shows.
const SHOWN_BYTES_MAX: usize = 300;

/// The answer, or the error that it is.
pub(crate) async fn check(location: &str, response: Response) -> Result<Response> {
    if response.status().is_success() {
        return Ok(response);
    }
    let (status, wait) = (response.status(), retry_after(&response));
    let mut text = format!("status {status}");
    if is_text(&response)
        && let Some(said) = said(response).await
    {
        text = format!("{text}: {said}");
    }
    Err(of(location, status, wait, redact(&text).into()))
}

/// What a status is to us.
fn of(location: &str, status: StatusCode, wait: Option<Duration>, source: Source) -> Error {
    let (location, operation) = (location.to_owned(), None);
    match status.as_u16() {
        404 | 410 => Error::not_found(location),
        412 => Error::another_version(location),
        401 | 403 | 407 => Error::PermissionDenied { location, operation, source },
        429 | 503 => Error::Throttled { location, operation, wait, source },
        413 | 507 => Error::OutOfSpace { location, operation, source },
        408 | 425 | 500 | 502 | 504 => Error::Unavailable { location, operation, source },
        _ => Error::Generic { location, operation, source },
    }
}

/// The error of a request without an answer, or of an answer that broke off.
pub(crate) fn unanswered(location: &str, error: reqwest::Error) -> Error {
    let (is_builder, is_redirect) = (error.is_builder(), error.is_redirect());
    let error = error.without_url();
    let first: &(dyn std::error::Error + 'static) = &error;
    let chain = std::iter::successors(Some(first), |error| error.source());
    let text = redact(&chain.map(ToString::to_string).collect::<Vec<_>>().join(": "));
    match is_builder || is_redirect {
        true => Error::generic(location, text),
        false => Error::unavailable(location, text),
    }
}

/// How long the server wants to be left alone, where it says seconds.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Pages for people say nothing that fits in a line.
fn is_text(response: &Response) -> bool {
    let kind = response.headers().get(reqwest::header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    ["text/plain", "application/json", "application/xml"].iter().any(|k| kind.starts_with(k))
}

/// The beginning of an answer, in one line.
pub(crate) async fn said(mut response: Response) -> Option<String> {
    let bytes = response.chunk().await.ok()??;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES_MAX)]).into_owned();
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}
