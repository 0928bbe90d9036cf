//! Between OpenDAL and the HTTP client: notes what an answer said that OpenDAL's errors do not, and
//! puts right what OpenDAL can say in one way only.

use std::cell::RefCell;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use opendal_core::{Buffer, ErrorKind, HttpBody, HttpTransport};
use opendal_http_transport_reqwest::ReqwestTransport;

use crate::digest::Sum;
use crate::{Opening, Setting};

/// What the last answer to a request said.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) status: Option<u16>,
    /// For how long the store wants no more requests.
    pub(super) wait: Option<Duration>,
    /// The checksum of the object, of which all is in the answer.
    pub(super) sum: Option<Sum>,
    /// The attributes of the object, where the service says them with it.
    pub(super) user: Option<Vec<(String, String)>>,
    /// Why there were no credentials for it.
    #[cfg(feature = "signed")]
    pub(super) unsigned: Option<super::signed::Unsigned>,
}

/// How the checksum of what was received is another one than that of what was sent. It goes with an
/// error of OpenDAL, which may make requests where `noted` does not see them.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Changed(String);

/// Where keys are exchanged for tokens, if not where the vendor does it.
pub(crate) const TOKEN_ENDPOINT: Setting = Setting {
    name: "token_endpoint",
    variable: None,
    secret: false,
    doc: "where a service account's key is exchanged for a token, if not at \
          https://oauth2.googleapis.com/token: an address in a private network that leads there",
};

/// Where Google does it, which is not to be said otherwise to those who ask.
const GOOGLES_TOKENS: &str = "https://oauth2.googleapis.com/token";

/// A client for OpenDAL.
pub(super) struct Transport {
    client: ReqwestTransport,
    tokens: Option<http::Uri>,
}

/// A condition that is never sent. With any condition on versions OpenDAL writes to Google in
/// resumable uploads; without, by a protocol of S3's kind that emulators do not have.
pub(super) const RESUMABLE: &str = "samara";

/// How [`RESUMABLE`] looks in a URL.
const NOT_SENT: &str = "&ifGenerationNotMatch=samara";

/// A write to Google without attributes.
const MEDIA: &str = "/o?uploadType=media&";

const BYTES: &str = "application/octet-stream";

/// What Azure's URLs of parts of objects have.
const BLOCK: &str = "comp=block";

/// What all answers of a service have, and what stands before the names of attributes there.
const USER: [(&str, &str); 2] =
    [("x-ms-request-id", "x-ms-meta-"), ("x-oss-request-id", "x-oss-meta-")];

tokio::task_local! {
    static ANSWER: RefCell<Answer>;
}

/// Awaits a request, and says what its last answer was. Requests of tasks that it starts are not
/// seen.
pub(super) async fn noted<F: Future>(request: F) -> (F::Output, Answer) {
    let noted = async {
        let output = request.await;
        (output, ANSWER.with(RefCell::take))
    };
    ANSWER.scope(RefCell::default(), noted).await
}

/// Notes why a request could not be signed.
#[cfg(feature = "signed")]
pub(super) fn note_unsigned(unsigned: super::signed::Unsigned) {
    let note = |answer: &RefCell<Answer>| answer.borrow_mut().unsigned = Some(unsigned);
    // Outside of `noted` nobody asks.
    ANSWER.try_with(note).unwrap_or_default();
}

// === impl Transport ===

impl Transport {
    pub(super) fn new(opening: &Opening<'_>, client: reqwest::Client) -> Result<Self, String> {
        let tokens = opening.options.get(TOKEN_ENDPOINT.name).map(str::parse::<http::Uri>);
        let tokens = tokens.transpose().ok().filter(|tokens| {
            tokens.as_ref().is_none_or(|tokens| {
                tokens.host().is_some() && matches!(tokens.scheme_str(), Some("http" | "https"))
            })
        });
        let tokens = tokens.ok_or("`token_endpoint` is no URL: https://host/token")?;
        Ok(Self { client: ReqwestTransport::new(client), tokens })
    }
}

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
        if uri == GOOGLES_TOKENS
            && let Some(tokens) = &self.tokens
        {
            *request.uri_mut() = tokens.clone();
        }
        // Google's own default, which emulators need to be told.
        if uri.contains(MEDIA) && !request.headers().contains_key(CONTENT_TYPE) {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(BYTES));
        }
        let is_read = request.method() == Method::GET;
        let block = is_block(&request).then(|| request.body().clone());
        let mut answered = self.client.fetch(request).await;
        let answer = match &answered {
            Ok(response) => Answer {
                status: Some(response.status().as_u16()),
                wait: retry_after(response.headers()),
                sum: sum(response).filter(|_| is_read && response.status() == StatusCode::OK),
                user: is_read.then(|| user(response)).flatten(),
                ..Answer::default()
            },
            Err(_) => Answer::default(),
        };
        if let (Some(block), Ok(response)) = (block, &answered)
            && let Some(changed) = changed(response, block)
        {
            let error =
                opendal_core::Error::new(ErrorKind::Unexpected, "it was changed on its way");
            answered = Err(error.set_source(changed).set_temporary());
        }
        // Outside of `noted` nobody asks.
        ANSWER.try_with(|noted| *noted.borrow_mut() = answer).unwrap_or_default();
        answered
    }
}

/// Whether a part of an object goes to Azure.
fn is_block(request: &http::Request<Buffer>) -> bool {
    let mut query = request.uri().query().unwrap_or_default().split('&');
    request.method() == Method::PUT && !request.body().is_empty() && query.any(|it| it == BLOCK)
}

/// How the checksum of a part that Azure says is another one than that of what was sent. Such a part
/// belongs to no object yet, and the next one of its name takes its place.
fn changed(response: &http::Response<HttpBody>, block: Buffer) -> Option<Changed> {
    let taken = response.status().is_success().then_some(response.headers())?;
    let said = taken.get("x-ms-content-crc64")?.to_str().ok()?;
    let said = Sum::crc64_of_base64(said)?;
    said.differs(&said.of(block)).map(Changed)
}

/// The checksum that an answer says. Of what Google keeps compressed, and sends otherwise, it is not
/// that of what it sends.
fn sum(response: &http::Response<HttpBody>) -> Option<Sum> {
    let all = |name| response.headers().get_all(name).iter().filter_map(|it| it.to_str().ok());
    if all("x-goog-stored-content-encoding").any(|coding| coding != "identity") {
        return None;
    }
    let googles = all("x-goog-hash").flat_map(|hashes| hashes.split(','));
    let mut crcs = googles.filter_map(|hash| hash.trim().strip_prefix("crc32c="));
    let md5 = || all("content-md5").next().and_then(Sum::md5_of_base64);
    crcs.next().and_then(Sum::crc32c_of_base64).or_else(md5)
}

/// The attributes that an answer says. Google says them when they are asked for alone.
fn user(response: &http::Response<HttpBody>) -> Option<Vec<(String, String)>> {
    let headers = response.headers();
    let (_, names) = USER.iter().find(|(service, _)| headers.contains_key(*service))?;
    let said = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix(names)?;
        Some((name.to_owned(), value.to_str().ok()?.to_owned()))
    });
    Some(said.collect())
}

fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    let seconds = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
