//! What OpenDAL has no requests for: buckets, and URLs for those without credentials. They are
//! signed by reqsign, with the credentials that OpenDAL finds by it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::Request;
use http::header::HOST;
use opendal_core::HttpTransporter;
use reqsign_core::{
    Context, ErrorKind, OsEnv, ProvideCredential, ProvideCredentialChain, ProvideCredentialDyn,
    SignRequest, Signer, SigningCredential,
};
use reqsign_file_read_tokio::TokioFileRead;
use reqwest::{Client, Response};

use super::error::BUCKET;
use super::transport::{Transport, note_unsigned};
use crate::error::redact;
use crate::http::{check, client, said, unanswered};
use crate::{Checksum, Error, Metadata, Opening, Operation, Result, Verb};

/// Requests of a service that OpenDAL does not make.
#[async_trait]
pub(crate) trait Beyond: Send + Sync {
    /// Makes the bucket. One of ours that is there already is fine.
    async fn create(&self, location: &str) -> Result<()>;

    /// Removes the bucket, which was empty a moment ago.
    async fn remove(&self, location: &str) -> Result<()>;

    /// A URL with which anybody may do this to the object, for so long.
    async fn presign(&self, at: At<'_>, verb: Verb, expires: Duration) -> Result<String>;

    /// Has the service copy this version of an object, whole or not at all, with what is said about
    /// it. False where it does not do that.
    async fn copy(&self, from: At<'_>, version: &Metadata, to: At<'_>) -> Result<bool> {
        let _ = (from, version, to);
        Ok(false)
    }

    /// Whether there are such checksums.
    fn has_checksums(&self) -> bool {
        false
    }

    /// The checksum of all of this version of an object, where ranges of it can be held against it.
    async fn checksum(&self, at: At<'_>, version: &Metadata) -> Result<Option<Checksum>> {
        let _ = (at, version);
        Ok(None)
    }
}

/// An object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'a> {
    /// Its URL.
    pub(crate) location: &'a str,
    pub(crate) key: &'a str,
}

/// Sends requests with credentials, or without where there are to be none.
pub(crate) struct Signed<C: SigningCredential> {
    client: Client,
    signer: Option<Signer<C>>,
}

/// Where credentials come from, without showing it: reqsign logs each place in which it looks, with
/// all that it knows, and looks on where one fails, without saying why.
pub(crate) struct Quiet<C>(Arc<dyn ProvideCredentialDyn<Credential = C>>);

/// Why a request could not be signed.
#[derive(Clone, Debug)]
pub(super) struct Unsigned {
    kind: ErrorKind,
    is_retryable: bool,
    text: String,
}

/// The longest that a signed URL may hold, with Google and with most others.
const EXPIRES_MAX: Duration = Duration::from_hours(7 * 24);

/// What reqsign says where no place that it looked in had credentials.
const NONE_FOUND: &str = "failed to load signing credential";

/// Where credentials may be, for somebody who has none yet.
fn way_out(location: &str) -> &'static str {
    match location.split(':').next() {
        Some("gs") => {
            "set GOOGLE_APPLICATION_CREDENTIALS, or `credentials_file`, or `anonymous = true` for a \
             public bucket"
        }
        Some("az") => {
            "set AZURE_STORAGE_KEY, or `key` or `sas_token`, or `anonymous = true` for a public \
             container"
        }
        _ => "the guide to storage says which settings and variables it has",
    }
}

// === impl Quiet ===

impl<C: Send + Sync + Unpin + 'static> Quiet<C> {
    pub(crate) fn of(provider: impl ProvideCredential<Credential = C> + 'static) -> Self {
        Self(Arc::new(provider))
    }

    /// For OpenDAL, which wants several.
    pub(crate) fn chain(self) -> ProvideCredentialChain<C> {
        ProvideCredentialChain::new().push(self)
    }
}

impl<C: Send + Sync + Unpin + 'static> ProvideCredential for Quiet<C> {
    type Credential = C;

    async fn provide_credential(&self, context: &Context) -> reqsign_core::Result<Option<C>> {
        let provided = self.0.provide_credential_dyn(context).await;
        if let Err(error) = &provided {
            note_unsigned(Unsigned::of(error));
        }
        provided
    }
}

impl<C> fmt::Debug for Quiet<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Quiet")
    }
}

// === impl Unsigned ===

impl Unsigned {
    pub(super) fn of(error: &reqsign_core::Error) -> Self {
        let (kind, is_retryable) = (error.kind(), error.is_retryable());
        Self { kind, is_retryable, text: redact(&error.to_string()) }
    }

