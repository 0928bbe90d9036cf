//! Where Google's credentials come from.

use reqsign_core::{Context, ProvideCredential, ProvideCredentialChain};
use reqsign_google::{
    Credential, DefaultCredentialProvider, EnvCredentialProvider, FileCredentialProvider,
    ServiceAccountTokenCredentialProvider, StaticCredentialProvider, TokenCredentialProvider,
    VmMetadataCredentialProvider, WellKnownCredentialProvider,
};

use super::{CREDENTIALS, CREDENTIALS_FILE, TOKEN};
use crate::Options;
use crate::dal::Quiet;

/// What stores are asked for: OpenDAL's own scope, which covers buckets.
pub(super) const SCOPE: &str = "https://www.googleapis.com/auth/devstorage.read_write";

/// Credentials that authorise requests. A service account's key is exchanged for a token, which is
/// kept as long as it holds: by itself a signer would exchange it anew for each request.
#[derive(Debug)]
pub(super) struct Tokens(Quiet<Credential>);

/// The credentials that are said, and if none are, what Google's tools would find. What is said and
/// does not work is an error: nobody wants to be somebody else then.
pub(super) fn found(options: &Options) -> Result<Quiet<Credential>, String> {
    if let Some(token) = options.value(&TOKEN) {
        return Ok(Quiet::of(TokenCredentialProvider::new(token)));
    }
    if let Some(content) = options.value(&CREDENTIALS) {
        let provider = StaticCredentialProvider::from_base64(content);
        // What it is instead stays unsaid: it is secret.
        let provider = provider.map_err(|_| "`credentials` is not a text in base64")?;
        return Ok(Quiet::of(provider.with_scope(SCOPE)));
    }
    if let Some(file) = options.value(&CREDENTIALS_FILE) {
        return Ok(Quiet::of(FileCredentialProvider::new(file).with_scope(SCOPE)));
    }
    let default = DefaultCredentialProvider::builder()
        .env(EnvCredentialProvider::new().with_scope(SCOPE))
        .well_known(WellKnownCredentialProvider::new().with_scope(SCOPE))
        .vm_metadata(VmMetadataCredentialProvider::new().with_scope(SCOPE));
    Ok(Quiet::of(default.build()))
}

// === impl Tokens ===

impl Tokens {
    pub(super) fn of(options: &Options) -> Result<ProvideCredentialChain<Credential>, String> {
        Ok(Quiet::of(Self(found(options)?)).chain())
    }
}

impl ProvideCredential for Tokens {
    type Credential = Credential;

    async fn provide_credential(
        &self,
        context: &Context,
    ) -> reqsign_core::Result<Option<Credential>> {
        let Some(found) = self.0.provide_credential(context).await? else { return Ok(None) };
        match (&found.service_account, &found.token) {
            (Some(account), None) => {
                let exchange = ServiceAccountTokenCredentialProvider::new(account.clone());
                exchange.with_scope(SCOPE).provide_credential(context).await
            }
            _ => Ok(Some(found)),
        }
    }
}
