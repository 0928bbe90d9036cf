//! From the SDK's errors to ours.

use std::time::Duration;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::error::redact;
use crate::{Error, Source};

/// The service's code of an error, such as `NoSuchKey`.
pub(super) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

/// The status of the answer, where there was one.
pub(super) fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// What an error of the SDK is to us. 412 is [`Error::Precondition`]; who wrote on another condition
/// knows better.
pub(super) fn of<E>(location: &str, error: &SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let location = location.to_owned();
    let Some(response) = error.raw_response() else { return unanswered(location, error) };
    let header = |name: &str| response.headers().get(name).map(str::to_owned);
    let status = response.status().as_u16();
    let wait = header("retry-after").and_then(|wait| wait.trim().parse().ok());
    let region = header("x-amz-bucket-region");
    let code = code(error).map(str::to_owned);
    let operation = None;
    let source = said(error, status);
    match (status, code.as_deref().unwrap_or_default()) {
        (_, "NoSuchBucket") => {
            Error::NotFound { location, sought: "its bucket; `samara storage mb` makes one" }
        }
        (404, _) => Error::not_found(location),
        (412, _) => Error::another_version(location),
        (301 | 307 | 400, "PermanentRedirect" | "AuthorizationHeaderMalformed" | "")
            if region.is_some() =>
        {
            let region = region.unwrap_or_default();
            let source = format!("the bucket is in region {region}; set AWS_REGION, or `region`");
            Error::generic(location, source)
        }
        (401 | 403, "RequestTimeTooSkewed") | (500 | 502 | 504 | 408, _) => {
            Error::Unavailable { location, operation, source }
        }
        (401 | 403, _) | (400, "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired") => {
            Error::PermissionDenied { location, operation, source }
        }
        (429 | 503, _) | (_, "SlowDown" | "Throttling" | "RequestLimitExceeded") => {
            Error::Throttled { location, operation, wait: wait.map(Duration::from_secs), source }
        }
        // Another conditional write to the same key is under way.
        (409, "ConditionalRequestConflict" | "OperationAborted") | (400, "RequestTimeout") => {
            Error::Unavailable { location, operation, source }
        }
        (501, _) => Error::Unsupported {
            location,
            operation,
            reason: "it has not implemented what was asked",
        },
        (_, "BadDigest" | "XAmzContentChecksumMismatch" | "XAmzContentSHA256Mismatch") => {
            Error::Checksum { location, operation, source }
        }
        (507, _) | (_, "QuotaExceeded" | "EntityTooLarge") => {
            Error::OutOfSpace { location, operation, source }
        }
        // An answer that broke off.
        (200..=299, _) => Error::Unavailable { location, operation, source },
        (status, _) if status >= 500 => Error::Unavailable { location, operation, source },
        _ => Error::Generic { location, operation, source },
    }
}

/// What is to us an error about one of several keys, which has a code and no status.
pub(super) fn of_key(location: String, code: &str, message: &str) -> Error {
    let operation = None;
    let source: Source = redact(&[code, message].join(", ")).into();
    match code {
        "SlowDown"
        | "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "TooManyRequests"
        | "ServiceUnavailable" => Error::Throttled { location, operation, wait: None, source },
        "InternalError" | "OperationAborted" | "RequestTimeout" | "RequestTimeTooSkewed" => {
            Error::Unavailable { location, operation, source }
        }
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "InvalidAccessKeyId"
        | "ExpiredToken" | "InvalidToken" => {
            Error::PermissionDenied { location, operation, source }
        }
        "NotImplemented" => Error::Unsupported {
            location,
            operation,
            reason: "it has not implemented what was asked",
        },
        _ => Error::Generic { location, operation, source },
    }
}

/// An error without an answer.
fn unanswered<E>(location: String, error: &SdkError<E, HttpResponse>) -> Error
where
    E: std::error::Error + Send + Sync + 'static,
{
    let is_passing = match error {
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
        SdkError::DispatchFailure(failure) => failure.is_io() || failure.is_timeout(),
        _ => false,
    };
    let text = chain(error);
    let operation = None;
    if is_passing {
        return Error::Unavailable { location, operation, source: text.into() };
    }
    if text.contains("credentials") || text.contains("identity") {
        let source = format!(
            "no credentials were found that could be used ({text}); set AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or `anonymous = true` for a public bucket"
        );
        return Error::PermissionDenied { location, operation, source: source.into() };
    }
    if text.contains("region") {
        let source = "no region is known; set AWS_REGION, or `region` of the store, in \
                      `[stores.\"s3:\"]` of samara.toml or the table of SAMARA_HOST_STORES";
        return Error::Generic { location, operation, source: source.into() };
    }
    // The SDK has no class for a connection that was cut while the answer came.
    match matches!(error, SdkError::DispatchFailure(_)) {
        true => Error::Unavailable { location, operation, source: text.into() },
        false => Error::Generic { location, operation, source: text.into() },
    }
}

/// What the service said. Of its answer nothing else is shown.
fn said<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>, status: u16) -> Source {
    let Some(service) = error.as_service_error() else {
        return format!("answered with status {status}, which the client did not understand")
            .into();
    };
    let meta = service.meta();
    let mut text = format!("status {status}");
    for part in [meta.code(), meta.message()].into_iter().flatten() {
        text.push_str(", ");
        text.push_str(part);
    }
    if let Some(id) = meta.request_id() {
        text.push_str(&format!(" (request {id})"));
    }
    redact(&text).into()
}

/// An error and all its sources, without what is said twice.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    for error in std::iter::successors(Some(error), |error| error.source()) {
        let text = error.to_string();
        if parts.last() != Some(&text) {
            parts.push(text);
        }
    }
    redact(&parts.join(": "))
}
