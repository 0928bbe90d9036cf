//! The front doors of platforms: who stands before a host and lets in only whom the platform knows.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rsa::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
use rsa::rand_core::OsRng;
use rsa::{RsaPrivateKey, RsaPublicKey};
use samara::{Component, Executor};
use samara_core::{Clock as _, SystemClock};
use serde_json::json;

use crate::host::TOKEN;
use crate::http::{Answer, Request, front_door};
use crate::platform::Platform;
use crate::pushed::start;

/// By name.
pub(crate) const CHECKS: &[(&str, fn())] = &[
    ("aws_lets_in_what_is_signed", aws),
    ("google_lets_in_who_has_an_identity_token", google),
    ("keys_open_the_other_doors", keys),
];

/// What these tests need in the environment: AWS's region, and the file of Google's credentials.
pub(crate) fn variables() -> Vec<(&'static str, String)> {
    let file = credentials().to_str().expect("a path of UTF-8").to_owned();
    vec![("AWS_REGION", REGION.to_owned()), ("GOOGLE_APPLICATION_CREDENTIALS", file)]
}

const REGION: &str = "eu-test-1";

fn credentials() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("google-{}.json", std::process::id()))
}

/// Maps through a door that `admits`, and says how many requests came to it and were refused.
fn maps(door: &str, key: Option<&str>, admits: impl Fn(&Request) -> bool + Send + Sync + 'static) {
    let platform = Platform::of("knative");
    let (host, _ground) = start(&platform, &[("SAMARA_HOST_TOKENS", TOKEN)]);
    let address = host.address.clone();
    let refused = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&refused);
    let port = front_door(Box::new(move |request| match admits(&request) {
        true => platform.ask(&address, &request),
        false => {
            counted.fetch_add(1, Ordering::Relaxed);
            Answer { status: 403, body: b"who are you?".to_vec(), ..Answer::default() }
        }
    }));
    let store = tempfile::tempdir().expect("a directory");
    let executor = |url: String| {
        let builder = Executor::builder().runtime(url).token(TOKEN).progress(false);
        let builder = builder.store(store.path().to_str().expect("a path of UTF-8"));
        key.into_iter().fold(builder, |builder, key| builder.door_key(key)).build().expect("valid")
    };
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../programs");
    let app = Component::from_crate(path).expect("the component");
    let add = samara_programs::reuse::adds_one;
    samara::block_on(async {
        let knows = executor(format!("http://127.0.0.1:{port}?door={door}"));
        let job = knows.map(&app, add, 0..50_u64).await.expect("a job");
        assert_eq!(job.values().await.expect("values"), (1..=50).collect::<Vec<u64>>());
        assert_eq!(refused.load(Ordering::Relaxed), 0);
        let stranger = executor(format!("http://127.0.0.1:{port}"));
        let error = stranger.call(&app, add, 1_u64).await.expect_err("a refusal").to_string();
        assert!(error.contains("who are you?") && error.contains("403"), "{error}");
        assert!(error.contains("`door-key` (SAMARA_DOOR_KEY)"), "{error}");
    });
    assert!(refused.load(Ordering::Relaxed) > 0);
    host.stop();
}

/// The signature is made anew of what came, and compared.
fn aws() {
    maps("aws", None, |request| {
        let date = request.header("x-amz-date");
        let Some(time) = seconds(date) else { return false };
        let now = SystemClock::new().unix().as_secs();
        let identity = Credentials::new("AKIATESTS", "of-tests", None, None, "tests").into();
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(REGION)
            .name("lambda")
            .time(UNIX_EPOCH + Duration::from_secs(time))
            .settings(settings)
            .build()
            .expect("all is said")
            .into();
        let url = format!("http://{}{}", request.header("host"), request.path);
        let headers = [("host", request.header("host"))];
        let body = SignableBody::Bytes(&request.body);
        let signable = SignableRequest::new(&request.method, url, headers.into_iter(), body);
        let signed = sign(signable.expect("a request"), &parameters).expect("a signature");
        let (signed, _) = signed.into_parts();
        let wanted = signed.headers().find(|(name, _)| *name == "authorization");
        time.abs_diff(now) < 300
            && wanted.is_some_and(|(_, wanted)| wanted == request.header("authorization"))
    });
}

/// The seconds of `20261121T160000Z`, in this century.
fn seconds(date: &str) -> Option<u64> {
    let part = |range: std::ops::Range<usize>| date.get(range)?.parse::<u64>().ok();
    let (year, month, day) = (part(0..4)?, part(4..6)?, part(6..8)?);
    let days_before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let is_leap = year % 4 == 0 && month > 2;
    let leaps = (year - 1969) / 4 + u64::from(is_leap);
    let month = days_before.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
    let days = (year - 1970) * 365 + leaps + month + day - 1;
    Some(days * 86_400 + part(9..11)? * 3600 + part(11..13)? * 60 + part(13..15)?)
}

/// Google makes a token of an assertion that the account signed; the door knows the token.
fn google() {
    const ACCOUNT: &str = "tester@samara.iam.gserviceaccount.com";
    let key = RsaPrivateKey::new(&mut OsRng, 2_048).expect("a key");
    let public = RsaPublicKey::from(&key).to_public_key_pem(LineEnding::LF).expect("PEM");
    let audiences = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&audiences);
    let maker = front_door(Box::new(move |request| {
        let form = String::from_utf8(request.body).expect("a form");
        let assertion = form.rsplit_once("&assertion=").expect("an assertion").1;
        let known = DecodingKey::from_rsa_pem(public.as_bytes()).expect("a key");
        let mut validation = Validation::new(Algorithm::RS256);
        validation.validate_aud = false;
        let claims = jsonwebtoken::decode::<serde_json::Value>(assertion, &known, &validation);
        let claims = claims.expect("the account signed it").claims;
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!(ACCOUNT), &json!(ACCOUNT)));
        let audience = claims["target_audience"].as_str().expect("an audience").to_owned();
        asked.lock().unwrap().push(audience);
        let end = SystemClock::new().unix().as_secs() + 3600;
        let claims = URL_SAFE_NO_PAD.encode(json!({ "exp": end }).to_string());
        let body = json!({ "id_token": format!("e30.{claims}.signature") }).to_string();
        Answer { status: 200, body: body.into(), ..Answer::default() }
    }));
    let file = json!({
        "type": "service_account",
        "client_email": ACCOUNT,
        "private_key": key.to_pkcs8_pem(LineEnding::LF).expect("PEM").as_str(),
        "token_uri": format!("http://127.0.0.1:{maker}/token"),
    });
    std::fs::write(credentials(), file.to_string()).expect("a file");
    maps("google", None, |request| {
        let said = request.header("authorization");
        said.starts_with("Bearer e30.") && said.ends_with(".signature")
    });
    let asked = audiences.lock().unwrap();
    assert_eq!(asked.len(), 1, "it is kept: {asked:?}");
    assert!(asked[0].starts_with("http://127.0.0.1:") && !asked[0].ends_with('/'));
    std::fs::remove_file(credentials()).expect("the file");
}

fn keys() {
    maps("azure", Some("a-function-key"), |request| {
        request.header("x-functions-key") == "a-function-key"
    });
    maps("bearer", Some("a-bearer-token"), |request| {
        request.header("authorization") == "Bearer a-bearer-token"
    });
}
