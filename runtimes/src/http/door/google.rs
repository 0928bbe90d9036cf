//! Google's identity tokens, which Cloud Run wants to see:
//! <https://cloud.google.com/run/docs/authenticating/service-to-service>.
//!
//! They come from the metadata server of the machine, or for the account whose key lies in the file
//! that `GOOGLE_APPLICATION_CREDENTIALS` names.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Client, StatusCode, Url};
use samara_core::{Clock, Error, ErrorKind};
use serde::{Deserialize, Serialize};

use super::kept::Kept;
use crate::Context;
use crate::http::{client, system};

/// How long an assertion holds, of which a token is made at once: Google's longest.
const ASSERTION_TIME: Duration = Duration::from_hours(1);

/// How long whoever makes tokens may take.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// What a refusal says, at most.
const WORDS_MAX: usize = 300;

/// Makes tokens, and keeps them while they hold.
pub(crate) struct Google {
    client: Client,
    clock: Arc<dyn Clock>,
    source: Source,
    /// By audience.
    kept: Mutex<BTreeMap<String, Arc<Kept<HeaderValue>>>>,
}

/// Who makes tokens.
enum Source {
    /// The metadata server, at this address.
    Machine(String),
    /// Google, for who can sign as this account.
    Account(Box<Account>),
}

/// A service account's key, as Google writes it.
#[derive(Deserialize)]
struct Account {
    client_email: String,
    private_key: String,
    token_uri: String,
}

/// What is signed: <https://developers.google.com/identity/protocols/oauth2/service-account>.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    target_audience: &'a str,
    iat: u64,
    exp: u64,
}

// === impl Google ===

impl Google {
    pub(super) fn new(context: &Context) -> Result<Self, Error> {
        let said = |name: &str| context.variables.get(name).filter(|said| !said.is_empty());
        let source = match said("GOOGLE_APPLICATION_CREDENTIALS") {
            Some(path) => Source::Account(Box::new(account(path)?)),
            None => {
                let host = said("GCE_METADATA_HOST").map_or("metadata.google.internal", |it| it);
                Source::Machine(host.to_owned())
            }
        };
        let clock = Arc::clone(&context.clock);
        Ok(Self { client: client(system()?, None)?, clock, source, kept: Mutex::default() })
    }

    /// The header for a request to this URL.
    pub(super) async fn token(&self, url: &Url) -> Result<HeaderValue, Error> {
        // A service is the audience, not what is asked of it.
        let audience = url.origin().ascii_serialization();
        let now = self.clock.unix();
        let kept = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(kept.entry(audience.clone()).or_default())
        };
        let make = async {
            let made = tokio::time::timeout(ANSWER_TIME, self.make(&audience, now)).await;
            let token = made.unwrap_or_else(|_| Err(away("nobody answers")))?;
            let end = end(&token).unwrap_or(now);
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut value = value.map_err(|_| denied("the token is none"))?;
            value.set_sensitive(true);
            Ok((value, end))
        };
        kept.get(now, make).await
    }

    async fn make(&self, audience: &str, now: Duration) -> Result<String, Error> {
        let request = match &self.source {
            Source::Machine(host) => {
                let path = "computeMetadata/v1/instance/service-accounts/default/identity";
                let query = [("audience", audience), ("format", "full")];
                let url = Url::parse_with_params(&format!("http://{host}/{path}"), query);
                let url = url.map_err(|error| denied(&format!("GCE_METADATA_HOST: {error}")))?;
                self.client.get(url).header("metadata-flavor", "Google")
            }
            Source::Account(account) => {
                let assertion = assertion(account, audience, now)?;
                let body = format!(
                    "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}"
                );
                self.client
                    .post(&account.token_uri)
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(body)
            }
        };
        let unreached = |error: reqwest::Error| {
            // Where there is no such server at all, there will be none later either.
            let is_nowhere = error.is_connect() && !error.is_timeout();
            let text = error.without_url().to_string();
            if is_nowhere { denied(&text) } else { away(&text) }
        };
        let response = request.send().await.map_err(unreached)?;
        let status = response.status();
        let text = response.text().await.map_err(unreached)?;
        if status != StatusCode::OK {
            let words: String = text.trim().chars().take(WORDS_MAX).collect();
            let passes = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
            let why = format!("{status}: {words}");
            return Err(if passes { away(&why) } else { denied(&why) });
        }
        match &self.source {
            Source::Machine(_) => Ok(text.trim().to_owned()),
            Source::Account(_) => {
                let said: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
                let token = said.get("id_token").and_then(serde_json::Value::as_str);
                token.map(str::to_owned).ok_or_else(|| denied("the answer holds no `id_token`"))
            }
        }
    }
}

