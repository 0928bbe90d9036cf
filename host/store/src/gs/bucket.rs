//! Buckets and signed URLs, which OpenDAL has no requests for, or not for all keys.

use std::time::Duration;

use async_trait::async_trait;
use http::Request;
use http::header::CONTENT_TYPE;
use reqsign_google::{Credential, RequestSigner};
use serde_json::Value;

use super::credentials::{self, SCOPE};
use super::{ENDPOINT, LOCATION, PROJECT};
use crate::dal::{At, Beyond, Signed, about_bucket, conflict};
use crate::http::{check, unanswered};
use crate::key::encoded;
use crate::{Checksum, Crc, Error, Metadata, Opening, Operation, Result, Verb};

const NO_PROJECT: &str = "buckets are made in a project; set GOOGLE_CLOUD_PROJECT, or `project`";
const NO_KEY: &str = "a signed URL needs a service account's key, and the credentials are others; \
                      set `credentials_file` to a key's file, or `credentials` to its content";

/// One bucket.
pub(super) struct Bucket {
    name: String,
    endpoint: String,
    project: Option<String>,
    place: Option<String>,
    requests: Signed<Credential>,
}

// === impl Bucket ===

impl Bucket {
    pub(super) fn new(opening: &Opening<'_>, anonymous: bool) -> Result<Self, String> {
        let value = |setting| opening.options.value(setting).map(str::to_owned);
        let endpoint = value(&ENDPOINT);
        let endpoint = endpoint.as_deref().unwrap_or("https://storage.googleapis.com");
        let chain = match anonymous {
            true => None,
            false => Some(credentials::found(opening.options)?),
        };
        Ok(Self {
            name: opening.authority.to_owned(),
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            project: value(&PROJECT),
            place: value(&LOCATION),
            requests: Signed::new(opening, chain, RequestSigner::new("storage").with_scope(SCOPE))?,
        })
    }
}

#[async_trait]
impl Beyond for Bucket {
    async fn create(&self, location: &str) -> Result<()> {
        let Some(project) = &self.project else {
            return Err(Error::unsupported(location, Operation::CreateBucket, NO_PROJECT));
        };
        let mut asked = serde_json::json!({ "name": self.name });
        if let Some(place) = &self.place {
            asked["location"] = place.as_str().into();
        }
        let url = format!("{}/storage/v1/b?project={}", self.endpoint, encoded(project));
        let request = Request::post(url).header(CONTENT_TYPE, "application/json");
        let request = request.body(asked.to_string());
        let request = request.map_err(|error| Error::generic(location, error))?;
        match conflict(self.requests.send(location, request).await?).await {
            Ok(said) if said.contains("already own") => Ok(()),
            Ok(_) => Err(Error::AlreadyExists { location: location.to_owned() }),
            Err(response) => about_bucket(location, response).await,
        }
    }

    async fn remove(&self, location: &str) -> Result<()> {
        let request = Request::delete(format!("{}/storage/v1/b/{}", self.endpoint, self.name));
        let request = request.body(String::new());
        let request = request.map_err(|error| Error::generic(location, error))?;
        match conflict(self.requests.send(location, request).await?).await {
            Ok(_) => {
                let reason = "the bucket is not empty";
                Err(Error::Precondition { location: location.to_owned(), reason })
            }
            Err(response) => about_bucket(location, response).await,
        }
    }

    fn has_checksums(&self) -> bool {
        true
    }

    async fn checksum(&self, at: At<'_>, version: &Metadata) -> Result<Option<Checksum>> {
        let (endpoint, bucket, key) = (&self.endpoint, &self.name, encoded(at.key));
        let url = format!(
            "{endpoint}/storage/v1/b/{bucket}/o/{}?fields=generation,crc32c,contentEncoding",
            key.replace('/', "%2F"),
        );
        let request = Request::get(url).body(String::new());
        let request = request.map_err(|error| Error::generic(at.location, error))?;
        let response = check(at.location, self.requests.send(at.location, request).await?).await?;
        let said = response.text().await.map_err(|error| unanswered(at.location, error))?;
        let said: Value =
            serde_json::from_str(&said).map_err(|error| Error::generic(at.location, error))?;
        // What is kept compressed may be sent otherwise.
        let is_it = said["generation"] == *version.etag && said["contentEncoding"].is_null();
        let crc32c = said["crc32c"].as_str().filter(|_| is_it);
        Ok(crc32c.and_then(|crc32c| Crc::Crc32c.of_base64(crc32c)))
    }

    async fn presign(&self, at: At<'_>, verb: Verb, expires: Duration) -> Result<String> {
        let url = format!("{}/{}/{}", self.endpoint, self.name, encoded(at.key));
        let request = Request::builder().method(verb.method()).uri(url).body(());
        let request = request.map_err(|error| Error::generic(at.location, error))?;
        let asked = (request, None::<RequestSigner>);
        Ok(self.requests.presign(at.location, asked, expires, NO_KEY).await?.to_string())
    }
}
