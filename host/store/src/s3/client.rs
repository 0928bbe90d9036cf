//! From settings to a client of the SDK.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    Builder, Credentials, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_smithy_http_client::tls;

use super::signing::Bodies;
use crate::{Options, Setting, probe};

/// The region that a store has where none is named, as long as it is not Amazon's.
pub(super) const FIRST_REGION: &str = "us-east-1";

/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(10);

const fn setting(name: &'static str, secret: bool, doc: &'static str) -> Setting {
    Setting { name, variable: None, secret, doc }
}

/// What can be set; the SDK reads its own variables and files for the rest.
pub(super) const SETTINGS: &[Setting] = &[
    setting("endpoint", false, "where the store is, if not Amazon's: http://127.0.0.1:9000"),
    setting("region", false, "the bucket's region"),
    setting(
        "path_style",
        false,
        "the bucket in the path, not in the host's name; default with `endpoint`",
    ),
    setting("profile", false, "a profile of the AWS CLI's files"),
    setting("anonymous", false, "no credentials at all, for public buckets"),
    setting("access_key_id", false, "credentials for this store alone"),
    setting("secret_access_key", true, "credentials for this store alone"),
    setting("session_token", true, "credentials for this store alone"),
    setting("checksums", false, "`when_required` for a store that refuses CRC headers"),
    setting(
        "sign_bodies",
        false,
        "`true` for a store that refuses unsigned bodies, as they go by TLS; `false` for plain HTTP \
         where nobody is between",
    ),
    probe::SETTING,
];

/// Refuses settings that cannot be.
pub(super) fn check(options: &Options) -> Result<(), String> {
    options.flag("path_style")?;
    options.flag("anonymous")?;
    options.flag("sign_bodies")?;
    if options.get("access_key_id").is_some() != options.get("secret_access_key").is_some() {
        return Err("`access_key_id` and `secret_access_key` go together".to_owned());
    }
    if let Some(endpoint) = options.get("endpoint")
        && !(endpoint.starts_with("http://") || endpoint.starts_with("https://"))
    {
        return Err(format!("`endpoint` is `{endpoint}`, and should be a URL with `http(s)://`"));
    }
    one_of(options, "checksums", &["when_required", "when_supported"])?;
    probe::check(options.get(probe::SETTING.name))
}

fn one_of(options: &Options, name: &str, values: &[&str]) -> Result<(), String> {
    match options.get(name) {
        Some(value) if !values.contains(&value) => {
            Err(format!("`{name}` is `{value}`, and should be one of {}", values.join(", ")))
        }
        _ => Ok(()),
    }
}

/// Finds region and credentials, and makes a client. Makes no connection to the store.
///
/// `were_signed` says from then on whether bodies were part of the newest signature.
pub(super) async fn connect(options: &Options, were_signed: &Arc<AtomicBool>) -> Client {
    let shared = loader(options).load().await;
    let mut builder = Builder::from(&shared);
    let endpoint = options.get("endpoint");
    if let Some(endpoint) = endpoint {
        builder = builder.endpoint_url(endpoint);
    }
    let elsewhere = endpoint.is_some() || shared.endpoint_url().is_some();
    if elsewhere && shared.region().is_none() {
        builder = builder.region(Region::new(FIRST_REGION));
    }
    let path_style = options.flag("path_style").ok().flatten().unwrap_or(elsewhere);
    builder = builder.force_path_style(path_style);
    if options.get("checksums") == Some("when_required") {
        builder = builder
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    }
    let signed = options.flag("sign_bodies").ok().flatten();
    let bodies = Bodies { signed, were_signed: Arc::clone(were_signed) };
    Client::from_conf(builder.interceptor(bodies).build())
}

/// Patience is the [`Guard`](crate::Guard)'s: the SDK's own would hide a store's complaints from
/// the limiter, and multiply attempts.
fn loader(options: &Options) -> ConfigLoader {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .build_https();
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_MAX).build());
    if let Some(region) = options.get("region") {
        loader = loader.region(Region::new(region.to_owned()));
    }
    if let Some(profile) = options.get("profile") {
        loader = loader.profile_name(profile);
    }
    if let (Some(id), Some(secret)) =
        (options.get("access_key_id"), options.get("secret_access_key"))
    {
        let token = options.get("session_token").map(str::to_owned);
        loader = loader.credentials_provider(Credentials::new(id, secret, token, None, "settings"));
    }
    if options.flag("anonymous") == Ok(Some(true)) {
        loader = loader.no_credentials();
    }
    loader
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    #[test]
    fn settings_that_cannot_be_are_refused() {
        let fault = |name: &str, value: &str| {
            let options = Settings::default().with("s3:", name, value).of("s3", "b");
            options.check(SETTINGS).unwrap();
            check(&options).unwrap_err()
        };
        assert!(fault("endpoint", "localhost:9000").contains("`http(s)://`"));
        assert!(fault("path_style", "1").contains("`true` or `false`"));
        assert!(fault("sign_bodies", "no").contains("`true` or `false`"));
        assert!(fault("access_key_id", "A").contains("go together"));
        assert!(fault("checksums", "md5").contains("when_required, when_supported"));
        assert!(fault("conditional_writes", "yes").contains("trust, never, probe"));
    }
}
