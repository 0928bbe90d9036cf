//! AWS's signature, version 4:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use http::{HeaderName, HeaderValue};
use reqwest::Request;
use samara_core::{Clock, Error, ErrorKind};
use tokio::sync::OnceCell;

use super::kept::Kept;
use crate::aws::connect;

/// How long credentials are used that name no end, as AWS's own clients do: files may change.
const ENDLESS: Duration = Duration::from_mins(15);

/// Signs requests with the credentials of AWS's own settings.
pub(crate) struct Aws {
    clock: Arc<dyn Clock>,
    /// Read with the first request.
    shared: OnceCell<SdkConfig>,
    /// Some of them come from a server, for hours.
    kept: Kept<Credentials>,
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
        Self { clock, shared: OnceCell::new(), kept: Kept::default() }
    }

    async fn credentials(&self, shared: &SdkConfig) -> Result<Credentials, Error> {
        let provider = shared.credentials_provider().ok_or_else(|| unknown(&"nobody knows any"))?;
        let now = self.clock.unix();
        let make = async {
            let made = provider.provide_credentials().await.map_err(|error| match error {
                // Whoever makes them may be back soon.
                CredentialsError::ProviderTimedOut(_) | CredentialsError::ProviderError(_) => {
                    Error::new(ErrorKind::Lost, unknown(&error).message)
                }
                _ => unknown(&error),
            })?;
            let end = made.expiry().and_then(|end| end.duration_since(UNIX_EPOCH).ok());
            Ok((made, end.unwrap_or(now + ENDLESS)))
        };
        self.kept.get(now, make).await
    }

    pub(super) async fn sign(&self, request: &mut Request) -> Result<(), Error> {
        let denied = |text: String| Error::new(ErrorKind::Denied, text);
        // What finds the settings takes tens of kilobytes.
        let shared = self.shared.get_or_init(|| Box::pin(connect(None, None, None))).await;
        let credentials = self.credentials(shared).await?;
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

fn unknown(why: &dyn std::fmt::Display) -> Error {
    let text = format!("`door=aws` needs credentials, which AWS's own settings say: {why}");
    Error::new(ErrorKind::Denied, text)
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
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use aws_config::Region;
    use aws_credential_types::provider::{SharedCredentialsProvider, future};

    use super::*;
    use crate::testing::Hand;

    /// Who makes credentials for an hour, each time others; and is away where it is told so.
    #[derive(Debug, Default, Clone)]
    struct Maker {
        made: Arc<AtomicU64>,
        away: Arc<AtomicBool>,
    }

    impl ProvideCredentials for Maker {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let number = self.made.fetch_add(1, Ordering::SeqCst);
            let end = UNIX_EPOCH + Duration::from_secs(3600);
            let key = Credentials::new(format!("KEY{number}"), "secret", None, Some(end), "tests");
            future::ProvideCredentials::ready(match self.away.load(Ordering::SeqCst) {
                true => Err(CredentialsError::provider_error("it is away")),
                false => Ok(key),
            })
        }
    }

    async fn signed(aws: &Aws) -> Result<String, Error> {
        let url = "https://abc.lambda-url.eu-central-1.on.aws/v1/batches".parse().unwrap();
        let mut request = Request::new(reqwest::Method::POST, url);
        aws.sign(&mut request).await?;
        let said = request.headers()["authorization"].to_str().unwrap();
        Ok(said.split("Credential=").nth(1).unwrap().split('/').next().unwrap().to_owned())
    }

    #[tokio::test]
    async fn credentials_are_asked_for_once_while_they_hold() {
        let maker = Maker::default();
        let shared = SdkConfig::builder()
            .region(Region::new("eu-test-1"))
            .credentials_provider(SharedCredentialsProvider::new(maker.clone()))
            .build();
        let clock = Arc::new(Hand::default());
        let aws = Aws { shared: OnceCell::from(shared), ..Aws::new(Arc::clone(&clock) as _) };
        for _ in 0..5 {
            assert_eq!(signed(&aws).await.unwrap(), "KEY0");
        }
        assert_eq!(maker.made.load(Ordering::SeqCst), 1);
        *clock.0.lock().unwrap() = Duration::from_secs(3590);
        maker.away.store(true, Ordering::SeqCst);
        let error = signed(&aws).await.unwrap_err();
        assert_eq!((error.kind, error.retry), (ErrorKind::Lost, samara_core::Retry::Later));
        maker.away.store(false, Ordering::SeqCst);
        assert_eq!(signed(&aws).await.unwrap(), "KEY2");
    }

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
