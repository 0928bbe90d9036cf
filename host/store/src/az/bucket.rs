//! Containers and signed URLs, which OpenDAL has no requests for, or not with an account's key.

use std::time::Duration;

use async_trait::async_trait;
use http::Request;
use http::header::CONTENT_LENGTH;
use reqsign_azure_storage::{
    ClientSecretCredentialProvider, Credential, DefaultCredentialProvider, RequestSigner,
    StaticCredentialProvider,
};

use crate::dal::{At, Beyond, Quiet, Signed, about_bucket, conflict};
use crate::http::check;
use crate::key::encoded;
use crate::{Error, Metadata, Opening, Result, Verb};

/// The version of the protocol, as OpenDAL says it.
const VERSION: &str = "2022-11-02";

/// Bytes that Azure copies at once.
const COPIED_MAX: u64 = 256 << 20;

/// For how long Azure may read what it copies.
const COPY_TIME: Duration = Duration::from_mins(15);

const NO_KEY: &str = "a signed URL needs the account's key or a shared access signature; set `key` \
                      (AZURE_STORAGE_KEY) or `sas_token`";

/// Who speaks to an account, and where it is.
pub(super) struct Access {
    pub(super) endpoint: String,
    pub(super) account: Option<String>,
    pub(super) key: Option<String>,
    pub(super) sas_token: Option<String>,
    pub(super) entra: Option<Entra>,
    pub(super) anonymous: bool,
}

/// An application of Microsoft Entra, which has a secret.
pub(super) struct Entra {
    pub(super) tenant_id: String,
    pub(super) client_id: String,
    pub(super) client_secret: String,
    /// Who gives tokens, if not Microsoft's own.
    pub(super) authority: Option<String>,
}

/// One container.
pub(super) struct Container {
    name: String,
    endpoint: String,
    requests: Signed<Credential>,
}

// === impl Access ===

impl Access {
    /// The credentials that are said, and if none are, what Azure's tools would find. What is said
    /// and does not work is an error: nobody wants to be somebody else then.
    pub(super) fn credentials(&self) -> Quiet<Credential> {
        if let Some(token) = &self.sas_token {
            return Quiet::of(StaticCredentialProvider::new_sas_token(token));
        }
        if let (Some(account), Some(key)) = (&self.account, &self.key) {
            return Quiet::of(StaticCredentialProvider::new_shared_key(account, key));
        }
        let Some(entra) = &self.entra else {
            return Quiet::of(DefaultCredentialProvider::new());
        };
        let provider = ClientSecretCredentialProvider::new()
            .with_tenant_id(&entra.tenant_id)
            .with_client_id(&entra.client_id)
            .with_client_secret(&entra.client_secret);
        Quiet::of(match &entra.authority {
            Some(authority) => provider.with_authority_host(authority),
            None => provider,
        })
    }
}

// === impl Container ===

impl Container {
    pub(super) fn new(opening: &Opening<'_>, access: &Access) -> Result<Self, String> {
        let name = opening.authority;
        let chain = match access.anonymous {
            true => None,
            false => Some(access.credentials()),
        };
        let requests = Signed::new(opening, chain, RequestSigner::new())?;
        Ok(Self { name: name.to_owned(), endpoint: access.endpoint.clone(), requests })
    }

    fn request(&self, method: http::Method, location: &str) -> Result<Request<String>> {
        Request::builder()
            .method(method)
            .uri(format!("{}/{}?restype=container", self.endpoint, self.name))
            .header("x-ms-version", VERSION)
            .header(CONTENT_LENGTH, "0")
            .body(String::new())
            .map_err(|error| Error::generic(location, error))
    }
}

#[async_trait]
impl Beyond for Container {
    async fn create(&self, location: &str) -> Result<()> {
        let request = self.request(http::Method::PUT, location)?;
        let response = self.requests.send(location, request).await?;
        let code = response.headers().get("x-ms-error-code").cloned();
        match code.as_ref().and_then(|code| code.to_str().ok()) {
            // An account has no containers of others.
            Some("ContainerAlreadyExists") => Ok(()),
            Some(code @ "ContainerBeingDeleted") => Err(Error::unavailable(location, code)),
            _ => about_bucket(location, response).await,
        }
    }

    async fn remove(&self, location: &str) -> Result<()> {
        let request = self.request(http::Method::DELETE, location)?;
        match conflict(self.requests.send(location, request).await?).await {
            // It is on its way, by an earlier request.
            Ok(said) => Err(Error::unavailable(location, said)),
            Err(response) => about_bucket(location, response).await,
        }
    }

    async fn presign(&self, at: At<'_>, verb: Verb, expires: Duration) -> Result<String> {
        let path = format!("{}/{}", encoded(&self.name), encoded(at.key));
        // What is signed begins with the container, also where the account stands before it.
        let request = Request::builder().method(verb.method()).uri(format!("https://az/{path}"));
        let request = request.body(()).map_err(|error| Error::generic(at.location, error))?;
        let may = match verb {
            Verb::Get => "r",
            Verb::Put => "cw",
            Verb::Delete => "d",
        };
        let signer = RequestSigner::new().with_service_sas_permissions(may);
        let asked = (request, Some(signer));
        let signed = self.requests.presign(at.location, asked, expires, NO_KEY).await?;
        Ok(format!("{}/{path}?{}", self.endpoint, signed.query().unwrap_or_default()))
    }

    /// `Copy Blob From URL`, which is done when it is answered, and the copy there at once.
    async fn copy(&self, from: At<'_>, version: &Metadata, to: At<'_>) -> Result<bool> {
        if version.size > COPIED_MAX {
            return Ok(false);
        }
        let source = match self.presign(from, Verb::Get, COPY_TIME).await {
            Ok(source) => source,
            Err(Error::Unsupported { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let uri = format!("{}/{}/{}", self.endpoint, encoded(&self.name), encoded(to.key));
        let request = Request::builder()
            .method(http::Method::PUT)
            .uri(uri)
            .header("x-ms-version", VERSION)
            .header("x-ms-requires-sync", "true")
            .header("x-ms-copy-source", source)
            .header("x-ms-source-if-match", format!("\"{}\"", version.etag))
            .header(CONTENT_LENGTH, "0")
            .body(String::new())
            .map_err(|error| Error::generic(to.location, error))?;
        let response = self.requests.send(to.location, request).await?;
        match response.status().as_u16() {
            412 => Err(Error::another_version(from.location)),
            404 => Err(Error::not_found(from.location)),
            // Who may write may still not have Azure read: the bytes pass through here then.
            status @ 400..500 if !matches!(status, 408 | 429) => Ok(false),
            _ => check(to.location, response).await.map(|_| true),
        }
    }
}
