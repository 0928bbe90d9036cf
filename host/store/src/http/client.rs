//! The client that all stores use that speak HTTP, but for S3's.

use std::time::Duration;

use rustls::crypto::CryptoProvider;

/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Redirects of one request to a store that was set up by who runs this.
#[cfg(any(feature = "opendal", feature = "swift"))]
const REDIRECTS_MAX: usize = 10;

/// A client with connections of its own, which it keeps.
#[cfg(any(feature = "opendal", feature = "swift"))]
pub(crate) fn client() -> Result<reqwest::Client, String> {
    built(builder().redirect(reqwest::redirect::Policy::limited(REDIRECTS_MAX)))
}

/// What all clients have in common.
pub(super) fn builder() -> reqwest::ClientBuilder {
    encrypted();
    reqwest::Client::builder()
        .connect_timeout(CONNECT_MAX)
        .user_agent(concat!("samara/", env!("CARGO_PKG_VERSION")))
}

pub(super) fn built(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, String> {
    builder.build().map_err(|error| format!("no HTTP client could be made: {error}"))
}

/// Chooses ring for TLS, where the program has not chosen otherwise.
pub(crate) fn encrypted() {
    if CryptoProvider::get_default().is_none() {
        // Somebody else may have chosen in between, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
}
