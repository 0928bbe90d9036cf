//! AWS's signature, version 4:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use http::{HeaderName, HeaderValue};
use reqwest::Request;
use samara_core::{Clock, Error, ErrorKind};
use tokio::sync::OnceCell;

use crate::aws::connect;

/// Signs requests with the credentials of AWS's own settings.
pub(crate) struct Aws {
    clock: Arc<dyn Clock>,
    /// Read with the first request.
    shared: OnceCell<SdkConfig>,
}

/// What a host's name says of where its requests go.
#[derive(Debug, PartialEq, Eq)]
struct Place<'a> {
    service: &'static str,
    region: Option<&'a str>,
}

// === impl Aws ===

impl Aws {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, shared: OnceCell::new() }
    }

    pub(super) async fn sign(&self, request: &mut Request) -> Result<(), Error> {
        let denied = |text: String| Error::new(ErrorKind::Denied, text);
        // What finds the settings takes tens of kilobytes.
        let shared = self.shared.get_or_init(|| Box::pin(connect(None, None, None))).await;
        let provider = shared.credentials_provider().ok_or_else(|| {
            denied("`door=aws` needs credentials, which AWS's own settings say".to_owned())
        })?;
        let credentials = provider.provide_credentials().await.map_err(|error| {
            denied(format!("`door=aws` needs credentials, which AWS's own settings say: {error}"))
        })?;
        let host = request.url().host_str().unwrap_or_default().to_owned();
        let place = place(&host);
        let region = place.region.map(str::to_owned);
        let region = region.or_else(|| Some(shared.region()?.as_ref().to_owned()));
        let region = region.ok_or_else(|| {
            denied(format!("`door=aws` needs a region, which neither {host} nor AWS_REGION says"))
        })?;
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let identity = credentials.into();
        let failed = |error: &dyn std::error::Error| {
            Error::new(ErrorKind::Internal, format!("a request was not signed: {error}"))
        };
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(&region)
            .name(place.service)
            .time(UNIX_EPOCH + self.clock.unix())
            .settings(settings)
            .build()
            .map_err(|error| failed(&error))?
            .into();
        let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
        let (method, url) = (request.method().as_str(), request.url().as_str());
        // Others may be changed on the way.
        let authority = authority(request);
        let said = std::iter::once(("host", authority.as_str()));
        let signable = SignableRequest::new(method, url, said, SignableBody::Bytes(body))
            .map_err(|error| failed(&error))?;
        let signed = sign(signable, &parameters).map_err(|error| failed(&error))?;
        let (signed, _) = signed.into_parts();
        let (added, _) = signed.into_parts();
        for header in added {
            let value = HeaderValue::from_str(header.value()).map_err(|error| failed(&error))?;
            request.headers_mut().insert(HeaderName::from_static(header.name()), value);
        }
        Ok(())
    }
}

/// The header `host`, as it is sent.
fn authority(request: &Request) -> String {
    let url = request.url();
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// `ID.lambda-url.REGION.on.aws` and `ID.execute-api.REGION.amazonaws.com`; others are function URLs
/// behind a name of their owner's.
fn place(host: &str) -> Place<'_> {
    let mut parts = host.split('.').skip(1);
    let (service, region) = (parts.next(), parts.next());
    match service {
        Some("execute-api") => Place { service: "execute-api", region },
        Some("lambda-url") => Place { service: "lambda", region },
        _ => Place { service: "lambda", region: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_name_says_service_and_region() {
        let said = |host| place(host);
        let url = said("abc.lambda-url.eu-central-1.on.aws");
        assert_eq!(url, Place { service: "lambda", region: Some("eu-central-1") });
        let gateway = said("abc.execute-api.us-east-1.amazonaws.com");
        assert_eq!(gateway, Place { service: "execute-api", region: Some("us-east-1") });
        assert_eq!(said("example.org"), Place { service: "lambda", region: None });
    }
}
