//! From OpenDAL's errors to ours. Of its text the message alone is shown: the rest has URLs, which
//! may be signed.

use opendal_core::ErrorKind;

use super::transport::{Answer, Changed};
use crate::error::redact;
use crate::{Error, PutMode, Source};

/// What an error about a bucket says was sought, where buckets can be made.
pub(super) const BUCKET: &str = "its bucket or container; `samara storage mb` makes one";

/// Bytes of a message that are shown; some servers answer with pages.
const MESSAGE_BYTES_MAX: usize = 500;

/// What an error of OpenDAL is to us, with the answer that it came of.
pub(super) fn of(location: &str, error: &opendal_core::Error, answer: Answer) -> Error {
    #[cfg(feature = "signed")]
    if let Some(source) = std::error::Error::source(error)
        && let Some(source) = source.downcast_ref::<reqsign_core::Error>()
    {
        let why = answer.unsigned.unwrap_or_else(|| super::signed::Unsigned::of(source));
        return why.error(location);
    }
    let changed =
        std::error::Error::source(error).and_then(|source| source.downcast_ref::<Changed>());
    if let Some(changed) = changed {
        return Error::checksum(location, changed.clone());
    }
    let location = location.to_owned();
    let operation = None;
    let source = said(error, answer.status);
    match (error.kind(), answer.status) {
        (ErrorKind::NotFound | ErrorKind::IsADirectory | ErrorKind::NotADirectory, _)
            if is_about_the_bucket(error.message()) =>
        {
            // Of the others no bucket can be made.
            let is_made = location.starts_with("gs:") || location.starts_with("az:");
            let sought = if is_made { BUCKET } else { "its bucket or container" };
            Error::NotFound { location, sought }
        }
        (ErrorKind::NotFound | ErrorKind::IsADirectory | ErrorKind::NotADirectory, _) => {
            Error::not_found(location)
        }
        (ErrorKind::AlreadyExists, _) => Error::AlreadyExists { location },
        (ErrorKind::ConditionNotMatch, _) => Error::another_version(location),
        (ErrorKind::PermissionDenied, _) | (_, Some(401 | 403)) => {
            Error::PermissionDenied { location, operation, source }
        }
        (ErrorKind::RateLimited, _) | (_, Some(429 | 503)) => {
            Error::Throttled { location, operation, wait: answer.wait, source }
        }
        (ErrorKind::Unsupported, _) | (_, Some(501)) => {
            Error::Unsupported { location, operation, reason: "the service has no such request" }
        }
        (_, Some(507)) => Error::OutOfSpace { location, operation, source },
        (_, Some(408 | 500 | 502 | 504)) => Error::Unavailable { location, operation, source },
        (ErrorKind::Conflict, _) => Error::Unavailable { location, operation, source },
        _ if error.is_temporary() => Error::Unavailable { location, operation, source },
        _ => Error::Generic { location, operation, source },
    }
}

/// The error of a conditional write.
pub(super) fn refused(mode: &PutMode, error: Error) -> Error {
    match (mode, error) {
        (PutMode::IfAbsent, Error::Precondition { location, .. }) => {
            Error::AlreadyExists { location }
        }
        // There is no version that it could be.
        (PutMode::IfMatch(_), Error::NotFound { location, sought: "an object" }) => {
            Error::another_version(location)
        }
        (PutMode::IfMatch(_), Error::AlreadyExists { location }) => {
            Error::another_version(location)
        }
        (_, error) => error,
    }
}

/// Azure's and Google's words for a bucket that is not there.
fn is_about_the_bucket(message: &str) -> bool {
    message.contains("ContainerNotFound") || message.contains("bucket does not exist")
}

fn said(error: &opendal_core::Error, status: Option<u16>) -> Source {
    let mut text = status.map_or_else(String::new, |status| format!("status {status}: "));
    text.push_str(error.message().trim());
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    let mut text = redact(&text);
    if text.len() > MESSAGE_BYTES_MAX {
        let end = (0..=MESSAGE_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(kind: ErrorKind, status: Option<u16>) -> (String, bool) {
        let error = opendal_core::Error::new(kind, "said sig=abc&x")
            .with_context("url", "https://h/k?sig=secret");
        let error = of("gs://b/k", &error, Answer { status, ..Answer::default() });
        assert_eq!(error.location(), "gs://b/k");
        assert!(!error.in_full().contains("abc") && !error.in_full().contains("secret"));
        (format!("{error:?}").split(' ').next().unwrap().to_owned(), error.retry())
    }

    #[test]
    fn errors_are_classified_by_kind_and_status() {
        for (kind, status, name, retry) in [
            (ErrorKind::NotFound, Some(404), "NotFound", false),
            (ErrorKind::ConditionNotMatch, Some(412), "Precondition", false),
            (ErrorKind::PermissionDenied, Some(403), "PermissionDenied", false),
            (ErrorKind::Unexpected, Some(401), "PermissionDenied", false),
            (ErrorKind::RateLimited, Some(429), "Throttled", true),
            (ErrorKind::Unexpected, Some(503), "Throttled", true),
            (ErrorKind::Unexpected, Some(500), "Unavailable", true),
            (ErrorKind::Unexpected, Some(507), "OutOfSpace", false),
            (ErrorKind::Unsupported, None, "Unsupported", false),
            (ErrorKind::Unexpected, Some(400), "Generic", false),
            (ErrorKind::Unexpected, None, "Generic", false),
        ] {
            assert_eq!(class(kind, status), (name.to_owned(), retry), "{kind} {status:?}");
        }
    }

    #[test]
    fn conditions_name_what_was_asked() {
        let precondition = || Error::another_version("gs://b/k");
        let refused_as = |mode: PutMode, error| format!("{:?}", refused(&mode, error));
        assert!(refused_as(PutMode::IfAbsent, precondition()).starts_with("AlreadyExists"));
        let mode = || PutMode::IfMatch("1".to_owned());
        assert!(refused_as(mode(), precondition()).starts_with("Precondition"));
        assert!(refused_as(mode(), Error::not_found("x")).starts_with("Precondition"));
    }
}
