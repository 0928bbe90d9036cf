//! URLs for those without a token: signed with a key that the account or the container has
//! (`X-Account-Meta-Temp-URL-Key`, `X-Container-Meta-Temp-URL-Key`), by SHA-256.

use std::time::Duration;

use reqwest::Url;
use ring::hmac;
use samara_core::{Clock, SystemClock};

use super::SwiftStore;
use super::remove::decoded;
use crate::{Error, Operation, Result, Setting, Verb};

pub(super) const KEY: Setting = Setting {
    name: "temp_url_key",
    variable: None,
    secret: true,
    doc: "the account's or the container's key for signed URLs (`Temp-URL-Key`)",
};

/// As with other stores.
const EXPIRES_MAX: Duration = Duration::from_hours(7 * 24);

/// How URLs are signed. SHA-1 is what old servers have beside it, and is not used.
const DIGEST: &str = "sha256";

impl SwiftStore {
    pub(super) async fn signed_url(
        &self,
        key: &str,
        verb: Verb,
        expires: Duration,
    ) -> Result<String> {
        let location = self.url(key);
        let unsupported = |reason| Error::unsupported(&location, Operation::Presign, reason);
        if expires > EXPIRES_MAX || expires < Duration::from_secs(1) {
            return Err(unsupported("a signed URL holds for a second to seven days"));
        }
        let Some(secret) = &self.0.temp_url_key else {
            return Err(unsupported(
                "a signed URL needs the account's key for them; set `temp_url_key`",
            ));
        };
        let method = match verb {
            Verb::Get => "GET",
            Verb::Put => "PUT",
            Verb::Delete => "DELETE",
        };
        if let Some(signs) = &self.info(&location).await?.signs {
            if signs.methods.is_empty() {
                return Err(unsupported("the server has no signed URLs (`tempurl`)"));
            }
            if !signs.methods.iter().any(|known| known == method) {
                return Err(unsupported("the server has no signed URLs for this"));
            }
            // Who does not say them knows SHA-1 alone, or does not tell.
            if !signs.digests.is_empty() && !signs.digests.iter().any(|known| known == DIGEST) {
                return Err(unsupported("the server takes no URLs that are signed by SHA-256"));
            }
        }
        let storage = self.0.account.storage(&location).await?;
        let account = Url::parse(&storage).map_err(|error| Error::generic(&location, error))?;
        let account = decoded(account.path().trim_end_matches('/')).unwrap_or_default();
        let until = (SystemClock::new().unix() + expires).as_secs();
        let signed = format!("{method}\n{until}\n{account}/{}/{key}", self.0.name);
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let signature = hmac::sign(&secret, signed.as_bytes());
        let signature: String =
            signature.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let path = self.path(key);
        Ok(format!("{storage}/{path}?temp_url_sig={signature}&temp_url_expires={until}"))
    }
}
