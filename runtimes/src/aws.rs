//! How AWS is reached: with the credentials of its own settings, and with patience that is ours.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::tls;

/// The region where none is named, as long as the endpoint is not Amazon's.
const FIRST_REGION: &str = "us-east-1";

/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Region, credentials and connections. The SDK retries nothing: what is refused is for the caller
/// to see.
pub(crate) async fn connect(
    region: Option<&str>,
    profile: Option<&str>,
    endpoint: Option<&str>,
) -> SdkConfig {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .build_https();
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_MAX).build());
    if let Some(profile) = profile {
        loader = loader.profile_name(profile);
    }
    if let Some(endpoint) = endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    let shared = loader.load().await;
    let is_elsewhere = shared.endpoint_url().is_some();
    match shared.region().is_none() && is_elsewhere {
        true => shared.into_builder().region(Region::new(FIRST_REGION)).build(),
        false => shared,
    }
}
