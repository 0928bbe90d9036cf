//! Between OpenDAL and the HTTP client: notes what an answer said that OpenDAL's errors do not, and
//! puts right what OpenDAL can say in one way only.

use std::cell::RefCell;
use std::time::Duration;

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use opendal_core::{Buffer, HttpBody, HttpTransport};
use opendal_http_transport_reqwest::ReqwestTransport;

/// What the last answer to a request said.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Answer {
    pub(super) status: Option<u16>,
    /// For how long the store wants no more requests.
    pub(super) wait: Option<Duration>,
}

/// A client for OpenDAL.
pub(super) struct Transport(pub(super) ReqwestTransport);

/// A condition that is never sent. With any condition on versions OpenDAL writes to Google in
/// resumable uploads; without, by a protocol of S3's kind that emulators do not have.
pub(super) const RESUMABLE: &str = "samara";

/// How [`RESUMABLE`] looks in a URL.
const NOT_SENT: &str = "&ifGenerationNotMatch=samara";

/// A write to Google without attributes.
const MEDIA: &str = "/o?uploadType=media&";

const BYTES: &str = "application/octet-stream";

tokio::task_local! {
    static ANSWER: RefCell<Answer>;
}

/// Awaits a request, and says what its last answer was. Requests of tasks that it starts are not
/// seen.
pub(super) async fn noted<F: Future>(request: F) -> (F::Output, Answer) {
    let noted = async {
        let output = request.await;
        (output, ANSWER.with(|answer| *answer.borrow()))
    };
    ANSWER.scope(RefCell::default(), noted).await
}

// === impl Transport ===

impl HttpTransport for Transport {
    async fn fetch(
        &self,
        mut request: http::Request<Buffer>,
    ) -> opendal_core::Result<http::Response<HttpBody>> {
        let uri = request.uri().to_string();
        if uri.contains(NOT_SENT)
            && let Ok(uri) = uri.replace(NOT_SENT, "").parse()
        {
            *request.uri_mut() = uri;
        }
        // Google's own default, which emulators need to be told.
        if uri.contains(MEDIA) && !request.headers().contains_key(CONTENT_TYPE) {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(BYTES));
        }
        let answered = self.0.fetch(request).await;
        let answer = match &answered {
            Ok(response) => Answer {
                status: Some(response.status().as_u16()),
                wait: retry_after(response.headers()),
            },
            Err(_) => Answer::default(),
        };
        // Outside of `noted` nobody asks.
        ANSWER.try_with(|noted| *noted.borrow_mut() = answer).unwrap_or_default();
        answered
    }
}

fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    let seconds = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