    /// What it is to us.
    pub(super) fn error(self, location: &str) -> Error {
        let source = match self.text.contains(NONE_FOUND) {
            true => format!("no credentials were found that could be used; {}", way_out(location)),
            false => self.text,
        };
        let (location, operation, source) = (location.to_owned(), None, source.into());
        match self.kind {
            ErrorKind::RateLimited => Error::Throttled { location, operation, wait: None, source },
            _ if self.is_retryable => Error::Unavailable { location, operation, source },
            ErrorKind::CredentialInvalid | ErrorKind::PermissionDenied => {
                Error::PermissionDenied { location, operation, source }
            }
            _ => Error::Generic { location, operation, source },
        }
    }
}

// === impl Signed ===

impl<C: SigningCredential> Signed<C> {
    /// No credentials where there is no provider.
    pub(crate) fn new(
        opening: &Opening<'_>,
        provider: Option<Quiet<C>>,
        signer: impl SignRequest<Credential = C>,
    ) -> Result<Self, String> {
        let client = client()?;
        let transport = Transport::new(opening, client.clone())?;
        let context = Context::new()
            .with_file_read(TokioFileRead)
            .with_http_send(HttpTransporter::new(transport))
            .with_env(OsEnv);
        Ok(Self { client, signer: provider.map(|provider| Signer::new(context, provider, signer)) })
    }

    /// Sends a request, whatever comes of it.
    pub(crate) async fn send(&self, location: &str, request: Request<String>) -> Result<Response> {
        let (mut parts, body) = request.into_parts();
        if let Some(signer) = &self.signer {
            let signed = signer.sign(&mut parts, None).await;
            signed.map_err(|error| Unsigned::of(&error).error(location))?;
        }
        // The client says it, by the protocol's version.
        parts.headers.remove(HOST);
        let failed = |error| unanswered(location, error);
        let request = Request::from_parts(parts, body).try_into().map_err(failed)?;
        self.client.execute(request).await.map_err(failed)
    }

    /// The URL of a request with a signature in it, by the store's own signer or by another one.
    /// `without` is said where the credentials are of no use for that.
    pub(crate) async fn presign(
        &self,
        location: &str,
        (request, signer): (Request<()>, Option<impl SignRequest<Credential = C>>),
        expires: Duration,
        without: &'static str,
    ) -> Result<http::Uri> {
        let unsupported = |reason| Error::unsupported(location, Operation::Presign, reason);
        if expires > EXPIRES_MAX || expires < Duration::from_secs(1) {
            return Err(unsupported("a signed URL holds for a second to seven days"));
        }
        let Some(own) = &self.signer else { return Err(unsupported(without)) };
        let own = match signer {
            Some(signer) => own.clone().with_request_signer(signer),
            None => own.clone(),
        };
        let (mut parts, ()) = request.into_parts();
        let before = parts.uri.clone();
        match own.sign(&mut parts, Some(expires)).await {
            // Where there are no credentials at all nothing is signed.
            Ok(()) if parts.uri == before => Err(unsupported(without)),
            Ok(()) => Ok(parts.uri),
            Err(error) => match error.kind() {
                ErrorKind::CredentialInvalid | ErrorKind::RequestInvalid => {
                    tracing::debug!(%location, error = redact(&error.to_string()), "not signed");
                    Err(unsupported(without))
                }
                _ => Err(Unsigned::of(&error).error(location)),
            },
        }
    }
}

/// The answer to a removal or a creation, but for what the service says in words of its own.
pub(crate) async fn about_bucket(location: &str, response: Response) -> Result<()> {
    match check(location, response).await {
        Err(Error::NotFound { location, .. }) => Err(Error::NotFound { location, sought: BUCKET }),
        checked => checked.map(drop),
    }
}

/// The words of a refusal by conflict; the answer where it is another.
pub(crate) async fn conflict(response: Response) -> Result<String, Response> {
    match response.status().as_u16() {
        409 => Ok(said(response).await.unwrap_or_default()),
        _ => Err(response),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_credentials_is_told_where_they_may_be() {
        let none = reqsign_core::Error::credential_invalid(NONE_FOUND);
        for (location, wanted) in
            [("gs://b/k", "GOOGLE_APPLICATION_CREDENTIALS"), ("az://c/k", "AZURE_STORAGE_KEY")]
        {
            let error = Unsigned::of(&none).error(location);
            assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
            assert!(error.in_full().contains(wanted), "{}", error.in_full());
        }
        let wrong = reqsign_core::Error::credential_invalid("the key is no key");
        let error = Unsigned::of(&wrong).error("gs://b/k");
        assert!(error.in_full().ends_with("the key is no key"), "{}", error.in_full());
    }
}
