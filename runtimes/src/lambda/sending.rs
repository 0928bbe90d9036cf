//! One invocation, and what AWS says to it.

use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::operation::invoke::{InvokeError, InvokeOutput};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use samara_core::{Error, ErrorKind};

use super::event::{Event, Reply};

/// The longest wait that AWS may ask for.
const AGAIN_MAX: Duration = Duration::from_secs(30);

/// How long an answer may take: a function has 15 minutes. A connection that broke without a word
/// would be waited for for ever.
const ANSWER_MAX: Duration = Duration::from_mins(16);

/// What Amazon says, with a status of 5xx, of functions that no repetition helps:
/// <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors>.
const MISMADE: [&str; 8] = [
    "InvalidRuntimeException",
    "InvalidSecurityGroupIDException",
    "InvalidSubnetIDException",
    "InvalidZipFileException",
    "KMSAccessDeniedException",
    "KMSDisabledException",
    "KMSInvalidStateException",
    "KMSNotFoundException",
];

/// What a function that failed says, at most.
const WORDS_MAX: usize = 500;

/// A function of Lambda, in the region of its client.
#[derive(Debug, Clone)]
pub(super) struct Function {
    pub(super) client: Client,
    /// Its name or its ARN.
    pub(super) name: String,
    pub(super) qualifier: Option<String>,
}

/// Why an invocation has no answer.
#[derive(Debug)]
pub(super) enum Unsent {
    /// There are enough, or AWS has trouble: come again, by its word after this time.
    Refused(Option<Duration>),
    /// AWS was not reached, or the connection broke.
    Unreached(Error),
    /// The payload is longer than AWS takes.
    TooLarge(Error),
    /// The function began, and failed as a whole.
    Lost(Error),
    /// No repetition would help.
    Never(Error),
}

// === impl Function ===

impl Function {
    /// Invokes the function, and waits for its answer.
    pub(super) async fn ask(&self, event: &Event) -> Result<Reply, Unsent> {
        let output = self.invoke(event, InvocationType::RequestResponse).await?;
        let payload = output.payload().map(Blob::as_ref).unwrap_or_default();
        if let Some(how) = output.function_error() {
            return Err(Unsent::Lost(self.failed(how, payload)));
        }
        serde_json::from_slice(payload).map_err(|_| {
            let text = format!("{self} answers what no host of Samara's does; is it one?");
            Unsent::Never(Error::new(ErrorKind::Invalid, text))
        })
    }

    /// Hands an event to Lambda's own queue.
    pub(super) async fn queue(&self, event: &Event) -> Result<(), Unsent> {
        self.invoke(event, InvocationType::Event).await.map(drop)
    }

    async fn invoke(&self, event: &Event, kind: InvocationType) -> Result<InvokeOutput, Unsent> {
        let invoke = self.client.invoke().function_name(&self.name);
        let invoke = invoke.set_qualifier(self.qualifier.clone());
        let invoke = invoke.invocation_type(kind).payload(Blob::new(event.to_json()));
        // What the SDK makes of it takes tens of kilobytes.
        let sent = tokio::time::timeout(ANSWER_MAX, Box::pin(invoke.send())).await;
        let late = || self.error(ErrorKind::Lost, &format!("no answer came for {ANSWER_MAX:?}"));
        sent.map_err(|_| Unsent::Lost(late()))?.map_err(|error| self.unsent(&error))
    }

    fn unsent(&self, error: &SdkError<InvokeError, HttpResponse>) -> Unsent {
        match error {
            SdkError::ServiceError(refused) => self.refused(refused.err(), refused.raw()),
            SdkError::TimeoutError(_) => {
                Unsent::Lost(self.error(ErrorKind::Lost, "it did not answer in time"))
            }
            SdkError::DispatchFailure(_) if !is_of_credentials(error) => {
                let why = format!("AWS is not reached: {}", in_full(error));
                Unsent::Unreached(self.error(ErrorKind::Lost, &why))
            }
            SdkError::ResponseError(_) => {
                Unsent::Lost(self.error(ErrorKind::Lost, "its answer broke off"))
            }
            _ => {
                let why = format!(
                    "no request could be made: {}; AWS's own settings say region and credentials, \
                     and `?region=…&profile=…` does",
                    in_full(error)
                );
                Unsent::Never(self.error(ErrorKind::Denied, &why))
            }
        }
    }

    /// What AWS says, by its code and its status.
    fn refused(&self, error: &InvokeError, raw: &HttpResponse) -> Unsent {
        let (code, status) = (error.code().unwrap_or_default(), raw.status().as_u16());
        let words = error.message().unwrap_or_default();
        let why = format!("AWS says {status} {code}: {words}");
        match (code, status) {
            ("ResourceNotFoundException", _) => {
                let text = format!("there is no such function; `samara deploy` makes it ({why})");
                Unsent::Never(self.error(ErrorKind::Invalid, &text))
            }
            ("RequestTooLargeException" | "RequestEntityTooLargeException", _) | (_, 413) => {
                Unsent::TooLarge(self.error(ErrorKind::Invalid, &why))
            }
            (code, _) if MISMADE.contains(&code) => {
                let text = format!("it cannot start as it was made ({why})");
                Unsent::Never(self.error(ErrorKind::Invalid, &text))
            }
            // Too many at once, a deployment that is under way, or trouble at AWS.
            ("ResourceConflictException" | "ResourceNotReadyException", _) | (_, 429 | 500..) => {
                tracing::debug!("{self}: {why}");
                let said = raw.headers().get("retry-after").and_then(|said| said.parse().ok());
                Unsent::Refused(said.map(|said| Duration::from_secs(said).min(AGAIN_MAX)))
            }
            (_, 401 | 403) => Unsent::Never(self.error(ErrorKind::Denied, &why)),
            _ => Unsent::Never(self.error(ErrorKind::Invalid, &why)),
        }
    }

    /// What became of a function that gave no answer: it ran out of time or memory, or ended.
    fn failed(&self, how: &str, payload: &[u8]) -> Error {
        let said: serde_json::Value = serde_json::from_slice(payload).unwrap_or_default();
        let text = |name: &str| said.get(name).and_then(serde_json::Value::as_str).unwrap_or("");
        let words: String = text("errorMessage").chars().take(WORDS_MAX).collect();
        let kind = text("errorType");
        self.error(ErrorKind::Lost, &format!("it failed ({how}) {kind}: {words}"))
    }

    pub(super) fn error(&self, kind: ErrorKind, why: &str) -> Error {
        Error::new(kind, format!("{self}: {why}"))
    }
}

impl std::fmt::Display for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "function {}", self.name)?;
        match &self.qualifier {
            Some(qualifier) => write!(f, ":{qualifier}"),
            None => Ok(()),
        }
    }
}

/// Whether an error is about who asks: it comes before any request.
fn is_of_credentials(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(cause) = next {
        if cause.is::<CredentialsError>() {
            return true;
        }
        next = cause.source();
    }
    false
}

/// What an error came from.
fn in_full(error: &dyn std::error::Error) -> String {
    let (mut text, mut next) = (String::new(), error.source());
    while let Some(cause) = next {
        let separator = if text.is_empty() { "" } else { ": " };
        text.push_str(&format!("{separator}{cause}"));
        next = cause.source();
    }
    text
}