fn account(path: &str) -> Result<Account, Error> {
    let invalid = |why: String| {
        let text = format!("GOOGLE_APPLICATION_CREDENTIALS names {path}: {why}");
        Error::new(ErrorKind::Invalid, text)
    };
    let text = std::fs::read_to_string(path).map_err(|error| invalid(error.to_string()))?;
    serde_json::from_str(&text).map_err(|_| {
        // What is in it is secret.
        invalid("it is no key of a service account, which identity tokens are made for".to_owned())
    })
}

fn assertion(account: &Account, audience: &str, now: Duration) -> Result<String, Error> {
    let key = EncodingKey::from_rsa_pem(account.private_key.as_bytes())
        .map_err(|_| denied("the account's key is no RSA key in PEM"))?;
    let claims = Claims {
        iss: &account.client_email,
        sub: &account.client_email,
        aud: &account.token_uri,
        target_audience: audience,
        iat: now.as_secs(),
        exp: (now + ASSERTION_TIME).as_secs(),
    };
    jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key)
        .map_err(|error| denied(&format!("the assertion was not signed: {error}")))
}

/// When a token ends, which it says itself. Whether it is genuine is for the door to say.
fn end(token: &str) -> Option<Duration> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    claims.get("exp")?.as_u64().map(Duration::from_secs)
}

fn denied(why: &str) -> Error {
    Error::new(ErrorKind::Denied, format!("no identity token of Google's is to be had: {why}"))
}

/// The same, where it may pass.
fn away(why: &str) -> Error {
    Error::new(ErrorKind::Lost, denied(why).message)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// A metadata server for one request; says what it was asked.
    fn machine(answer: String) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                asked.extend(byte);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(asked).unwrap()
        });
        (address, served)
    }

    fn google(address: String) -> Google {
        let mut context = Context::default();
        context.variables.insert("GCE_METADATA_HOST".to_owned(), address);
        Google::new(&context).unwrap()
    }

    #[tokio::test]
    async fn a_machines_token_is_kept_until_shortly_before_its_end() {
        let end = samara_core::SystemClock::new().unix().as_secs() + 3600;
        let claims = URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{end}}}"));
        let token = format!("e30.{claims}.x");
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: ";
        let (address, served) = machine(format!("{head}{}\r\n\r\n{token}", token.len()));
        let google = google(address);
        let url = Url::parse("https://app.run.app/v1/batches").unwrap();
        for _ in 0..2 {
            let value = google.token(&url).await.unwrap();
            assert_eq!(value.to_str().unwrap(), format!("Bearer {token}"));
        }
        let asked = served.join().unwrap();
        assert!(asked.contains("audience=https%3A%2F%2Fapp.run.app&format=full"), "{asked}");
        assert!(asked.contains("metadata-flavor: Google"), "{asked}");
    }

    #[tokio::test]
    async fn who_refuses_is_named() {
        let answer = "HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno";
        let (address, served) = machine(answer.to_owned());
        let error = google(address).token(&Url::parse("https://a").unwrap()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied);
        assert!(error.message.contains("404") && error.message.ends_with("no"), "{error}");
        served.join().unwrap();
    }

    #[tokio::test]
    async fn who_has_trouble_is_asked_again_later() {
        for status in ["500 Trouble", "503 Busy", "429 Too Many Requests"] {
            let answer =
                format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            let (address, served) = machine(answer);
            let token = google(address).token(&Url::parse("https://a").unwrap()).await;
            let error = token.unwrap_err();
            let wanted = (ErrorKind::Lost, samara_core::Retry::Later);
            assert_eq!((error.kind, error.retry), wanted, "{status}");
            served.join().unwrap();
        }
    }
}
