//! What AWS answers, as errors that say the way out.

use std::error::Error as StdError;

use aws_sdk_lambda::config::http::HttpResponse;
use aws_sdk_lambda::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use samara_core::{Error, ErrorKind};

/// Codes of errors that say that something is not there.
const ABSENT: &[&str] =
    &["NoSuchEntity", "NoSuchEntityException", "ResourceNotFoundException", "NotFoundException"];

/// Codes that say that who asks is nobody.
const UNKNOWN_USER: &[&str] = &[
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// Codes that say that who asks may not.
const DENIED: &[&str] =
    &["AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"];

/// The status that says the same.
const FORBIDDEN: u16 = 403;

/// Codes that ask for patience.
const THROTTLED: &[&str] =
    &["Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded"];

/// An answer that may be an error.
pub(super) trait Answer<T> {
    /// The answer; what failed is said with what was being done.
    fn said(self, doing: &str) -> Result<T, Error>;

    /// The same, with none where what was asked for is not there.
    fn said_unless_absent(self, doing: &str) -> Result<Option<T>, Error>;
}

// === impl Answer ===

impl<T, E> Answer<T> for Result<T, SdkError<E, HttpResponse>>
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    fn said(self, doing: &str) -> Result<T, Error> {
        self.map_err(|error| failure(&error).context(doing))
    }

    fn said_unless_absent(self, doing: &str) -> Result<Option<T>, Error> {
        match self {
            Err(error) if has_code(&error, ABSENT) => Ok(None),
            other => other.said(doing).map(Some),
        }
    }
}

/// Whether the service answered with one of these codes.
fn has_code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>, codes: &[&str]) -> bool {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    code.is_some_and(|code| codes.contains(&code))
}

fn failure<E>(error: &SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    let Some(service) = error.as_service_error() else { return unanswered(error) };
    // Some front doors refuse in words of their own; the status is the same everywhere.
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    let unsaid = format!("status {status}");
    let code = service.code().unwrap_or(&unsaid);
    let text = service.message().unwrap_or("AWS says nothing more");
    if UNKNOWN_USER.contains(&code) {
        return Error::new(ErrorKind::Denied, format!("{text} ({code}); {CREDENTIALS}"));
    }
    if DENIED.contains(&code) || status == FORBIDDEN {
        let way = "`samara deploy --dry-run` by somebody who may look prints the policy that who \
                   deploys needs";
        return Error::new(ErrorKind::Denied, format!("{text} ({code}); {way}"));
    }
    let kind = match THROTTLED.contains(&code) {
        true => ErrorKind::Throttled,
        false => ErrorKind::Invalid,
    };
    Error::new(kind, format!("{text} ({code})"))
}

/// The way out for who has no credentials, or wrong ones.
const CREDENTIALS: &str = "AWS takes credentials from a profile (`?profile=NAME` in the URL, or \
                           AWS_PROFILE), from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or from \
                           `aws sso login`";

/// Where nobody answered, or nothing could be asked.
fn unanswered<E>(error: &SdkError<E, HttpResponse>) -> Error
where
    E: StdError + 'static,
{
    let text = DisplayErrorContext(error).to_string();
    // The causes end with a debug text, which nobody wants to read.
    let text = text.split(" (").next().unwrap_or_default().to_owned();
    let chain = chain(error);
    if chain.contains("credential") || chain.contains("identity") {
        let text = format!("there are no credentials for AWS; {CREDENTIALS}");
        return Error::new(ErrorKind::Denied, text);
    }
    let text = format!("nobody answers ({text}: {chain}); is the region or the endpoint right?");
    match error {
        SdkError::TimeoutError(_) => Error::new(ErrorKind::TimedOut, text),
        _ => Error::new(ErrorKind::Lost, text),
    }
}

/// What lies beneath an error.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
